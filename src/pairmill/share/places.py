"""Opens the shared object at the place that a setting names."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pairmill.errors import ConfigError
from pairmill.plain import plain
from pairmill.share.objects import SharedFolder, StoredObject
from pairmill.share.ray_object import RAY_SCHEME, RayObject

if TYPE_CHECKING:
    from pairmill.share.objects import SharedObject

__all__ = ["open_shared"]

_SCHEMES = ("s3", "gs", "az", "memory")


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
    if scheme not in _SCHEMES:
        known = ", ".join(f"{name}://" for name in _SCHEMES[:-1])
        raise ConfigError(f"share: {scheme}:// is none of {known}, nor a folder")
    try:
        from obstore.store import from_url  # noqa: PLC0415 (an extra)
    except ImportError:
        raise ConfigError(
            f"share: {scheme}:// needs the extra: pip install 'pairmill[store]'"
        ) from None
    try:
        store = from_url(place)
    except Exception as error:  # noqa: BLE001 (each store has errors of its own)
        words = plain(str(error).split("\n", 1)[0], 160)
        raise ConfigError(f"share: cannot open {plain(place, 200)}: {words}") from None
    return StoredObject(store, where=plain(place, 200))
