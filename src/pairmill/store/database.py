"""The ledger's file: its tables, how it is opened, and what its errors mean to a user."""

from __future__ import annotations

import sqlite3
from contextlib import contextmanager
from typing import TYPE_CHECKING
from urllib.parse import quote

from pairmill.errors import FolderError, StorageError
from pairmill.store.files import DISK, refusal

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["FORMAT", "connect", "create", "explained", "rebuild_hint"]

FORMAT = 1
"""Raised when an older pairmill can no longer read what a newer one wrote."""

_APPLICATION_ID = 0x706D696C  # "pmil" in ASCII: tells ``file`` and us whose database this is
_BUSY_S = 10.0
_PAGE_BYTES = 4096
# Ids are random, so a commit touches many pages. The longer the log, the more often a page was
# changed before it is copied: at 64 MB a unit costs 21 us, at 16 MB 27.
_WAL_BYTES = 64 * 2**20
_TRANSIENT = frozenset({sqlite3.SQLITE_FULL, sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})
_REFUSED = _TRANSIENT | {sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY}
_PLAIN = {
    sqlite3.SQLITE_FULL: "the disk is full",
    sqlite3.SQLITE_BUSY: "another program keeps the ledger locked",
    sqlite3.SQLITE_LOCKED: "another program keeps the ledger locked",
    sqlite3.SQLITE_IOERR: "the disk reported an error",
    sqlite3.SQLITE_CANTOPEN: "the ledger cannot be opened",
    sqlite3.SQLITE_READONLY: "the ledger is read-only",
}

# Ids are the 16 bytes that their 32 hex digits stand for. ``answers`` is a rowid table, so that
# bodies are appended; its one index finds a chunk's answers and keeps each call single.
_SCHEMA = """
CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE answers (
    chunk BLOB NOT NULL, id BLOB NOT NULL, unit BLOB NOT NULL, body BLOB NOT NULL);
CREATE UNIQUE INDEX answers_by_chunk ON answers (chunk, id);
CREATE TABLE units (
    id BLOB PRIMARY KEY, outcome TEXT NOT NULL, reason TEXT, pairs INTEGER NOT NULL,
    attempts INTEGER NOT NULL, prompt_tokens INTEGER NOT NULL,
    completion_tokens INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE shards (
    kind TEXT NOT NULL, number INTEGER NOT NULL, state TEXT NOT NULL, bytes INTEGER NOT NULL,
    rows INTEGER NOT NULL, sha256 TEXT NOT NULL, PRIMARY KEY (kind, number)) WITHOUT ROWID;
CREATE TABLE unit_totals (
    outcome TEXT NOT NULL, reason TEXT NOT NULL, units INTEGER NOT NULL, pairs INTEGER NOT NULL,
    attempts INTEGER NOT NULL, prompt_tokens INTEGER NOT NULL,
    completion_tokens INTEGER NOT NULL, PRIMARY KEY (outcome, reason)) WITHOUT ROWID;
CREATE TABLE call_totals (
    model TEXT PRIMARY KEY, calls INTEGER NOT NULL, prompt_tokens INTEGER NOT NULL,
    completion_tokens INTEGER NOT NULL, cached_tokens INTEGER NOT NULL) WITHOUT ROWID;
"""

# Tombstones that are being asked again: they are in ``units`` no more, and go back there if their
# chunks are not found. A ledger of an earlier pairmill gets the table when it is first written to.
_REOPENED = """
CREATE TABLE IF NOT EXISTS reopened (
    id BLOB PRIMARY KEY, outcome TEXT NOT NULL, reason TEXT, pairs INTEGER NOT NULL,
    attempts INTEGER NOT NULL, prompt_tokens INTEGER NOT NULL,
    completion_tokens INTEGER NOT NULL) WITHOUT ROWID;
"""


def create(path: Path, version: str) -> None:
    """Make an empty ledger beside its place and move it there: it exists whole or not at all.

    Raises:
        StorageError: The disk refused.
    """
    new = path.with_name(f"{path.name}.new")
    try:
        new.unlink(missing_ok=True)
        with explained(new):
            connection = sqlite3.connect(new, isolation_level=None)
            try:
                connection.execute("PRAGMA synchronous = FULL")
                connection.executescript(
                    f"BEGIN IMMEDIATE; {_SCHEMA} PRAGMA application_id = {_APPLICATION_ID};"
                    f" PRAGMA user_version = {FORMAT}; COMMIT;"
                )
                connection.execute("INSERT INTO meta VALUES ('created_by', ?)", (version,))
            finally:
                connection.close()
        DISK.rename(new, path)
        DISK.sync_folder(path.parent)
    except OSError as error:
        raise refusal(error, path) from None


def connect(
    path: Path, *, read_only: bool = False, cache_bytes: int = 4 * 2**20
) -> sqlite3.Connection:
    """Open the ledger and check that it is one, of a format that we read.

    The connection may be used from any thread, by one at a time; it never starts a transaction by
    itself. ``cache_bytes`` bounds its memory.

    Raises:
        FolderError: It is missing, damaged, not a ledger, or a newer pairmill's.
        StorageError: The disk refused.
    """
    if not path.is_file() or path.stat().st_size == 0:
        raise FolderError(f"{path}: the ledger is missing; {rebuild_hint(path)}")
    with explained(path):
        connection = _open(path, read_only=read_only)
        try:
            _check(connection, path)
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute(f"PRAGMA cache_size = -{cache_bytes // 1024}")
            connection.execute(f"PRAGMA journal_size_limit = {_WAL_BYTES}")
            if not read_only:
                connection.execute("PRAGMA journal_mode = WAL")
                connection.execute(f"PRAGMA wal_autocheckpoint = {_WAL_BYTES // _PAGE_BYTES}")
                connection.execute(_REOPENED)
        except BaseException:
            connection.close()
            raise
    return connection


def _open(path: Path, *, read_only: bool) -> sqlite3.Connection:
    uri = f"file:{quote(str(path.absolute()))}?mode={'ro' if read_only else 'rw'}"
    connection = _connect(uri)
    if not read_only:
        return connection
    try:
        connection.execute("SELECT count(*) FROM sqlite_schema")
    except sqlite3.OperationalError:
        # On a read-only medium SQLite cannot make the shared-memory file that WAL wants. With no
        # WAL beside it the database is whole as it stands, and nobody can change it.
        connection.close()
        if path.with_name(f"{path.name}-wal").exists():
            raise
        return _connect(f"{uri}&immutable=1")
    return connection


def _connect(uri: str) -> sqlite3.Connection:
    return sqlite3.connect(
        uri, uri=True, isolation_level=None, check_same_thread=False, timeout=_BUSY_S
    )


def _check(connection: sqlite3.Connection, path: Path) -> None:
    (owner,) = connection.execute("PRAGMA application_id").fetchone()
    (written,) = connection.execute("PRAGMA user_version").fetchone()
    if owner != _APPLICATION_ID:
        raise FolderError(f"{path}: not a ledger of pairmill; {rebuild_hint(path)}")
    if written > FORMAT:
        raise FolderError(
            f"{path.parent.parent}: made by a newer pairmill (format {written}, this one reads"
            f" {FORMAT}); upgrade pairmill to go on"
        )


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turn SQLite's errors into ours, each in one plain line.

    Raises:
        StorageError: The disk refused; transient where it was full or the ledger was locked.
        FolderError: The ledger is damaged.
    """
    try:
        yield
    except sqlite3.ProgrammingError:
        raise  # our own mistake, such as a closed connection: not the user's to mend
    except sqlite3.Error as error:
        code = getattr(error, "sqlite_errorcode", None) or sqlite3.SQLITE_CORRUPT
        base = code & 0xFF  # the low byte is the class, the rest tells more
        if base in _REFUSED and code != sqlite3.SQLITE_IOERR_SHORT_READ:
            raise StorageError(f"{path}: {_PLAIN[base]}", transient=base in _TRANSIENT) from None
        raise FolderError(f"{path}: the ledger is damaged; {rebuild_hint(path)}") from None


def rebuild_hint(ledger: Path) -> str:
    """Say what to do about a ledger that cannot be used."""
    return f"'pairmill recover {ledger.parent.parent}' rebuilds it from the shards"
