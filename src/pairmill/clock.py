"""Clocks that are passed in: policy code never reads the time by itself."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import anyio
import anyio.lowlevel

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

__all__ = ["Clock", "SystemClock", "slept_s", "within"]

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
