"""Names claimed by units: which unit of the corpus was the first to have what."""

from __future__ import annotations

import sqlite3
from contextlib import suppress
from hashlib import blake2b
from typing import TYPE_CHECKING

from pairmill.errors import StorageError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path
    from typing import Self

__all__ = ["CLAIMS", "ClaimStore", "held_by"]

CLAIMS = "claims.db"
"""File name below ``.run``."""

_SCHEMA = """
PRAGMA synchronous = OFF;
CREATE TABLE IF NOT EXISTS claims (name BLOB PRIMARY KEY, unit BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS claimants (unit BLOB PRIMARY KEY, names BLOB NOT NULL) WITHOUT ROWID;
"""
_OWNER = "SELECT unit FROM claims WHERE name = ?"
_NAME_BYTES = 16


class ClaimStore:
    """Names and the units that own them, in constant memory.

    A claim survives the process, but not a power cut: then its name may be claimed again.

    Args:
        path: Of the file.
        scope: The recipe's identity: claims of other recipes do not count.

    Raises:
        StorageError: The file cannot be opened.
    """

    def __init__(self, path: Path, scope: str) -> None:
        self._scope = scope
        try:
            # A relative name may look like a URI.
            self._database = sqlite3.connect(path.absolute(), isolation_level=None)
            self._database.executescript(_SCHEMA)
        except sqlite3.Error as error:
            raise StorageError(f"cannot open {path}: {error}") from None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._database.close()

    def claim(self, unit: str, names: Sequence[str]) -> list[bool]:
        """Claim names for a unit; return for each whether the unit owns it.

        Earlier claims of the unit on other names are dropped.

        Raises:
            StorageError: The disk refused; nothing has changed.
        """
        try:
            self._database.execute("BEGIN IMMEDIATE")
            try:
                found = self._claim(bytes.fromhex(unit), [_digest(self._scope, it) for it in names])
                self._database.execute("COMMIT")
            except BaseException:
                with suppress(sqlite3.Error):  # a full disk may have rolled back already
                    self._database.execute("ROLLBACK")
                raise
        except sqlite3.Error as error:
            raise StorageError(f"cannot keep a claim: {error}") from None
        return found

    def _claim(self, owner: bytes, wanted: list[bytes]) -> list[bool]:
        run = self._database.execute
        before = run("SELECT names FROM claimants WHERE unit = ?", (owner,)).fetchone()
        for name in _parted(before[0]) if before else ():
            if name not in wanted:
                run("DELETE FROM claims WHERE name = ? AND unit = ?", (name, owner))
        pairs = [(name, owner) for name in wanted]
        self._database.executemany("INSERT OR IGNORE INTO claims VALUES (?, ?)", pairs)
        found = [run(_OWNER, (name,)).fetchone()[0] == owner for name in wanted]
        own = b"".join(name for name, is_own in zip(wanted, found, strict=True) if is_own)
        run("INSERT OR REPLACE INTO claimants VALUES (?, ?)", (owner, own))
        return found


def held_by(path: Path, scope: str, unit: str, names: Sequence[str]) -> list[bool]:
    """Return whether each name is free or owned by the unit; only reads the file."""
    if not path.exists():
        return [True] * len(names)
    own = bytes.fromhex(unit)
    try:
        database = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)
        try:
            rows = [database.execute(_OWNER, (_digest(scope, it),)).fetchone() for it in names]
        finally:
            database.close()
    except sqlite3.Error:
        return [True] * len(names)
    return [row is None or row[0] == own for row in rows]


def _digest(scope: str, name: str) -> bytes:
    whole = f"{scope}\0{name}".encode("utf-8", "replace")
    return blake2b(whole, digest_size=_NAME_BYTES).digest()


def _parted(names: bytes) -> list[bytes]:
    return [names[at : at + _NAME_BYTES] for at in range(0, len(names), _NAME_BYTES)]
