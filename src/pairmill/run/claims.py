"""Tracks which unit of the corpus was the first to have something, such as a repeated fact.

Units claim in reading order, whatever the order of their answers: a unit waits for those before it.
Which unit is first therefore depends on the input and the answers, not on timing, and a run that is
killed and resumed decides the same way: a unit is committed after the answers of all units that
claimed before it. A unit that failed, or is put back for a retry, gives up its place.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pairmill.store.claim_store import ClaimStore

__all__ = ["Claims", "UnitTurn"]


class Claims:
    """Order of turns; the claimed names are in the run folder.

    Args:
        store: Who claimed what.
        check: Raises if the run is ending: a unit that was stopped keeps its place, and nothing may
            wait for it.
    """

    def __init__(self, store: ClaimStore, check: Callable[[], None] = lambda: None) -> None:
        self._store = store
        self._check = check
        self._before: dict[int, asyncio.Future[None] | None] = {}  # future: the unit waits
        self._next = 0

    def enter(self, unit: str) -> UnitTurn:
        """Assign the next place to a unit that is handed out now."""
        self._next += 1
        self._before[self._next] = None
        return UnitTurn(self, self._next, unit)

    async def claim(self, place: int, unit: str, names: Sequence[str]) -> list[bool]:
        """Wait until all earlier units have claimed or left, then claim and release the next.

        Without names there is nothing to wait for.
        """
        self._check()
        if names and place in self._before and next(iter(self._before)) != place:
            future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._before[place] = future
            await future
        found = self._store.claim(unit, names)
        self.leave(place)
        return found

    def leave(self, place: int) -> None:
        """Give up a place, if it is still held; the next unit may proceed."""
        if place not in self._before:
            return
        del self._before[place]
        first = next(iter(self._before.values()), None)
        if first is not None and not first.done():
            first.set_result(None)


class UnitTurn:
    """A unit's place in the order."""

    __slots__ = ("_claims", "_place", "_unit")

    def __init__(self, claims: Claims, place: int, unit: str) -> None:
        self._claims = claims
        self._place = place
        self._unit = unit

    async def claim(self, names: Sequence[str]) -> list[bool]:
        """Return for each name whether this unit is the first in the corpus to have it.

        When called again with other names, the unit's earlier claims are dropped.
        """
        return await self._claims.claim(self._place, self._unit, names)

    def leave(self) -> None:
        """Record that the unit ended, or will be asked again later."""
        self._claims.leave(self._place)
