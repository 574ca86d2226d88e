"""Detects whether a server counts per minute, and how much it accepts in one. Pure.

A server that counts per second, or by a token bucket, accepts calls again at once. One that counts
per minute accepts hardly any for a while. From its first refusal to its last, its minute is full:
the 60 seconds before contained exactly what it allows if its window slides, and at least that if
its windows are fixed.

Single refusals are evidence of its quota only if about a full minute's calls were accepted in the
last 60 seconds. Earlier ones are noise, and show its share.
"""

from __future__ import annotations

import math
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pairmill.llm.limits.windows import TakenLog

__all__ = ["MINUTE_S", "MinuteWatch"]

MINUTE_S = 60.0
_LONG_S = 3.0  # with hardly anything taken: the server counts by the minute
_SHORTS = 20  # shorter exhaustions in a row, until it is not thought to any more
_SOON = 2  # long ones in a row that came too soon, until they are thought to be waves
_APART_S = 45.0  # between two of them, at least; in a shorter time no minute ends twice
_FULL = 0.95  # of a minute's calls: below, nothing is refused for the quota's sake
_OF_CALLS = 0.5  # of a minute's calls, at least, are still in it as it ends
_FADE = 0.9  # per minute, of the fullest recent one
_KNOWN, _KNOWN_SHARE = 3, 0.01  # refusals of half a second, beyond which others are still to come
_MEMORY, _PRIOR = 1000.0, 50.0  # calls over which noise is averaged, and that speak for none
_STALE_S, _STALE_SINGLES = 180.0, 8  # so long and often refused, and no minute ended: there is none
_EXACT_S, _TIMES = 3.0, 5.0  # a minute ended as it should; then it is doubted so much later
_MANY, _ENOUGH = 0.1, 100  # so much noise, in so many calls: the minute is a mistake


class MinuteWatch:
    """What is known about a server's minutes."""

    __slots__ = (
        "_calls",
        "_doubts",
        "_full_at",
        "_fullest",
        "_log",
        "_long_at",
        "_measured",
        "_refused",
        "_refused_then",
        "_short_in_row",
        "_singles",
        "_soon",
        "_spent_at",
        "_told_s",
    )

    def __init__(self, log: TakenLog) -> None:
        self._log = log
        self._measured: deque[float] = deque(maxlen=2)
        self._short_in_row = _SHORTS
        self._long_at = float("-inf")  # when calls last flowed again after a long exhaustion
        self._soon = 0
        self._doubts = 1.0  # factor on duration and count, until minutes are ruled out
        self._told_s = 0.0  # the wait that was asked for when calls were last blocked
        self._spent_at = 0.0  # when calls were blocked last
        self._full_at = 0.0  # when nothing was taken yet, last
        self._fullest = 0.0  # calls in the fullest recent minute
        self._calls = self._refused = 0.0  # while no minute was full
        self._refused_then = 0
        self._singles = 0  # since calls last flowed again after a long exhaustion

    @property
    def is_long(self) -> bool:
        """True if the server seems to count per minute, not per second."""
        return self._short_in_row < _SHORTS

    @property
    def is_sure(self) -> bool:
        """True if a minute ended when it should; else the server may just have been away."""
        return self._doubts > 1.0

    @property
    def is_credible(self) -> bool:
        """True if minutes end when they should, or when the server said."""
        return self.is_long and (self.is_sure or math.isfinite(self._told_s))

    @property
    def allowed(self) -> float:
        """Calls per second, by the last two exhausted minutes; 0 while unknown."""
        return max(self._measured, default=0.0)

    @property
    def noise(self) -> float:
        """Share of calls that is refused by chance."""
        return self._refused / (self._calls + _PRIOR)

    def begin_exhaustion(self, now: float, wait_s: float | None) -> None:
        """Start a time with hardly anything accepted; the server asked to wait this long."""
        self._told_s = float("inf") if wait_s is None else wait_s
        self._spent_at = self._full_at = now
        self.still_full(now, wait_s)

    def still_full(self, now: float, wait_s: float | None) -> None:
        """Continue it: nothing was accepted since; the server asked to wait this long."""
        is_far = wait_s is not None and wait_s >= _LONG_S
        self._full_at = max(self._full_at, now + (wait_s or 0.0) if is_far else now)

    def end_exhaustion(self, now: float, silent_s: float, *, is_cluster: bool) -> bool | None:
        """Learn that calls flow again.

        Args:
            now: The time.
            silent_s: Duration of the exhaustion.
            is_cluster: It began with several refusals.

        Returns:
            Whether a minute ended; None if the presumed minutes turn out to be waves.
        """
        is_as_told = self._told_s >= _LONG_S and now >= self._full_at - _EXACT_S
        is_long = silent_s >= _LONG_S and is_as_told and self._holds_calls()
        if is_long:
            self._singles = 0
            self._soon = self._soon + 1 if now - self._long_at < _APART_S else 0
            if self._is_exact(now):
                self._doubts = _TIMES
            self._long_at = now
            is_long = self._soon < _SOON
            if not is_long and self.is_long:
                self.forget()
                return None
        self._short_in_row = 0 if is_long else self._short_in_row + is_cluster
        return is_long

    def _holds_calls(self) -> bool:
        """Return whether its calls were all taken less than a minute ago when it was full last."""
        calls = self._log.minute(self._spent_at)
        return self._log.minute(self._full_at) >= _OF_CALLS * calls

    def _is_exact(self, now: float) -> bool:
        """Return whether a minute has passed since the first call, or since one ended."""
        is_first = math.isinf(self._long_at)
        minutes = (now - (self._log.since if is_first else self._long_at)) / MINUTE_S
        whole = 1 if is_first else max(1, round(minutes))
        return abs(minutes - whole) * MINUTE_S <= _EXACT_S

    def measure(self, now: float, spent_at: float) -> float:
        """Return the allowed calls per second, from the minute that was exhausted at ``spent_at``.

        A minute that ends within the first one began before the first call, or is not a minute.
        Then the observed time counts: an estimate too high costs refusals, one too low costs
        answers.
        """
        seen_s = min(MINUTE_S, max(1.0, now - self._log.since))
        allowed = self._log.minute(self._full_at) / seen_s
        if spent_at - self._log.since >= MINUTE_S:
            allowed = min(allowed, self._log.minute(spent_at) / MINUTE_S)
        self._measured.append(allowed)
        return allowed

    def forget(self) -> None:
        """Drop the assumption that the server counts per minute."""
        self._short_in_row = _SHORTS
        self._measured.clear()
        self._doubts = 1.0
        self._calls = self._refused = 0.0

    def is_full(self, now: float, allowed: float) -> bool:
        """Return whether about as much was accepted in the last minute as ``allowed`` permits."""
        return self._log.minute(now) >= _FULL * min(allowed * MINUTE_S, self._fullest)

    def on_single(self, now: float, allowed: float) -> bool:
        """Record a single refusal; return whether it may be a quota's, the minute being full."""
        self._singles += 1
        is_full = self.is_full(now, allowed)
        self._refused += not is_full
        return is_full

    def on_sample(
        self, now: float, calls: int, seconds: float, refused: int, allowed: float
    ) -> bool:
        """Record how many calls were sent recently; return True if these are not minutes.

        Args:
            now: The time.
            calls: Number sent since the last sample.
            seconds: Time since the last sample.
            refused: Calls refused so far.
            allowed: Calls per second.
        """
        window = self._log.minute(now)
        self._fullest *= _FADE ** (seconds / MINUTE_S)
        if refused - self._refused_then <= _KNOWN + _KNOWN_SHARE * window:
            self._fullest = max(window, self._fullest)
        self._refused_then = refused
        is_old = now >= self._long_at + self._doubts * _STALE_S
        if is_old and self._singles >= self._doubts * _STALE_SINGLES:
            return True
        if self.is_full(now, allowed):
            return False
        self._calls += calls
        if self._calls > _MEMORY:
            self._refused *= _MEMORY / self._calls
            self._calls = _MEMORY
        return self._calls >= _ENOUGH and self._refused > _MANY * self._calls
