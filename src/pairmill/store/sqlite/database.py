"""The ledger's file: its tables and their migration, how it is opened, and its errors.

Ids are the 16 bytes that their 32 hex digits stand for. They are random, and there are as many of
them as units, so each one that goes into a large tree by itself dirties a page by itself. So there
are three trees of each kind: new ids go into the small one (``fresh_...``), which is emptied into
the middle one (``recent_...``) in the order of its keys when some thousands have gathered, and that
one in its turn into the large one. A page of a large tree then changes once for many ids.
"""

from __future__ import annotations

import sqlite3
from contextlib import contextmanager
from typing import TYPE_CHECKING
from urllib.parse import quote

from pairmill.errors import FolderError, StorageError
from pairmill.store.chain import LedgerChain, new_chain_id
from pairmill.store.files import DISK, refusal

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = [
    "FOLDS",
    "FORMAT",
    "SCHEMA",
    "check_sums",
    "connect",
    "create",
    "explained",
    "read_as_today",
    "read_chain",
    "rebuild_hint",
    "upgrade",
    "write_chain",
]

FORMAT = 2
"""Raised when an older pairmill can no longer read what a newer one wrote."""

_UNIT = """(
    id BLOB PRIMARY KEY, outcome TEXT NOT NULL, reason TEXT, pairs INTEGER NOT NULL,
    attempts INTEGER NOT NULL, prompt_tokens INTEGER NOT NULL,
    completion_tokens INTEGER NOT NULL) WITHOUT ROWID"""

# ``chunks`` says under which rowids a chunk's answers are.
_CHUNK = "(id BLOB, answer INTEGER, PRIMARY KEY (id, answer)) WITHOUT ROWID"

_SINCE_FORMAT_2 = f"""
CREATE TABLE fresh_units {_UNIT};
CREATE TABLE recent_units {_UNIT};
CREATE TABLE fresh_chunks {_CHUNK};
CREATE TABLE recent_chunks {_CHUNK};
CREATE TABLE chunks {_CHUNK};
"""

# Tombstones that are being asked again: they are in ``units`` no more, and go back there if their
# chunks are not found.
_REOPENED = f"CREATE TABLE IF NOT EXISTS reopened {_UNIT};"

# ``answers`` is a rowid table, so that bodies are appended, and read in the order of buying.
SCHEMA = f"""
CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE answers (
    chunk BLOB NOT NULL, id BLOB NOT NULL, unit BLOB NOT NULL, body BLOB NOT NULL);
CREATE TABLE units {_UNIT};
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
{_REOPENED}{_SINCE_FORMAT_2}
PRAGMA user_version = {FORMAT};
"""

_FOLD = (
    "INSERT INTO {into}units SELECT * FROM {out_of}units ORDER BY id",
    "DELETE FROM {out_of}units",
    "INSERT INTO {into}chunks SELECT * FROM {out_of}chunks ORDER BY id, answer",
    "DELETE FROM {out_of}chunks",
)
FOLDS = tuple(
    tuple(line.format(out_of=out_of, into=into) for line in _FOLD)
    for out_of, into in (("fresh_", "recent_"), ("recent_", ""))
)
"""Statements that empty the small trees into the middle ones, and the middle into the large."""

# Format 1 had one tree of each kind, and in place of ``chunks`` a unique index.
_UPGRADE = f"""
BEGIN IMMEDIATE;
{_REOPENED}{_SINCE_FORMAT_2}
INSERT INTO chunks SELECT chunk, rowid FROM answers ORDER BY chunk;
DROP INDEX answers_by_chunk;
PRAGMA user_version = {FORMAT};
COMMIT;
"""
_FORMAT_1_AS_TODAY = """
CREATE TEMP VIEW fresh_units AS SELECT * FROM units WHERE false;
CREATE TEMP VIEW recent_units AS SELECT * FROM units WHERE false;
CREATE TEMP VIEW chunks AS SELECT chunk AS id, rowid AS answer FROM answers;
CREATE TEMP VIEW fresh_chunks AS SELECT * FROM chunks WHERE false;
CREATE TEMP VIEW recent_chunks AS SELECT * FROM chunks WHERE false;
"""


def upgrade(connection: sqlite3.Connection) -> None:
    """Bring a ledger of format 1 up to date, whole or not at all."""
    try:
        connection.executescript(_UPGRADE)
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")


def read_as_today(connection: sqlite3.Connection) -> None:
    """Let a ledger of format 1 be read by today's names, though nothing may be written to it."""
    connection.executescript(_FORMAT_1_AS_TODAY)


_APPLICATION_ID = 0x706D696C  # "pmil" in ASCII: tells ``file`` and us whose database this is
_BUSY_S = 10.0
_PAGE_BYTES = 8192  # three answers per page; with 4 kB a long answer would fill a page by itself
# The longer the log, the more often a page was changed before it is copied: each commit changes
# the pages of the small trees, and those are copied once for dozens of commits.
_WAL_BYTES = 64 * 2**20
_COUNT_UNITS = (
    "SELECT (SELECT count(*) FROM units) + (SELECT count(*) FROM recent_units)"
    " + (SELECT count(*) FROM fresh_units)"
)
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


def create(path: Path, version: str, chain: LedgerChain | None = None) -> None:
    """Make an empty ledger beside its place and move it there: it exists whole or not at all.

    Args:
        path: Where to.
        version: Of pairmill.
        chain: Id and generation that it begins with; a new id if None.

    Raises:
        StorageError: The disk refused.
    """
    new = path.with_name(f"{path.name}.new")
    try:
        new.unlink(missing_ok=True)
        with explained(new):
            connection = sqlite3.connect(new.absolute(), isolation_level=None)
            try:
                connection.execute(f"PRAGMA page_size = {_PAGE_BYTES}")
                connection.execute("PRAGMA synchronous = FULL")
                connection.executescript(
                    f"BEGIN IMMEDIATE; {SCHEMA} PRAGMA application_id = {_APPLICATION_ID}; COMMIT;"
                )
                connection.execute("INSERT INTO meta VALUES ('created_by', ?)", (version,))
                write_chain(connection, chain or LedgerChain(new_chain_id()))
            finally:
                connection.close()
        DISK.rename(new, path)
        DISK.sync_folder(path.parent)
    except OSError as error:
        raise refusal(error, path) from None


def read_chain(connection: sqlite3.Connection) -> LedgerChain | None:
    """Return the ledger's id and generation; None for one of a version that kept none."""
    query = "SELECT name, value FROM meta WHERE name IN ('chain', 'generation')"
    found = dict(connection.execute(query).fetchall())
    if "chain" not in found:
        return None
    return LedgerChain(str(found["chain"]), int(found.get("generation", 0)))


def write_chain(connection: sqlite3.Connection, chain: LedgerChain) -> None:
    """Set the ledger's id and generation."""
    connection.executemany(
        "INSERT INTO meta VALUES (?, ?) ON CONFLICT DO UPDATE SET value = excluded.value",
        [("chain", chain.id), ("generation", str(chain.generation))],
    )


def check_sums(connection: sqlite3.Connection, path: Path) -> None:
    """Count the finished units, and compare with how many the ledger says there are.

    SQLite applies a write-ahead log to whatever database it lies beside. Beside an older one, the
    pages that were changed since the log began are new, and all others old: the ledger's place in
    the chain is right, and units or whole trees are missing from it.

    Raises:
        FolderError: The two differ.
    """
    (told,) = connection.execute("SELECT coalesce(sum(units), 0) FROM unit_totals").fetchone()
    (held,) = connection.execute(_COUNT_UNITS).fetchone()
    if told != held:
        raise FolderError(
            f"{path}: the ledger records {told:,} finished units but contains {held:,}"
            f" (ledger.db and ledger.db-wal from different times?); {rebuild_hint(path)}"
        )


def connect(
    path: Path, *, read_only: bool = False, cache_bytes: int = 4 * 2**20
) -> sqlite3.Connection:
    """Open the ledger and check that it is one, of a format that we read.

    The connection may be used from any thread, by one at a time; it never starts a transaction by
    itself. ``cache_bytes`` bounds its memory.

    A ledger of an earlier format is upgraded, or read as it is where it is opened to be read.

    Raises:
        FolderError: It is missing, damaged, not a ledger, or a newer pairmill's.
        StorageError: The disk refused.
    """
    if not path.is_file() or path.stat().st_size == 0:
        raise FolderError(f"{path}: the ledger is missing; {rebuild_hint(path)}")
    with explained(path):
        connection = _open(path, read_only=read_only)
        try:
            written = _check(connection, path)
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute(f"PRAGMA cache_size = -{cache_bytes // 1024}")
            connection.execute(f"PRAGMA journal_size_limit = {_WAL_BYTES}")
            if not read_only:
                connection.execute("PRAGMA journal_mode = WAL")
                (page_bytes,) = connection.execute("PRAGMA page_size").fetchone()
                connection.execute(f"PRAGMA wal_autocheckpoint = {_WAL_BYTES // page_bytes}")
            if written < FORMAT:
                (read_as_today if read_only else upgrade)(connection)
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
        # WAL beside it the database is whole as it is, and nobody can change it.
        connection.close()
        if path.with_name(f"{path.name}-wal").exists():
            raise
        return _connect(f"{uri}&immutable=1")
    return connection


def _connect(uri: str) -> sqlite3.Connection:
    return sqlite3.connect(
        uri, uri=True, isolation_level=None, check_same_thread=False, timeout=_BUSY_S
    )


def _check(connection: sqlite3.Connection, path: Path) -> int:
    (owner,) = connection.execute("PRAGMA application_id").fetchone()
    (written,) = connection.execute("PRAGMA user_version").fetchone()
    if owner != _APPLICATION_ID:
        raise FolderError(f"{path}: not a ledger of pairmill; {rebuild_hint(path)}")
    if written > FORMAT:
        raise FolderError(
            f"{path.parent.parent}: made by a newer pairmill (format {written}, this one reads"
            f" {FORMAT}); upgrade pairmill to go on"
        )
    return int(written)


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
