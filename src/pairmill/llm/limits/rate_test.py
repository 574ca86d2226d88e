"""Tests a measured rate: when a test is due, and its outcome. Pure.

A measured rate may have been wrong from the start, or have become so. So after a while the pace
doubles each second (see ``pacing``) until the server refuses, or until nothing limits it any more.
"""

from __future__ import annotations

import math

from pairmill.llm.limits.minutes import MINUTE_S

__all__ = ["LONGER", "LONG_PATIENCE_S", "OVER", "RateTest"]

LONG_PATIENCE_S = 75.0  # a server that counts by the minute takes a minute to object
LONGER = 4  # times as long until the next test, after each that failed
OVER = 8.0
"""Log likelihood ratio of the end of noise, in a run of calls without a refusal."""
_FIRST_S, _FIRST_CALLS = 2.0, 40  # held, before what was measured is put to the test
_LATEST_S = 1.5  # for each of those calls: a pool that is too slow for them is tested too
_HALF, _USUAL = 0.5, 0.05  # of a test's calls that a quota refuses, and chance at least
_SURE = 8.0  # log likelihood ratio of half over the usual
_UNUSED_S = 2.0  # at a pace that is not used: there is nothing to hold back
_AS_TESTED = 1.2  # times what was tested: it is uncertain by as much


class RateTest:
    """The current test, and when the next one is due.

    Attributes:
        rate: The rate under test, in calls per second; None if there is no test.
    """

    __slots__ = (
        "_due_at",
        "_due_sent",
        "_held_calls",
        "_held_s",
        "_is_forgiven",
        "_over",
        "_over_at",
        "_over_needed",
        "_released",
        "_released_at",
        "_since",
        "_taken",
        "rate",
    )

    def __init__(self) -> None:
        self.rate: float | None = None
        self._since, self._taken = 0.0, 0  # when the test began, and what had been taken before
        self._over, self._over_at = 0.0, 0  # log likelihood ratio of a test that went too far
        self._released: float | None = None  # what was tested, once no pace is left
        self._released_at = -math.inf
        self._held_s, self._held_calls = _FIRST_S, _FIRST_CALLS
        self._due_at, self._due_sent = math.inf, 0
        self._is_forgiven, self._over_needed = False, OVER

    def begin(self, now: float, rate: float, taken: int, sent: int) -> None:
        """Start a test of a rate, after ``taken`` of ``sent`` calls were accepted."""
        self.rate = rate
        self._since, self._taken = now, taken
        self._over, self._over_at = 0.0, sent

    def on_refused(self, index: int, usual: float) -> bool:
        """Record a refusal; return whether about half of the test's calls were refused.

        Args:
            index: The call's position in the order of sending.
            usual: Share of the calls that is refused by chance.
        """
        usual = max(_USUAL, usual)
        if self.rate is None or index < self._over_at or usual >= _HALF:
            return False
        self._over -= (index - self._over_at) * math.log((1.0 - usual) / (1.0 - _HALF))
        self._over = max(0.0, self._over) + math.log(_HALF / usual)
        self._over_at = index + 1
        return self._over >= _SURE

    def end(self, now: float, taken: int, *, is_free: bool) -> float | None:
        """End the test because of refusals; return the rate to go back to, or None.

        If a test has just freed the pool of its pace (``is_free``), the server may have accepted
        the excess from savings: a bucket with a minute's calls tolerates any rate for some time.

        Args:
            now: The time.
            taken: Calls accepted so far.
            is_free: The pool has no pace.
        """
        rate, self.rate = self.rate, None
        released, self._released = self._released, None
        if rate is not None or released is None or not is_free or not self._is_recent(now):
            return rate
        least = (taken - self._taken) / (now - self._since + MINUTE_S)
        return released if least <= _AS_TESTED * released else None

    def release(self, now: float) -> None:
        """End the test, because nothing limits the pool any more."""
        self._released, self.rate = self.rate, None
        self._released_at = now

    def unused_s(self, *, is_long: bool) -> float:
        """Seconds for which a pace is unused until it is dropped; more if it is by the minute."""
        return MINUTE_S if is_long and self.rate is not None else _UNUSED_S

    def _is_recent(self, now: float) -> bool:
        return now < self._released_at + LONG_PATIENCE_S

    def on_failed(self, *, is_long: bool) -> None:
        """Wait longer before the next test; ``is_long`` if the server counts per minute."""
        if self._is_forgiven:
            self._is_forgiven = False
            self._over_needed *= LONGER
        self._held_s = LONGER * max(self._held_s, LONG_PATIENCE_S if is_long else 0.0)
        self._held_calls *= LONGER

    def on_measured(self, now: float) -> None:
        """Schedule an early test of a rate that was measured without a pace.

        Later if a pace was just dropped.
        """
        times = LONGER if self._is_recent(now) else 1
        first = self._held_calls if times > 1 else _FIRST_CALLS
        self._held_calls = min(_FIRST_CALLS * LONGER**3, first * times)
        self._held_s = _FIRST_S * self._held_calls / _FIRST_CALLS

    def forgive(self, now: float, score: float) -> None:
        """Forget how many tests have failed, if noise that may have done it has ended.

        Where the next test fails all the same it was no noise: then it takes more to believe that.

        Args:
            now: The time.
            score: Log likelihood ratio of the end of that noise.
        """
        if score >= self._over_needed and self._held_s > _FIRST_S:
            self._held_s, self._held_calls = _FIRST_S, _FIRST_CALLS
            self._is_forgiven = True
            self.hurry(now)

    def hold(self, now: float, sent: int, *, is_long: bool) -> None:
        """Postpone the next test, counting from ``now``, when ``sent`` calls have been sent."""
        self._due_at = now + (max(self._held_s, LONG_PATIENCE_S) if is_long else self._held_s)
        self._due_sent = sent + self._held_calls

    def hold_until(self, then: float) -> None:
        """Postpone the next test at least until ``then``."""
        self._due_at = max(self._due_at, then)

    def hurry(self, now: float) -> None:
        """Make the next test due at once."""
        self._due_at, self._due_sent = now, 0

    def is_due(self, now: float, sent: int) -> bool:
        """Return whether it is time for the next test."""
        if now < self._due_at:
            return False
        return sent >= self._due_sent or now >= self._due_at + _LATEST_S * self._held_calls
