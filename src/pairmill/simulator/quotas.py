"""Quotas as providers enforce them: pure accounting; the caller passes the time.

A request larger than the whole capacity is admitted if the meter is unused, and its debt is worked
off; otherwise a quota metered by the second could never serve a long prompt.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from pairmill.simulator.settings import SimulatedQuota

__all__ = [
    "Enforcer",
    "Level",
    "Levels",
    "Meter",
    "QuotaRefusal",
    "SimulatedBucket",
    "SimulatedCharge",
    "SimulatedWindow",
    "SlidingWindow",
]

_DAY_S = 86_400.0
_SLACK = 1e-6  # of a request or token: tolerance for floating point


@dataclass(frozen=True, slots=True)
class Level:
    """One dimension as in headers: limit per minute or day, amount left, seconds until full."""

    limit: int
    remaining: int
    reset_s: float


@dataclass(frozen=True, slots=True)
class Levels:
    """All dimensions that are limited."""

    requests: Level | None = None
    tokens: Level | None = None
    day: Level | None = None


@dataclass(frozen=True, slots=True)
class QuotaRefusal:
    """Why a call was not admitted: ``requests``, ``tokens`` or ``day``, and the wait that helps."""

    dimension: str
    limit: int
    used: int
    requested: int
    wait_s: float


@dataclass(frozen=True, slots=True)
class SimulatedCharge:
    """Charge of an admitted call: tokens, and the meters' records of them."""

    tokens: int
    stamp: Any


class Meter(Protocol):
    """One limited dimension."""

    def fits(self, cost: float, now: float) -> bool:
        """Return whether the cost may be taken now."""
        ...

    def take(self, cost: float, now: float) -> Any:
        """Take the cost, whether it fits or not; the result is passed to ``settle``."""
        ...

    def settle(self, stamp: Any, change: float, now: float) -> None:
        """Correct an earlier charge by ``change``; negative to give back."""
        ...

    def wait_s(self, cost: float, now: float) -> float:
        """Return the seconds until the cost fits, if nothing else is taken."""
        ...

    def remaining(self, now: float) -> float:
        """Return what may be taken now; never below 0."""
        ...

    def reset_s(self, now: float) -> float:
        """Return the seconds until the meter is unused, if nothing is taken."""
        ...


class SimulatedBucket:
    """Continuous refill up to a capacity; full at the start."""

    def __init__(self, rate_per_s: float, capacity: float, now: float) -> None:
        self._rate = rate_per_s
        self._capacity = capacity
        self._level = capacity
        self._then = now

    def _refill(self, now: float) -> None:
        self._level = min(self._capacity, self._level + self._rate * (now - self._then))
        self._then = now

    def fits(self, cost: float, now: float) -> bool:
        """See ``Meter``."""
        self._refill(now)
        return self._level + _SLACK >= min(cost, self._capacity)

    def take(self, cost: float, now: float) -> None:
        """See ``Meter``."""
        self._refill(now)
        self._level -= cost

    def settle(self, stamp: Any, change: float, now: float) -> None:  # noqa: ARG002 (no stamp here)
        """See ``Meter``."""
        self._refill(now)
        self._level = min(self._capacity, self._level - change)

    def wait_s(self, cost: float, now: float) -> float:
        """See ``Meter``."""
        self._refill(now)
        return max(0.0, (min(cost, self._capacity) - self._level) / self._rate)

    def remaining(self, now: float) -> float:
        """See ``Meter``."""
        self._refill(now)
        return max(0.0, self._level)

    def reset_s(self, now: float) -> float:
        """See ``Meter``."""
        self._refill(now)
        return (self._capacity - self._level) / self._rate


class SimulatedWindow:
    """Aligned windows, each with the same allowance; only debt is carried over."""

    def __init__(self, allowance: float, length_s: float, now: float) -> None:
        self._allowance = allowance
        self._length = length_s
        self._start = now
        self._used = 0.0

    def _roll(self, now: float) -> None:
        passed = int((now - self._start) / self._length + 1e-9)
        if passed > 0:
            self._start += passed * self._length
            self._used = max(0.0, self._used - passed * self._allowance)

    def fits(self, cost: float, now: float) -> bool:
        """See ``Meter``."""
        self._roll(now)
        return self._used <= _SLACK or self._used + cost <= self._allowance + _SLACK

    def take(self, cost: float, now: float) -> float:
        """See ``Meter``."""
        self._roll(now)
        self._used += cost
        return self._start

    def settle(self, stamp: Any, change: float, now: float) -> None:
        """See ``Meter``. Unused allowance of a past window is lost."""
        self._roll(now)
        if stamp == self._start or change > 0:
            self._used = max(0.0, self._used + change)

    def wait_s(self, cost: float, now: float) -> float:
        """See ``Meter``."""
        if self.fits(cost, now):
            return 0.0
        excess = self._used - max(0.0, self._allowance - cost)
        windows = max(1, math.ceil(excess / self._allowance - 1e-9))
        return self._start + windows * self._length - now

    def remaining(self, now: float) -> float:
        """See ``Meter``."""
        self._roll(now)
        return max(0.0, self._allowance - self._used)

    def reset_s(self, now: float) -> float:
        """See ``Meter``."""
        self._roll(now)
        windows = max(1, math.ceil(self._used / self._allowance - 1e-9))
        return self._start + windows * self._length - now


class SlidingWindow:
    """An exact log: no window of that length, wherever it begins, exceeds the allowance."""

    def __init__(self, allowance: float, length_s: float) -> None:
        self._allowance = allowance
        self._length = length_s
        self._log: deque[list[float]] = deque()  # [time, cost], oldest first
        self._used = 0.0

    def _trim(self, now: float) -> None:
        while self._log and self._log[0][0] <= now - self._length:
            self._used -= self._log.popleft()[1]
        if not self._log:
            self._used = 0.0

    def fits(self, cost: float, now: float) -> bool:
        """See ``Meter``."""
        self._trim(now)
        return self._used <= _SLACK or self._used + cost <= self._allowance + _SLACK

    def take(self, cost: float, now: float) -> list[float]:
        """See ``Meter``."""
        self._trim(now)
        entry = [now, cost]
        self._log.append(entry)
        self._used += cost
        return entry

    def settle(self, stamp: Any, change: float, now: float) -> None:
        """See ``Meter``."""
        self._trim(now)
        if self._log and stamp[0] >= self._log[0][0]:
            stamp[1] += change
            self._used += change

    def wait_s(self, cost: float, now: float) -> float:
        """See ``Meter``."""
        self._trim(now)
        excess = self._used + min(cost, self._allowance) - self._allowance
        for moment, spent in self._log:
            if excess <= _SLACK:
                break
            excess -= spent
            until = moment + self._length - now
            if excess <= _SLACK:
                return until
        return 0.0

    def remaining(self, now: float) -> float:
        """See ``Meter``."""
        self._trim(now)
        return max(0.0, self._allowance - self._used)

    def reset_s(self, now: float) -> float:
        """See ``Meter``."""
        self._trim(now)
        return self._log[-1][0] + self._length - now if self._log else 0.0


class Enforcer:
    """Joint admission on all dimensions of one quota: all or nothing is taken."""

    def __init__(self, quota: SimulatedQuota, now: float) -> None:
        self._quota = quota
        self._requests = _make_meter(quota, quota.rpm, now) if quota.rpm else None
        self._tokens = _make_meter(quota, quota.tpm, now) if quota.tpm else None
        self._day = SimulatedWindow(quota.rpd, _DAY_S, now) if quota.rpd else None

    def admit(
        self, prompt_tokens: int, max_tokens: int, now: float
    ) -> SimulatedCharge | QuotaRefusal:
        """Take one request and its tokens, or return why not."""
        quota = self._quota
        tokens = prompt_tokens + (max_tokens if quota.charge != "actual" else 0)
        checks = (
            ("requests", self._requests, quota.rpm, 1),
            ("tokens", self._tokens, quota.tpm, tokens),
            ("day", self._day, quota.rpd, 1),
        )
        for name, meter, limit, cost in checks:
            if meter is not None and limit is not None and not meter.fits(cost, now):
                wait_s = meter.wait_s(cost, now)
                used = max(0, round(limit - meter.remaining(now)))
                if quota.charge_refused and self._requests is not None:
                    self._requests.take(1, now)
                return QuotaRefusal(name, round(limit), used, cost, wait_s)
        stamp = self._tokens.take(tokens, now) if self._tokens is not None else None
        for meter in (self._requests, self._day):
            if meter is not None:
                meter.take(1, now)
        return SimulatedCharge(tokens, stamp)

    def settle(self, charge: SimulatedCharge, used_tokens: int, now: float) -> None:
        """Correct a charge to what the call really used, if this quota does so."""
        if self._tokens is not None and self._quota.charge != "reserve":
            self._tokens.settle(charge.stamp, used_tokens - charge.tokens, now)

    def levels(self, now: float) -> Levels:
        """Return the current values for the headers."""
        quota = self._quota
        return Levels(
            requests=_level(self._requests, quota.rpm, now),
            tokens=_level(self._tokens, quota.tpm, now),
            day=_level(self._day, quota.rpd, now),
        )


def _level(meter: Meter | None, limit: float | None, now: float) -> Level | None:
    if meter is None or limit is None:
        return None
    return Level(round(limit), int(meter.remaining(now) + _SLACK), meter.reset_s(now))


def _make_meter(quota: SimulatedQuota, per_minute: float, now: float) -> Meter:
    rate = per_minute / 60.0
    if quota.flavour == "refill":
        burst_s = quota.minute_s if quota.burst_s is None else quota.burst_s
        return SimulatedBucket(rate, max(rate * burst_s, 1.0), now)
    if quota.flavour == "second":
        length_s = max(1.0, 1.0 / rate)
        return SimulatedWindow(rate * length_s, length_s, now)
    if quota.flavour == "fixed":
        return SimulatedWindow(rate * quota.minute_s, quota.minute_s, now)
    return SlidingWindow(rate * quota.minute_s, quota.minute_s)
