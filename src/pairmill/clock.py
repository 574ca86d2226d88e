"""Clocks that are passed in: policy code never reads the time by itself."""

from __future__ import annotations

import time
from typing import Protocol

import anyio

__all__ = ["Clock", "SystemClock"]


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
