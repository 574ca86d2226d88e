"""Requests that were sent, may have been billed, and got no answer: one small table.

It is what makes "sent at most twice" hold over starts. A line counts the sends of one request, and
keeps what the last of them came to. The table came after format 2: an earlier pairmill passes it
over, and in a ledger of one it is made when that is first opened to be written.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import orjson

from pairmill.errors import Kind
from pairmill.store.entries import BilledSend

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Sequence

__all__ = ["add_sends", "forget_sends", "is_send_row", "prepare_sends", "sends_of"]

_DETAIL_CHARS = 500
_MOST = 2**53  # a server may claim any number of tokens
_NAMED = "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name = 'sends'"
_CREATE = (
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
        connection.execute(_CREATE)


def add_sends(connection: sqlite3.Connection, sends: Iterable[BilledSend]) -> None:
    """Count sends, within a transaction of the caller's."""
    connection.executemany(_ADD, (_row(send) for send in sends))


def forget_sends(connection: sqlite3.Connection, units: str) -> None:
    """Let what some units asked be sent again; ``units`` is a condition on the column ``unit``."""
    connection.execute(f"DELETE FROM sends WHERE {units}")


def sends_of(
    connection: sqlite3.Connection, chunk_ids: Sequence[str]
) -> dict[str, dict[str, BilledSend]]:
    """Return the sends of some chunks: chunk id to call id to what is known of it.

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
