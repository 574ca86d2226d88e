"""Does a refusal say anything about our rate? Two sequential tests, and what they teach. Pure.

A server refuses because we send too much, or for reasons of its own: shared capacity, one sick
replica behind a balancer, chance. What tells them apart:

* **Clusters.** Once a quota is used up nearly everything that is sent after is refused, whereas
  chance strikes calls independently of each other. ``ClusterTest`` is a CUSUM (Page 1954) over the
  calls *in the order in which they were sent*, between "refused with the usual probability" and
  "nine of ten are refused". The usual probability is that of a refusal right behind a call that was
  taken: under chance that is the rate of the noise, whatever it is; a quota that runs out adds one
  such event to a whole cluster.
* **Dependence on the rate.** More refusals than usual, but scattered, are either noise that has
  grown or a rate just above a quota that refills all the time. ``NoiseModel`` notices the excess by
  a second CUSUM; the caller then sends a little less, and a sequential probability ratio test (Wald
  1945) on what is refused *then* decides: as much as before is noise, next to nothing a quota.

Calls that were sent are taken for accepted until they are refused, so nothing has to be counted for
an answer: a refusal costs a few operations, an answer none.
"""

from __future__ import annotations

import math
from bisect import bisect_left

__all__ = ["ClusterTest", "NoiseModel"]

_IN_CLUSTER = 0.9  # of the calls are refused while a quota is used up
_MOST_USUAL = 0.5  # so that a cluster remains something else
_PRIOR_REFUSED, _PRIOR_TAKEN = 1.5, 8.0  # with no history one call of five may be refused by chance
_LONG, _SHORT = 1000.0, 100.0  # calls over which the usual probability is known
_KEPT = 32  # refusals that are kept in the order of sending
_LEAST_NOISE = 0.003  # fewer refusals than that are not worth a cut
_LEAST_EXCESS, _EXCESS = 0.01, 0.5  # beside the noise, absolute and as its share: worth one
_ALARM = 4.0  # log likelihood ratio
_ALARM_IN_NOISE = 7.0  # where it would be one of many
_VERDICT = 3.0  # likewise, for noise: one wrong verdict in twenty
_CONVICTION = 4.5  # likewise, for a quota: one in ninety, since it is what slows us down
_LEAST_REFUSED, _LEAST_TAKEN = 2, 5  # in a trial that finds noise
_MUCH_MORE = 3.0  # is refused in a trial than before it: not the same noise
_SHRINK = 4.0  # calls that are added where few were seen: an excess begins with a refusal
_MOST_NOISE = 0.75  # of the calls; where more are refused it is no noise that can be borne
_LEFT = 0.1  # of an excess that came from our rate, once that is lower
_FORGOTTEN = 500  # calls without a refusal: there is no excess
_MEMORY = 2000.0  # calls over which the noise is averaged


class ClusterTest:
    """Are calls refused one after the other, more than chance would have it?

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

    @property
    def lately(self) -> float:
        """Share of the last hundred calls or so that were refused, clusters counted as one."""
        return self._short[0] / max(1.0, self._short[0] + self._short[1])

    @property
    def share(self) -> float:
        """Share of the calls that are refused since ``score`` was last 0."""
        if not self.in_row:
            return 0.0
        return self.in_row / max(self.in_row, self._recent[-1] - self._first + 1)

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
            usual = min(_MOST_USUAL, max(self.usual, least))
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
        usual = min(_MOST_USUAL, max(self.usual, least))
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


class NoiseModel:
    """How much is refused whatever we do, and whether more is refused than that.

    Attributes:
        rate: Share of the calls that is known to be refused by noise.
        found: The same, as the last trial found it.
        is_trying: A lower rate is being tried; until there is a verdict nothing is an excess.
    """

    __slots__ = (
        "_calls",
        "_calls_at",
        "_calls_found",
        "_excess",
        "_last",
        "_onset",
        "_refused",
        "_seen",
        "_trial",
        "_trial_from",
        "_trial_log",
        "_trial_refused",
        "found",
        "is_trying",
        "rate",
    )

    def __init__(self) -> None:
        self.rate = 0.0
        self.found = 0.0
        self.is_trying = False
        self._calls_found = 0.0
        self._refused = 0.0  # of ``_calls``, by noise
        self._calls = 0.0
        self._calls_at = 0
        self._last = -1
        self._excess = 0.0  # log likelihood ratio
        self._onset = 0  # the first call of the present excess
        self._seen = 0  # refusals of the present excess
        self._trial = (0.0, 0.0)  # refused shares: if it is noise, if it is our rate
        self._trial_from = 0
        self._trial_log = 0.0
        self._trial_refused = 0

    @property
    def is_suspicious(self) -> bool:
        """Whether refusals are unexplained at the moment: no time to send more."""
        return self.is_trying or self._excess >= _ALARM / 2.0

    def on_refused(self, index: int) -> bool:
        """Learn that call number ``index`` was refused, outside of clusters.

        Returns:
            Whether there are more refusals than the noise explains.
        """
        gap = max(0, index - self._last - 1)
        self._last = max(self._last, index)
        usual = min(0.9, max(self.rate, _LEAST_NOISE))
        more = usual + max(_LEAST_EXCESS, _EXCESS * usual * (1.0 - usual))
        self._excess += gap * math.log((1.0 - more) / (1.0 - usual))
        if self._excess <= 0.0:
            self._excess, self._seen, self._onset = 0.0, 0, index
        self._excess += math.log(more / usual)
        self._seen += 1
        if self.rate:
            self._refused += 1.0
        if self.is_trying:
            return False
        return self._excess >= (_ALARM_IN_NOISE if self.rate else _ALARM)

    def try_less(self, index: int, before: float) -> None:
        """Begin a trial: calls from number ``index`` on are sent at a lower rate.

        Args:
            index: Of the first of them.
            before: Share of the calls that was refused before.
        """
        low = min(0.9, max(self.rate, _LEAST_NOISE))
        before = min(0.95, max(before, low + max(_LEAST_EXCESS, _EXCESS * low * (1.0 - low))))
        self._trial = (before, low + _LEFT * (before - low))
        self._trial_from = index
        self._trial_log = 0.0
        self._trial_refused = 0
        self.is_trying = True

    def on_trial(self, index: int, *, refused: int) -> bool | None:
        """Learn how the trial goes.

        Args:
            index: Calls below it are known to have been taken or refused.
            refused: How many of the trial's calls were refused since the last time.

        Returns:
            Whether what was refused before was noise; None while that is not decided.
        """
        self._trial_refused += refused
        taken = max(0, index - self._trial_from - self._trial_refused)
        noise, ours = self._trial
        score = self._trial_refused * math.log(noise / ours)
        score += taken * math.log((1.0 - noise) / (1.0 - ours))
        if score >= _VERDICT and self._is_noise_like(taken):
            calls = max(self._trial_refused + 1.0, float(index - self._trial_from))
            self.found = self._trial_refused / (calls + 1.0)
            self._calls_found = calls
            self._end()
            return True
        if score <= -_CONVICTION:
            self._end()
            return False
        return None

    def drop_trial(self) -> None:
        """End a trial without a verdict: a cluster came between."""
        self._end()

    def on_sent(self, count: int) -> None:
        """Learn how many calls were sent in all; noise that has ended is forgotten in time."""
        if self._excess and count - self._last > _FORGOTTEN:
            self._excess, self._seen = 0.0, 0
        if self.rate:
            self._calls += count - self._calls_at
            if self._calls > _MEMORY:
                self._refused *= _MEMORY / self._calls
                self._calls = _MEMORY
            self.rate = (self._refused + 0.5) / (self._calls + 1.0)
            if self.rate < _LEAST_NOISE / 2.0:
                self.rate, self._refused, self._calls = 0.0, 0.0, 0.0
        self._calls_at = count

    def _is_noise_like(self, taken: int) -> bool:
        """Whether what is refused in the trial is as much as before it, and beside good calls."""
        refused = self._trial_refused
        if refused < _LEAST_REFUSED or taken < _LEAST_TAKEN:
            return False
        most = min(_MOST_NOISE, _MUCH_MORE * self._trial[0] + _LEAST_EXCESS)
        return refused <= most * (taken + refused)

    def accept(self) -> None:
        """Take what the last trial found for noise."""
        self.rate = self.found
        self._refused, self._calls = self.found * self._calls_found, self._calls_found

    def _end(self) -> None:
        self.is_trying = False
        self._excess, self._seen = 0.0, 0
