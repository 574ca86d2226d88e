"""The way of a unit from the one who reads to those who work."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pairmill.run.reader import Work

__all__ = ["Inbox"]


class Inbox:
    """Units in order, ``most`` of them at a time.

    Who fills it sleeps until half of it is gone: woken for each unit that is taken, the waking
    would cost more than the hand-over. At first it steps back after each unit: a thousand workers
    that begin at once would hold up each other's first calls.
    """

    def __init__(self, most: int) -> None:
        self._queue: asyncio.Queue[Work | None] = asyncio.Queue()
        self._most = most
        self._room = asyncio.Event()
        self._room.set()
        self._singly = most  # so many are handed over one by one

    async def put(self, work: Work) -> None:
        """Hand a unit over, once there is room."""
        if not self._room.is_set():
            await self._room.wait()
        self._queue.put_nowait(work)
        if self._queue.qsize() >= self._most:
            self._room.clear()
        if self._singly:
            self._singly -= 1
            await asyncio.sleep(0)

    def end(self) -> None:
        """Tell all who take that there is no more behind what is there."""
        self._queue.put_nowait(None)

    async def take(self) -> Work | None:
        """The next unit; None when there are no more."""
        work = await self._queue.get()
        if work is None:
            self.end()  # for the next one who asks
        elif self._queue.qsize() <= self._most // 2:
            self._room.set()
        return work
