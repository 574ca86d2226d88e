"""A fake clock that moves only on demand."""

from __future__ import annotations

import heapq
import itertools

import anyio
import anyio.lowlevel

__all__ = ["FakeClock"]


class FakeClock:
    """A `pairmill.clock.Clock` for tests.

    With ``auto`` (the default) a sleep advances the time and returns; without it, sleepers wait for
    `advance`. ``slept`` lists all requested sleeps, in seconds.
    """

    def __init__(self, start: float = 1000.0, *, auto: bool = True) -> None:
        self.now = start
        self.auto = auto
        self.slept: list[float] = []
        self._sleepers: list[tuple[float, int, anyio.Event]] = []
        self._order = itertools.count()

    def monotonic(self) -> float:
        """Return the fake time."""
        return self.now

    def time(self) -> float:
        """Return the fake time as seconds since the epoch."""
        return self.now

    async def sleep(self, seconds: float) -> None:
        """Advance the time (``auto``), or wait until `advance` has moved it far enough."""
        self.slept.append(seconds)
        if self.auto or seconds <= 0:
            self.now += max(0.0, seconds)
            await anyio.lowlevel.checkpoint()
            return
        woken = anyio.Event()
        heapq.heappush(self._sleepers, (self.now + seconds, next(self._order), woken))
        await woken.wait()

    def advance(self, seconds: float) -> None:
        """Advance the time, and wake the sleepers whose time has come."""
        self.now += seconds
        while self._sleepers and self._sleepers[0][0] <= self.now:
            heapq.heappop(self._sleepers)[2].set()
