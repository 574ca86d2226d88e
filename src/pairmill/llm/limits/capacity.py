"""Pauses of a pool whose server has no capacity for a while (503, 529, 498). Pure.

Such a server says nothing about a rate, so no pace is cut. But as long as it refuses all that it is
sent, only a few calls ask whether it is back: after a cluster of refusals (see ``noise``) nothing
goes for a moment, and twice as long each time that nothing was taken in between. One that stays
away is the breaker's.
"""

from __future__ import annotations

from pairmill.llm.limits.noise import ClusterTest, pause_score

__all__ = ["CapacityWatch"]

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
