"""Turns batches of chunks into work: new units, each once, with their stored answers."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING

from msgspec import Struct, field

from pairmill.chunking.portions import unpack
from pairmill.records import Chunk, Completion, digest_with
from pairmill.store.entries import UnitKey

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pairmill.chunking.portions import ChunkBatch, Packed
    from pairmill.recipes.recipe import Recipe
    from pairmill.run.follow_marks import FollowMarks
    from pairmill.sources.notes import Note
    from pairmill.store.entries import BilledSend
    from pairmill.store.ledger import LedgerReader

__all__ = ["Reader", "UnitBatch", "Work"]


class Work(Struct, frozen=True):
    """A unit to do, and what was asked for it before.

    Attributes:
        unit: Its id.
        chunk: Its chunk.
        answers: Call id to answer, of calls that it or a related unit has made; grows during work.
        sends: Call id to number of sends that may have been billed without an answer; likewise.
    """

    unit: str
    chunk: Chunk
    answers: dict[str, Completion]
    sends: dict[str, BilledSend] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class UnitBatch:
    """Result of one poll of the input.

    Attributes:
        work: Units to do.
        known: Number of chunks whose unit is already finished or in progress.
        notes: Reports of the intake.
        documents: Number of documents read.
        pairs: Document id and number of pairs of each finished unit.
    """

    work: list[Work]
    known: int
    notes: list[Note]
    documents: int = 0
    pairs: list[tuple[str, int]] = dataclasses.field(default_factory=list)


class Reader:
    """Takes batches from the intake and looks them up in the ledger.

    Synchronous code for a worker thread; ``done_with`` is called from the event loop.
    """

    def __init__(
        self,
        portions: Iterable[ChunkBatch],
        recipe: Recipe,
        lookup: LedgerReader,
        only: frozenset[str] | None = None,
        marks: FollowMarks | None = None,
    ) -> None:
        """With ``only``, all other units are skipped as if they were finished.

        ``marks`` track how far a followed input is done.
        """
        self._portions = iter(portions)
        self._unit_of = digest_with(recipe.identity)
        self._lookup = lookup
        self._only = only
        self._marks = marks
        self._active: set[str] = set()

    def next_batch(self) -> UnitBatch | None:
        """Return the next batch; None at the end of the input.

        Raises:
            InputError: The input as a whole cannot be read.
            StoppedError: The reading process has ended.
        """
        portion = next(self._portions, None)
        if portion is None:
            return None
        # The set is checked before the ledger: a unit leaves it only after its commit, so one
        # that is in neither was never started.
        fresh: dict[str, Packed] = {}
        for packed in portion.chunks:
            unit = self._unit_of(packed[0])
            is_wanted = self._only is None or unit in self._only
            if is_wanted and unit not in self._active and unit not in fresh:
                fresh[unit] = packed
        known = self._lookup.known([UnitKey(unit, packed[0]) for unit, packed in fresh.items()])
        work = [
            Work(
                unit,
                unpack(packed),
                known.answers.get(packed[0], {}),
                known.sends.get(packed[0], {}),
            )
            for unit, packed in fresh.items()
            if unit not in known.finished
        ]
        self._active.update(item.unit for item in work)
        if self._marks is not None:
            self._marks.add((item.unit for item in work), portion.mark)
        pairs = [(fresh[unit][1], count) for unit, count in known.pairs.items()]
        known_count = len(portion.chunks) - len(work)
        return UnitBatch(work, known_count, portion.notes, portion.documents, pairs)

    def done_with(self, unit: str) -> None:
        """Remove a unit whose outcome is committed."""
        self._active.discard(unit)
        if self._marks is not None:
            self._marks.end(unit)

    @property
    def is_idle(self) -> bool:
        """True if every unit that was read has ended."""
        return not self._active
