"""Charges and dropped lines in SQLite: two small tables that were added after format 2.

``charges`` has a line for each model and way in which a call ended; ``dropped`` counts the lines
of ``rejected/``. An earlier pairmill passes both over, and in a ledger of one they are made when it
is first opened to be written.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from pairmill.store.charges import Bill, CallTotals, ChargeSum, DropKey

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Mapping

__all__ = [
    "add_charges",
    "add_drops",
    "has_drops",
    "is_charge_row",
    "prepare",
    "read_bill",
    "read_drops",
    "set_drops",
]

_MADE = "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name IN ('charges', 'dropped')"
_COLUMNS = ChargeSum._fields[2:]
_CREATE = (
    "CREATE TABLE charges (model TEXT NOT NULL, outcome TEXT NOT NULL,"
    + "".join(f" {name} INTEGER NOT NULL," for name in _COLUMNS)
    + " PRIMARY KEY (model, outcome)) WITHOUT ROWID",
    (
        "CREATE TABLE dropped (scope TEXT NOT NULL, reason TEXT NOT NULL, lines INTEGER NOT NULL,"
        " PRIMARY KEY (scope, reason)) WITHOUT ROWID"
    ),
)
_ADD_CHARGE = (
    f"INSERT INTO charges VALUES ({', '.join('?' * (2 + len(_COLUMNS)))})"
    " ON CONFLICT DO UPDATE SET "
    + ", ".join(f"{name} = {name} + excluded.{name}" for name in _COLUMNS)
)
_ADD_DROP = (
    "INSERT INTO dropped VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET lines = lines + excluded.lines"
)


def prepare(connection: sqlite3.Connection) -> None:
    """Make the tables where they are missing, within a transaction of the caller's."""
    (count,) = connection.execute(_MADE).fetchone()
    if not count:
        for statement in _CREATE:
            connection.execute(statement)


def add_charges(connection: sqlite3.Connection, charges: Iterable[ChargeSum]) -> None:
    """Add what ``ChargeSums.take`` gave."""
    connection.executemany(_ADD_CHARGE, charges)


def is_charge_row(row: tuple[object, ...]) -> bool:
    """Return whether a row read from a damaged ledger can be one of ``charges``."""
    model, outcome, *sums = row
    counts = all(isinstance(value, int) and value >= 0 for value in sums)
    return isinstance(model, str) and isinstance(outcome, str) and counts


def add_drops(connection: sqlite3.Connection, drops: Iterable[DropKey]) -> None:
    """Count lines of ``rejected/``."""
    rows = [(scope, reason, lines) for (scope, reason), lines in Counter(drops).items()]
    connection.executemany(_ADD_DROP, rows)


def has_drops(connection: sqlite3.Connection) -> bool:
    """Return whether ``dropped`` counts every line of ``rejected/``."""
    query = "SELECT count(*) FROM meta WHERE name = 'drops_counted'"
    return bool(connection.execute(query).fetchone()[0])


def set_drops(connection: sqlite3.Connection, drops: Mapping[DropKey, int]) -> None:
    """Fill ``dropped`` with what was counted in ``rejected/`` itself."""
    connection.execute("DELETE FROM dropped")
    rows = [(*key, lines) for key, lines in drops.items()]
    connection.executemany(_ADD_DROP, rows)
    connection.execute("INSERT OR REPLACE INTO meta VALUES ('drops_counted', '1')")


def read_drops(connection: sqlite3.Connection) -> Counter[DropKey] | None:
    """Lines of ``rejected/`` by why they are there; None if that is not in the ledger."""
    if not connection.execute(_MADE).fetchone()[0] or not has_drops(connection):
        return None
    rows = connection.execute("SELECT scope, reason, lines FROM dropped").fetchall()
    return Counter({DropKey(scope, reason): lines for scope, reason, lines in rows})


def read_bill(connection: sqlite3.Connection) -> Bill:
    """Sum up tokens and charges of calls."""
    totals = connection.execute(
        "SELECT model, calls, prompt_tokens, completion_tokens, cached_tokens FROM call_totals"
    )
    return Bill.of(map(CallTotals._make, totals), _charges(connection))


def _charges(connection: sqlite3.Connection) -> list[ChargeSum]:
    if not connection.execute(_MADE).fetchone()[0]:
        return []
    return [ChargeSum(*row) for row in connection.execute("SELECT * FROM charges")]
