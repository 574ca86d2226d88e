"""Reads canonical rows from a run folder, with a few helpers for them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import orjson

from pairmill.errors import FolderError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = [
    "Place",
    "Record",
    "Row",
    "ShardLine",
    "complete_lines",
    "exchanges_of",
    "is_rated_higher",
    "is_row",
    "key_text",
    "mean_score",
    "open_shards",
    "parse",
    "published_shards",
    "said_in",
    "task_of",
    "turns_of",
]


@dataclass(frozen=True, slots=True)
class Place:
    """Place of a record: its file, and its line; in JSON, Parquet and Arrow its number."""

    file: str = ""
    line: int = 0


@dataclass(frozen=True, slots=True)
class Record:
    """One record of a file.

    Attributes:
        value: Parsed; None if the line is no JSON.
        split: What its file or the key above it says.
        raw: Its line as it is, or None if the container has no lines.
    """

    value: Any
    split: str | None
    place: Place
    raw: bytes | None = None


Row: TypeAlias = "dict[str, Any]"
"""A line of ``data/``, of row format 2 or of format 1, which lacks ``task`` and its neighbours."""


class ShardLine(NamedTuple):
    """One complete line of a shard: where it begins, in bytes, and its bytes."""

    offset: int
    data: bytes


def published_shards(folder: Path, kind: str = "train") -> list[Path]:
    """Return the finished shards of a run folder, by name; of rejects with ``rejected``."""
    place = folder / ("rejected" if kind == "rejected" else "data")
    return sorted(place.glob(f"{kind}-*.jsonl"))


def open_shards(folder: Path, kind: str = "train") -> list[Path]:
    """Return the shards that a run is still writing; their last line may be torn."""
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
    """Parse the row in a line.

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


def is_row(row: Row) -> bool:
    """Return whether it has the texts of every row: an answer and, except for text, a request."""
    instruction = row.get("instruction")
    is_asked = isinstance(instruction, str) or (instruction is None and task_of(row) == "text")
    return is_asked and isinstance(row.get("answer"), str)


def task_of(row: Row) -> str:
    """``pair``, ``conversation``, ``text`` or ``question``; a row of format 1 is a pair."""
    return str(row.get("task") or "pair")


def turns_of(row: Row) -> list[tuple[str, str]]:
    """Role and content of every turn, without the system message; [] for plain text."""
    messages = row.get("messages")
    if messages:
        return [(str(turn["role"]), str(turn["content"])) for turn in messages]
    if task_of(row) == "text":
        return []
    return [("user", row["instruction"]), ("assistant", row["answer"])]


def exchanges_of(row: Row) -> list[tuple[str, str]]:
    """Each request with its reply, in order; for plain text one reply to an empty request."""
    if not row.get("messages"):
        return [(row.get("instruction") or "", row["answer"])]
    found: list[tuple[str, str]] = []
    asked = ""
    for role, content in turns_of(row):
        if role == "assistant":
            found.append((asked, content))
            asked = ""
        else:
            asked = f"{asked}\n\n{content}" if asked else content
    return found


def said_in(row: Row) -> str:
    """All that the assistant says in it, turns joined by blank lines."""
    if not row.get("messages"):
        return str(row["answer"])
    return "\n\n".join(said for _, said in exchanges_of(row))


def key_text(row: Row) -> str:
    """Return the text that identifies the row: all its requests, or the plain text."""
    if not row.get("messages"):
        return str(row.get("instruction") or row["answer"])
    return "\n".join(content for role, content in turns_of(row) if role != "assistant")


def mean_score(row: Row) -> float | None:
    """Return the mean of the rated aspects, or None for a row without any rating."""
    scores = row.get("scores")
    given = [value for value in scores.values() if value is not None] if scores else []
    return sum(given) / len(given) if given else None


def is_rated_higher(one: Row, other: Row) -> bool:
    """Return whether both rows are rated, and the first one higher: by mean, or by truth."""
    means = mean_score(one), mean_score(other)
    if means[0] is None or means[1] is None:
        return False
    true = [row["scores"].get("truthfulness") for row in (one, other)]
    is_truer = None not in true and true[0] > true[1]
    return means[0] > means[1] or is_truer
