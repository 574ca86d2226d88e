"""Tests whether refusals depend on our rate. Pure.

A server refuses because we send too much, or for reasons of its own: shared capacity, one sick
replica behind a balancer, chance. Three things tell these apart:

* **Clusters.** Once a quota is used up, nearly everything sent after that is refused, whereas
  chance strikes calls independently of each other. ``ClusterTest`` is a CUSUM (Page 1954) over the
  calls *in the order in which they were sent*, between "refused with the usual probability" and
  "nine of ten are refused". The usual probability is that of a refusal right after an accepted
  call: under chance it equals the noise, whatever that is; a quota that runs out adds only one such
  event per cluster.
* **Dependence on the rate.** An excess of scattered refusals is either noise or a rate just above a
  continuously refilled quota. ``NoiseTest`` notices the excess; the caller then sends slightly less
  than was accepted. If as much is refused as before, it is noise; if next to nothing, a quota.
* **Waves.** A server that is overloaded for a while refuses everything, and then nothing. Such
  clusters come at times of their own, whereas those of a quota come later if less is sent:
  ``WaveTest``.

Calls count as accepted until they are refused. So a refusal costs a few operations, an answer none.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pairmill.llm.limits.windows import RefusedLog

__all__ = ["ClusterTest", "HeldNoise", "NoiseTest", "WaveTest", "pause_score"]

_IN_CLUSTER = 0.9  # share of calls refused while a quota is used up
_LEAST_USUAL, _MOST_USUAL = (
    0.05,
    0.5,
)  # bounds: two refusals are no cluster, and clusters stay visible
_PRIOR_REFUSED, _PRIOR_TAKEN = 1.5, 8.0  # without history, one call in five may be noise
_LONG, _SHORT = 1000.0, 100.0  # calls over which the usual probability is averaged
_KEPT = 32  # latest refusals that are kept
_COSTLY = 100.0  # needless pauses may cost one call in so many
_SURE = (8.0, 16.0)  # bounds of the log likelihood ratio that justifies a pause
_AGAIN = 2.5  # the ratio needed if calls are refused right after a pause
_SEEN, _LEAST_SEEN = 8, 0.15  # refusals that show how much noise there is; less counts as none
_SAME = 0.02  # by which a pace may vary
_COUNT = 16  # refusals needed to see an excess: by chance their number varies by a quarter
_EXCESS, _TIMES = 0.03, 1.5  # an excess is more than this share plus this multiple of the noise
_STILL = 0.5  # share of an excess that, if still refused at a lower rate, makes it noise
_LEAST, _MOST = 40, 800  # bounds of a trial, in calls
_LEAST_NOISE = 0.005  # less counts as none
_MEMORY = 1000.0  # calls over which the noise is averaged
_LEAST_RUN_S = 1.0  # shortest run of calls before a wave; it must also last as long as the pause
_APART = 1.1  # ratio of the lengths of runs that separates a quota from waves
_FAR = 4.0  # largest such ratio that is considered
_WAVES = 2  # clusters, no later at a lower rate, that make waves; doubled after each mistake


class ClusterTest:
    """Tests whether refusals follow each other more than by chance.

    Attributes:
        score: Log likelihood ratio of a cluster over chance, as of the last refusal; 0 or more.
        in_row: Refusals since ``score`` was last 0.
    """

    __slots__ = ("_first", "_long", "_recent", "_short", "in_row", "score")

    def __init__(self) -> None:
        self.score = 0.0
        self.in_row = 0
        self._first = 0
        self._recent: list[int] = []  # refused calls, in the order of sending
        self._long = [0.0, 0.0]  # refused right after an accepted one; accepted
        self._short = [0.0, 0.0]

    @property
    def usual(self) -> float:
        """Return the probability that chance refuses a call."""
        long = (self._long[0] + _PRIOR_REFUSED) / (self._long[1] + _PRIOR_TAKEN)
        short = self._short[0] / (self._short[1] + _SHORT / 4.0)
        return min(_MOST_USUAL, max(long, short))

    def on_refused(self, index: int, least: float = 0.0) -> None:
        """Record the refusal of a call.

        Args:
            index: Its position in the order of sending, from 0; refusals may come in another order.
            least: Least probability of a refusal by chance, if known from elsewhere.
        """
        recent = self._recent
        if not recent or index > recent[-1]:
            gap = index - recent[-1] - 1 if recent else index
            self._count(int(gap > 0), gap)
            recent.append(index)
            if len(recent) > _KEPT:
                del recent[0]
            usual = min(_MOST_USUAL, max(self.usual, least, _LEAST_USUAL))
            self._step(gap, usual, index)
            return
        place = bisect_left(recent, index)
        is_after = place > 0 and recent[place - 1] == index - 1
        is_before = recent[place] == index + 1
        self._count(1 - is_after - is_before, -1)
        if place == 0 and len(recent) == _KEPT:
            return
        recent.insert(place, index)
        del recent[:-_KEPT]
        usual = min(_MOST_USUAL, max(self.usual, least, _LEAST_USUAL))
        self.score, self.in_row = 0.0, 0
        last = recent[0] - 1
        for number in recent:
            self._step(number - last - 1, usual, number)
            last = number

    def forget(self) -> None:
        """Start again after a cluster was handled; keep the usual probability."""
        self.score, self.in_row = 0.0, 0
        del self._recent[:-1]

    def _step(self, gap: int, usual: float, index: int) -> None:
        if gap:
            self.score -= gap * math.log((1.0 - usual) / (1.0 - _IN_CLUSTER))
        if self.score <= 0.0:
            self.score, self.in_row, self._first = 0.0, 0, index
        self.score += math.log(_IN_CLUSTER / usual)
        self.in_row += 1

    def _count(self, refused: int, taken: int) -> None:
        for counts, memory in ((self._long, _LONG), (self._short, _SHORT)):
            counts[0] = max(0.0, counts[0] + refused)
            counts[1] = max(0.0, counts[1] + taken)
            if counts[1] > memory:
                counts[0] *= memory / counts[1]
                counts[1] = memory


def pause_score(calls: float, *, is_blocked: bool) -> float:
    """Return the score of a cluster that justifies a pause: higher, the more ``calls`` it costs.

    Args:
        calls: Calls that could be made during the pause.
        is_blocked: Nothing was accepted since the last pause.
    """
    least, most = _SURE
    needed = min(most, max(least, math.log(_COSTLY * max(1.0, calls))))
    return _AGAIN if is_blocked else needed


class NoiseTest:
    """Estimates the share of calls refused regardless of the rate, and tests for more than that.

    Attributes:
        share: Share of calls refused by chance; 0 if negligible.
        is_trying: True while a lower rate is being tried.
    """

    __slots__ = (
        "_average",
        "_before",
        "_counted",
        "_from",
        "_recent",
        "_refused",
        "_until",
        "is_trying",
        "share",
    )

    def __init__(self) -> None:
        self.share = 0.0
        self.is_trying = False
        self._recent: deque[int] = deque(maxlen=_COUNT)  # refused calls, by their number
        self._before = 0.0  # share refused before the trial
        self._from = 0
        self._until = 0
        self._refused = 0  # of the trial's calls
        self._average = 0.0
        self._counted = 0

    def on_refused(self, index: int) -> bool:
        """Record that call number ``index`` was refused, outside of clusters.

        Returns:
            True if more is refused than the noise explains.
        """
        self._average += (1.0 - self._average) / _MEMORY
        if self.is_trying:
            self._refused += self._from <= index < self._until
            return False
        self._recent.append(index)
        return len(self._recent) == _COUNT and self.lately > _EXCESS + _TIMES * self.share

    def begin(self, index: int) -> None:
        """Begin a trial: calls from number ``index`` on have a lower rate."""
        self._before = self.lately
        calls = min(_MOST, max(_LEAST, round(_COUNT / self._before)))
        start = index + calls // 4  # first, what was overdrawn is paid off
        self._from, self._until, self._refused = start, start + calls, 0
        self.is_trying = True

    def verdict(self, known: int) -> bool | None:
        """Return True if the earlier refusals were noise; None while undecided.

        Args:
            known: The outcome of all calls below this number is known.
        """
        calls = self._until - self._from
        if self._refused >= _STILL * self._before * calls:
            self.learn(self._before)
            return True
        if known < self._until:
            return None
        self.learn(self._refused / calls)
        return False

    def forget(self) -> None:
        """Drop a trial that a cluster interrupted, and start again."""
        self.is_trying = False
        self._recent.clear()

    def on_sent(self, count: int) -> None:
        """Update the total number of calls sent, so that past noise fades."""
        calls, self._counted = count - self._counted, count
        self._average *= math.exp(-calls / _MEMORY)
        if self.share:
            self.share = self._average if self._average >= _LEAST_NOISE else 0.0

    @property
    def lately(self) -> float:
        """Return the share of calls refused recently; the noise if there is too little evidence."""
        recent = self._recent
        if len(recent) < _COUNT // 2:
            return max(self.share, _LEAST_NOISE)
        return min(0.9, len(recent) / (max(recent) - min(recent) + 1))

    def learn(self, share: float) -> None:
        """Assume that this share is refused by chance."""
        self.share = share if share >= _LEAST_NOISE else 0.0
        self._average = self.share
        self.forget()


class HeldNoise:
    """What is refused while a pace is held, and whether that has ended.

    A quota that refuses a share of the calls at some pace goes on doing so: neither a bucket nor a
    window saves anything up meanwhile. If nothing is refused any more, without a pause and at no
    lower pace, then that was noise, and it has ended.

    Attributes:
        share: Share of the calls refused at the present pace, or the last one; 0.0 if that is
            little, or few were.
    """

    __slots__ = ("_from", "_pace", "_refused", "_seen", "_seen_at", "share")

    def __init__(self, refused: RefusedLog) -> None:
        self._refused = refused
        self.share = 0.0
        self._pace, self._from = 0.0, 0  # the present pace, and its first call
        self._seen, self._seen_at = 0.0, 0.0  # the last share that was not little, and its pace

    def forget(self) -> None:
        """Start again: nothing is sent for a while, in which a quota may save something up."""
        self._pace = self._seen = 0.0

    def quiet(self, pace: float, known: int) -> float:
        """Return how surely the noise has ended: a log likelihood ratio.

        Args:
            pace: The pace that is held, in calls a second.
            known: The outcome of all calls below this number is known.
        """
        if abs(pace - self._pace) > _SAME * self._pace:
            self._pace, self._from, self.share = pace, known, 0.0
        end = max(self._from, self._refused.end)
        hits = self._refused.between(self._from, end)
        if hits >= _SEEN and hits >= _LEAST_SEEN * (end - self._from):
            self.share = hits / (end - self._from)
            self._seen, self._seen_at = min(_IN_CLUSTER, self.share), pace
        elif pace < (1.0 - _SAME) * self._seen_at:
            self._seen = 0.0
        return max(0, known - self._refused.end) * -math.log(1.0 - self._seen)


class WaveTest:
    """Tests whether clusters come at times of their own, or later if less is sent.

    During a pause a quota ``Q`` gains ``Q * pause_s``, which calls at a rate ``r`` use up in
    ``Q * pause_s / (r - Q)`` seconds, and a run of calls uses the whole quota of itself and the
    pause before it. So one run predicts how long the next one lasts at another rate. Runs that have
    the same length at any rate end in waves: the server refuses for a while, whatever it is sent.

    Attributes:
        rate: Calls a second accepted between waves, before the rate was reduced; 0 while
            clusters are not considered waves.
    """

    __slots__ = ("_best", "_count", "_last", "_needed", "rate")

    def __init__(self) -> None:
        self.rate = self._best = 0.0
        self._needed = _WAVES
        self._count = 0
        self._last: tuple[float, float, float] | None = None

    def on_cluster(self, rate: float, run_s: float, pause_s: float) -> None:
        """Record a cluster.

        Args:
            rate: Calls a second accepted since the last pause.
            run_s: Seconds since that pause ended.
            pause_s: Length of that pause, in seconds.
        """
        if run_s < max(_LEAST_RUN_S, pause_s):
            self.forget()
            return
        last = self._last
        if not self.rate:
            self._last = (rate, run_s, pause_s)
        if last is None:
            return
        last_rate, last_s, last_pause_s = last
        quota = last_rate * last_s / (last_s + last_pause_s)
        by_quota_s = min(_FAR * last_s, quota * pause_s / max(1e-9, rate - quota))
        is_later = run_s * run_s > last_s * by_quota_s
        if self.rate:
            if by_quota_s < last_s / _APART and not is_later:  # sooner, as more was sent
                self._needed *= 2
                self.forget()
        elif is_later:
            self._count, self._best = 0, 0.0
        elif by_quota_s > _APART * last_s:
            self._count += 1
            self._best = max(self._best, last_rate)
            if self._count >= self._needed:
                self.rate = self._best

    def forget(self) -> None:
        """Start again."""
        self.rate = self._best = 0.0
        self._count = 0
        self._last = None
