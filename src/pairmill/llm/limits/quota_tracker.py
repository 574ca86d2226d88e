"""Paces calls just below a continuously refilled quota, with or without noise. Pure.

Suppose a server allows ``q`` calls a second and also refuses a share ``p`` of all calls for reasons
of its own (the noise). Of ``n`` calls in ``d`` seconds it refuses each with probability

    f = p + (1 - p) * max(0, 1 - q * d / n)

One rate alone cannot tell the two apart. So ``QuotaTracker`` occasionally sends a block of calls at
a higher rate while the quota is uncertain, and at a lower rate while the noise is: the experiment
of PCC (Dong et al., NSDI 2015). Like BBR (Cardwell et al., ACM Queue 2016) it tolerates random
losses and judges by what is delivered at which rate. ``QuotaFit`` weighs the evidence.
"""

from __future__ import annotations

import math

__all__ = ["QuotaFit", "QuotaTracker"]

_NOISE = (0.0, 0.005, 0.01, 0.02, 0.035, 0.05, 0.075, 0.1, 0.14, 0.2, 0.3, 0.45)
_PRIOR = (3.0, 0.0, 0.0, 0.0, 0.0, 0.0, -1.0, -2.0, -4.0, -6.0, -9.0, -12.0)  # log weights
_STEP = 0.025  # of the grid over the quota's logarithm
_DOWN_CELLS, _UP_CELLS = 60, 40  # around the middle: a factor of 4.5 down, and 2.7 up
_CELLS = _DOWN_CELLS + 1 + _UP_CELLS
_FAR = 0.5  # logarithm of the ratio by which the quota may be off the middle
_EDGE = 4  # cells by which the slope at the grid's edge is measured
_VARY = 2  # grid steps by which a quota may vary from block to block: 5 %
_LOGS = [(cell - _DOWN_CELLS) * _STEP for cell in range(-_VARY, _CELLS + _VARY)]
_LEAST, _MOST = 0.003, 0.97  # bounds of a refusal's probability: no model is surer than that
_LOWEST = -30.0  # floor of log weights, so that a cell ruled out by mistake can recover
_WIDEST_PRIOR, _LONGEST_PRIOR = -6.0, -8.0  # floors of the prior's log weights: quota, noise
_LEAST_LIKELY = -60.0  # logarithm
_DEPTHS_S = (0.0, 1.0, 12.0, 60.0)  # capacities that a bucket may have, in seconds of the quota
_SPARED = 0.02  # probability that a server lets an overdrawn block pass
_UNSPARED = 1.0 - _SPARED
_EVERY_OTHER = 0.5  # share refused by a bucket of one call at a rate barely above its quota
_COARSE_BELOW = 6.0  # calls a second; above, a bucket of one second holds several calls
_KEEP = 1.0 - 1.0 / 150.0  # share of the evidence that is kept with each block
_TRUST, _FULL_BLOCK = 0.8, 60.0  # weight of a block's evidence; calls above which it counts less

_BLOCK_CALLS, _BLOCK_S = 20, 4.0  # least size of a block: more than a usual burst allowance
_LONGEST_BLOCK_S = 24.0  # then a slow pool's block ends with fewer calls
_CREDIBLE_S = 1.0  # shorter blocks are no evidence
_USED = 0.8  # share of the pace that a block must use to be evidence
_LEAN, _QUANTILE = 0.95, 0.25  # the pace: this share of this quantile of the quota
_NOISY_LEAN, _NOISY_QUANTILE = 0.96, 0.3  # the same beside noise, where only trials raise the pace
_QUIET = 0.005  # noise below this counts as none
_LOW, _HIGH, _WIDE = 0.2, 0.8, 1.12  # quantiles; the ratio above which the quota is uncertain
_HIGHEST = 1.3  # fastest block, in multiples of the usual pace
_ENOUGH = 3.0  # refusals beyond the noise that end a block at a higher rate
_WORTH = 0.004  # budget: refusals spent on higher rates, as a share of all calls
_CREDIT = 4.0  # refusals of that budget that may be spent in advance
_OPEN = 1.35  # ratio of the quantiles above which the quota is all but unknown
_UP_EVERY = 4  # blocks between trials; every other block while none was refused
_AT_ANY_COST = 8  # blocks between trials beyond the budget, while the quota is all but unknown
_DOWN_EVERY, _DOWN_CALLS, _DOWN = 8, 60, 0.12
_SOME_NOISE, _DOUBT = 0.02, 0.22  # noise worth a slower block; its relative standard deviation
_SURELY, _GROWN = 0.05, 1.15  # quantile; growth of the noise since the last slower block
_AFTER_CLUSTER = 0.8  # share of the pace for one block, at which a quota would last longer
_KNOWN_CALLS = 100  # calls after which the noise counts as known


class QuotaFit:
    """Estimates a quota and the noise beside it: a Bayesian filter on a grid of both.

    Each block of calls multiplies the weight of every (noise, quota) cell by the binomial
    likelihood of its refusals, averaged over quotas a twentieth lower and higher, since no server
    meters perfectly evenly. Old evidence fades, so that changes are followed.

    A block above the quota may be paid from a bucket that the server has filled. The bucket's depth
    is the third unknown: its level is tracked for every combination of quota and depth. So a full
    bucket is not mistaken for a higher quota, nor an empty one for noise.

    Attributes:
        rate: The middle of the grid, in calls a second; 0 before ``begin``.
        calls: Calls seen since ``begin``.
    """

    __slots__ = (
        "_by_noise",
        "_by_quota",
        "_depths",
        "_levels",
        "_noise",
        "_share",
        "_weights",
        "calls",
        "rate",
    )

    def __init__(self) -> None:
        self.rate = 0.0
        self.calls = 0
        self._noise = [*_PRIOR]
        self._share = 0.0  # of calls that are refused by chance
        self._depths: list[tuple[float, float]] = []  # seconds; least share refused beyond
        self._weights: list[list[list[float]]] = []  # logarithms, by depth, noise and quota
        self._by_noise: list[float] = []  # weights
        self._by_quota: list[float] = []
        self._levels: list[list[float]] = []  # calls that a bucket holds, by depth and quota

    def begin(self, rate: float, sure: float, seen: float = 0.0) -> None:
        """Start again from a measured quota whose bucket is empty.

        Half of the evidence on noise is kept; the rest may have been the quota's.

        Args:
            rate: Calls a second.
            sure: Standard deviation of its logarithm.
            seen: Share that chance refused lately: no noise up to that is a surprise.
        """
        if self._weights:
            logs = [math.log(weight) for weight in self._by_noise]
            known = [max(_LONGEST_PRIOR, log - max(logs)) for log in logs]
            self._noise = [(old + new) / 2.0 for old, new in zip(_PRIOR, known, strict=True)]
        if seen:
            most = max(self._noise)
            self._noise = [
                most if share <= seen else log
                for share, log in zip(_NOISE, self._noise, strict=True)
            ]
        quotas = [max(_WIDEST_PRIOR, -0.5 * (log / sure) ** 2) for log in _LOGS[_VARY:-_VARY]]
        self._depths = [(depth_s, 0.0) for depth_s in _DEPTHS_S]
        if rate < _COARSE_BELOW:
            self._depths.append((0.0, _EVERY_OTHER))
        self._weights = [
            [[noise + quota for quota in quotas] for noise in self._noise] for _ in self._depths
        ]
        self.rate = rate
        self.calls = 0
        self._share = 0.0
        self._sum_up()
        self.empty()

    def empty(self) -> None:
        """Set all buckets to empty: everything was refused recently."""
        self._levels = [[0.0] * len(_LOGS) for _ in self._depths]

    def on_gap(self, taken: int, seconds: float) -> None:
        """Update the buckets for a time that is no evidence otherwise.

        Args:
            taken: Calls accepted in it.
            seconds: Its length.
        """
        for (depth_s, _), levels in zip(self._depths, self._levels, strict=True):
            for cell, log in enumerate(_LOGS):
                quota = self.rate * math.exp(log)
                level = levels[cell] + quota * seconds - taken
                levels[cell] = min(depth_s * quota, max(0.0, level))

    def on_block(self, sent: int, refused: int, seconds: float) -> None:
        """Update the grid with a block of calls.

        Args:
            sent: Consecutive calls.
            refused: How many of these were refused.
            seconds: From the first of them to the first of the next block.
        """
        self.calls += sent
        trust = _TRUST * min(1.0, _FULL_BLOCK / sent)
        hits, misses = trust * refused, trust * (sent - refused)
        # Servers may charge calls that chance refuses to the quota; from here both look the same.
        taken = sent - max(0.0, refused - self._share * sent)
        for depth, (depth_s, least) in enumerate(self._depths):
            over = self._spend(depth, depth_s, sent, taken, seconds)
            over = [share and max(least, share) for share in over]
            for noise, prior, row in zip(_NOISE, _PRIOR, self._weights[depth], strict=True):
                likely = _likelihoods(noise, over, hits, misses)
                for cell in range(_CELLS):
                    ends = likely[cell] + likely[cell + 2 * _VARY]
                    known = math.log(0.25 * ends + 0.5 * likely[cell + _VARY])
                    row[cell] = prior + _KEEP * (row[cell] - prior) + known
        best = max(max(row) for rows in self._weights for row in rows)
        for rows in self._weights:
            for row in rows:
                row[:] = [max(log - best, _LOWEST) for log in row]
        self._sum_up()
        self._share = self.noise()[0]
        middle = self.quantile(0.5)
        if abs(math.log(middle / self.rate)) > _FAR:
            self._move(round(math.log(middle / self.rate) / _STEP))

    def _move(self, cells: int) -> None:
        """Move the grid of quotas by so many cells.

        What is known of the cells at the edge goes on beyond it: what made these unlikely speaks
        the more against those. So a grid that moves does not forget.
        """

        def moved(row: list[float]) -> list[float]:
            last = len(row) - 1
            return [row[min(last, max(0, cell + cells))] for cell in range(last + 1)]

        def weighed(row: list[float]) -> list[float]:
            near, edge = (row[_EDGE], row[0]) if cells < 0 else (row[-1 - _EDGE], row[-1])
            slope = min(0.0, (edge - near) / _EDGE)
            found, kept = moved(row), len(row) - abs(cells)
            for cell in range(kept, len(row)):
                place = cell if cells > 0 else len(row) - 1 - cell
                found[place] = max(_LOWEST, edge + slope * (cell + 1 - kept))
            return found

        self.rate *= math.exp(cells * _STEP)
        self._weights = [[weighed(row) for row in rows] for rows in self._weights]
        self._levels = [moved(levels) for levels in self._levels]
        self._sum_up()

    def _spend(
        self, depth: int, depth_s: float, sent: int, taken: float, seconds: float
    ) -> list[float]:
        """Update the buckets; return the share of the calls beyond each quota and its bucket."""
        over, levels = list[float](), self._levels[depth]
        for cell, log in enumerate(_LOGS):
            quota = self.rate * math.exp(log)
            had = levels[cell] + quota * seconds
            over.append(max(0.0, 1.0 - had / sent))
            levels[cell] = min(depth_s * quota, max(0.0, had - taken))
        return over

    def noise(self) -> tuple[float, float]:
        """Return the share of calls refused by chance: mean and standard deviation."""
        weights = self._by_noise
        total = sum(weights)
        mean = sum(p * weight for p, weight in zip(_NOISE, weights, strict=True)) / total
        square = sum(p * p * weight for p, weight in zip(_NOISE, weights, strict=True)) / total
        return mean, math.sqrt(max(0.0, square - mean * mean))

    def quantile(self, share: float) -> float:
        """Return this quantile of the quota, in calls a second."""
        left = share * sum(self._by_quota)
        for log, weight in zip(_LOGS[_VARY:], self._by_quota, strict=False):
            if left <= weight:
                return self.rate * math.exp(log + (left / weight - 0.5) * _STEP)
            left -= weight
        return self.rate * math.exp(_LOGS[-1 - _VARY])

    def _sum_up(self) -> None:
        found = [[[math.exp(log) for log in row] for row in rows] for rows in self._weights]
        self._by_noise = [sum(map(sum, rows)) for rows in zip(*found, strict=True)]
        columns = zip(*(row for rows in found for row in rows), strict=True)
        self._by_quota = [sum(column) for column in columns]


def _likelihoods(noise: float, over: list[float], hits: float, misses: float) -> list[float]:
    """Return the likelihood of the refusals for each quota.

    Args:
        noise: Share of calls refused by chance.
        over: Share of the calls beyond each quota.
        hits: Refused calls, weighted.
        misses: Accepted calls, weighted.
    """
    exp, log, rest = math.exp, math.log, 1.0 - noise
    least = min(_MOST, max(_LEAST, noise))
    below = exp(max(_LEAST_LIKELY, hits * log(least) + misses * log(1.0 - least)))
    shares = [min(_MOST, max(_LEAST, noise + rest * share)) for share in over]
    return [
        _SPARED * below + _UNSPARED * exp(max(_LEAST_LIKELY, hits * log(f) + misses * log(1.0 - f)))
        if share
        else below
        for f, share in zip(shares, over, strict=True)
    ]


class QuotaTracker:
    """Holds a pace just below the estimated quota, block by block.

    The pace is a twentieth below a low quantile of the quota, since a call too many costs more than
    a call too few: the newsvendor problem (Arrow, Harris and Marschak 1951).

    Attributes:
        fit: Estimate of quota and noise.
        noise: Share of calls refused by chance.
        pace: Calls a second.
        is_refused: True once a higher rate was refused while the quota is well known; the caller
            resets it.
    """

    __slots__ = (
        "_at",
        "_blocks",
        "_calls",
        "_ceiling",
        "_credit",
        "_down_at",
        "_end_at",
        "_end_sent",
        "_high",
        "_is_probe",
        "_known_at",
        "_known_sent",
        "_noise_then",
        "_refused",
        "_sent",
        "fit",
        "is_refused",
        "noise",
        "pace",
    )

    def __init__(self) -> None:
        self.fit = QuotaFit()
        self.noise = 0.0
        self.pace = 0.0
        self.is_refused = False
        self._at, self._sent, self._refused = 0.0, 0, 0  # at the block's start
        self._end_at, self._end_sent = math.inf, 0  # of a block whose refusals are awaited
        self._known_at, self._known_sent = 0.0, 0  # up to which the fit knows what was taken
        self._calls = _BLOCK_CALLS
        self._is_probe, self._high = False, 0.0  # the block has a higher rate
        self._ceiling = math.inf  # of the usual pace, until a higher one was tried
        self._noise_then = 0.0  # at the last slower block
        self._blocks = self._down_at = 0
        self._credit = _CREDIT  # refusals that higher rates may cost

    @property
    def is_known(self) -> bool:
        """True if enough calls were seen to estimate the noise."""
        return self.fit.calls >= _KNOWN_CALLS

    def begin(self, now: float, sent: int, rate: float, sure: float, seen: float = 0.0) -> None:
        """Start again from a measured quota.

        Args:
            now: When the next calls are sent.
            sent: Calls sent before.
            rate: Calls a second.
            sure: Standard deviation of its logarithm.
            seen: Share that chance refused lately.
        """
        self.fit.begin(rate, sure, seen)
        self._known_at, self._known_sent = now, sent
        self._ceiling = math.inf
        self._blocks = self._down_at = 0
        self.resume(now, sent)

    def resume(self, now: float, sent: int) -> None:
        """Begin a block of calls at ``now``, after ``sent`` calls."""
        if now > self._known_at:
            self.fit.on_gap(sent - self._known_sent, now - self._known_at)
            self._known_at, self._known_sent = now, sent
        self._at, self._sent, self._refused = now, sent, 0
        self._end_at = math.inf
        was_probe, self._is_probe, self._calls = self._is_probe, False, _BLOCK_CALLS
        is_quiet = self.noise < _QUIET  # so each refusal is the quota's
        lean, low = (_LEAN, _QUANTILE) if is_quiet else (_NOISY_LEAN, _NOISY_QUANTILE)
        usual = lean * (self.fit.quantile(low) if self.fit.calls else self.fit.rate)
        if was_probe or self._ceiling == math.inf:
            self._ceiling = usual
        self.pace = usual if is_quiet else min(usual, self._ceiling)

    def on_refused(self, index: int) -> None:
        """Record that call number ``index`` was refused."""
        is_ended = self._end_at < math.inf and index >= self._end_sent
        self._refused += index >= self._sent and not is_ended

    def on_sample(self, now: float, sent: int, lag_s: float) -> bool:
        """End the block if it is complete.

        Args:
            now: The time.
            sent: Calls sent so far.
            lag_s: Time after which all refusals are known.

        Returns:
            True if the pace changed.
        """
        if self._end_at == math.inf:
            is_full = sent >= self._sent + self._calls or now >= self._at + _LONGEST_BLOCK_S
            is_full = is_full and now >= self._at + _BLOCK_S
            if not is_full and not self._is_too_high(now, sent):
                return False
            self._end_at, self._end_sent = now, sent
        if now < self._end_at + lag_s:
            return False
        if not self._learn():
            self.resume(now, sent)
            return True
        self._blocks += 1
        was_probe, before = self._is_probe, self._high
        self.resume(now, sent)
        low, self._high = self.fit.quantile(_LOW), self.fit.quantile(_HIGH)
        is_free = was_probe and self._high >= before  # no evidence against it
        is_wide = self._high > _WIDE * low
        is_open = self._high > _OPEN * low and self._blocks % 2 == 0
        is_due = not was_probe and (is_open or self._blocks % _UP_EVERY == 0)
        is_paid = self._credit > 0.0 or (is_open and self._blocks % _AT_ANY_COST == 0)
        if is_paid and is_wide and (is_free or is_due):
            self._is_probe, self.pace = True, min(self._high, _HIGHEST * self.pace)
        elif self._blocks >= self._down_at + _DOWN_EVERY:
            self._look_below()
        return True

    def _is_too_high(self, now: float, sent: int) -> bool:
        """Return True if a higher rate has cost enough refusals to be judged."""
        beyond = self._refused - self.noise * (sent - self._sent)
        return self._is_probe and beyond >= _ENOUGH and now >= self._at + _CREDIBLE_S

    def on_cluster(self, now: float, sent: int, until: float) -> None:
        """End the block with a cluster of refusals; continue after a pause.

        At the higher rate a cluster is evidence of the quota. Otherwise this model cannot explain
        it, and one block at a lower pace lets ``WaveTest`` decide.
        """
        was_probe = self._is_probe
        if was_probe:
            if self._end_at == math.inf:
                self._end_at, self._end_sent = now, sent
            self._refused += 1
            self._learn()
        self.fit.empty()
        self._known_at, self._known_sent = now, sent
        self.resume(until, sent)
        if not was_probe:
            self.pace *= _AFTER_CLUSTER

    def _learn(self) -> bool:
        """Update the fit with the block; return False if it is no evidence."""
        calls, seconds = self._end_sent - self._sent, self._end_at - self._at
        if seconds < _CREDIBLE_S or calls < max(1.0, _USED * self.pace * seconds):
            return False
        self.fit.on_block(calls, min(calls, self._refused), seconds)
        self._known_at, self._known_sent = self._end_at, self._end_sent
        if self._is_probe:
            beyond = self._refused - self.noise * calls
            self._credit -= beyond
            if beyond >= _ENOUGH and self.fit.quantile(_HIGH) <= _OPEN * self.fit.quantile(_LOW):
                self.is_refused = True
        self._credit = min(_CREDIT, self._credit + _WORTH * calls)
        self.noise = self.fit.noise()[0]
        return True

    def _look_below(self) -> None:
        """Send one slower block if the noise is uncertain or seems to have grown.

        A pace slightly above the quota looks like more noise.
        """
        mean, deviation = self.fit.noise()
        is_doubtful = deviation > _DOUBT * mean and self.fit.quantile(_SURELY) < self.pace
        if mean >= _SOME_NOISE and (is_doubtful or mean > _GROWN * self._noise_then):
            self._down_at, self._noise_then = self._blocks, mean
            self._calls = _DOWN_CALLS
            self.pace *= 1.0 - max(_DOWN, mean)
