from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

from pairmill.errors import FolderError, Kind
from pairmill.records import Outcome, digest
from pairmill.store.entries import BilledSend, UnitKey, UnitOutcome
from pairmill.store.sqlite.ledger import SqliteLedger
from pairmill.store.sqlite.lookup import SqliteLookup
from pairmill.store.sqlite.salvage import read_sends

if TYPE_CHECKING:
    from pathlib import Path

UNIT = UnitKey(digest("unit"), digest("chunk"))


def send(call: str = "call", kind: Kind = Kind.LOST, **more: Any) -> BilledSend:
    detail = "the reply was cut off \ud800"  # a server may say anything
    ids = (digest(call), UNIT.unit_id, UNIT.chunk_id)
    return BilledSend(*ids, kind, "connection_lost", "cut", detail, failed_at=9.5, **more)


def test_sends_of_one_request_add_up_and_the_last_failure_is_kept(
    ledger: SqliteLedger, lookup: SqliteLookup
) -> None:
    ledger.commit((), (), (), (), [send(), send("other")])
    ledger.commit((), (), (), (), [send(kind=Kind.TIMEOUT)])
    known = lookup.known([UNIT]).sends[UNIT.chunk_id]
    assert {call: found.sends for call, found in known.items()} == {
        digest("call"): 2,
        digest("other"): 1,
    }
    error = known[digest("call")].error()
    assert (error.kind, error.billed_sends, error.was_known) == (Kind.TIMEOUT, 2, True)
    assert (error.reason, error.code, error.failed_at) == ("connection_lost", "cut", 9.5)
    assert str(error).endswith("; sent 2 times, and may have been billed each time")


def test_a_finished_unit_needs_none(ledger: SqliteLedger, lookup: SqliteLookup) -> None:
    ledger.commit((), (), (), (), [send()])
    ledger.commit((), [UnitOutcome(UNIT.unit_id, Outcome.REJECTED, reason="timeout")], ())
    assert lookup.known([UNIT]).sends == {}


def test_a_tombstone_that_is_lifted_may_be_sent_anew(
    ledger: SqliteLedger, lookup: SqliteLookup
) -> None:
    ledger.commit((), (), (), (), [send(sends=2)])
    ledger.commit((), [UnitOutcome(UNIT.unit_id, Outcome.REJECTED, reason="timeout")], ())
    assert ledger.reopen("timeout") == 1
    assert lookup.known([UNIT]).sends == {}


def test_an_empty_reply_is_told_as_it_was(ledger: SqliteLedger, lookup: SqliteLookup) -> None:
    counted = send(kind=Kind.BADOUT, prompt_tokens=2**63, completion_tokens=7)
    ledger.commit((), (), (), (), [counted])
    found = lookup.known([UNIT]).sends[UNIT.chunk_id][digest("call")]
    assert found.is_answer
    assert found.error().completion_tokens == 7
    assert "sent" not in str(found.error())
    assert not send(kind=Kind.BADOUT).is_answer  # nobody counted: it may not have been a model


def test_a_ledger_of_before_has_none_and_gets_the_table(path: Path) -> None:
    SqliteLedger(path).close()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("DROP TABLE sends")
        connection.commit()
    with SqliteLookup(path) as lookup:
        assert lookup.known([UNIT]).sends == {}
    ledger = SqliteLedger(path)
    ledger.commit((), (), (), (), [send()])
    ledger.close()
    assert len(read_sends(path)) == 1


def test_a_damaged_line_is_refused_and_left_out_by_recover(path: Path) -> None:
    ledger = SqliteLedger(path)
    ledger.commit((), (), (), (), [send(), send("other")])
    ledger.close()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("UPDATE sends SET body = x'00' WHERE call = ?", (_blob("call"),))
        connection.commit()
    with SqliteLookup(path) as lookup, pytest.raises(FolderError, match="pairmill recover"):
        lookup.known([UNIT])
    assert [row[1] for row in read_sends(path)] == [_blob("other")]


def _blob(call: str) -> bytes:
    return bytes.fromhex(digest(call))
