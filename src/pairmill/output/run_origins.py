"""Where the published rows of a run come from: counted shard by shard, each shard once.

A finished shard never changes, so what was counted is kept in the run folder, beside the names and
sizes of the shards it was counted in. If one of these is gone or another, all are counted afresh.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Struct

from pairmill.output.origins import OriginCounts, Origins
from pairmill.output.rows import complete_lines, published_shards
from pairmill.store.files import atomic_write

if TYPE_CHECKING:
    from pathlib import Path

    from pairmill.output.rows import Row
    from pairmill.store.folder import RunFolder

__all__ = ["read_run_origins"]

_FORMAT = 1
_FILE = "origins.json"
_FILES = "local files"  # together: their names are of this machine, or of whoever filled a folder
_FIRST, _EVERY = 64, 64  # rows of a shard whose language is told: the first ones, then each 64th


class _Kept(Struct):
    """What was counted, and in which shards: their names and bytes."""

    format: int = _FORMAT
    shards: dict[str, int] = {}
    counts: OriginCounts = OriginCounts()


class _Source(Struct):
    """The columns of a row that are looked at; the others are not even decoded."""

    url: Any = None
    license: Any = None


class _Spoken(Struct):
    instruction: Any = None
    answer: Any = None


def read_run_origins(folder: RunFolder, *, only_kept: bool = False) -> Origins | None:
    """Return sites, licences and languages of a run's published rows.

    Reads those shards that were not counted yet, and keeps the counts; where the folder cannot be
    written to, they are counted again the next time.

    Args:
        folder: The run folder.
        only_kept: Read no shard, and return what was counted before; None if that is nothing.

    Raises:
        FolderError: A shard cannot be read.
    """
    shards = published_shards(folder.path)
    sizes = {shard.name: _size(shard) for shard in shards}
    kept = _read(folder.state / _FILE)
    if any(sizes.get(name) != size for name, size in kept.shards.items()):
        kept = _Kept()
    origins = Origins.of(kept.counts)
    if only_kept:
        return origins if kept.shards else None
    new = [shard for shard in shards if shard.name not in kept.shards]
    for shard in new:
        _count(shard, origins)
    if new and folder.state.is_dir():
        kept = _Kept(_FORMAT, sizes, origins.counts)
        with suppress(OSError, msgspec.MsgspecError):
            atomic_write(folder.state / _FILE, msgspec.json.encode(kept))
    return origins


def _size(shard: Path) -> int:
    try:
        return shard.stat().st_size
    except OSError:
        return -1


def _read(path: Path) -> _Kept:
    try:
        found = msgspec.json.decode(path.read_bytes(), type=_Kept)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError):
        return _Kept()
    return found if found.format == _FORMAT else _Kept()


def _count(shard: Path, origins: Origins) -> None:
    sources, spoken = msgspec.json.Decoder(_Source), msgspec.json.Decoder(_Spoken)
    for number, line in enumerate(complete_lines(shard)):
        try:
            found = sources.decode(line.data)
            row: Row = {"url": found.url, "source": _FILES, "license": found.license}
            if number < _FIRST or not number % _EVERY:
                said = spoken.decode(line.data)
                row |= {"instruction": said.instruction, "answer": said.answer}
        except (msgspec.DecodeError, UnicodeDecodeError):
            continue  # a damaged line is told by those that read it
        origins.add(row, is_heard="answer" in row)
