"""Opens the shared object at the place that a setting names."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pairmill.share.objects import open_place
from pairmill.share.ray_object import RAY_SCHEME, RayObject

if TYPE_CHECKING:
    from pairmill.share.objects import SharedObject

__all__ = ["open_shared"]


def open_shared(place: str) -> SharedObject:
    """Open the object at a folder or at a URL (``s3://bucket/prefix``, ``gs://``, ``az://``).

    Raises:
        ConfigError: It cannot be used, or the extra for object stores is missing.
    """
    scheme, _, rest = place.partition("://")
    return RayObject(rest) if scheme == RAY_SCHEME else open_place(place)
