from __future__ import annotations

from typing import TYPE_CHECKING, cast

import anyio
import anyio.lowlevel
import pytest
from msgspec.structs import replace

from pairmill.errors import StorageError
from pairmill.events import Bus, Committed, Event, Notice, ShardPublished
from pairmill.records import Chunk, Completion, Outcome, Usage
from pairmill.run.writer import MAX_PENDING, Writer
from pairmill.store.columns import RowOrigin
from pairmill.store.entries import Batch, PaidAnswer, ShardRecord
from pairmill.store.journal import Receipt
from pairmill.store.row_encoding import UnitResult

if TYPE_CHECKING:
    from pairmill.records import Pair

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


def _result(unit: str, outcome: Outcome) -> UnitResult:
    chunk = Chunk("chunk", "text", "document", 0, 4, "source")
    return UnitResult(chunk, RowOrigin(unit, "recipe", "1", "m", 1, Usage(), 0.0), outcome)


async def test_an_answer_is_committed_no_later_than_the_outcome_that_rests_on_it() -> None:
    journal = Journal()
    writer, forgotten = _writer(journal)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(writer.run)
        for number in range(50):
            writer.put_answer(_answer(f"call {number}"))
            await anyio.lowlevel.checkpoint()
            writer.put_result(_result(f"unit {number}", Outcome.WRITTEN))
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
        writer.put_result(_result("unit", Outcome.EMPTY))
        writer.finish()
    assert [type(event) for event in told] == [Committed, ShardPublished]
    assert told[1] == ShardPublished("train-00000.jsonl", rows=1, bytes=10)


class Aging(Journal):
    """Has a shard that is old enough; the first look at it meets a full disk."""

    def __init__(self) -> None:
        super().__init__()
        self.looks = 0

    def rotate(self) -> tuple[ShardRecord, ...]:
        self.looks += 1
        if self.looks == 1:
            raise StorageError("the disk is full", transient=True)
        return (SHARD,) if self.looks == 2 else ()


async def test_an_old_shard_is_published_though_nothing_is_committed() -> None:
    told: list[Event] = []
    bus, published, journal = Bus(), anyio.Event(), Aging()
    bus.subscribe(told.append)
    bus.subscribe(lambda _: published.set(), ShardPublished)
    writer = Writer(journal, bus, 0.0, lambda _: None, look_s=0.001)  # type: ignore[arg-type]
    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(writer.run)
            await published.wait()
            writer.finish()
    assert [type(event) for event in told] == [ShardPublished]
    assert journal.batches == []


async def test_workers_wait_only_when_the_disk_is_far_behind() -> None:
    writer, _ = _writer(Journal())
    with anyio.fail_after(1):
        await writer.wait_for_room()
    for number in range(MAX_PENDING):
        writer.put_result(_result(str(number), Outcome.EMPTY))
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


class FullDisk(Journal):
    """Has no room for so many commits, or for good."""

    def __init__(self, refusals: int) -> None:
        super().__init__()
        self.refusals = refusals

    def commit(self, batch: Batch) -> Receipt:
        self.refusals -= 1
        if self.refusals >= 0:
            raise StorageError("the disk is full", transient=True)
        return super().commit(batch)


def _patient(journal: Journal, told: list[Event], wait_s: float = 60.0) -> Writer:
    bus = Bus()
    bus.subscribe(told.append)
    return Writer(journal, bus, 0.0, lambda _: None, disk_wait_s=wait_s, retry_s=0.001)  # type: ignore[arg-type]


async def test_on_a_full_disk_workers_wait_and_nothing_is_lost() -> None:
    journal, told = FullDisk(5), list[Event]()
    writer = _patient(journal, told)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(writer.run)
        writer.put_answer(_answer("first"))
        while not told:
            await anyio.lowlevel.checkpoint()
        with anyio.move_on_after(0) as scope:
            await writer.wait_for_room()
        assert scope.cancelled_caught
        writer.put_answer(_answer("meanwhile"))
        with anyio.fail_after(5):
            await writer.wait_for_room()
        writer.finish()
    kept = [answer.call_id for batch in journal.batches for answer in batch.answers]
    assert kept == ["first", "meanwhile"]
    notices = [event.text for event in told if isinstance(event, Notice)]
    assert len(notices) == 2


async def test_a_disk_that_stays_full_is_not_waited_for_in_vain() -> None:
    told: list[Event] = []
    writer = _patient(FullDisk(10**9), told, wait_s=0.005)
    writer.put_answer(_answer("a"))
    with anyio.fail_after(5), pytest.raises(StorageError):
        await writer.run()


async def test_a_stop_ends_the_wait_and_what_fits_at_last_is_kept() -> None:
    journal = FullDisk(2)
    writer = _patient(journal, [])
    writer._retry_s = 3600
    writer.put_answer(_answer("a"))
    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:

            async def run() -> None:
                with pytest.raises(StorageError):
                    await writer.run()

            tasks.start_soon(run)
            await anyio.sleep(0.01)
            writer.hurry()
        writer.put_answer(_answer("in flight"))
        await writer.close()
    kept = [answer.call_id for batch in journal.batches for answer in batch.answers]
    assert kept == ["a", "in flight"]


async def test_what_is_lost_is_said() -> None:
    told: list[Event] = []
    writer = _patient(FullDisk(10**9), told)
    writer.put_answer(_answer("a"))
    await writer.close()
    assert isinstance(told[-1], Notice)
    assert told[-1].text.endswith("could not be kept: 1")


async def test_what_waits_for_a_full_disk_outlives_the_end_of_the_run() -> None:
    journal = FullDisk(1)
    writer = Writer(journal, Bus(), 0.0, lambda _: None, retry_s=60.0)  # type: ignore[arg-type]
    writer.put_answer(_answer("a"))
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(writer.run)
        while journal.refusals > 0:  # noqa: ASYNC110 (the journal works in a thread)
            await anyio.sleep(0.001)
        tasks.cancel_scope.cancel()
    await writer.close()
    assert [answer.call_id for batch in journal.batches for answer in batch.answers] == ["a"]


async def test_nobody_waits_for_a_writer_that_gave_up() -> None:
    writer, _ = _writer(Journal(StorageError("fsync failed")))
    for number in range(MAX_PENDING):
        writer.put_result(_result(str(number), Outcome.EMPTY))
    with pytest.raises(StorageError):
        await writer.run()
    with anyio.fail_after(1):
        await writer.wait_for_room()


async def test_a_result_that_cannot_be_encoded_takes_no_paid_answer_with_it() -> None:
    journal = Journal()
    writer, _ = _writer(journal)
    for name in ("first", "second"):
        writer.put_answer(_answer(name))
    good, bad = _result("good", Outcome.WRITTEN), _result("bad", Outcome.WRITTEN)
    writer.put_result(good)
    writer.put_result(replace(bad, pairs=[cast("Pair", None)]))
    writer.finish()
    with pytest.raises(AttributeError):
        await writer.run()
    await writer.close()
    kept = [answer.call_id for batch in journal.batches for answer in batch.answers]
    assert kept == ["first", "second"]
    assert journal.closed


async def test_who_waits_until_all_is_kept_goes_on_after_the_commit_that_keeps_it() -> None:
    journal = Journal()
    writer, _ = _writer(journal)
    await writer.kept()  # nothing is under way
    seen: list[int] = []

    async def wait() -> None:
        await writer.kept()
        seen.append(len(journal.batches))

    async with anyio.create_task_group() as tasks:
        writer.put_answer(_answer("a"))
        tasks.start_soon(wait)
        await anyio.lowlevel.checkpoint()
        assert seen == []
        tasks.start_soon(writer.run)
        while not seen:  # noqa: ASYNC110 (the journal works in a thread)
            await anyio.sleep(0.001)
        writer.finish()
    assert seen == [1]
    await writer.kept()  # nor is anything once it has ended


async def test_who_waits_until_all_is_kept_is_let_go_where_the_disk_refuses() -> None:
    writer, _ = _writer(Journal(StorageError("fsync failed")))
    writer.put_answer(_answer("a"))
    with anyio.fail_after(1):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(writer.kept)
            await anyio.lowlevel.checkpoint()
            with pytest.raises(StorageError):
                await writer.run()


async def test_who_comes_during_a_commit_waits_for_its_end() -> None:
    journal = FullDisk(1)
    writer = Writer(journal, Bus(), 0.0, lambda _: None, retry_s=0.01)  # type: ignore[arg-type]
    writer.put_answer(_answer("a"))
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(writer.run)
        while journal.refusals > 0:  # noqa: ASYNC110 (the journal works in a thread)
            await anyio.sleep(0.001)
        with anyio.fail_after(1):
            await writer.kept()
        assert len(journal.batches) == 1
        writer.finish()


async def test_held_it_lets_nobody_ask_and_commits_all_the_same() -> None:
    journal = Journal()
    writer, _ = _writer(journal)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(writer.run)
        writer.hold()
        writer.put_answer(_answer("a"))
        await writer.kept()
        assert len(journal.batches) == 1
        behind = [writer.is_behind]
        writer.go_on()
        behind.append(writer.is_behind)
        assert behind == [True, False]
        writer.hold()
        writer.hurry()  # the run ends: nobody is kept waiting
        await writer.wait_for_room()
        writer.finish()
