from __future__ import annotations

import anyio
import pytest

from pairmill.errors import StorageError
from pairmill.events import Bus, Event, Topic
from pairmill.records import Completion, Outcome, Usage
from pairmill.run.writer import MAX_PENDING, Writer
from pairmill.store.entries import Batch, PaidAnswer, ShardRecord, UnitOutcome
from pairmill.store.journal import Receipt

COMPLETION = Completion("t", "stop", "m", Usage(), 0.0)
SHARD = ShardRecord("train", 0, closed=True, bytes=10, rows=1, sha256="")


class Journal:
    """Keeps batches, or fails."""

    def __init__(self, error: StorageError | None = None) -> None:
        self.batches: list[Batch] = []
        self.error = error
        self.closed = False

    def commit(self, batch: Batch) -> Receipt:
        if self.error:
            raise self.error
        self.batches.append(batch)
        return Receipt(len(batch.answers), len(batch.outcomes), 0, 0, (SHARD,))

    def rotate(self) -> tuple[ShardRecord, ...]:
        return ()

    def close(self, *, publish: bool = True) -> tuple[ShardRecord, ...]:
        self.closed = publish
        return ()


def _writer(journal: Journal, told: list[Event] | None = None) -> tuple[Writer, list[str]]:
    forgotten: list[str] = []
    bus = Bus()
    bus.subscribe((told if told is not None else []).append)
    return Writer(journal, bus, 0.0, forgotten.append), forgotten  # type: ignore[arg-type]


def _answer(name: str) -> PaidAnswer:
    return PaidAnswer(name, "unit", "chunk", COMPLETION)


async def test_an_answer_is_committed_no_later_than_the_outcome_that_rests_on_it() -> None:
    journal = Journal()
    writer, forgotten = _writer(journal)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(writer.run)
        for number in range(50):
            writer.put_answer(_answer(f"call {number}"))
            await anyio.lowlevel.checkpoint()
            writer.put_outcome(UnitOutcome(f"unit {number}", Outcome.WRITTEN))
        writer.finish()
    seen: set[str] = set()
    for batch in journal.batches:
        seen.update(answer.call_id for answer in batch.answers)
        for outcome in batch.outcomes:
            assert outcome.unit_id.replace("unit", "call") in seen
    assert forgotten == [f"unit {number}" for number in range(50)]


async def test_finishing_with_nothing_to_do_ends_at_once() -> None:
    journal = Journal()
    writer, _ = _writer(journal)
    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(writer.run)
            await anyio.lowlevel.checkpoint()
            writer.finish()
        await writer.close()
    assert journal.batches == []
    assert journal.closed


async def test_published_shards_are_told() -> None:
    told: list[Event] = []
    writer, _ = _writer(Journal(), told)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(writer.run)
        writer.put_outcome(UnitOutcome("unit", Outcome.EMPTY))
        writer.finish()
    topics = [event.topic for event in told]
    assert topics == [Topic.COMMITTED, Topic.SHARD_PUBLISHED]
    assert told[1].fields == {"name": "train-00000.jsonl", "rows": 1, "bytes": 10}


async def test_workers_wait_only_when_the_disk_is_far_behind() -> None:
    writer, _ = _writer(Journal())
    with anyio.fail_after(1):
        await writer.wait_for_room()
    for number in range(MAX_PENDING):
        writer.put_outcome(UnitOutcome(str(number), Outcome.EMPTY))
    waited = False
    async with anyio.create_task_group() as tasks:
        with anyio.move_on_after(0.01) as scope:
            await writer.wait_for_room()
        waited = scope.cancelled_caught
        tasks.start_soon(writer.run)
        with anyio.fail_after(5):
            await writer.wait_for_room()
        writer.finish()
    assert waited


async def test_a_disk_that_fails_for_good_is_reported() -> None:
    writer, _ = _writer(Journal(StorageError("fsync failed")))
    writer.put_answer(_answer("a"))
    writer.finish()
    with pytest.raises(StorageError):
        await writer.run()
