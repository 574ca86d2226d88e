from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from pairmill.errors import FolderError, StorageError
from pairmill.records import Completion, Outcome, Usage, digest
from pairmill.store.entries import Batch, PaidAnswer, ShardRecord, UnitKey, UnitOutcome
from pairmill.store.sqlite.ledger import SqliteLedger

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pairmill.store.sqlite.lookup import SqliteLookup

    MakeBatch = Callable[..., Batch]


def key(number: int) -> UnitKey:
    return UnitKey(digest("unit", str(number)), digest("chunk", str(number)))


def test_an_empty_ledger_knows_nothing(lookup: SqliteLookup) -> None:
    known = lookup.known([key(number) for number in range(500)])
    assert known.finished == set()
    assert known.answers == {}
    assert lookup.known([]).finished == set()
    assert lookup.totals().units == {}


@pytest.mark.parametrize("count", [1, 7, 8, 9, 64, 65, 513, 1100])
def test_one_question_about_any_number_of_units(
    ledger: SqliteLedger, lookup: SqliteLookup, make_batch: MakeBatch, count: int
) -> None:
    done = range(0, count, 2)
    ledger.commit((), make_batch(*done).outcomes, ())
    ledger.commit(make_batch(*range(count)).answers, (), ())
    known = lookup.known([key(number) for number in range(count)])
    assert known.finished == {key(number).unit_id for number in done}
    # Finished units need no answers; each of the others finds its own.
    assert set(known.answers) == {key(number).chunk_id for number in range(1, count, 2)}
    for number in range(1, count, 2):
        answers = known.answers[key(number).chunk_id]
        assert answers[digest("call", str(number))].text == f"answer {number}"


def test_a_chunks_answers_are_found_whichever_unit_asked(
    ledger: SqliteLedger, lookup: SqliteLookup
) -> None:
    chunk = digest("chunk")
    answers = [
        PaidAnswer(
            digest("call", unit), digest(unit), chunk, Completion(unit, "stop", "m", Usage(), 1.0)
        )
        for unit in ("generate", "judge")
    ]
    ledger.commit(answers, (), ())
    known = lookup.known([UnitKey(digest("new unit"), chunk)])
    assert {found.text for found in known.answers[chunk].values()} == {"generate", "judge"}


def test_of_a_call_that_was_paid_twice_the_first_answer_is_found_and_both_are_counted(
    ledger: SqliteLedger, lookup: SqliteLookup
) -> None:
    chunk, call, unit = digest("chunk"), digest("call"), digest("unit")
    for text in ("first", "second"):
        completion = Completion(text, "stop", "m", Usage(1, 2, 3), 1.0)
        ledger.commit([PaidAnswer(call, unit, chunk, completion)], (), ())
    assert lookup.known([UnitKey(unit, chunk)]).answers[chunk][call].text == "first"
    assert lookup.totals().calls == 2
    assert lookup.totals().usage == Usage(2, 4, 6)


def test_totals_add_up(ledger: SqliteLedger, lookup: SqliteLookup, make_batch: MakeBatch) -> None:
    batch = make_batch(1, 2, 3)
    ledger.commit(batch.answers, batch.outcomes, ())
    for number, reason in ((4, "refusal"), (5, "refusal"), (6, "invalid_json")):
        ledger.commit((), [UnitOutcome(key(number).unit_id, Outcome.REJECTED, reason=reason)], ())
    totals = lookup.totals()
    assert totals.units == {"written": 3, "rejected": 3}
    assert totals.reasons == {"refusal": 2, "invalid_json": 1}
    assert list(totals.reasons) == ["refusal", "invalid_json"]
    assert (totals.pairs, totals.calls, totals.usage) == (6, 3, Usage(30, 15, 6))
    assert totals.models == {"model-1": 3}


def test_a_commit_is_all_or_nothing(
    ledger: SqliteLedger, lookup: SqliteLookup, make_batch: MakeBatch
) -> None:
    ledger.commit((), make_batch(1).outcomes, ())
    shard = ShardRecord("train", 0, closed=False, bytes=1, rows=1, sha256="")
    with pytest.raises(FolderError):  # unit 1 is there: its row breaks the transaction
        ledger.commit(make_batch(2).answers, make_batch(2, 1).outcomes, [shard])
    assert lookup.totals().pairs == 2
    assert lookup.shards() == []
    assert lookup.known([key(2)]).answers == {}


def test_shards_are_replaced_and_listed_in_order(
    ledger: SqliteLedger, lookup: SqliteLookup
) -> None:
    def shard(kind: str, number: int, *, closed: bool) -> ShardRecord:
        return ShardRecord(kind, number, closed, 10 + closed, 1, "ab")

    ledger.commit((), (), [shard("train", 1, closed=False), shard("rejected", 0, closed=False)])
    ledger.commit((), (), [shard("train", 1, closed=True), shard("train", 0, closed=True)])
    assert lookup.shards() == ledger.shards()
    assert [(record.name, record.closed) for record in ledger.shards()] == [
        ("rejected-00000.jsonl", False),
        ("train-00000.jsonl", True),
        ("train-00001.jsonl", True),
    ]


def test_hostile_numbers_and_names_are_tamed(ledger: SqliteLedger, lookup: SqliteLookup) -> None:
    answers = [
        PaidAnswer(digest("c"), digest("u"), digest("k"), Completion("", "stop", name, usage, 0.0))
        for name, usage in (("\ud800" + "x" * 9999, Usage(2**80, -5)), ("m", Usage(2**80)))
    ]
    ledger.commit(answers, (), ())
    totals = lookup.totals()
    assert totals.usage == Usage(2**41, 0)
    assert {len(name) for name in totals.models} == {200, 1}


def test_a_full_disk_is_transient_and_leaves_nothing(
    ledger: SqliteLedger, lookup: SqliteLookup, make_batch: MakeBatch
) -> None:
    (pages,) = ledger._connection.execute("PRAGMA page_count").fetchone()
    ledger._connection.execute(f"PRAGMA max_page_count = {pages}")
    big = make_batch(*range(200))
    with pytest.raises(StorageError, match="the disk is full") as caught:
        ledger.commit(big.answers, big.outcomes, ())
    assert caught.value.transient
    assert lookup.totals().calls == 0
    ledger._connection.execute("PRAGMA max_page_count = 100000")
    ledger.settle()
    ledger.commit(big.answers, big.outcomes, ())
    assert lookup.totals().calls == 200


def test_a_ledger_that_another_program_locks_is_transient(ledger: SqliteLedger, path: Path) -> None:
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    ledger._connection.execute("PRAGMA busy_timeout = 0")
    with pytest.raises(StorageError, match="another program keeps the ledger locked") as caught:
        ledger.settle()
    assert caught.value.transient
    other.execute("ROLLBACK")
    other.close()
    ledger.settle()


def test_a_damaged_answer_is_refused(
    ledger: SqliteLedger, lookup: SqliteLookup, make_batch: MakeBatch
) -> None:
    ledger.commit(make_batch(1).answers, (), ())
    ledger._connection.execute("UPDATE answers SET body = x'ff'")
    with pytest.raises(FolderError, match="an answer is damaged"):
        lookup.known([key(1)])


def test_a_newer_log_beside_an_older_ledger_is_refused(
    path: Path, tmp_path: Path, make_batch: MakeBatch
) -> None:
    """SQLite would mix both: what was copied into the ledger in between is missing."""
    mixed = tmp_path / "mixed" / "ledger.db"
    mixed.parent.mkdir()

    def work(*numbers: int) -> None:
        batch = make_batch(*numbers)
        ledger.commit(batch.answers, batch.outcomes, ())

    ledger = SqliteLedger(path)
    work(*range(400))
    ledger.close()
    shutil.copy(path, mixed)
    ledger = SqliteLedger(path)
    work(*range(400, 800))
    with closing(sqlite3.connect(path)) as other:
        other.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    work(800)
    shutil.copy(path.with_name("ledger.db-wal"), mixed.with_name("ledger.db-wal"))
    ledger.close()
    with pytest.raises(FolderError, match="'pairmill recover"):
        SqliteLedger(mixed)


def test_a_ledger_whose_process_was_killed_is_opened(
    path: Path, tmp_path: Path, ledger: SqliteLedger, make_batch: MakeBatch
) -> None:
    batch = make_batch(*range(50))
    ledger.commit(batch.answers, batch.outcomes, ())
    for name in ("ledger.db", "ledger.db-wal"):
        shutil.copy(path.with_name(name), tmp_path / f"copy-{name}")
    (tmp_path / "copy-ledger.db-wal").rename(tmp_path / "copy.db-wal")
    (tmp_path / "copy-ledger.db").rename(tmp_path / "copy.db")
    assert (tmp_path / "copy.db-wal").stat().st_size
    SqliteLedger(tmp_path / "copy.db").close()
