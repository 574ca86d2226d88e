"""Small tables that were added after format 2: charges, dropped lines, unanswered sends.

``charges`` has a line for each model and way in which a call ended; ``dropped`` counts the lines of
``rejected/``. An earlier pairmill passes both over, and in a ledger of one they are made when it is
first opened to be written.

``sends`` makes "sent at most twice" hold over restarts. A line counts the sends of one request, and
keeps what the last of them came to. The table came after format 2: an earlier pairmill passes it
over, and in a ledger of one it is made when that is first opened to be written.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import orjson

from pairmill.errors import Kind
from pairmill.store.charges import Bill, CallTotals, ChargeSum, DropKey
from pairmill.store.entries import BilledSend

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Mapping, Sequence

__all__ = [
    "add_charges",
    "add_drops",
    "add_sends",
    "forget_sends",
    "has_drops",
    "is_charge_row",
    "is_send_row",
    "prepare",
    "prepare_sends",
    "read_bill",
    "read_drops",
    "sends_of",
    "set_drops",
]

_MADE = "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name IN ('charges', 'dropped')"
_COLUMNS = ChargeSum._fields[2:]
_CREATE_CHARGES = (
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
        for statement in _CREATE_CHARGES:
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
    """Return the number of lines in ``rejected/`` by reason; None if not in the ledger."""
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


_DETAIL_CHARS = 500
_MOST = 2**53  # a server may claim any number of tokens
_NAMED = "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name = 'sends'"
_CREATE_SENDS = (
    "CREATE TABLE sends (chunk BLOB NOT NULL, call BLOB NOT NULL, unit BLOB NOT NULL,"
    " sends INTEGER NOT NULL, body BLOB NOT NULL, PRIMARY KEY (chunk, call)) WITHOUT ROWID"
)
_ADD = (
    "INSERT INTO sends VALUES (?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET"
    " sends = sends + excluded.sends, body = excluded.body"
)
_OF_CHUNK = "SELECT chunk, call, unit, sends, body FROM sends WHERE chunk = ?"
_FIELDS = 5


def prepare_sends(connection: sqlite3.Connection) -> None:
    """Make the table where it is missing, within a transaction of the caller's."""
    if not connection.execute(_NAMED).fetchone()[0]:
        connection.execute(_CREATE_SENDS)


def add_sends(connection: sqlite3.Connection, sends: Iterable[BilledSend]) -> None:
    """Count sends, within a transaction of the caller's."""
    connection.executemany(_ADD, (_row(send) for send in sends))


def forget_sends(connection: sqlite3.Connection, units: str) -> None:
    """Let what some units asked be sent again; ``units`` is a condition on the column ``unit``."""
    connection.execute(f"DELETE FROM sends WHERE {units}")


def sends_of(
    connection: sqlite3.Connection, chunk_ids: Sequence[str]
) -> dict[str, dict[str, BilledSend]]:
    """Return the sends of some chunks: chunk id to call id to its record.

    Raises:
        ValueError: A line is damaged.
    """
    if not connection.execute(_NAMED).fetchone()[0]:
        return {}
    if connection.execute("SELECT 1 FROM sends LIMIT 1").fetchone() is None:
        return {}
    found: dict[str, dict[str, BilledSend]] = {}
    for chunk_id in chunk_ids:
        for row in connection.execute(_OF_CHUNK, (bytes.fromhex(chunk_id),)):
            send = _read(row)
            found.setdefault(chunk_id, {})[send.call_id] = send
    return found


def is_send_row(row: tuple[object, ...]) -> bool:
    """Return whether a row read from a damaged ledger can be one of ``sends``."""
    try:
        return len(row) == _FIELDS and _read(row).sends > 0
    except (ValueError, TypeError, AttributeError):
        return False


def _row(send: BilledSend) -> tuple[bytes, bytes, bytes, int, bytes]:
    detail = send.detail[:_DETAIL_CHARS].encode("utf-8", "replace").decode()
    body = [
        send.kind.value,
        send.reason,
        send.code.encode("utf-8", "replace").decode(),
        detail,
        min(send.prompt_tokens, _MOST),
        min(send.completion_tokens, _MOST),
        send.failed_at,
    ]
    ids = (bytes.fromhex(name) for name in (send.chunk_id, send.call_id, send.unit_id))
    chunk, call, unit = ids
    return chunk, call, unit, send.sends, orjson.dumps(body)


def _read(row: tuple[object, ...]) -> BilledSend:
    chunk, call, unit, sends, body = row
    ids = [name.hex() for name in (call, unit, chunk) if isinstance(name, bytes)]
    kind, reason, code, detail, prompt_tokens, completion_tokens, failed_at = orjson.loads(body)  # type: ignore[arg-type]
    call_id, unit_id, chunk_id = ids
    if not isinstance(sends, int):
        raise TypeError(type(sends))
    return BilledSend(
        call_id,
        unit_id,
        chunk_id,
        Kind(kind),
        str(reason),
        str(code),
        str(detail),
        int(prompt_tokens),
        int(completion_tokens),
        float(failed_at),
        sends,
    )
