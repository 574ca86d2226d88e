"""Contract of every ledger, as checks for tests of a user's own ledger."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pairmill.errors import Kind
from pairmill.records import Completion, Outcome, Usage, digest
from pairmill.store.chain import LedgerChain, new_chain_id
from pairmill.store.charges import CallCharge, ChargeSums, DropKey
from pairmill.store.entries import BilledSend, PaidAnswer, ShardRecord, UnitKey, UnitOutcome

if TYPE_CHECKING:
    from pathlib import Path

    from pairmill.store.ledger import Ledger, LedgerReader, LedgerStore

__all__ = ["check_ledger"]

_REASON = "refusal"


def check_ledger(store: LedgerStore, state: Path) -> None:
    """Use a ledger as a run does, and check its replies.

    Args:
        store: Creates and opens the ledger.
        state: An empty folder that stands for a run folder's ``.run/``.

    Raises:
        AssertionError: It behaves differently; the text says how.
    """
    _expect(store.is_there(state), wanted=False, what="is_there before create")
    begun = LedgerChain(new_chain_id())
    store.create(state, "1.0", begun)
    _expect(store.is_there(state), wanted=True, what="is_there after create")
    for check in (_check_commits, _check_tombstones):
        ledger = store.open(state)
        with store.read(state) as reader:
            check(ledger, reader)
        ledger.close()
    with store.read(state) as reader:
        _check_what_outlasts(reader, begun)


def _check_commits(ledger: Ledger, reader: LedgerReader) -> None:
    one, two = _key(1), _key(2)
    _expect(reader.known([one, two]).finished, set(), "known of an empty ledger")
    _expect(reader.totals().calls, 0, "calls of an empty ledger")
    before = ledger.chain.generation if ledger.chain else -1
    open_shard = ShardRecord("train", 0, closed=False, bytes=10, rows=2, sha256="ab")
    rejected = ShardRecord("rejected", 0, closed=False, bytes=5, rows=1, sha256="cd")
    written = UnitOutcome(
        one.unit_id,
        Outcome.WRITTEN,
        [b"row\n", b"row\n"],
        [b"reject\n"],
        attempts=2,
        usage=Usage(10, 5),
        drops=[DropKey("pair", "short")],
    )
    sums = ChargeSums()
    sums.add(CallCharge("m", "answer", Usage(10, 5), 700))
    sums.add(CallCharge("m", "lost", Usage(), 0, 40, 90))
    answers = [_answer(one, "a", "first"), _answer(two, "b", "hi"), _answer(two, "b", "later")]
    ledger.commit(answers, [written], [open_shard, rejected], sums.take(), [_send(two)])
    ledger.commit((), (), [], (), [_send(two)])
    after = ledger.chain.generation if ledger.chain else -1
    _expect(after, before + 2, "the generation after two commits")
    known = reader.known([one, two, _key(3)])
    _expect(known.finished, {one.unit_id}, "known().finished")
    _expect(known.pairs, {one.unit_id: 2}, "known().pairs")
    texts = {call: found.text for call, found in known.answers.get(two.chunk_id, {}).items()}
    _expect(texts, {digest("b"): "hi"}, "of two answers to one call, known()")
    _expect(one.chunk_id in known.answers, wanted=False, what="answers of a finished unit's chunk")
    send = known.sends[two.chunk_id][digest("sent")]
    _expect((send.sends, send.kind), (2, Kind.LOST), "known().sends")
    _expect(ledger.finished([one.unit_id, two.unit_id]), {one.unit_id}, "finished()")
    _expect(ledger.shards(), [rejected, open_shard], "shards(), by kind and number")
    _expect(reader.shards(), [rejected, open_shard], "shards() of a reader")
    totals = reader.totals()
    _expect(totals.pairs, 2, "totals().pairs")
    _expect(dict(totals.units), {"written": 1}, "totals().units")
    _expect(totals.usage, Usage(9, 6, 3), "totals().usage")
    _expect(dict(totals.models), {"m": 3}, "totals().models")
    _expect((totals.bill.picodollars, totals.bill.lost), (700, 1), "totals().bill")
    _expect((totals.bill.doubt_tokens, totals.bill.doubt_picodollars), (40, 90), "doubt in bill")
    if ledger.counts_drops:
        _expect(dict(totals.drops or {}), {DropKey("pair", "short"): 1}, "totals().drops")
    _expect(reader.measured().answers.value, 2.0, "measured().answers")
    ledger.settle()


def _check_tombstones(ledger: Ledger, reader: LedgerReader) -> None:
    dead, other = _key(4), _key(5)
    empty = UnitOutcome(_key(6).unit_id, Outcome.EMPTY)
    tombstones = [_tombstone(dead, _REASON), _tombstone(other, "timeout"), empty]
    ledger.commit([_answer(dead, "d", "no")], tombstones, (), (), [_send(dead)])
    _expect(ledger.reopen(_REASON), 1, "reopen() of one reason")
    _expect(ledger.reopened(), frozenset({dead.unit_id}), "reopened()")
    _expect(reader.reopened(), 1, "reopened() of a reader")
    known = reader.known([dead, other])
    _expect(known.finished, {other.unit_id}, "finished units after reopen()")
    _expect((known.answers, known.sends), ({}, {}), "answers and sends of a lifted tombstone")
    _expect(dict(reader.totals().reasons), {"timeout": 1}, "reasons after reopen()")
    _expect(ledger.put_back(), 1, "put_back()")
    _expect(ledger.finished([dead.unit_id]), {dead.unit_id}, "what was put back")
    _expect(ledger.reopen(None), 2, "reopen() of every reason")
    again = UnitOutcome(dead.unit_id, Outcome.WRITTEN, [b"row\n"], attempts=1)
    ledger.commit((), [again], ())
    _expect(ledger.reopened(), frozenset({other.unit_id}), "a lifted unit that ended")
    named = [_key(1).unit_id, _key(6).unit_id]
    _expect(ledger.reopen(None, named), 1, "reopen() of units that are named: one has pairs")


def _check_what_outlasts(reader: LedgerReader, begun: LedgerChain) -> None:
    chain = reader.chain()
    _expect(chain is not None and chain.id == begun.id, wanted=True, what="the id of its chain")
    _expect(reader.known([_key(1)]).pairs, {_key(1).unit_id: 2}, "what a later opening knows")
    _expect(reader.reopened(), 2, "what a later opening is to ask again")
    _expect(reader.totals().pairs, 3, "pairs of a later opening")
    _expect(reader.totals().calls, 4, "calls of a later opening: lifted ones were paid for")


def _key(number: int) -> UnitKey:
    return UnitKey(digest("unit", str(number)), digest("chunk", str(number)))


def _answer(key: UnitKey, call: str, text: str) -> PaidAnswer:
    completion = Completion(text, "stop", "m", Usage(3, 2, 1), 1.5)
    return PaidAnswer(digest(call), key.unit_id, key.chunk_id, completion)


def _send(key: UnitKey) -> BilledSend:
    ids = (digest("sent"), key.unit_id, key.chunk_id)
    return BilledSend(*ids, Kind.LOST, "connection_lost", "", "cut off")


def _tombstone(key: UnitKey, reason: str) -> UnitOutcome:
    return UnitOutcome(key.unit_id, Outcome.REJECTED, reason=reason, attempts=1)


def _expect(found: object, wanted: object, what: str) -> None:
    if found != wanted:
        raise AssertionError(f"{what}: {found!r}, not {wanted!r}")
