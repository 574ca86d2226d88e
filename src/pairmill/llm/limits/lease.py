"""What a gate hands out: a lease for one call; the queue for it; and a snapshot of the gate."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

from msgspec import Struct

from pairmill.llm.limits.terms import NOTHING

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from pairmill.errors import Kind
    from pairmill.llm.limits.headers import LimitHint
    from pairmill.llm.limits.terms import Amounts, Cost
    from pairmill.records import Usage

__all__ = ["Lease", "LeaseIssuer", "Snapshot", "WaitQueue", "Waiter"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What a gate is doing, for people and status pages.

    Attributes:
        concurrency: Calls that may be in flight.
        paused_s: Seconds that nothing will go; 0 while calls go, inf while a probe is out.
        cause: Why; "" while calls go.
        requests_per_s: The rate in force; None where none is known.
        waited_s: How long calls waited for their turn, all of them together.
    """

    in_flight: int
    waiting: int
    concurrency: int
    sent: int
    refused: int
    paused_s: float
    cause: str
    requests_per_s: float | None
    waited_s: float = 0.0


class LeaseIssuer(Protocol):
    """Whoever granted a lease, and takes it back: a gate."""

    def end(
        self,
        lease: Lease,
        kind: Kind | None,
        usage: Usage | None,
        hint: LimitHint | None,
        retry_after_s: float | None,
        *,
        alone: bool,
    ) -> bool:
        """Settle a lease whose call has ended; see ``Lease.release``."""

    def undo(self, lease: Lease) -> None:
        """Take back a lease that was not used; see ``Lease.give_back``."""


class Lease(Struct, eq=False):
    """The right to make one call. Give it back once; a second time does nothing.

    Attributes:
        amounts: What was reserved, by ``Unit``.
        admitted_at: When it was granted.
        epoch: The congestion epoch of that moment.
        is_probe: It asks whether a silent endpoint is back.
        sent_before: Calls that had been admitted before it.
        reserved_before: Tokens that those had reserved.
    """

    _gate: LeaseIssuer
    amounts: Amounts
    admitted_at: float
    epoch: int
    is_probe: bool
    sent_before: int
    reserved_before: float
    _is_open: bool = True

    def release(
        self,
        kind: Kind | None = None,
        *,
        usage: Usage | None = None,
        hint: LimitHint | None = None,
        retry_after_s: float | None = None,
        alone: bool = False,
    ) -> bool:
        """End the call: settle what it cost, learn from how it ended, let the next one go.

        Args:
            kind: How it failed; None for an answer.
            usage: What the server counted; without it an answer is charged as reserved.
            hint: The limits that the reply's headers spoke of.
            retry_after_s: The wait that a refusal asked for.
            alone: It failed while others were answered: it does not speak of the endpoint.

        Returns:
            Whether the gate itself holds all calls back for this failure; if not, the call has to
            wait alone before it is tried again.
        """
        if not self._is_open:
            return False
        self._is_open = False
        return self._gate.end(self, kind, usage, hint, retry_after_s, alone=alone)

    def give_back(self) -> None:
        """Return the lease unused: nothing was sent, nothing is charged."""
        if self._is_open:
            self._is_open = False
            self._gate.undo(self)


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
