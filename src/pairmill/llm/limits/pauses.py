"""Pauses of a pool: after a refusal, and while its server has no capacity. Pure.

A server without capacity (503, 529, 498) says nothing about a rate, so no pace is cut. But as long
as it refuses all that it is sent, only a few calls ask whether it is back: after a cluster of
refusals (see ``noise``) nothing goes for a moment, and twice as long each time that nothing was
taken in between. One that stays away is the breaker's.
"""

from __future__ import annotations

from enum import Enum, auto

from pairmill.llm.limits.noise import ClusterTest, pause_score

__all__ = [
    "CapacityWatch",
    "Effect",
    "PoolPause",
]

_LEAST_STEP_S, _MOST_STEP_S = 0.05, 0.5  # in which twice as many calls may go: bounds
_REFUSALS = 2.0  # the same, in times that a refusal takes to come: the last ones are known then
_FADE = 0.9  # with each refusal, of what the longest of late took
_LEAST_WAIT_S = 0.001
_CALLS_PER_PROBE = 25.0  # calls that a pool could make while it waits to ask again, at most


class Effect(Enum):
    """Consequence of one refusal."""

    NONE = auto()  # it alone waits
    SLOWER = auto()  # an episode began, with a short pause; the refused call waits alone
    PAUSED = auto()  # an episode began: nothing goes for a while, and then more slowly
    HELD = auto()  # it belongs to an episode: nothing goes for a while

    @property
    def is_held(self) -> bool:
        """True if nothing is admitted for as long as this refusal asks."""
        return self in {Effect.PAUSED, Effect.HELD}

    @property
    def is_cut(self) -> bool:
        """True if an episode began."""
        return self in {Effect.PAUSED, Effect.SLOWER}


class PoolPause:
    """When nothing goes, and how few calls after that.

    Attributes:
        until: Nothing goes before this time.
        began_at: When the last pause began.
        blocked: Pauses in a row with nothing taken between them.
        is_asked: The server asked for it, as long as it is.
        is_ramping: Fewer calls go than may be in flight, as a pause has ended.
        refused_in_s: How long after sending refusals come, at most, of late.
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
        self._base = 1  # calls that go at first
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
        """Let nothing go for ``wait_s``, then ``base`` calls, then more and more."""
        self.began_at, self.is_asked = now, is_asked
        self.extend(now + wait_s)
        self._base, self._sent, self.is_ramping = base, sent, True

    def extend(self, until: float) -> None:
        """Let nothing go before ``until`` either."""
        self.until = max(self.until, until)

    def on_refused(self, seconds: float) -> None:
        """Learn how long a refusal took."""
        self.refused_in_s = max(seconds, _FADE * self.refused_in_s)

    def backoff_s(self, pace: float | None) -> float:
        """Twice as long each time that nothing was taken; but a fast pool asks more often.

        So calls that only ask, and are refused, stay few beside those that are answered.
        """
        longest = self._max_backoff_s
        if pace is not None:
            longest = min(longest, max(self._backoff_s, _CALLS_PER_PROBE / pace))
        return min(longest, self._backoff_s * 2.0 ** min(self.blocked, 30))

    def room(self, now: float, sent: int, limit: int) -> int:
        """Calls that may go at this moment after a pause; ``limit`` where that is long ago.

        At first one, or a few; twice as many each time that the last ones could have been refused.

        Args:
            now: The time.
            sent: Calls admitted so far.
            limit: Calls that may be in flight; as soon as so many may go, this rule is over.
        """
        if not self.is_ramping:
            return limit
        may_go = self._base << min(self._steps(now), 20)
        if may_go >= limit:
            self.is_ramping = False
            return limit
        return max(0, self._sent + may_go - sent)

    def wait_s(self, now: float, sent: int, limit: int) -> float:
        """Seconds until one more call may go after a pause; 0.0 means now."""
        if not self.is_ramping or self.room(now, sent, limit):
            return 0.0
        return max(_LEAST_WAIT_S, self.until + (self._steps(now) + 1) * self._step_s - now)

    def _steps(self, now: float) -> int:
        return int(max(0.0, now - self.until) / self._step_s)

    @property
    def _step_s(self) -> float:
        return min(_MOST_STEP_S, max(_LEAST_STEP_S, _REFUSALS * self.refused_in_s))


_FIRST_S, _LONGEST_S = 0.25, 15.0  # of pauses for which the server did not ask
_CALLS = 25.0  # that a pool could make while it waits to ask again, at most


class CapacityWatch:
    """Decides when so much is refused for want of capacity that all calls wait."""

    __slots__ = ("_blocked", "_cluster", "_mark", "_rate")

    def __init__(self) -> None:
        self._cluster = ClusterTest()
        self._blocked = 0  # pauses in a row with nothing taken between them
        self._mark = -1  # calls taken before the last pause
        self._rate = 0.0  # calls a second before the first of these pauses

    def on_refused(
        self, index: int, taken: int, usual: float, rate: float, retry_after_s: float | None
    ) -> float | None:
        """Learn of a refusal; how long all calls are to wait, None: it alone.

        Args:
            index: Its call's number in the order of sending.
            taken: Calls before it that were not refused.
            usual: Share of the calls that is refused by chance, as far as is known elsewhere.
            rate: Calls a second that are taken of late.
            retry_after_s: What the server asked for; None where it said nothing.
        """
        self._cluster.on_refused(index, usual)
        is_blocked = taken <= self._mark + 1
        if not is_blocked:
            self._rate = rate
        blocked = self._blocked + 1 if is_blocked else 0
        wait_s = self._backoff_s(blocked) if retry_after_s is None else retry_after_s
        if self._cluster.score < pause_score(wait_s * self._rate, is_blocked=is_blocked):
            return None
        self._cluster.forget()
        self._blocked, self._mark = blocked, taken
        return wait_s

    def _backoff_s(self, blocked: int) -> float:
        longest = min(_LONGEST_S, max(_FIRST_S, _CALLS / max(1.0, self._rate)))
        return min(longest, _FIRST_S * 2.0 ** min(blocked, 30))
