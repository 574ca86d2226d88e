"""Time, as something that is passed in: policy code never looks at the wall by itself."""

from __future__ import annotations

import time
from typing import Protocol

import anyio

__all__ = ["Clock", "SystemClock"]


class Clock(Protocol):
    """What anything that waits or measures is given."""

    def monotonic(self) -> float:
        """Seconds since some fixed moment; never goes back. For durations and deadlines."""
        ...

    def time(self) -> float:
        """Seconds since the epoch. For records that people read."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Return when ``seconds`` have gone by; at once for zero or less."""
        ...


class SystemClock:
    """The machine's own time."""

    monotonic = staticmethod(time.monotonic)
    time = staticmethod(time.time)

    async def sleep(self, seconds: float) -> None:
        """See `Clock`."""
        await anyio.sleep(max(0.0, seconds))
