"""Targets for pairs, in total or per document.

Chunks are handed out only while they may still be needed, assuming that each chunk in progress
gives its maximum. So a target is exceeded by less than one chunk's pairs, and near the end fewer
calls are in flight. ``limit`` and ``limit_per_document`` bound the number of chunks that are tried.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import anyio

from pairmill.events import UnitFinished

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable

    from pairmill.config import Settings
    from pairmill.events import UnitSuspended
    from pairmill.run.reader import Work

__all__ = ["PairTarget", "make_quota"]

MOST_WAITING = 1024  # chunks that wait for the results of others of their document


@dataclass(slots=True)
class _Document:
    accepted: int = 0
    under_way: int = 0
    waiting: deque[Work] = field(default_factory=deque)

    @property
    def is_idle(self) -> bool:
        return not self.under_way and not self.waiting


class PairTarget:
    """Decides which units are started, and when.

    Attributes:
        spared: Chunks that were read but not needed.
    """

    def __init__(
        self,
        target: int | None,
        per_document: int | None,
        *,
        most: int,
        accepted: int,
        spare: Callable[[str], None],
    ) -> None:
        """Create it; None: no target.

        Args:
            target: Pairs in all.
            per_document: Pairs of each document.
            most: Maximum pairs of a chunk.
            accepted: Pairs from earlier starts.
            spare: Called with the id of each unit that is not needed.
        """
        self._target = target
        self._per_document = per_document
        self._most = most
        self._accepted = accepted
        self._under_way = 0
        self._documents: dict[str, _Document] = {}
        self._waiting = 0
        self._spare = spare
        self._moved = anyio.Event()
        self.spared = 0

    @property
    def is_full(self) -> bool:
        """True if the overall target is reached."""
        return self._target is not None and self._accepted >= self._target

    @property
    def missing(self) -> int:
        """Pairs still missing to the total target."""
        return max(0, (self._target or 0) - self._accepted)

    def listen(self, event: UnitFinished | UnitSuspended) -> None:
        """Count a unit that ended."""
        self._under_way -= 1
        pairs = event.pairs if isinstance(event, UnitFinished) else 0
        self._accepted += pairs
        document = self._documents.get(event.document)
        if document is not None:
            document.under_way -= 1
            document.accepted += pairs
        self._moved.set()

    def note(self, known: Iterable[tuple[str, int]]) -> None:
        """Add pairs of earlier starts: document id and number of pairs."""
        if self._per_document is None:
            return
        for name, pairs in known:
            self._documents.setdefault(name, _Document()).accepted += pairs

    async def admit(self, works: Iterable[Work]) -> AsyncIterator[Work]:
        """Yield the units that are needed, in order, except those that must wait."""
        for work in works:
            if self._per_document is None:
                ready: Iterable[Work] = (work,)
            else:
                ready = self._take_in(work)
            for one in ready:
                if not await self._has_room():
                    self._let_go(one)
                    continue
                self._under_way += 1
                yield one
            while self._waiting > MOST_WAITING:
                await self._wait()
                for one in self._released():
                    self._under_way += 1
                    yield one
        self._forget()

    async def rest(self) -> AsyncIterator[Work]:
        """Yield waiting units as they become needed."""
        while self._waiting and not self.is_full:
            for one in self._released():
                if await self._has_room():
                    self._under_way += 1
                    yield one
            if self._waiting:
                await self._wait()

    async def _has_room(self) -> bool:
        """Wait until another unit may be needed; return False if none is."""
        if self._target is None:
            return True
        while self._accepted + self._under_way * self._most >= self._target:
            if self.is_full:
                return False
            if not self._under_way:
                break
            await self._wait()
        return True

    def _let_go(self, work: Work) -> None:
        self.spared += 1
        self._spare(work.unit)

    def _take_in(self, work: Work) -> list[Work]:
        document = self._documents.setdefault(work.chunk.document_id, _Document())
        document.waiting.append(work)
        self._waiting += 1
        return self._released()

    def _released(self) -> list[Work]:
        """Take needed units out of the queues, and drop those that are no longer needed."""
        found: list[Work] = []
        limit = self._per_document or 0
        for document in self._documents.values():
            while document.waiting and document.accepted >= limit:
                self._waiting -= 1
                self._let_go(document.waiting.popleft())
            while document.waiting and (
                not document.under_way
                or document.accepted + document.under_way * self._most < limit
            ):
                document.under_way += 1
                self._waiting -= 1
                found.append(document.waiting.popleft())
        return found

    def _forget(self) -> None:
        """Forget finished documents; the last one may have more chunks in the next batch."""
        for name in list(self._documents)[:-1]:
            if self._documents[name].is_idle:
                del self._documents[name]

    async def _wait(self) -> None:
        self._moved = anyio.Event()
        await self._moved.wait()


def make_quota(
    settings: Settings, *, accepted: int, spare: Callable[[str], None]
) -> PairTarget | None:
    """Make the targets of the settings, if any; see ``PairTarget``."""
    if settings.target_pairs is None and settings.per_document is None:
        return None
    evolves = settings.evolve != "off"
    return PairTarget(
        settings.target_pairs,
        settings.per_document,
        most=settings.pairs_per_chunk * (2 if evolves else 1),
        accepted=accepted,
        spare=spare,
    )
