"""Reads the readable rows of a damaged ledger, above all answers, which cost money."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from pairmill.errors import FolderError
from pairmill.store.chain import LedgerChain
from pairmill.store.charges import ChargeSum
from pairmill.store.entries import decode_completion
from pairmill.store.sqlite.database import FORMAT
from pairmill.store.sqlite.small_tables import is_charge_row, is_send_row

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = [
    "AnswerRow",
    "read_answers",
    "read_call_totals",
    "read_charges",
    "read_old_chain",
    "read_sends",
    "refuse_newer",
]

AnswerRow = tuple[bytes, bytes, bytes, bytes]
"""Chunk, call, unit and body, as they are in the table ``answers``."""

_ID_BYTES = 16
_FORWARD = "SELECT chunk, id, unit, body FROM answers ORDER BY rowid"
_BACKWARD = "SELECT chunk, id, unit, body FROM answers ORDER BY rowid DESC"


def refuse_newer(path: Path) -> None:
    """Look at the format of a ledger that may be damaged.

    Raises:
        FolderError: A newer pairmill made it; what we would rebuild, that one could not use.
    """
    for row in _rows(path, "PRAGMA user_version"):
        if isinstance(row[0], int) and FORMAT < row[0] < FORMAT + 1000:  # no noise
            raise FolderError(
                f"{path.parent.parent}: made by a newer pairmill (format {row[0]}, this one reads"
                f" {FORMAT}); upgrade pairmill to recover it"
            )


def read_old_chain(path: Path) -> LedgerChain | None:
    """Return id and generation of a ledger that may be damaged; None if they cannot be read."""
    found = dict(_rows(path, "SELECT name, value FROM meta"))
    name, number = found.get("chain"), str(found.get("generation"))
    if not isinstance(name, str) or not number.isdecimal():
        return None
    return LedgerChain(name, int(number))


def read_answers(path: Path) -> Iterator[AnswerRow]:
    """Yield the answers that are whole: from the first on, and from the last back, up to the harm.

    Some may come twice.
    """
    harm: list[str] = []
    yield from _whole(_rows(path, _FORWARD, harm))
    if harm:
        yield from _whole(_rows(path, _BACKWARD, harm))


def read_call_totals(path: Path) -> list[tuple[str, int, int, int, int]]:
    """Return the bill by model, or an empty list if it cannot be read."""
    query = "SELECT model, calls, prompt_tokens, completion_tokens, cached_tokens FROM call_totals"
    rows = list(_rows(path, query))
    good = [
        row
        for row in rows
        if isinstance(row[0], str) and all(isinstance(n, int) and n >= 0 for n in row[1:])
    ]
    return good if len(good) == len(rows) else []


def read_charges(path: Path) -> list[ChargeSum]:
    """Return the charges of calls, for ``ChargeSums.take``, as far as they can be read."""
    rows = _rows(path, "SELECT * FROM charges")
    return [ChargeSum(*row) for row in rows if is_charge_row(row)]


def read_sends(path: Path) -> list[tuple[object, ...]]:
    """Sends that may have been billed in vain, as far as they can be read."""
    query = "SELECT chunk, call, unit, sends, body FROM sends"
    return [row for row in _rows(path, query) if is_send_row(row)]


def _whole(rows: Iterator[tuple[Any, ...]]) -> Iterator[AnswerRow]:
    for chunk, call, unit, body in rows:
        if all(isinstance(name, bytes) and len(name) == _ID_BYTES for name in (chunk, call, unit)):
            try:
                decode_completion(body)
            except (ValueError, TypeError):
                continue
            yield chunk, call, unit, body


def _rows(path: Path, query: str, harm: list[str] | None = None) -> Iterator[tuple[Any, ...]]:
    if not path.is_file() or not path.stat().st_size:
        return
    try:
        with closing(
            sqlite3.connect(f"file:{quote(str(path.absolute()))}?mode=ro", uri=True)
        ) as db:
            yield from db.execute(query)
    except sqlite3.Error as error:
        if harm is not None:
            harm.append(type(error).__name__)
