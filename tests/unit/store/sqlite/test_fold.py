"""The ledger's trees, small, middle and large: whatever stands where, it is found alike."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pairmill.errors import FolderError
from pairmill.records import Completion, Outcome, Usage, digest
from pairmill.store.entries import Batch, PaidAnswer, UnitKey, UnitOutcome
from pairmill.store.sqlite import ledger as ledgers
from pairmill.store.sqlite import lookup as lookups
from pairmill.store.sqlite.ledger import SqliteLedger

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from pairmill.store.sqlite.lookup import SqliteLookup

    MakeBatch = Callable[..., Batch]


@pytest.fixture
def ledger(path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SqliteLedger]:
    monkeypatch.setattr(ledgers, "FOLD_AT", (10, 25))
    opened = SqliteLedger(path)
    yield opened
    opened.close()


def key(number: int) -> UnitKey:
    return UnitKey(digest("unit", str(number)), digest("chunk", str(number)))


def sizes(ledger: SqliteLedger, kind: str = "units") -> tuple[int, ...]:
    """Rows of the small tree, the middle one, and the large one."""
    count = "SELECT count(*) FROM "
    tables = (f"fresh_{kind}", f"recent_{kind}", kind)
    return tuple(ledger._connection.execute(count + name).fetchone()[0] for name in tables)


def bought(text: str, chunk: str, call: str, unit: str = "unit") -> PaidAnswer:
    completion = Completion(text, "stop", "m", Usage(1, 1), 1.0)
    return PaidAnswer(digest(call), digest(unit), digest(chunk), completion)


def test_what_gathers_moves_on_together(ledger: SqliteLedger, make_batch: MakeBatch) -> None:
    for numbers in (range(3), range(3, 6)):
        batch = make_batch(*numbers)
        ledger.commit(batch.answers, batch.outcomes, ())
    assert sizes(ledger) == sizes(ledger, "chunks") == (6, 0, 0)
    batch = make_batch(6)
    ledger.commit(batch.answers, batch.outcomes, ())
    assert sizes(ledger) == sizes(ledger, "chunks") == (1, 6, 0)
    for numbers in (range(7, 12), range(12, 18), range(18, 19)):
        batch = make_batch(*numbers)
        ledger.commit(batch.answers, batch.outcomes, ())
    assert sizes(ledger) == sizes(ledger, "chunks") == (1, 0, 18)


def test_a_start_counts_what_the_last_one_left(
    path: Path, ledger: SqliteLedger, make_batch: MakeBatch
) -> None:
    for numbers in (range(12), range(12, 18)):
        batch = make_batch(*numbers)
        ledger.commit(batch.answers, batch.outcomes, ())
    assert sizes(ledger) == (6, 12, 0)
    ledger.close()
    again = SqliteLedger(path)
    again.commit((), make_batch(18).outcomes, ())
    assert sizes(again) == (1, 0, 18)
    again.close()


def test_every_unit_and_answer_is_found_wherever_it_stands(
    ledger: SqliteLedger, lookup: SqliteLookup, make_batch: MakeBatch
) -> None:
    for number in range(40):
        batch = make_batch(number)
        ledger.commit(batch.answers, batch.outcomes if number % 2 else (), ())
        known = lookup.known([key(other) for other in range(41)])
        assert known.finished == {key(other).unit_id for other in range(1, number + 1, 2)}
        assert known.answers == {
            key(other).chunk_id: {digest("call", str(other)): batch_answer(make_batch, other)}
            for other in range(0, number + 1, 2)
        }
        assert lookup.measured().units == len(known.finished)
    assert all(sizes(ledger))


def batch_answer(make_batch: MakeBatch, number: int) -> Completion:
    completion: Completion = make_batch(number).answers[0].completion
    return completion


def test_of_two_answers_to_one_call_the_first_is_found_after_a_fold(
    ledger: SqliteLedger, lookup: SqliteLookup, make_batch: MakeBatch
) -> None:
    ledger.commit([bought("first", "chunk", "call")], (), ())
    ledger.commit((), make_batch(*range(10)).outcomes, ())
    ledger.commit([bought("second", "chunk", "call")], (), ())
    assert sizes(ledger, "chunks") == (1, 1, 0)
    known = lookup.known([UnitKey(digest("unit"), digest("chunk"))])
    assert known.answers[digest("chunk")][digest("call")].text == "first"


def test_the_place_of_a_forgotten_answer_is_nobody_elses(
    ledger: SqliteLedger, lookup: SqliteLookup
) -> None:
    """SQLite may give the number of the last answer to another once that one is deleted."""
    ledger.commit([bought("kept", "chunk a", "call a")], (), ())
    dead = UnitOutcome(digest("dead"), Outcome.REJECTED, reason="refusal")
    ledger.commit([bought("forgotten", "chunk b", "call b", "dead")], [dead], ())
    assert ledger.reopen("refusal") == 1
    ledger.commit([bought("new", "chunk c", "call c")], (), ())
    units = [UnitKey(digest(name), digest(f"chunk {name}")) for name in "abc"]
    found = lookup.known(units).answers
    assert {c.text for calls in found.values() for c in calls.values()} == {"kept", "new"}
    assert digest("chunk b") not in found


def test_a_retry_of_nothing_reopens_nothing(ledger: SqliteLedger, lookup: SqliteLookup) -> None:
    ledger.commit((), [UnitOutcome(digest("dead"), Outcome.REJECTED, reason="refusal")], ())
    assert ledger.reopen("timeout") == 0
    assert ledger.reopened() == frozenset()
    assert ledger.put_back() == 0
    assert lookup.totals().units == {"rejected": 1}


def test_tombstones_are_lifted_and_put_back_wherever_they_stand(
    ledger: SqliteLedger, lookup: SqliteLookup
) -> None:
    dead = [digest("dead", str(number)) for number in range(15)]
    for unit in dead:
        ledger.commit((), [UnitOutcome(unit, Outcome.REJECTED, reason="refusal")], ())
    assert sizes(ledger) == (5, 10, 0)
    assert ledger.reopen(None) == 15
    assert ledger.reopened() == frozenset(dead)
    assert lookup.totals().units == {}
    ledger.commit((), [UnitOutcome(dead[0], Outcome.WRITTEN, [b"{}\n"])], ())
    assert ledger.put_back() == 14
    assert lookup.known([UnitKey(unit, unit) for unit in dead]).finished == set(dead)
    assert lookup.totals().units == {"written": 1, "rejected": 14}


def test_a_finished_unit_that_came_again_is_refused_at_the_fold(
    ledger: SqliteLedger, lookup: SqliteLookup, make_batch: MakeBatch
) -> None:
    """The journal never lets one through; here is what stands behind it."""
    ledger.commit((), make_batch(*range(10)).outcomes, ())
    ledger.commit((), make_batch(*range(1, 11)).outcomes, ())
    with pytest.raises(FolderError, match="damaged"):
        ledger.commit((), make_batch(11).outcomes, ())
    assert lookup.known([key(11)]).finished == set()


def test_what_units_took_is_measured_over_all_trees(
    ledger: SqliteLedger, lookup: SqliteLookup, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lookups, "_MEASURED_UNITS", 20)
    for numbers, tokens in ((range(30), 100), (range(30, 50), 1000)):
        for number in numbers:
            usage = Usage(tokens, 1)
            unit = UnitOutcome(key(number).unit_id, Outcome.WRITTEN, attempts=1, usage=usage)
            ledger.commit((), [unit], ())
        if tokens == 100:
            ledger._fold_all()
    assert sizes(ledger)[2] == 30
    assert 100 < lookup.measured().prompt_tokens.value < 1000


def test_lifting_a_tombstone_forgets_where_its_answers_stand(ledger: SqliteLedger) -> None:
    unit = UnitOutcome(digest("unit"), Outcome.REJECTED, reason="refusal", attempts=1)
    ledger.commit([bought("text", "chunk", "call")], [unit], ())
    assert ledger.reopen("refusal") == 1
    assert sizes(ledger, "chunks") == (0, 0, 0)
