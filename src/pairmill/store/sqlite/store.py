"""Location of SQLite ledgers: ``.run/ledger.db``. The only place that makes and opens them."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

from pairmill.errors import FolderError
from pairmill.store.entries import decode_completion
from pairmill.store.paths import ledger_file
from pairmill.store.sqlite.database import check_sums, connect, create, explained
from pairmill.store.sqlite.ledger import SqliteLedger
from pairmill.store.sqlite.lookup import SqliteLookup

if TYPE_CHECKING:
    from pathlib import Path

    from pairmill.store.chain import LedgerChain

__all__ = ["SQLITE", "SqliteStore"]

_TABLES = (
    *(f"{size}{name}" for size in ("", "recent_", "fresh_") for name in ("units", "chunks")),
    *("unit_totals", "call_totals", "meta"),
)


class SqliteStore:
    """A ``LedgerStore``."""

    name = "sqlite"

    def is_there(self, state: Path) -> bool:
        """See ``LedgerStore``."""
        path = ledger_file(state)
        return path.exists() and path.stat().st_size > 0

    def create(self, state: Path, version: str, chain: LedgerChain) -> None:
        """See ``LedgerStore``."""
        create(ledger_file(state), version, chain)

    def open(self, state: Path) -> SqliteLedger:
        """See ``LedgerStore``."""
        return SqliteLedger(ledger_file(state))

    def read(self, state: Path) -> SqliteLookup:
        """See ``LedgerStore``."""
        return SqliteLookup(ledger_file(state))

    def check(self, state: Path) -> None:
        """Read the whole ledger of a folder that nobody works in.

        Raises:
            FolderError: It is missing or damaged.
            StorageError: The disk refused.
        """
        path = ledger_file(state)
        with closing(connect(path, read_only=True)) as db, explained(path):
            if db.execute("PRAGMA quick_check(1)").fetchone() != ("ok",):
                raise FolderError(f"{path}: the ledger is damaged")
            for table in _TABLES:
                db.execute(f"SELECT 1 FROM {table} LIMIT 1")
            try:
                for (body,) in db.execute("SELECT body FROM answers"):
                    decode_completion(body)
            except (ValueError, TypeError):
                raise FolderError(f"{path}: an answer is damaged") from None
            check_sums(db, path)


SQLITE = SqliteStore()
