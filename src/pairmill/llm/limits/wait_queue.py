"""The queue at a gate: two FIFO queues, of new calls and of retries, served in turns."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Generic, TypeVar

from pairmill.llm.limits.quota import NOTHING

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from pairmill.llm.limits.quota import Amounts, Cost

__all__ = ["WaitQueue", "Waiter"]

T = TypeVar("T")


class Waiter(Generic[T]):
    """One waiting call: its cost, what it will take, and the future that it awaits."""

    __slots__ = ("amounts", "cost", "future", "is_retry")

    def __init__(
        self, cost: Cost, amounts: Amounts, future: asyncio.Future[T], *, is_retry: bool
    ) -> None:
        self.cost = cost
        self.amounts = amounts
        self.future = future
        self.is_retry = is_retry


class WaitQueue(Generic[T]):
    """Strict order within each queue; retries first, but never twice in a row while others wait.

    A cancelled waiter stays until it comes to the front; ``leave`` only takes it out of the count.

    Attributes:
        length: Those who really wait.
        ahead: The sum of what they will take, by ``Unit``.
    """

    __slots__ = ("_fresh", "_retries", "_retry_was_last", "ahead", "length")

    def __init__(self) -> None:
        self._fresh: deque[Waiter[T]] = deque()
        self._retries: deque[Waiter[T]] = deque()
        self._retry_was_last = False
        self.length = 0
        self.ahead = [*NOTHING]

    def join(self, waiter: Waiter[T]) -> bool:
        """Stand at the end; True if that is the front of its queue."""
        queue = self._retries if waiter.is_retry else self._fresh
        queue.append(waiter)
        self.length += 1
        for unit, amount in enumerate(waiter.amounts):
            self.ahead[unit] += amount
        return len(queue) == 1

    def leave(self, waiter: Waiter[T]) -> None:
        """Count a waiter no more: it was served, cancelled or sent away."""
        self.length -= 1
        if not self.length:
            self.ahead[:] = NOTHING  # and forget what rounding left behind
            return
        for unit, amount in enumerate(waiter.amounts):
            self.ahead[unit] -= amount

    def reweigh(self, amounts_of: Callable[[Cost], Amounts]) -> None:
        """Let all who wait take what their cost comes to now."""
        for waiter in (*self._retries, *self._fresh):
            if waiter.future.done():  # ``leave`` takes out what it put in, or has done so
                continue
            amounts = amounts_of(waiter.cost)
            for unit, amount in enumerate(amounts):
                self.ahead[unit] += amount - waiter.amounts[unit]
            waiter.amounts = amounts

    def head(self) -> Waiter[T] | None:
        """Return the next waiter to be served; None if nobody waits."""
        fresh, retries = self._fresh, self._retries
        while fresh and fresh[0].future.done():  # cancelled while it waited
            fresh.popleft()
        while retries and retries[0].future.done():
            retries.popleft()
        if retries and not (self._retry_was_last and fresh):
            return retries[0]
        return fresh[0] if fresh else None

    def serve(self, waiter: Waiter[T]) -> None:
        """Take the one that ``head`` named out of the line."""
        (self._retries if waiter.is_retry else self._fresh).popleft()
        self._retry_was_last = waiter.is_retry
        self.leave(waiter)

    def clear(self) -> list[Waiter[T]]:
        """Empty the line; those who still waited, retries first, each queue in order."""
        waiting = [waiter for waiter in (*self._retries, *self._fresh) if not waiter.future.done()]
        self._retries.clear()
        self._fresh.clear()
        for waiter in waiting:
            self.leave(waiter)
        return waiting
