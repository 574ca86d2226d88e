"""Tracks which unit of the corpus was the first to have something, such as a repeated fact.

Units claim in the order in which they were handed out, which is that of reading, whatever the order
of their answers: a unit waits for those before it. So who comes first depends on the input and on
what was answered, never on what was answered sooner, and a run that is killed and resumed decides
as one left alone: a unit is committed after the answers of all that claimed before it. A unit that
failed, or is put aside to be asked once more, gives up its place.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pairmill.store.claims import ClaimStore

__all__ = ["Claims", "UnitTurn"]


class Claims:
    """Order of turns; the claimed names are in the run folder.

    Args:
        store: Who claimed what.
        check: Raises where the run is ending: a unit that a stop ended keeps its place, and nobody
            is to wait for it.
    """

    def __init__(self, store: ClaimStore, check: Callable[[], None] = lambda: None) -> None:
        self._store = store
        self._check = check
        self._before: dict[int, asyncio.Future[None] | None] = {}  # in order; who waits has one
        self._next = 0

    def enter(self, unit: str) -> UnitTurn:
        """Take the next place, for a unit that is handed out now."""
        self._next += 1
        self._before[self._next] = None
        return UnitTurn(self, self._next, unit)

    async def claim(self, place: int, unit: str, names: Sequence[str]) -> list[bool]:
        """Wait until all before it have claimed or left; then claim, and give way to the next.

        Nobody is waited for without a name.
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
        """Give up a place, if it is still held; whoever is first now may go on."""
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
        """Of each name, whether this unit is the first of the corpus to bring it.

        Once more, with other names, the unit's earlier claims are given up.
        """
        return await self._claims.claim(self._place, self._unit, names)

    def leave(self) -> None:
        """Record that the unit ended, or will be asked again later."""
        self._claims.leave(self._place)
