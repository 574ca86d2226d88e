"""Tests whether a refusal is related to our rate, and what follows. Pure.

A server refuses because we send too much, or for reasons of its own: shared capacity, one sick
replica behind a balancer, chance. What tells them apart:

* **Clusters.** Once a quota is used up nearly everything that is sent after is refused, whereas
  chance strikes calls independently of each other. ``ClusterTest`` is a CUSUM (Page 1954) over the
  calls *in the order in which they were sent*, between "refused with the usual probability" and
  "nine of ten are refused". The usual probability is that of a refusal right behind a call that was
  taken: under chance that is the rate of the noise, whatever it is; a quota that runs out adds one
  such event to a whole cluster.
* **Dependence on the rate.** More refusals than usual, but scattered, are either noise or a rate
  just above a quota that refills all the time. ``NoiseTest`` notices the excess; the caller then
  sends a little less than was taken, and what is refused *then* decides: about as much as before is
  noise, next to nothing a quota.
* **Waves.** A server that is overloaded for a while refuses all that it gets, and then nothing.
  Such clusters come when they come, and those of a quota the later, the less is sent: ``WaveTest``.

Calls that were sent are taken for accepted until they are refused, so nothing has to be counted for
an answer: a refusal costs a few operations, an answer none.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections import deque

__all__ = ["ClusterTest", "NoiseTest", "WaveTest", "pause_score"]

_IN_CLUSTER = 0.9  # of the calls are refused while a quota is used up
_LEAST_USUAL, _MOST_USUAL = 0.05, 0.5  # so that two are no cluster yet, and one can be told
_PRIOR_REFUSED, _PRIOR_TAKEN = 1.5, 8.0  # with no history one call of five may be refused by chance
_LONG, _SHORT = 1000.0, 100.0  # calls over which the usual probability is known
_KEPT = 32  # refusals that are kept in the order of sending
_COSTLY = 100.0  # a pause for nothing may cost one part in so many of the calls
_SURE = (8.0, 16.0)  # bounds of the log likelihood ratio that a pause needs
_AGAIN = 2.5  # the same, where calls are refused at once after a pause
_COUNT = 16  # refusals that tell of an excess: by chance their number varies by a quarter
_EXCESS, _TIMES = 0.03, 1.5  # what an excess is: so much more, and so many times the noise
_STILL = 0.5  # of an excess, still refused at a lower rate: it is noise
_LEAST, _MOST = 40, 800  # calls of a trial
_LEAST_NOISE = 0.005  # less is as good as none
_MEMORY = 1000.0  # calls over which the noise is averaged
_LEAST_RUN_S = 1.0  # between a pause and a cluster that may be a wave, and no less than the pause
_APART, _FAR = 1.1, 4.0  # times as long: what tells a quota from waves; as long as need be
_WAVES = 2  # clusters that came no later at a lower rate; twice as many after each mistake


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
        self._long = [0.0, 0.0]  # calls refused right behind one that was taken; calls taken
        self._short = [0.0, 0.0]

    @property
    def usual(self) -> float:
        """Probability that chance refuses a call."""
        long = (self._long[0] + _PRIOR_REFUSED) / (self._long[1] + _PRIOR_TAKEN)
        short = self._short[0] / (self._short[1] + _SHORT / 4.0)
        return min(_MOST_USUAL, max(long, short))

    def on_refused(self, index: int, least: float = 0.0) -> None:
        """Learn that the call that was sent as number ``index`` (from 0) was refused.

        Args:
            index: In the order of sending; refusals may come in another one.
            least: Probability of a refusal by chance that is known from elsewhere.
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
        """Begin anew, with what is usual kept: a cluster has been dealt with."""
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
    """Return the score of a cluster that a pause needs: more if it would cost more ``calls``.

    Args:
        calls: That could be made in the pause.
        is_blocked: Nothing was taken since the last pause.
    """
    least, most = _SURE
    needed = min(most, max(least, math.log(_COSTLY * max(1.0, calls))))
    return _AGAIN if is_blocked else needed


class NoiseTest:
    """Estimates the share of calls refused regardless of the rate, and tests for more than that.

    Attributes:
        share: Of the calls that is refused by chance; 0 where it is next to nothing.
        is_trying: A lower rate is being tried.
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
        self._before = 0.0  # share that was refused before the trial
        self._from = 0
        self._until = 0
        self._refused = 0  # of the trial's calls
        self._average = 0.0
        self._counted = 0

    def on_refused(self, index: int) -> bool:
        """Learn that call number ``index`` was refused, outside of clusters.

        Returns:
            Whether more is refused than the noise explains.
        """
        self._average += (1.0 - self._average) / _MEMORY
        if self.is_trying:
            self._refused += self._from <= index < self._until
            return False
        self._recent.append(index)
        return len(self._recent) == _COUNT and self.lately > _EXCESS + _TIMES * self.share

    def begin(self, index: int) -> None:
        """Begin a trial: calls from number ``index`` on are sent at a lower rate."""
        self._before = self.lately
        calls = min(_MOST, max(_LEAST, round(_COUNT / self._before)))
        start = index + calls // 4  # what was overdrawn before is paid off first
        self._from, self._until, self._refused = start, start + calls, 0
        self.is_trying = True

    def verdict(self, known: int) -> bool | None:
        """Return whether the earlier refusals were noise; None while that is undecided.

        Args:
            known: Calls below this number are known to have been taken or refused.
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
        """End a trial without a verdict, and begin anew: a cluster came between."""
        self.is_trying = False
        self._recent.clear()

    def on_sent(self, count: int) -> None:
        """Learn how many calls were sent in all; noise that has ended is forgotten in time."""
        calls, self._counted = count - self._counted, count
        self._average *= math.exp(-calls / _MEMORY)
        if self.share:
            self.share = self._average if self._average >= _LEAST_NOISE else 0.0

    @property
    def lately(self) -> float:
        """Share of the calls that was refused, as of the last refusals, or of the noise."""
        recent = self._recent
        if len(recent) < _COUNT // 2:
            return max(self.share, _LEAST_NOISE)
        return min(0.9, len(recent) / (max(recent) - min(recent) + 1))

    def learn(self, share: float) -> None:
        """Take it that such a share is refused by chance."""
        self.share = share if share >= _LEAST_NOISE else 0.0
        self._average = self.share
        self.forget()


class WaveTest:
    """Tests whether clusters come at their own times, or later the less is sent.

    In a pause a quota ``Q`` gains ``Q * pause_s``, which calls at a rate ``r`` use up in ``Q *
    pause_s / (r - Q)`` seconds; and over a run of calls and the pause before it, it is all used. So
    one run tells how long the next one lasts at another rate. Runs that are all of a length,
    whatever the rate, end in waves: the server refuses for a while, whatever it is sent.

    Attributes:
        rate: Calls a second that were taken between waves, before that was reduced; 0 while
            clusters are not thought to be waves.
    """

    __slots__ = ("_best", "_count", "_last", "_needed", "rate")

    def __init__(self) -> None:
        self.rate = self._best = 0.0
        self._needed = _WAVES
        self._count = 0
        self._last: tuple[float, float, float] | None = None

    def on_cluster(self, rate: float, run_s: float, pause_s: float) -> None:
        """Learn of a cluster.

        Args:
            rate: Calls a second that were taken since the last pause.
            run_s: How long that was.
            pause_s: How long that pause was.
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
            if by_quota_s < last_s / _APART and not is_later:  # they came sooner, as more was sent
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
        """Begin anew."""
        self.rate = self._best = 0.0
        self._count = 0
        self._last = None
