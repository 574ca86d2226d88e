from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import anyio
from hypothesis import given
from hypothesis import strategies as st
from tests.support.asks import make_chunk, settings

from pairmill.chunking.chunk_batches import BATCH_CHUNKS, ChunkBatch, pack
from pairmill.chunking.follow_state import read_mark
from pairmill.recipes.make import make_recipe
from pairmill.records import Completion, Document, Usage, digest
from pairmill.run.reader import FollowMarks, Inbox, Reader, UnitBatch, Work
from pairmill.sources.notes import InputFate, Note
from pairmill.store.entries import Known

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from pairmill.store.entries import UnitKey

RECIPE = make_recipe(settings())


class Ledger:
    """Knows some chunks by their text."""

    def __init__(self, *finished: str) -> None:
        self.finished = {digest(digest(text), RECIPE.identity) for text in finished}
        self.answers: dict[str, dict[str, Completion]] = {}
        self.pairs: dict[str, int] = {}
        self.asked: list[int] = []

    def known(self, units: Sequence[UnitKey]) -> Known:
        self.asked.append(len(units))
        return Known({u.unit_id for u in units} & self.finished, self.answers, self.pairs)


def _batches(*texts: str) -> Iterator[ChunkBatch]:
    chunks = [pack(Document("d", text, "s"), 0, (0, len(text), (), ())) for text in texts]
    for start in range(0, len(chunks), BATCH_CHUNKS):
        yield ChunkBatch(chunks[start : start + BATCH_CHUNKS], 1, [])


def _reader(ledger: Ledger, *texts: str) -> Reader:
    return Reader(_batches(*texts), RECIPE, ledger)  # type: ignore[arg-type]


def _texts(batch: UnitBatch | None) -> list[str]:
    assert batch is not None
    return [work.chunk.text for work in batch.work]


def test_what_the_ledger_has_finished_is_counted_and_left_out() -> None:
    reader = _reader(Ledger("b"), "a", "b", "c")
    batch = reader.next_batch()
    assert _texts(batch) == ["a", "c"]
    assert batch is not None
    assert batch.known == 1
    assert reader.next_batch() is None


def test_the_same_text_is_one_unit_however_often_it_stands_there() -> None:
    many = [f"text {number}" for number in range(BATCH_CHUNKS)]
    reader = _reader(Ledger(), *many, *many, "new")
    assert len(_texts(reader.next_batch())) == BATCH_CHUNKS
    assert _texts(reader.next_batch()) == []
    assert _texts(reader.next_batch()) == ["new"]


def test_a_unit_is_remembered_until_its_commit() -> None:
    texts = [f"text {number}" for number in range(BATCH_CHUNKS)]
    ledger = Ledger()
    reader = _reader(ledger, *texts, *texts)
    first = reader.next_batch()
    assert first is not None
    for work in first.work:
        ledger.finished.add(work.unit)
        reader.done_with(work.unit)
    assert _texts(reader.next_batch()) == []


def test_answers_of_the_chunk_come_with_the_work() -> None:
    ledger = Ledger()
    completion = Completion("t", "stop", "m", Usage(), 0.0)
    ledger.answers = {digest("a"): {"call": completion}}
    batch = _reader(ledger, "a", "b").next_batch()
    assert batch is not None
    assert [dict(work.answers) for work in batch.work] == [{"call": completion}, {}]


def test_notes_are_handed_on_though_no_chunk_came() -> None:
    notes = [Note(InputFate.SKIPPED, "a.jsonl:1", "broken JSON")]
    reader = Reader([ChunkBatch([], 2, notes)], RECIPE, Ledger())  # type: ignore[arg-type]
    batch = reader.next_batch()
    assert batch is not None
    assert [note.reason for note in batch.notes] == ["broken JSON"]
    assert batch.documents == 2
    assert reader.next_batch() is None


def test_finished_units_tell_how_many_pairs_their_document_gave() -> None:
    ledger = Ledger("b")
    ledger.pairs = {digest(digest("b"), RECIPE.identity): 3}
    batch = _reader(ledger, "a", "b").next_batch()
    assert batch is not None
    assert batch.pairs == [("d", 3)]


def test_a_mark_waits_for_all_units_before_it(tmp_path: Path) -> None:
    marks = FollowMarks(path := tmp_path / "mark")
    marks.add(["a", "b"])
    marks.add(["c"], 1)
    marks.add(["d"], 2)
    marks.end("d")
    marks.end("a")
    marks.end("c")
    assert read_mark(path) == 0
    marks.end("b")
    assert read_mark(path) == 2


def test_a_mark_without_units_is_settled_with_what_stands_before_it(tmp_path: Path) -> None:
    marks = FollowMarks(path := tmp_path / "mark")
    marks.add([], 4)
    assert read_mark(path) == 4
    marks.add(["a"], 5)
    marks.add([], 6)
    assert read_mark(path) == 4
    marks.end("a")
    marks.end("never read")
    assert read_mark(path) == 6


def test_what_shows_no_progress_is_no_mark(tmp_path: Path) -> None:
    marks = FollowMarks(path := tmp_path / "mark")
    marks.add(["a"])
    marks.add([], -1)
    assert not path.exists()
    marks.add([], 7)
    assert read_mark(path) == 0
    marks.end("a")
    assert read_mark(path) == 7


def test_a_mark_that_cannot_be_read_is_none(tmp_path: Path) -> None:
    path = tmp_path / "mark"
    path.write_text("x")
    assert read_mark(path) == 0


def work(number: int) -> Work:
    return Work(f"{number:032x}", make_chunk(), {})


@given(most=st.integers(1, 9), workers=st.integers(1, 4), count=st.integers(0, 30))
def test_all_get_out_in_order_however_many_take_and_however_few_fit(
    most: int, workers: int, count: int
) -> None:
    taken: list[str] = []

    async def run() -> None:
        inbox = Inbox(most)

        async def take() -> None:
            while (found := await inbox.take()) is not None:
                taken.append(found.unit)
                await anyio.lowlevel.checkpoint()

        async with anyio.create_task_group() as group:
            for _ in range(workers):
                group.start_soon(take)
            for number in range(count):
                await inbox.put([work(number)])
            inbox.end()

    anyio.run(run)
    assert taken == [work(number).unit for number in range(count)]


async def test_who_fills_it_sleeps_until_half_is_gone() -> None:
    inbox, put = Inbox(4), 0

    async def fill() -> None:
        nonlocal put
        for number in range(8):
            await inbox.put([work(number)])
            put += 1

    async with anyio.create_task_group() as group:
        group.start_soon(fill)
        await anyio.wait_all_tasks_blocked()
        assert put == 4
        await inbox.take()
        await anyio.wait_all_tasks_blocked()
        assert put == 4
        await inbox.take()
        await anyio.wait_all_tasks_blocked()
        assert put == 6
        group.cancel_scope.cancel()


async def test_at_first_one_begins_before_the_next_unit_is_handed_over() -> None:
    inbox, told = Inbox(8), []

    async def work_on_one(name: str) -> None:
        found = await inbox.take()
        assert found is not None
        told.append(f"{name} begins")

    async with anyio.create_task_group() as group:
        group.start_soon(work_on_one, "first")
        group.start_soon(work_on_one, "second")
        await anyio.wait_all_tasks_blocked()
        for number in range(2):
            await inbox.put([work(number)])
            told.append(f"{number} is handed over")
    assert told == ["first begins", "0 is handed over", "second begins", "1 is handed over"]


async def test_who_is_woken_and_leaves_wakes_the_next() -> None:
    inbox, told = Inbox(8), []

    async def take() -> None:
        found = await inbox.take()
        assert found is not None
        told.append(found.unit)

    first, second = (asyncio.get_running_loop().create_task(take()) for _ in range(2))
    await asyncio.sleep(0)
    inbox._singly = 0
    await inbox.put([work(0)])  # which wakes the first, and he is let go before he comes to it
    first.cancel()
    with anyio.fail_after(5):
        await second
    assert told == [work(0).unit]
    assert first.cancelled()
