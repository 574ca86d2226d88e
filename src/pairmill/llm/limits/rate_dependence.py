"""Tests whether what is refused depends on what is sent. Pure.

A quota that refuses takes the same number of calls a second, however many are sent. Noise takes the
same share of them. So runs of calls at different rates tell them apart, each from one cut of the
pace to the next, with the pause between. And what a quota earns in a pause is there after it: the
first calls are taken, where noise refuses as many of them as of the others.

Without this test a pace that strong noise has cut is cut again, by what was taken at the lower one.
"""

from __future__ import annotations

import math
from collections import deque
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from pairmill.llm.limits.windows import RefusedLog

__all__ = ["DependenceTest"]

_RUNS = 5  # that are remembered
_LEAST_CALLS, _MOST_CALLS = 5, 60  # of a run; of a longer one no more count
_SURE = 5.0  # log likelihood ratio of noise over a quota
_LEAST_SHARE = (
    0.35  # of the calls: less noise is told from a quota by ``quota_tracker`` and ``noise``
)
_LOWEST, _HIGHEST = 0.02, 0.97  # probability that a call is taken: no model is that good
_EARNED, _BY_MISTAKE = 0.7, 0.1  # of what a pause earns, surely; refused all the same


class _Run(NamedTuple):
    """Calls from one cut to the next; ``first``: those that the pause had earned by a quota."""

    sent: float
    taken: float
    seconds: float
    first: int
    first_refused: int


class DependenceTest:
    """Compares the runs between cuts of a pace."""

    __slots__ = ("_at", "_flows_at", "_refused", "_runs", "_sent", "_verdict")

    def __init__(self, refused: RefusedLog) -> None:
        self._refused = refused
        self._at, self._flows_at = -math.inf, 0.0  # the last cut, and the end of its pause
        self._sent = 0
        self._verdict = 0.0
        self._runs: deque[_Run] = deque(maxlen=_RUNS)

    def on_cut(self, now: float) -> float:
        """Learn that a pace is to be cut, for the last refusals.

        Returns:
            Share of the calls that is refused whatever is sent; 0.0 unless that is what happens.
        """
        seconds, end = now - self._at, self._refused.end
        sent = end - self._sent
        if math.isinf(self._at) or sent < _LEAST_CALLS or seconds <= 0.0:
            return self._verdict  # this tells nothing new
        refused = self._refused.between(self._sent, end)
        first = int(_EARNED * (sent - refused) * (self._flows_at - self._at) / seconds)
        first_refused = self._refused.between(self._sent, self._sent + first)
        weight = min(1.0, _MOST_CALLS / sent)
        run = weight * sent, weight * (sent - refused), weight * seconds
        self._runs.append(_Run(*run, first, first_refused))
        share = 1.0 - sum(run.taken for run in self._runs) / sum(run.sent for run in self._runs)
        ratio, of_first = self._by_rate(share), self._by_first(share)
        is_noise = share >= _LEAST_SHARE and ratio + of_first >= _SURE
        self._verdict = share if is_noise else 0.0
        return self._verdict

    def on_pause(self, now: float, until: float, sent: int, *, is_longer: bool) -> None:
        """Learn that after ``sent`` calls nothing goes until a time.

        Args:
            now: The time.
            until: The end of the pause.
            sent: Calls admitted so far.
            is_longer: Nothing was taken since the last pause, which is only longer now.
        """
        self._flows_at, self._sent = until, sent
        if not is_longer:
            self._at = now

    def _by_rate(self, share: float) -> float:
        """Return the log likelihood ratio of a share that is refused over a rate that is taken."""
        rate = sum(run.taken for run in self._runs) / sum(run.seconds for run in self._runs)
        refused = min(1.0 - _LOWEST, max(1.0 - _HIGHEST, share))
        ratio = 0.0
        for run in self._runs:
            by_quota = min(_HIGHEST, max(_LOWEST, rate * run.seconds / run.sent))
            ratio += run.taken * math.log((1.0 - refused) / by_quota)
            ratio += (run.sent - run.taken) * math.log(refused / (1.0 - by_quota))
        return ratio

    def _by_first(self, share: float) -> float:
        """Return the same ratio for the first calls after pauses alone."""
        refused = min(1.0 - _LOWEST, max(1.0 - _HIGHEST, share))
        hits = sum(run.first_refused for run in self._runs)
        misses = sum(run.first for run in self._runs) - hits
        ratio = hits * math.log(refused / _BY_MISTAKE)
        return ratio + misses * math.log((1.0 - refused) / (1.0 - _BY_MISTAKE))
