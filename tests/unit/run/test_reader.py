from __future__ import annotations

from typing import TYPE_CHECKING

from tests.support.asks import settings

from pairmill.chunking.portions import PORTION_CHUNKS, ChunkBatch, pack
from pairmill.recipes.registry import make_recipe
from pairmill.records import Completion, Document, Usage, digest
from pairmill.run.reader import Reader, UnitBatch
from pairmill.sources.notes import InputFate, Note
from pairmill.store.entries import Known

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

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


def _portions(*texts: str) -> Iterator[ChunkBatch]:
    chunks = [pack(Document("d", text, "s"), 0, (0, len(text), (), ())) for text in texts]
    for start in range(0, len(chunks), PORTION_CHUNKS):
        yield ChunkBatch(chunks[start : start + PORTION_CHUNKS], 1, [])


def _reader(ledger: Ledger, *texts: str) -> Reader:
    return Reader(_portions(*texts), RECIPE, ledger)  # type: ignore[arg-type]


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
    many = [f"text {number}" for number in range(PORTION_CHUNKS)]
    reader = _reader(Ledger(), *many, *many, "new")
    assert len(_texts(reader.next_batch())) == PORTION_CHUNKS
    assert _texts(reader.next_batch()) == []
    assert _texts(reader.next_batch()) == ["new"]


def test_a_unit_is_remembered_until_its_commit() -> None:
    texts = [f"text {number}" for number in range(PORTION_CHUNKS)]
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
