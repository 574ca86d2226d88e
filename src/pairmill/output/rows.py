"""Reads canonical rows from a run folder, one by one or in order, with a few helpers for them.

A run writes rows as its answers come. Here each row's place (shard, offset, length) goes into a
temporary SQLite table keyed by document, chunk and id; the rows are then read from their shards in
that order. The shards' bytes are never copied. The same file keeps what was seen and assigned.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple, Self, TypeAlias

import orjson

from pairmill.errors import FolderError, StorageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path
    from types import TracebackType

__all__ = [
    "OrderedRows",
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
        value: Parsed; None if the line is not JSON.
        split: What its file or the key above it says.
        raw: Its unparsed line, or None if the container has no lines.
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
    """Yield every line that ends in a newline; a torn tail is left out.

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
        FolderError: The line is not a JSON object.
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
    """Return each request with its reply, in order; plain text is a reply to an empty request."""
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
    """Return all replies of the assistant, joined by blank lines."""
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


_SCHEMA = """
PRAGMA journal_mode = OFF;
PRAGMA synchronous = OFF;
PRAGMA cache_size = -65536;
CREATE TABLE place (
    document_id TEXT, chunk_id TEXT, id TEXT, shard INTEGER, offset INTEGER, length INTEGER,
    PRIMARY KEY (document_id, chunk_id, id)
) WITHOUT ROWID;
CREATE TABLE seen (name TEXT PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE kept (split TEXT, shard INTEGER, offset INTEGER, length INTEGER);
"""
_BATCH = 1_000
_Place = tuple[int, int, int]
_INSERT = "INSERT OR IGNORE INTO place VALUES (?, ?, ?, ?, ?, ?)"
_IN_ORDER = (
    "SELECT document_id, chunk_id, shard, offset, length FROM place"
    " ORDER BY document_id, chunk_id, id"
)


class OrderedRows:
    """The rows of some shards, ordered by document, chunk and id; each id once.

    A context manager; ``scratch`` is a file that does not exist yet, in a folder with room for
    about 150 bytes a row, and is the caller's to remove. ``revise`` gives each row as it counts:
    with the texts that a person put in the place of others.
    """

    def __init__(self, scratch: Path, revise: Callable[[Row], Row] = lambda row: row) -> None:
        self._revise = revise
        self._database = sqlite3.connect(scratch, isolation_level=None)
        self._shards: list[Path] = []
        self._files: dict[int, BinaryIO] = {}

    def __enter__(self) -> Self:
        self._run(self._database.executescript, _SCHEMA)
        self._run(self._database.execute, "BEGIN")  # one transaction for all, never committed
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for file in self._files.values():
            file.close()
        self._database.close()

    def add(self, shard: Path) -> tuple[int, int]:
        """Take in every row of a shard; returns how many were read, and how many were new.

        Raises:
            FolderError: The shard cannot be read or holds a line that is no row.
        """
        number = len(self._shards)
        self._shards.append(shard)
        before = self._database.total_changes
        read = 0
        batch: list[tuple[str, str, str, int, int, int]] = []
        for line in complete_lines(shard):
            row = parse(line, shard)
            names = (row.get("document_id"), row.get("chunk_id"), row.get("id"))
            if not all(isinstance(name, str) for name in names) or not is_row(row):
                raise FolderError(f"{shard}: the row at byte {line.offset} lacks an id or a text")
            batch.append((*names, number, line.offset, len(line.data)))  # type: ignore[arg-type]
            read += 1
            if len(batch) == _BATCH:
                self._run(self._database.executemany, _INSERT, batch)
                batch.clear()
        self._run(self._database.executemany, _INSERT, batch)
        return read, self._database.total_changes - before

    def chunks(self) -> Iterator[list[tuple[Row, _Place]]]:
        """Yield the rows of each chunk in order, each with its place for ``keep``."""
        with closing(self._database.cursor()) as cursor:
            places = self._run(cursor.execute, _IN_ORDER)
            for _, group in groupby(places, key=lambda place: place[:2]):
                yield [(self._read(place[2:]), place[2:]) for place in group]

    def first_time(self, name: str) -> bool:
        """Return whether this name is asked about for the first time."""
        before = self._database.total_changes
        self._run(self._database.execute, "INSERT OR IGNORE INTO seen VALUES (?)", (name,))
        return self._database.total_changes > before

    def keep(self, split: str, place: _Place) -> None:
        """Note that the row at a place went into a split."""
        self._run(self._database.execute, "INSERT INTO kept VALUES (?, ?, ?, ?)", (split, *place))

    def kept(self, splits: Iterable[str]) -> Iterator[Row]:
        """Yield the rows that went into any of the splits, in the order of ``keep``."""
        wanted = tuple(splits)
        marks = ", ".join("?" * len(wanted))
        query = f"SELECT shard, offset, length FROM kept WHERE split IN ({marks}) ORDER BY rowid"  # noqa: S608 (marks only)
        with closing(self._database.cursor()) as cursor:
            for place in self._run(cursor.execute, query, wanted):
                yield self._read(place)

    def _read(self, place: _Place) -> Row:
        number, offset, length = place
        file = self._files.get(number)
        if file is None:
            if len(self._files) >= 64:  # noqa: PLR2004 (far below any limit of open files)
                self._files.pop(next(iter(self._files))).close()
            file = self._files[number] = self._shards[number].open("rb")
        file.seek(offset)
        return self._revise(orjson.loads(file.read(length)))

    def _run(self, call: Any, *arguments: Any) -> Any:
        """Make a call to SQLite whose only failure can be the disk's."""
        try:
            return call(*arguments)
        except sqlite3.Error as error:
            raise StorageError(f"cannot write scratch data for the export: {error}") from None
