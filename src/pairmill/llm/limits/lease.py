"""Parts of a gate: the lease for one call, the queue of waiting calls, and a snapshot."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

from msgspec import Struct

from pairmill.llm.limits.quota import NOTHING

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from pairmill.errors import Kind
    from pairmill.llm.limits.headers import LimitHint
    from pairmill.llm.limits.quota import Amounts, Cost
    from pairmill.records import Usage

__all__ = ["Lease", "LeaseIssuer", "Snapshot", "WaitQueue", "Waiter"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Snapshot:
    """State of a gate, for people and status pages.

    Attributes:
        concurrency: Calls that may be in flight.
        paused_s: Seconds until calls resume; 0 if not paused, inf while a probe is in flight.
        cause: Reason of the pause, or "".
        requests_per_s: The rate in force; None if unknown.
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
    """Grants leases and takes them back: a gate."""

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
    """The right to make one call. Release it once; a second time does nothing.

    Attributes:
        amounts: Reserved amounts, by ``Unit``.
        admitted_at: Time of admission.
        epoch: Congestion epoch at that time.
        is_probe: True if it probes whether a silent endpoint is back.
        sent_before: Number of calls admitted before it.
        reserved_before: Tokens reserved by those.
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
        """End the call: settle its usage, learn from its outcome, admit the next one.

        Args:
            kind: How it failed; None for an answer.
            usage: The server's token count; without it an answer is charged as reserved.
            hint: Limits from the reply's headers.
            retry_after_s: The wait requested by a refusal.
            alone: Other calls were answered, so the failure is not the endpoint's.

        Returns:
            True if the gate makes all calls wait for this failure; else the call must wait by
            itself before a retry.
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
    """A waiting call: its cost, the amounts to reserve, and the future that it awaits."""

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
        length: Number of calls that are waiting.
        ahead: Total of the amounts that they will reserve, by ``Unit``.
    """

    __slots__ = ("_fresh", "_retries", "_retry_was_last", "ahead", "length")

    def __init__(self) -> None:
        self._fresh: deque[Waiter[T]] = deque()
        self._retries: deque[Waiter[T]] = deque()
        self._retry_was_last = False
        self.length = 0
        self.ahead = [*NOTHING]

    def join(self, waiter: Waiter[T]) -> bool:
        """Append a waiter; return True if it is at the front of its queue."""
        queue = self._retries if waiter.is_retry else self._fresh
        queue.append(waiter)
        self.length += 1
        for unit, amount in enumerate(waiter.amounts):
            self.ahead[unit] += amount
        return len(queue) == 1

    def leave(self, waiter: Waiter[T]) -> None:
        """Stop counting a waiter that was served, cancelled or evicted."""
        self.length -= 1
        if not self.length:
            self.ahead[:] = NOTHING  # and drop rounding errors
            return
        for unit, amount in enumerate(waiter.amounts):
            self.ahead[unit] -= amount

    def reweigh(self, amounts_of: Callable[[Cost], Amounts]) -> None:
        """Recompute the amounts of all waiting calls from their costs."""
        for waiter in (*self._retries, *self._fresh):
            if waiter.future.done():  # ``leave`` subtracts what it added, or has done so
                continue
            amounts = amounts_of(waiter.cost)
            for unit, amount in enumerate(amounts):
                self.ahead[unit] += amount - waiter.amounts[unit]
            waiter.amounts = amounts

    def head(self) -> Waiter[T] | None:
        """Return the next waiter to serve; None if there is none."""
        fresh, retries = self._fresh, self._retries
        while fresh and fresh[0].future.done():  # cancelled while it waited
            fresh.popleft()
        while retries and retries[0].future.done():
            retries.popleft()
        if retries and not (self._retry_was_last and fresh):
            return retries[0]
        return fresh[0] if fresh else None

    def serve(self, waiter: Waiter[T]) -> None:
        """Remove the waiter that ``head`` returned."""
        (self._retries if waiter.is_retry else self._fresh).popleft()
        self._retry_was_last = waiter.is_retry
        self.leave(waiter)

    def clear(self) -> list[Waiter[T]]:
        """Empty both queues; return those still waiting, retries first, each queue in order."""
        waiting = [waiter for waiter in (*self._retries, *self._fresh) if not waiter.future.done()]
        self._retries.clear()
        self._fresh.clear()
        for waiter in waiting:
            self.leave(waiter)
        return waiting
