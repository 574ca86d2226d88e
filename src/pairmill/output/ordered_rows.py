"""Rows in an order that does not depend on the course of the run, in constant memory.

A run writes rows as its answers come. Here each row's place (shard, offset, length) goes into a
temporary SQLite table keyed by document, chunk and id; the rows are then read from their shards in
that order. The shards' bytes are never copied. The same file keeps what was seen and assigned.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from itertools import groupby
from typing import TYPE_CHECKING, Any, BinaryIO, Self

import orjson

from pairmill.errors import FolderError, StorageError
from pairmill.output.rows import complete_lines, is_row, parse

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path
    from types import TracebackType

    from pairmill.output.rows import Row

__all__ = ["OrderedRows"]

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
