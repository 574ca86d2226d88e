"""A run folder's memory of its input: ``.run/intake.db``.

Only a run writes it. Other commands that read the input (`estimate`, `inspect`, an export) see the
same decisions, and keep their own in a temporary file.
"""

from __future__ import annotations

import sqlite3
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Self

from pairmill.errors import InputError, StoppedError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from types import TracebackType

    from pairmill.errors import PairmillError

__all__ = ["IntakeFile", "database_fault"]

_SCHEMA = """
CREATE TABLE IF NOT EXISTS {kind}_names(name INTEGER PRIMARY KEY, id INTEGER, similarity REAL);
CREATE TABLE IF NOT EXISTS {kind}_texts(id INTEGER PRIMARY KEY, source TEXT, sketch BLOB);
CREATE TABLE IF NOT EXISTS {kind}_runs(hash INTEGER, id INTEGER, PRIMARY KEY(hash, id))
  WITHOUT ROWID;
"""
_LINES = """
CREATE TABLE IF NOT EXISTS lines(site INTEGER, line INTEGER, number INTEGER,
  PRIMARY KEY(site, line)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS cleaned(name INTEGER PRIMARY KEY, number INTEGER);
"""
_RECORD = """
CREATE TABLE IF NOT EXISTS record_of(name TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS record_files(number INTEGER PRIMARY KEY, path BLOB, label TEXT,
  before BLOB);
CREATE TABLE IF NOT EXISTS record_seals(mark INTEGER, file INTEGER, start INTEGER, until INTEGER,
  digest BLOB);
CREATE TABLE IF NOT EXISTS record_stretches(mark INTEGER PRIMARY KEY, file INTEGER, line INTEGER,
  until INTEGER, chunks BLOB, notes BLOB);
CREATE TABLE IF NOT EXISTS record_states(mark INTEGER PRIMARY KEY, state BLOB);
"""
_CACHE_KIB = 65_536  # for near duplicates, which are searched in the whole file
_SMALL_CACHE_KIB = 1_024  # rows are added in order, some hundreds at a time: more gains nothing


def database_fault(path: Path, error: sqlite3.Error, advice: str) -> PairmillError:
    """Return the error for a failed database that the run could continue without.

    Args:
        path: The database.
        error: SQLite's error.
        advice: What it contains, and what deleting it means, as the end of a sentence.
    """
    if isinstance(error, sqlite3.OperationalError):  # the disk fails, or another process holds it
        return StoppedError(f"{path}: {error}")
    return InputError(f"{path}: {error}; it {advice}")


class IntakeFile:
    """An SQLite file, or two of them combined. Use it in ``with``."""

    def __init__(self, path: Path, *, is_own: bool, is_searched: bool = True) -> None:
        """Open a run folder's file to continue it (``is_own``), or read-only.

        ``is_searched``: near duplicates are searched.

        Raises:
            InputError: It is damaged.
            StoppedError: It cannot be opened now.
        """
        self._path = path
        self._views: dict[str, str] = {}
        self._is_overlay = False
        try:
            self._connection = sqlite3.connect(
                str(path.absolute()) if is_own else "",  # a relative name may look like a URI
                isolation_level=None,
                check_same_thread=False,
                uri=not is_own,  # so that the other file can be attached read-only
            )
            self._prepare(path, is_own=is_own, is_searched=is_searched)
        except sqlite3.Error as error:
            raise self._fault(error) from None

    def _prepare(self, path: Path, *, is_own: bool, is_searched: bool) -> None:
        run = self._connection.execute
        if is_own:
            run("PRAGMA journal_mode = WAL")
            run("PRAGMA synchronous = NORMAL")
        run(f"PRAGMA cache_size = -{_CACHE_KIB if is_searched else _SMALL_CACHE_KIB}")
        run("PRAGMA temp_store = FILE")
        run(f"PRAGMA temp.cache_size = -{_SMALL_CACHE_KIB}")
        for kind in ("chunk", "document"):
            self._connection.executescript(_SCHEMA.format(kind=kind))
        self._connection.executescript(_LINES)
        if is_own:
            self._connection.executescript(_RECORD)
        if not is_own and path.exists():
            with suppress(sqlite3.Error):  # the folder was begun without it
                run("ATTACH ? AS base", (f"{path.absolute().as_uri()}?mode=ro",))
                run("SELECT 1 FROM base.cleaned LIMIT 1").fetchall()
                self._is_overlay = True
        run("BEGIN")

    def run(self, statement: str, *values: Any) -> int:
        """Execute a change; return the number of changed rows.

        Raises:
            InputError: The file is damaged.
            StoppedError: The disk refuses.
        """
        try:
            return self._connection.execute(statement, values).rowcount
        except sqlite3.Error as error:
            raise self._fault(error) from None

    def run_many(self, statement: str, rows: list[tuple[Any, ...]]) -> None:
        """Execute a change for each of some rows; see `run`."""
        try:
            self._connection.executemany(statement, rows)
        except sqlite3.Error as error:
            raise self._fault(error) from None

    def rows(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        """Return the rows of a query; ``@name`` is a table together with its earlier contents.

        Raises:
            InputError: The file is damaged.
        """
        found = self._views.get(query)
        if found is None:
            found = self._views[query] = self._with_base(query)
        try:
            return self._connection.execute(found, values).fetchall()
        except sqlite3.Error as error:
            raise self._fault(error) from None

    def each(self, query: str) -> Iterator[tuple[Any, ...]]:
        """Yield the rows of a query, in bounded memory; see `rows`."""
        try:
            yield from self._connection.execute(query)
        except sqlite3.Error as error:
            raise self._fault(error) from None

    def commit(self) -> None:
        """Make all decisions durable.

        Raises:
            StoppedError: The disk refuses.
        """
        try:
            self._connection.execute("COMMIT")
            self._connection.execute("BEGIN")
        except sqlite3.Error as error:
            raise self._fault(error) from None

    def _with_base(self, query: str) -> str:
        words = []
        for word in query.split(" "):
            if word.startswith("@"):
                name = word[1:]
                both = f"(SELECT * FROM main.{name} UNION ALL SELECT * FROM base.{name})"  # noqa: S608
                words.append(both if self._is_overlay else name)
            else:
                words.append(word)
        return " ".join(words)

    def _fault(self, error: sqlite3.Error) -> PairmillError:
        advice = (
            "only holds which texts repeat others and may be deleted: nothing is paid for twice"
        )
        return database_fault(self._path, error, advice)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with suppress(sqlite3.Error):
            self._connection.execute("COMMIT")
        self._connection.close()
