"""Arithmetic of a token bucket. No waiting, no clock, no I/O: ``now`` is passed in.

A bucket fills at ``rate`` units a second up to ``capacity``; what is taken lowers its level, which
may become negative (a debt that later refills pay back). Over any span of ``T`` seconds it gives
out at most ``rate * T + max(capacity, largest amount)``, however late or early it is looked at.
"""

from __future__ import annotations

__all__ = ["Bucket"]

_SLACK = 1e-9  # relative; rounding of sums of floats must not keep a full bucket closed


class Bucket:
    """A token bucket; the caller passes the time.

    Attributes:
        rate: Units that flow in, a second; more than 0.
        capacity: Highest level; more than 0.
        level: Units at ``at``; negative means debt.
        at: Seconds on the caller's monotonic clock. A time before it changes nothing.
    """

    __slots__ = ("at", "capacity", "level", "rate")

    def __init__(self, rate: float, capacity: float, *, level: float, now: float) -> None:
        self.rate = rate
        self.capacity = capacity
        self.level = min(level, capacity)
        self.at = now

    def refill(self, now: float) -> None:
        """Let what has flowed in since ``at`` in. A stall of an hour fills it once, no more."""
        if now > self.at:
            self.level = min(self.capacity, self.level + (now - self.at) * self.rate)
            self.at = now

    def wait_s(self, amount: float, now: float) -> float:
        """Seconds until ``amount`` may be taken; 0.0 means now.

        An amount larger than the capacity may go when the bucket is full; ``take`` then leaves a
        debt, so that it costs its own time and never blocks for ever.
        """
        if now > self.at:  # ``refill``, written out: this is the hottest line of all
            level = self.level + (now - self.at) * self.rate
            self.level = level if level < self.capacity else self.capacity  # noqa: FURB136
            self.at = now
        capacity = self.capacity
        missing = (amount if amount < capacity else capacity) - self.level  # noqa: FURB136
        return 0.0 if missing <= _SLACK * capacity else missing / self.rate

    def take(self, amount: float) -> None:
        """Lower the level by ``amount``. The caller has asked ``wait_s`` at the same moment."""
        self.level -= amount

    def give(self, amount: float, now: float) -> None:
        """Raise the level by ``amount`` (a refund), or lower it if negative, never past full."""
        self.refill(now)
        self.level = min(self.capacity, self.level + amount)

    def lower(self, level: float, now: float) -> None:
        """Bring the level down to ``level``; a higher ``level`` changes nothing."""
        self.refill(now)
        self.level = min(self.level, level)

    def retune(self, rate: float, capacity: float, now: float) -> None:
        """Change rate and capacity from ``now`` on; the level is kept, up to the new capacity."""
        self.refill(now)
        self.rate = rate
        self.capacity = capacity
        self.level = min(self.level, capacity)
