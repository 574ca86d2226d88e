"""Opens the shared object at the place that a setting names."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pairmill.objects.url import open_store
from pairmill.share.objects import SharedFolder, StoredObject
from pairmill.share.ray_object import RAY_SCHEME, RayObject

if TYPE_CHECKING:
    from pairmill.share.objects import SharedObject

__all__ = ["open_shared"]


def open_shared(place: str) -> SharedObject:
    """Open the object at a folder or at a URL (``s3://bucket/prefix``, ``gs://``, ``az://``).

    Raises:
        ConfigError: It cannot be used, or the extra for object stores is missing.
    """
    scheme, sign, rest = place.partition("://")
    if not sign:
        return SharedFolder(Path(place))
    if scheme == "file":
        return SharedFolder(Path(rest))
    if scheme == RAY_SCHEME:
        return RayObject(rest)
    return StoredObject(open_store(place, "share"))
