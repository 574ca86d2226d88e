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

    The producer sleeps until half of the units are taken: waking it for each one would cost more
    than passing the unit on. At first it yields after each unit, since a thousand workers starting
    at once would delay each other's first calls.
    """

    def __init__(self, most: int) -> None:
        self._units: deque[Work] = deque()
        self._hungry: deque[asyncio.Future[None]] = deque()  # workers that found it empty, in order
        self._is_over = False
        self._most = most
        self._room = asyncio.Event()
        self._room.set()
        self._singly = most  # as many are passed on one by one

    async def put(self, works: Iterable[Work]) -> None:
        """Add units, each as soon as there is room."""
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
        """True if ``get`` would wait now, or return None."""
        return not self._units

    @property
    def is_over(self) -> bool:
        """True if no more units will be added."""
        return self._is_over

    def put_back(self, work: Work) -> None:
        """Put a unit back, before all others."""
        self._units.appendleft(work)
        self._wake_next()

    def end(self) -> None:
        """Declare that no more units will be added."""
        self._is_over = True
        while self._hungry:
            self._wake_next()

    async def take(self) -> Work | None:
        """Return the next unit; None at the end."""
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
            if not future.cancelled():  # it was woken, so wake another worker instead
                self._wake_next()
            raise

    def _wake_next(self) -> None:
        while self._hungry:
            future = self._hungry.popleft()
            if not future.done():
                future.set_result(None)
                return
