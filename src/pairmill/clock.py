"""Clocks that are passed in: policy code never reads the time by itself."""

from __future__ import annotations

import time
from typing import Any, Protocol

import anyio

__all__ = ["Clock", "SystemClock", "slept_s"]


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
