"""Pauses of a pool: after a refusal, and while its server has no capacity. Pure.

A server without capacity (503, 529, 498) says nothing about our rate, so the pace is kept. But
while it refuses everything, only a few calls should ask whether it is back: after a cluster of
refusals (see ``noise``) nothing is sent for a moment, for twice as long each time that nothing was
accepted in between. If it stays away, the breaker takes over.
"""

from __future__ import annotations

import math
from enum import Enum, auto

from pairmill.llm.limits.noise import ClusterTest, pause_score

__all__ = [
    "AskedWait",
    "CapacityWatch",
    "Effect",
    "PoolPause",
]

_LEAST_STEP_S, _MOST_STEP_S = 0.05, 0.5  # bounds of the time in which the ramp doubles
_REFUSALS = (
    2.0  # that time in multiples of a refusal's delay: the last step's outcome is then known
)
_FADE = 0.9  # of the longest recent delay, with each refusal
_LEAST_WAIT_S = 0.001
_CALLS_PER_PROBE = 25.0  # most calls that a pool may miss while it waits to ask again


class Effect(Enum):
    """Consequence of one refusal."""

    NONE = auto()  # only the refused call waits
    SLOWER = auto()  # an episode began, with a short pause; only the refused call waits
    PAUSED = auto()  # an episode began: nothing is sent for a while, then less
    HELD = auto()  # part of the present episode: nothing is sent for a while

    @property
    def is_held(self) -> bool:
        """True if the whole pool waits as long as this refusal asks."""
        return self in {Effect.PAUSED, Effect.HELD}

    @property
    def is_cut(self) -> bool:
        """True if an episode began."""
        return self in {Effect.PAUSED, Effect.SLOWER}


class PoolPause:
    """The pool's pause, and the ramp after it.

    Attributes:
        until: Nothing is sent before this time.
        began_at: When the last pause began.
        blocked: Consecutive pauses with nothing accepted between them.
        is_asked: The server asked for this pause and its length.
        is_ramping: A pause has ended, and fewer calls are sent than may be in flight.
        refused_in_s: Longest recent delay between sending a call and its refusal.
    """

    __slots__ = (
        "_backoff_s",
        "_base",
        "_max_backoff_s",
        "_sent",
        "began_at",
        "blocked",
        "is_asked",
        "is_ramping",
        "refused_in_s",
        "until",
    )

    def __init__(self, backoff_s: float, max_backoff_s: float) -> None:
        self._backoff_s = backoff_s
        self._max_backoff_s = max_backoff_s
        self._base = 1  # calls sent at first
        self._sent = 0  # before the pause
        self.until = float("-inf")
        self.began_at = 0.0
        self.blocked = 0
        self.is_asked = True
        self.is_ramping = False
        self.refused_in_s = 0.0

    def begin(
        self, now: float, wait_s: float, sent: int, base: int, *, is_asked: bool = True
    ) -> None:
        """Send nothing for ``wait_s`` seconds, then ``base`` calls, then twice as many a step."""
        self.began_at, self.is_asked = now, is_asked
        self.extend(now + wait_s)
        self._base, self._sent, self.is_ramping = base, sent, True

    def extend(self, until: float) -> None:
        """Extend the pause to ``until`` if that is later."""
        self.until = max(self.until, until)

    def on_refused(self, seconds: float) -> None:
        """Record the delay between sending a call and its refusal."""
        self.refused_in_s = max(seconds, _FADE * self.refused_in_s)

    def backoff_s(self, pace: float | None) -> float:
        """Return the back-off: doubled after each pause in which nothing was accepted.

        It is capped lower for fast pools, which lose more calls by waiting.
        """
        longest = self._max_backoff_s
        if pace is not None:
            longest = min(longest, max(self._backoff_s, _CALLS_PER_PROBE / pace))
        return min(longest, self._backoff_s * 2.0 ** min(self.blocked, 30))

    def room(self, now: float, sent: int, limit: int) -> int:
        """Return how many calls may be sent now after a pause; ``limit`` once it is long past.

        One or a few at first, then twice as many each time the outcome of the last ones is known.

        Args:
            now: The time.
            sent: Calls admitted so far.
            limit: Calls that may be in flight; the ramp ends when it reaches this.
        """
        if not self.is_ramping:
            return limit
        may_go = self._base << min(self._steps(now), 20)
        if may_go >= limit:
            self.is_ramping = False
            return limit
        return max(0, self._sent + may_go - sent)

    def wait_s(self, now: float, sent: int, limit: int) -> float:
        """Return the seconds until one more call may be sent after a pause; 0.0 means now."""
        if not self.is_ramping or self.room(now, sent, limit):
            return 0.0
        return max(_LEAST_WAIT_S, self.until + (self._steps(now) + 1) * self._step_s - now)

    def _steps(self, now: float) -> int:
        return int(max(0.0, now - self.until) / self._step_s)

    @property
    def _step_s(self) -> float:
        return min(_MOST_STEP_S, max(_LEAST_STEP_S, _REFUSALS * self.refused_in_s))


_COSTLY = 500.0  # calls that a pool would miss by a wait: not before the server was right once
_LONGEST_DOUBTED_S = 120.0  # longer waits are those of a day's quota, or of an account
_FIRST_ASKED_S, _LONGEST_ASKED_S = 1.0, 8.0  # until one call asks again, meanwhile


class AskedWait:
    """Decides how much of a wait that the server asks for passes until one call tries again.

    A server that refuses by chance, or has no capacity, asks for a wait that means nothing: after
    30 s for all calls of a fast pool thousands are missing. One that counts by the minute knows
    when the minute ends. So a wait that would cost many calls is not believed at once: single calls
    ask meanwhile, until calls were refused for all of a wait, and taken for a while after it.
    """

    __slots__ = ("_kept_at", "_until")

    def __init__(self) -> None:
        self._kept_at: float | None = None  # when calls were taken after a wait, as announced
        self._until = -math.inf  # of the wait that is doubted

    def is_doubted(self, now: float) -> bool:
        """Return whether calls ask before such a wait is over."""
        return now < self._until

    def pause_s(self, now: float, asked_s: float, rate: float, blocked: int) -> float:
        """Return for how many seconds nothing is sent.

        Args:
            now: The time.
            asked_s: Seconds that the server asks to wait.
            rate: Calls a second that are taken otherwise.
            blocked: Pauses before this one with nothing accepted in between.
        """
        is_doubted = (blocked > 0 and self._until > -math.inf) or asked_s * rate >= _COSTLY
        if not is_doubted or asked_s > _LONGEST_DOUBTED_S:
            self._until = -math.inf
            return asked_s
        if self._kept_at is not None:
            if now >= self._kept_at + _LONGEST_ASKED_S:
                return asked_s
            self._kept_at = None
        if now >= self._until or not blocked:
            self._until = now + asked_s
        step_s = min(_LONGEST_ASKED_S, _FIRST_ASKED_S * 2.0 ** min(blocked, 30))
        return min(step_s, self._until - now)

    def on_flow(self, now: float) -> None:
        """Learn that calls are taken again."""
        if -math.inf < self._until <= now:
            self._kept_at = now
        self._until = -math.inf


_FIRST_S, _LONGEST_S = 0.25, 15.0  # length of pauses that the server did not ask for
_CALLS = 25.0  # most calls that a pool may miss while it waits to ask again


class CapacityWatch:
    """Decides when so much is refused for lack of capacity that all calls wait.

    Attributes:
        blocked: Consecutive pauses with nothing accepted between them.
    """

    __slots__ = ("_cluster", "_mark", "_rate", "blocked")

    def __init__(self) -> None:
        self._cluster = ClusterTest()
        self.blocked = 0
        self._mark = -1  # calls accepted before the last pause
        self._rate = 0.0  # calls a second before the first of these pauses

    def on_refused(
        self, index: int, taken: int, usual: float, rate: float, retry_after_s: float | None
    ) -> float | None:
        """Record a refusal.

        Args:
            index: The call's position in the order of sending.
            taken: Calls before it that were accepted.
            usual: Share of calls refused by chance, if known from elsewhere.
            rate: Calls a second accepted recently.
            retry_after_s: The wait that the server asked for; None if it did not.

        Returns:
            Seconds that all calls must wait; None if only this call must.
        """
        self._cluster.on_refused(index, usual)
        is_blocked = taken <= self._mark + 1
        if not is_blocked:
            self._rate = rate
        blocked = self.blocked + 1 if is_blocked else 0
        wait_s = self._backoff_s(blocked) if retry_after_s is None else retry_after_s
        if self._cluster.score < pause_score(wait_s * self._rate, is_blocked=is_blocked):
            return None
        self._cluster.forget()
        self.blocked, self._mark = blocked, taken
        return wait_s

    def _backoff_s(self, blocked: int) -> float:
        longest = min(_LONGEST_S, max(_FIRST_S, _CALLS / max(1.0, self._rate)))
        return min(longest, _FIRST_S * 2.0 ** min(blocked, 30))
