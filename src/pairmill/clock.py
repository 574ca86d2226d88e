"""Clocks that are passed in: policy code never reads the time by itself. One is for tests."""

from __future__ import annotations

import heapq
import itertools
import math
import time
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import anyio
import anyio.lowlevel

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

__all__ = ["Clock", "FakeClock", "SystemClock", "slept_s", "within"]

_T = TypeVar("_T")


class Clock(Protocol):
    """Clock for code that waits or measures."""

    def monotonic(self) -> float:
        """Return monotonic seconds since some fixed moment, for durations and deadlines."""
        ...

    def time(self) -> float:
        """Return seconds since the epoch, for records that people read."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Return after ``seconds``; at once for zero or less."""
        ...


class SystemClock:
    """The system clock."""

    monotonic = staticmethod(time.monotonic)
    time = staticmethod(time.time)

    async def sleep(self, seconds: float) -> None:
        """See `Clock`."""
        await anyio.sleep(max(0.0, seconds))


def slept_s() -> float:
    """Return for how many seconds this machine was suspended, as far as the system tells."""
    clock: Any = getattr(time, "CLOCK_BOOTTIME", None)
    return 0.0 if clock is None else time.clock_gettime(clock) - time.monotonic()


async def within(seconds: float, clock: Clock, work: Callable[[], Awaitable[_T]]) -> _T:
    """Return what ``work`` returns, unless that takes longer than ``seconds`` by ``clock``.

    ``anyio.move_on_after`` counts by the event loop's own time.

    Raises:
        TimeoutError: It took longer, and was cancelled.
        Exception: What ``work`` raises.
    """
    if math.isinf(seconds):
        return await work()
    done: list[_T] = []
    failure: Exception | None = None
    async with anyio.create_task_group() as group:
        group.start_soon(_cancel_after, seconds, clock, group.cancel_scope)
        try:
            done.append(await work())
        except Exception as error:  # noqa: BLE001 (a task group would wrap it)
            failure = error
        group.cancel_scope.cancel()
    try:
        if failure is not None:
            raise failure
    finally:
        del failure  # its traceback holds this frame, which would hold it
    if not done:
        raise TimeoutError
    return done[0]


async def _cancel_after(seconds: float, clock: Clock, scope: anyio.CancelScope) -> None:
    await anyio.lowlevel.checkpoint()  # what is done without a wait needs no clock
    await clock.sleep(seconds)
    scope.cancel()


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
