"""Reading canonical rows back from a run folder, and the few questions that are asked of one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import orjson

from pairmill.errors import FolderError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = [
    "Row",
    "ShardLine",
    "complete_lines",
    "mean_score",
    "open_shards",
    "parse",
    "published_shards",
]

Row: TypeAlias = "dict[str, Any]"


class ShardLine(NamedTuple):
    """One complete line of a shard: where it begins, in bytes, and its bytes."""

    offset: int
    data: bytes


def published_shards(folder: Path, kind: str = "train") -> list[Path]:
    """The finished shards of a run folder, by name; ``rejected`` lists those of the rejects."""
    place = folder / ("rejected" if kind == "rejected" else "data")
    return sorted(place.glob(f"{kind}-*.jsonl"))


def open_shards(folder: Path, kind: str = "train") -> list[Path]:
    """The shards that a run is still writing; their last line may be torn."""
    return sorted((folder / ".run").glob(f"**/{kind}-*.jsonl"))


def complete_lines(shard: Path) -> Iterator[ShardLine]:
    """Every line that ends in a newline; a torn tail is left out.

    Raises:
        FolderError: The shard cannot be read.
    """
    offset = 0
    try:
        with shard.open("rb") as file:
            for data in file:
                if data.endswith(b"\n") and not data.isspace():
                    yield ShardLine(offset, data)
                offset += len(data)
    except OSError as error:
        raise FolderError(f"cannot read {shard}: {error.strerror}") from None


def parse(line: ShardLine, shard: Path) -> Row:
    """The row that a line holds.

    Raises:
        FolderError: The line is no JSON object.
    """
    try:
        row = orjson.loads(line.data)
    except orjson.JSONDecodeError:
        row = None
    if not isinstance(row, dict):
        raise FolderError(f"{shard}: no row at byte {line.offset}; the shard is damaged")
    return row


def mean_score(row: Row) -> float | None:
    """The mean of the aspects that a judge rated, or None for a row without any rating."""
    scores = row.get("scores")
    given = [value for value in scores.values() if value is not None] if scores else []
    return sum(given) / len(given) if given else None
