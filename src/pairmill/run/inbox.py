"""Queue of units from the reader to the workers."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pairmill.run.reader import Work

__all__ = ["Inbox"]


class Inbox:
    """Units in order, at most ``most`` at a time.

    Who fills it sleeps until half of it is gone: woken for each unit that is taken, the waking
    would cost more than the hand-over. At first it steps back after each unit: a thousand workers
    that begin at once would hold up each other's first calls.
    """

    def __init__(self, most: int) -> None:
        self._units: deque[Work] = deque()
        self._hungry: deque[asyncio.Future[None]] = deque()  # who found it empty, in turn
        self._is_over = False
        self._most = most
        self._room = asyncio.Event()
        self._room.set()
        self._singly = most  # so many are handed over one by one

    async def put(self, works: Iterable[Work]) -> None:
        """Hand units over, each once there is room."""
        for work in works:
            if not self._room.is_set():
                await self._room.wait()
            self._units.append(work)
            if len(self._units) >= self._most:
                self._room.clear()
            self._wake_next()
            if self._singly:
                self._singly -= 1
                await asyncio.sleep(0)

    @property
    def is_empty(self) -> bool:
        """True if taking a unit now would wait, or return none."""
        return not self._units

    @property
    def is_over(self) -> bool:
        """True if no more units come after those that are there."""
        return self._is_over

    def put_back(self, work: Work) -> None:
        """Hand a unit over once more, before all others."""
        self._units.appendleft(work)
        self._wake_next()

    def end(self) -> None:
        """Tell all who take that there is no more behind what is there."""
        self._is_over = True
        while self._hungry:
            self._wake_next()

    async def take(self) -> Work | None:
        """Return the next unit; None when there are no more."""
        while not self._units:
            if self._is_over:
                return None
            await self._wait()
        work = self._units.popleft()
        if len(self._units) <= self._most // 2:
            self._room.set()
        return work

    async def _wait(self) -> None:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._hungry.append(future)
        try:
            await future
        except asyncio.CancelledError:
            if not future.cancelled():  # it was woken, and somebody else must see to it
                self._wake_next()
            raise

    def _wake_next(self) -> None:
        while self._hungry:
            future = self._hungry.popleft()
            if not future.done():
                future.set_result(None)
                return
