"""How fast a pool may go when its server has said "too fast": one pure controller, told the time.

The server's real limit is measured instead of guessed. Each time it refuses, its quota is used up.
So what it took *between* two refusals, divided by the time between them, is the rate that it
allows, whether it counts in buckets, seconds, fixed or sliding minutes, and whether it charges
what was used or what was reserved. The first refusal only allows a cut (x 0.85, as in AIMD).
"""

from __future__ import annotations

from collections import deque

__all__ = ["RateControl"]

_CUT = 0.85  # of the rate at the first refusal
_BELOW = 0.97  # of a measured rate: close under it, with room to creep up again
_DEEPEST = 0.5  # one episode never takes more than this share: a few calls are a poor measure
_MEMORY_S = 120.0  # older refusals say nothing: a minute's quota has filled up since
_RECENT_S = 5.0
_SAMPLE_S = 0.25
_GROWTH_PER_S = 0.001
_GROWTH_PER_CALL = 0.0003  # a slow pool creeps slowly, so that a 429 stays rare per call
_FASTEST_GROWTH = 20.0  # times the above, after minutes without a refusal
_SEARCH = 50.0
_UTILISED = 0.8  # only a rate that is used may grow


class RateControl:
    """Pause, pace and epoch of one pool.

    Attributes:
        epoch: Counts congestion episodes. A lease remembers the epoch of its admission, so that
            all refusals of one episode together cause one cut.
        paused_until: Nothing is admitted before this time.
        pace: Requests a second that the server was measured to allow; None until it refused.
        refused: Refusals so far.
    """

    __slots__ = (
        "_backoff_s",
        "_blocked",
        "_cut_at",
        "_grown_at",
        "_grown_sent",
        "_is_measured",
        "_mark",
        "_max_backoff_s",
        "_ramp_base",
        "_samples",
        "epoch",
        "pace",
        "paused_until",
        "refused",
    )

    def __init__(self, *, backoff_s: float = 1.0, max_backoff_s: float = 60.0) -> None:
        self.epoch = 0
        self.paused_until = float("-inf")
        self.pace: float | None = None
        self.refused = 0
        self._backoff_s = backoff_s
        self._max_backoff_s = max_backoff_s
        self._blocked = 0  # refusals in a row with nothing taken between them
        self._mark: tuple[float, int] | None = None  # time and calls taken at the last refusal
        self._cut_at = 0.0
        self._grown_at = 0.0
        self._grown_sent = 0
        self._is_measured = False
        self._ramp_base: int | None = None
        self._samples: deque[tuple[float, int]] = deque()

    def on_refused(
        self,
        now: float,
        *,
        epoch: int,
        sent_at: float,
        sent_before: int,
        limit: int,
        retry_after_s: float | None,
    ) -> bool:
        """Learn from one refusal; True if it began a new episode (and so caused a cut).

        Args:
            now: The time.
            epoch: The lease's epoch.
            sent_at: When the refused call was admitted.
            sent_before: How many calls had been admitted before it.
            limit: Calls allowed in flight at the moment.
            retry_after_s: What the server asked for; None where it said nothing.
        """
        taken = sent_before - self.refused
        self.refused += 1
        if epoch != self.epoch:
            self.paused_until = max(self.paused_until, now + (retry_after_s or 0.0))
            if self._mark is not None and sent_at > self._mark[0]:
                self._mark = (sent_at, self._mark[1])
            return False
        self.epoch += 1
        is_blocked = taken <= (0 if self._mark is None else self._mark[1])
        self._blocked = self._blocked + 1 if is_blocked else 0
        if not is_blocked:
            self.pace = self._pace_after(now, sent_at, taken)
        self._mark = (sent_at, taken)
        self._cut_at = now
        wait_s = retry_after_s
        if wait_s is None:
            wait_s = min(self._max_backoff_s, self._backoff_s * 2.0 ** min(self._blocked, 30))
        self.paused_until = max(self.paused_until, now + wait_s)
        self._ramp_base = 1 if is_blocked else max(1, limit // 4)
        return True

    def on_taken(self, now: float, sent: int) -> None:
        """Learn that a call was not refused: let an idle-free pace creep up.

        Args:
            now: The time.
            sent: Calls admitted so far.
        """
        if not self._samples or now >= self._samples[-1][0] + _SAMPLE_S:
            self._samples.append((now, sent))
            while len(self._samples) > 1 and self._samples[0][0] < now - _RECENT_S:
                self._samples.popleft()
            self._grow(now, sent)

    @property
    def is_ramping(self) -> bool:
        """Whether ``allowed`` still grows by itself after a pause."""
        return self._ramp_base is not None

    def allowed(self, now: float, limit: int) -> int:
        """Calls in flight at this moment: after a pause a few, twice as many each second."""
        if self._ramp_base is None:
            return limit
        seconds = max(0.0, now - self.paused_until)
        ramped = self._ramp_base << min(int(seconds), 20)
        if ramped >= limit:
            self._ramp_base = None
            return limit
        return ramped

    def _pace_after(self, now: float, sent_at: float, taken: int) -> float:
        recent = self._recent(now)
        before = recent if self.pace is None else min(self.pace, max(recent, self.pace * _DEEPEST))
        if self._mark is None or sent_at - self._mark[0] > _MEMORY_S:
            self._is_measured = False
            return before * _CUT
        self._is_measured = True
        span_s = sent_at - self._mark[0]
        measured = (taken - self._mark[1]) / max(span_s, 1e-3)
        return max(before * _DEEPEST, _BELOW * min(measured, before))

    def _recent(self, now: float) -> float:
        if not self._samples:
            return 1.0
        since, sent_then = self._samples[0]
        return max(1, self._samples[-1][1] - sent_then) / max(now - since, 1.0)

    def _grow(self, now: float, sent: int) -> None:
        seconds, calls = now - self._grown_at, sent - self._grown_sent
        self._grown_at, self._grown_sent = now, sent
        if self.pace is None or calls <= 0 or self._recent(now) < _UTILISED * self.pace:
            return
        quiet_s = now - self._cut_at
        haste = min(_FASTEST_GROWTH, 1.0 + (quiet_s / 60.0) ** 2)
        if not self._is_measured:
            haste = _SEARCH  # towards the second refusal, which makes a measure
        step = min(_GROWTH_PER_S * seconds, _GROWTH_PER_CALL * calls)
        self.pace *= 1.0 + step * haste
