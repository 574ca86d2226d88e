"""Usage over time: a token bucket, and windows of seconds and minutes. Pure.

A bucket fills at ``rate`` units a second up to ``capacity``; taking lowers its level, which may
become negative (a debt that later refills pay back). Over any span of ``T`` seconds it gives out at
most ``rate * T + max(capacity, largest amount)``, however early or late it is checked.

A bucket enforces an average; the windows are what servers really check.
"""

from __future__ import annotations

import math
from bisect import (
    bisect_left,
)
from collections import (
    deque,
)

__all__ = [
    "Bucket",
    "MinuteLog",
    "RefusedLog",
    "SecondLog",
    "TakenLog",
]

_SLACK = 1e-9  # relative; rounding of sums of floats must not keep a full bucket closed


class Bucket:
    """A token bucket; the caller passes the time.

    Attributes:
        rate: Units added per second; more than 0.
        capacity: Highest level; more than 0.
        level: Units at ``at``; negative means debt.
        at: Seconds on the caller's monotonic clock. An earlier time changes nothing.
    """

    __slots__ = ("at", "capacity", "level", "rate")

    def __init__(self, rate: float, capacity: float, *, level: float, now: float) -> None:
        self.rate = rate
        self.capacity = capacity
        self.level = min(level, capacity)
        self.at = now

    def refill(self, now: float) -> None:
        """Add the units since ``at``. A stall of an hour fills the bucket once, no more."""
        if now > self.at:
            self.level = min(self.capacity, self.level + (now - self.at) * self.rate)
            self.at = now

    def wait_s(self, amount: float, now: float) -> float:
        """Seconds until ``amount`` may be taken; 0.0 means now.

        An amount larger than the capacity may be taken when the bucket is full; ``take`` then
        leaves a debt, so it costs its own time and never blocks forever.
        """
        if now > self.at:  # ``refill``, written out: this is the hottest line of all
            level = self.level + (now - self.at) * self.rate
            self.level = level if level < self.capacity else self.capacity  # noqa: FURB136
            self.at = now
        capacity = self.capacity
        missing = (amount if amount < capacity else capacity) - self.level  # noqa: FURB136
        return 0.0 if missing <= _SLACK * capacity else missing / self.rate

    def take(self, amount: float) -> None:
        """Lower the level by ``amount``. The caller has checked ``wait_s`` at the same time."""
        self.level -= amount

    def give(self, amount: float, now: float) -> None:
        """Raise the level by ``amount`` (a refund) up to the capacity, or lower it if negative."""
        self.refill(now)
        self.level = min(self.capacity, self.level + amount)

    def lower(self, level: float, now: float) -> None:
        """Lower the level to ``level``; a higher ``level`` changes nothing."""
        self.refill(now)
        self.level = min(self.level, level)

    def retune(self, rate: float, capacity: float, now: float) -> None:
        """Change rate and capacity as of ``now``; the level is kept, up to the new capacity."""
        self.refill(now)
        self.rate = rate
        self.capacity = capacity
        self.level = min(self.level, capacity)


_CELL_S = 0.25
_CELLS = 241  # a minute, wherever in a cell it begins
_SPACE_S = 1.0
_LEAST_MARGIN_S, _MARGIN_S, _MOST_MARGIN_S = 0.012, 0.014, 0.1
_LAGS = 2.0  # the margin, in multiples of recently measured delays
_FADE = 0.995
_FASTER = 1.2
_KEPT_S = 90.0  # of samples: a minute, wherever in the pause after it it ended
_MINUTE_S = 60.0
_REFUSED = 256  # refusals whose order is known: as many as may come out of order


class MinuteLog:
    """Tokens sent in the last minute, per quarter of a second; entries can be corrected.

    Attributes:
        total: Sum over the last minute, plus up to a quarter of a second.
    """

    __slots__ = ("_cells", "_sums", "total")

    def __init__(self) -> None:
        self._cells: deque[int] = deque()
        self._sums: dict[int, float] = {}
        self.total = 0.0

    def add(self, amount: float, now: float) -> None:
        """Record an amount sent now."""
        cell = int(now / _CELL_S)
        if cell not in self._sums:
            self.trim(now)
            self._cells.append(cell)
            self._sums[cell] = 0.0
        self._sums[cell] += amount
        self.total += amount

    def correct(self, change: float, then: float) -> None:
        """Correct an amount sent at ``then``, if that is less than a minute ago."""
        cell = int(then / _CELL_S)
        if cell in self._sums:
            self._sums[cell] += change
            self.total += change

    def trim(self, now: float) -> None:
        """Remove entries older than a minute."""
        oldest = int(now / _CELL_S) - _CELLS
        cells = self._cells
        while cells and cells[0] <= oldest:
            self.total -= self._sums.pop(cells.popleft())
        if not cells:
            self.total = 0.0

    def wait_s(self, now: float) -> float:
        """Seconds until the oldest entry expires."""
        if not self._cells:
            return _CELL_S
        return max(1e-3, (self._cells[0] + _CELLS) * _CELL_S - now)


class SecondLog:
    """Requests of the last second, for servers that enforce a quota per minute by the second.

    A second's worth of requests is never sent within less than a second plus a margin. A late
    request delays only its successor one second later, so local delays cost their mean and never a
    refusal. The margin allows for varying latency to the server. It follows the delays measured
    here, up to 14 ms (1.4 % of the quota), and grows beyond that after refusals.

    Attributes:
        margin_s: Seconds left free in each second.
    """

    __slots__ = ("_cap_s", "_lag_s", "_span_s", "_times", "_wider_s", "margin_s")

    def __init__(self, per_s: float) -> None:
        self._cap_s = _MARGIN_S
        self._wider_s = _MARGIN_S  # the cap that refusals asked for, while it is suspended
        self._lag_s = 0.0
        self.margin_s = _LEAST_MARGIN_S
        self._span_s = 1.0
        self._times: deque[float] = deque()
        self.retune(per_s)

    def retune(self, per_s: float) -> None:
        """Change the rate; entries are kept."""
        count = max(1, math.floor(per_s * _SPACE_S + 1e-9))
        self._span_s = count / per_s
        if count != self._times.maxlen:
            self._times = deque(self._times, maxlen=count)

    def wait_s(self, now: float) -> float:
        """Seconds until one more may be sent."""
        times = self._times
        if len(times) < (times.maxlen or 1):
            return 0.0
        wait_s = times[0] + self._span_s + self.margin_s - now
        return wait_s if wait_s > 0.0 else 0.0  # noqa: FURB136 (a third of the cost of max)

    def add(self, now: float) -> None:
        """Record one that is sent now."""
        self._times.append(now)

    def remove(self, then: float) -> None:
        """Remove one that was admitted at ``then`` and not sent."""
        if then in self._times:
            self._times.remove(then)

    def on_lag(self, seconds: float) -> None:
        """Record how late a timer ran."""
        self._lag_s = max(seconds, self._lag_s * _FADE)
        self._set_margin()

    def on_refused(self) -> None:
        """Record that the margin was too small."""
        self._widen(self._cap_s * 1.5)

    @property
    def is_wider(self) -> bool:
        """True if refusals have widened the margin."""
        return self._cap_s > _MARGIN_S

    def suspend(self) -> None:
        """Go back to the margin of before the refusals, to see whether more are refused."""
        self._wider_s, self._cap_s, self._lag_s = self._cap_s, _MARGIN_S, 0.0
        self._set_margin()

    def resume(self) -> None:
        """Go on with the wider margin."""
        self._widen(self._wider_s)

    def _widen(self, cap_s: float) -> None:
        self._cap_s = min(_MOST_MARGIN_S, cap_s)
        self._lag_s = max(self._lag_s, self._cap_s / _LAGS)
        self._set_margin()

    def _set_margin(self) -> None:
        self.margin_s = min(self._cap_s, max(_LEAST_MARGIN_S, _LAGS * self._lag_s))


class TakenLog:
    """Samples, half a second apart, of how many calls a server had accepted.

    Attributes:
        since: When the log began.
    """

    __slots__ = ("_samples", "since")

    def __init__(self) -> None:
        self.since = math.inf
        self._samples: deque[tuple[float, int]] = deque()

    def add(self, now: float, taken: int) -> None:
        """Record how many calls have been accepted so far; earlier samples may have been too high.

        A call counts as accepted until it is refused.
        """
        samples = self._samples
        if not samples:
            self.since = now - _SPACE_S
            samples.append((self.since, 0))
        place = len(samples)
        while place and samples[place - 1][1] > taken:
            place -= 1
            samples[place] = (samples[place][0], taken)
        samples.append((now, taken))
        while len(samples) > 2 and samples[1][0] <= now - _KEPT_S:  # noqa: PLR2004 (a span)
            samples.popleft()

    def rate(self, now: float, span_s: float) -> float:
        """Calls per second accepted in the last ``span_s`` seconds; more than 0."""
        if not self._samples:
            return 1.0
        since, taken_then = self._samples[0]
        for at, taken in reversed(self._samples):
            since, taken_then = at, taken
            if at <= now - span_s:
                break
        return max(1, self._samples[-1][1] - taken_then) / max(now - since, 1.0)

    def is_speeding_up(self, now: float) -> bool:
        """Return whether clearly more was accepted in the last second than in the last three."""
        return self.rate(now, 1.0) > _FASTER * self.rate(now, 3.0)

    def span_s(self, now: float, calls: int, least_s: float, most_s: float) -> float:
        """Seconds in which the last so many calls were accepted, within bounds."""
        if not self._samples:
            return least_s
        last = self._samples[-1][1]
        for at, taken in reversed(self._samples):
            if last - taken >= calls:
                return min(most_s, max(least_s, now - at))
        return most_s

    def minute(self, until: float) -> int:
        """Calls accepted in the minute before ``until``; at least 1."""
        return max(1, self._by(until) - self._by(until - _MINUTE_S))

    def _by(self, then: float) -> int:
        found = self._samples[0][1] if self._samples else 0
        for at, taken in self._samples:
            if at > then:
                break
            found = taken
        return found


class RefusedLog:
    """Recently refused calls in the order of sending, which may differ from that of refusals."""

    __slots__ = ("_indices",)

    def __init__(self) -> None:
        self._indices: list[int] = []

    def later(self, index: int) -> int:
        """Record a refusal of call number ``index``; return how many later calls were refused."""
        place = bisect_left(self._indices, index)
        after = len(self._indices) - place
        self._indices.insert(place, index)
        del self._indices[:-_REFUSED]
        return after

    @property
    def end(self) -> int:
        """One more than the number of the last refused call; 0 if there is none."""
        return self._indices[-1] + 1 if self._indices else 0

    def between(self, first: int, end: int) -> int:
        """Calls from number ``first`` to before ``end`` that were refused, as far as remembered."""
        return bisect_left(self._indices, end) - bisect_left(self._indices, first)
