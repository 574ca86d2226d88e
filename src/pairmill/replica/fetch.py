"""Brings a run from an object store to a local folder, to be read there."""

from __future__ import annotations

import hashlib
import shutil
from contextlib import suppress
from typing import TYPE_CHECKING

from pairmill.errors import FolderError
from pairmill.objects.url import open_store
from pairmill.partition import part_of
from pairmill.replica.manifest import MANIFEST, decode_manifest
from pairmill.replica.restore import restore
from pairmill.store.files import refusal

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pairmill.objects.port import ObjectStore

__all__ = ["fetch"]

_STAMP = "fetched"
_TRIES = 3


def fetch(url: str, place: Path, tell: Callable[[str], None] = lambda _: None) -> Path:
    """Make a folder what the store holds now: a run, or a folder of its parts.

    Published shards that an earlier call brought are not brought again.

    Args:
        url: Of a run, or of the place that its parts lie below.
        place: The folder.
        tell: Told in a line what was fetched.

    Raises:
        ConfigError: The URL cannot be used.
        FolderError: There is no run, or it is damaged.
        StorageError: The store cannot be reached now, or the local disk refused.
    """
    store = open_store(url, "object store")
    if store.get(MANIFEST) is not None:
        _fetch_run(store, place, tell)
        return place
    parts = [part for name in store.folders() if (part := part_of(name))]
    if not parts:
        raise FolderError(f"{store.where}: no pairmill run here")
    counts = {part.count for part in parts}
    for path in place.iterdir() if place.is_dir() else ():
        part = part_of(path.name)
        if part is not None and part.count not in counts:
            shutil.rmtree(path, ignore_errors=True)  # of another run that was here
    for part in sorted(parts):
        below = open_store(f"{url.rstrip('/')}/{part.name}", "object store")
        _fetch_run(below, place / part.name, tell)
    return place


def _fetch_run(store: ObjectStore, place: Path, tell: Callable[[str], None]) -> None:
    for attempt in range(_TRIES):
        got = store.get(MANIFEST)
        if got is None:
            raise FolderError(f"{store.where}: no pairmill run here")
        manifest = decode_manifest(got[0], store.where)
        if not manifest.chain:
            raise FolderError(f"{store.where}: nothing was uploaded yet")
        stamp = hashlib.sha256(repr((manifest.generation, sorted(manifest.objects()))).encode())
        if _read_stamp(place) == stamp.hexdigest():
            return
        building = place.with_name(f".{place.name}.fetching")
        try:
            restore(store, manifest, building, known=place)
        except FolderError:
            now = store.get(MANIFEST)
            if attempt == _TRIES - 1 or now is None or now[0] == got[0]:
                raise
            continue  # its owner has replaced an object meanwhile
        _put_in_place(building, place, stamp.hexdigest())
        tell(f"fetched {store.where} into {place}")
        return


def _put_in_place(building: Path, place: Path, stamp: str) -> None:
    try:
        (building / ".run" / _STAMP).write_text(stamp, "ascii")
        shutil.rmtree(place, ignore_errors=True)
        building.rename(place)
    except OSError as error:
        raise refusal(error, place) from None


def _read_stamp(place: Path) -> str:
    with suppress(OSError, UnicodeDecodeError):
        return (place / ".run" / _STAMP).read_text("ascii")
    return ""
