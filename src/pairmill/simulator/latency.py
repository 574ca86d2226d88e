"""Duration of calls, and the slots that they may have to wait for."""

from __future__ import annotations

import math
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from pairmill.simulator.rng import Rng
    from pairmill.simulator.settings import Latency

__all__ = ["Slots", "draw_delay"]


def draw_delay(latency: Latency, completion_tokens: int, rng: Rng) -> float:
    """Return the seconds that one call takes once it runs."""
    if latency.shape == "zero":
        return 0.0
    if latency.shape == "fixed":
        return latency.seconds
    if latency.shape == "lognormal":
        return latency.seconds * math.exp(latency.sigma * rng.normal())
    return latency.seconds + completion_tokens * latency.per_token_s


class Slots:
    """A fixed number of calls run at a time; the others wait in order of arrival.

    Attributes:
        running: Calls that hold a slot.
    """

    def __init__(self, capacity: int | None, max_waiting: int | None) -> None:
        self._capacity = math.inf if capacity is None else capacity
        self._max_waiting = math.inf if max_waiting is None else max_waiting
        self._queue: deque[Callable[[], None]] = deque()
        self.running = 0

    @property
    def waiting(self) -> int:
        """Calls that wait for a slot."""
        return len(self._queue)

    @property
    def is_full(self) -> bool:
        """True if one more call would have to be turned away."""
        return self.running >= self._capacity and len(self._queue) >= self._max_waiting

    def enter(self, start: Callable[[], None]) -> None:
        """Call ``start`` with a slot held: now, or when one is free."""
        if self.running < self._capacity:
            self.running += 1
            start()
        else:
            self._queue.append(start)

    def leave(self) -> None:
        """Give a slot back; the first in the queue gets it."""
        if self._queue:
            self._queue.popleft()()
        else:
            self.running -= 1

    def withdraw(self, start: Callable[[], None]) -> None:
        """Leave the queue; the caller may not hold a slot."""
        self._queue.remove(start)
