"""Values stored in a run folder between starts: modes of endpoints, style cards of authors."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

from pairmill.errors import StorageError

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Self

__all__ = ["RunMemory"]

_CREATE = "CREATE TABLE IF NOT EXISTS kept (name TEXT PRIMARY KEY, value TEXT) WITHOUT ROWID"
_GET = "SELECT value FROM kept WHERE name = ?"


class RunMemory:
    """Key-value store in a file of the run folder, in constant memory.

    A value survives the process, but not a power cut or a damaged file: then it is computed again.
    """

    def __init__(self, path: Path) -> None:
        try:
            try:
                self._database = _open(path)
            except sqlite3.OperationalError:
                raise
            except sqlite3.DatabaseError:  # its bytes are not what SQLite wrote
                path.unlink()
                self._database = _open(path)
        except (sqlite3.Error, OSError) as error:
            raise StorageError(f"cannot open {path}: {error}") from None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._database.close()

    def get(self, name: str) -> str | None:
        """Return the value stored under a name, or None."""
        with closing(self._database.execute(_GET, (name,))) as rows:
            row = rows.fetchone()
        return row[0] if row else None

    def set(self, name: str, value: str) -> None:
        """Store a value, unless the name has one already."""
        try:
            self._database.execute("INSERT OR IGNORE INTO kept VALUES (?, ?)", (name, value))
        except sqlite3.Error as error:
            raise StorageError(f"cannot keep a value: {error}") from None


def _open(path: Path) -> sqlite3.Connection:
    opened = sqlite3.connect(path.absolute(), isolation_level=None)  # a name may look like a URI
    try:
        opened.execute("PRAGMA synchronous = OFF")
        opened.execute(_CREATE)
        opened.execute(_GET, ("",)).fetchone()
    except BaseException:
        opened.close()
        raise
    return opened
