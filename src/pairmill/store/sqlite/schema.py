"""The ledger's tables, and the migration of earlier formats.

Ids are the 16 bytes that their 32 hex digits stand for. They are random, and there are as many of
them as units, so each one that goes into a large tree by itself dirties a page by itself. So there
are three trees of each kind: new ids go into the small one (``fresh_...``), which is emptied into
the middle one (``recent_...``) in the order of its keys when some thousands have gathered, and that
one in its turn into the large one. A page of a large tree then changes once for many ids.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import sqlite3

__all__ = ["FOLDS", "FORMAT", "SCHEMA", "read_as_today", "upgrade"]

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
