"""From chunks to work: what is new, each unit once, with the answers that are already bought."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING

from pairmill.records import Chunk, Completion, digest
from pairmill.store.entries import UnitKey

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pairmill.intake.notes import Note
    from pairmill.recipes.recipe import Recipe
    from pairmill.store.lookup import Lookup

__all__ = ["Batch", "Reader", "Work"]

BATCH_CHUNKS = 256
BATCH_S = 0.05  # a slow source hands over what it has, so that the first call is not held back


@dataclass(frozen=True, slots=True)
class Work:
    """A unit to be done: its id, its chunk, and the answers that it or a sister already has."""

    unit: str
    chunk: Chunk
    answers: Mapping[str, Completion]


@dataclass(frozen=True, slots=True)
class Batch:
    """What one look at the input gave.

    Attributes:
        work: Units to be done.
        known: Chunks whose unit is finished, or under way, already.
        notes: What the intake reported meanwhile.
        pairs: For each finished unit its document's id and how many pairs it gave.
    """

    work: list[Work]
    known: int
    notes: list[Note]
    pairs: list[tuple[str, int]] = field(default_factory=list)


class Reader:
    """Takes chunks from the intake and asks the ledger about them, a batch at a time.

    It is plain synchronous code for a worker thread. ``done_with`` is called from the event loop.
    """

    def __init__(
        self,
        chunks: Iterator[Chunk],
        notes: list[Note],
        recipe: Recipe,
        lookup: Lookup,
        limit: int | None = None,
        only: frozenset[str] | None = None,
    ) -> None:
        """Take the chunks (the first ``limit`` of them), and the list that the intake notes in.

        With ``only``, units that are not in it are passed over as if they were known.
        """
        self._chunks = islice(chunks, limit)
        self._notes = notes
        self._recipe = recipe
        self._lookup = lookup
        self._only = only
        self._active: set[str] = set()

    def next_batch(self) -> Batch | None:
        """Read on; None at the end of the input.

        Raises:
            InputError: The input as a whole cannot be read.
        """
        chunks = self._take()
        if not chunks and not self._notes:
            return None
        named = [(self._unit_of(chunk), chunk) for chunk in chunks]
        # The set is looked at before the ledger: a unit leaves it only after its commit, so one
        # that is in neither was never begun.
        fresh: dict[str, Chunk] = {}
        for unit, chunk in named:
            is_wanted = self._only is None or unit in self._only
            if is_wanted and unit not in self._active and unit not in fresh:
                fresh[unit] = chunk
        keys = [UnitKey(unit, chunk.id) for unit, chunk in fresh.items()]
        known = self._lookup.known(keys)
        work = [
            Work(unit, chunk, known.answers.get(chunk.id, {}))
            for unit, chunk in fresh.items()
            if unit not in known.finished
        ]
        self._active.update(item.unit for item in work)
        notes = self._notes[:]
        self._notes.clear()
        pairs = [
            (chunk.document_id, known.pairs[unit])
            for unit, chunk in fresh.items()
            if unit in known.pairs
        ]
        return Batch(work, len(named) - len(work), notes, pairs)

    def done_with(self, unit: str) -> None:
        """Forget a unit whose outcome is committed."""
        self._active.discard(unit)

    def _unit_of(self, chunk: Chunk) -> str:
        return digest(chunk.id, self._recipe.identity)

    def _take(self) -> list[Chunk]:
        taken: list[Chunk] = []
        until = time.monotonic() + BATCH_S
        for chunk in islice(self._chunks, BATCH_CHUNKS):
            taken.append(chunk)
            if time.monotonic() > until:
                break
        return taken
