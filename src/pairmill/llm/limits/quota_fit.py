"""A quota and a share of noise, told from one another by how many calls are refused at which rate.

Of ``n`` calls in ``d`` seconds a server with a quota of ``q`` calls a second, which besides refuses
a share ``p`` of all calls for reasons of its own, refuses each with probability

    f = p + (1 - p) * max(0, 1 - q * d / n)

``QuotaFit`` is a Bayesian filter on a grid of both: each block of calls multiplies the weight of
every pair ``(p, q)`` by the binomial likelihood of what was refused, and all is slowly forgotten,
so that a quota or a noise that changes is followed. The rate to send at is a low quantile of the
quota's distribution, as in the newsvendor problem (Arrow, Harris and Marschak 1951): a call too
many costs more than one too few. While little is known of what lies above a rate, its quantiles
move up; so the quota is probed as often as it is forgotten, and no oftener. Pure.
"""

from __future__ import annotations

import math

__all__ = ["QuotaFit"]

_NOISE = (0.0, 0.005, 0.01, 0.02, 0.035, 0.05, 0.075, 0.1, 0.14, 0.2, 0.3, 0.45)
_PRIOR = (3.0, 0.0, 0.0, 0.0, 0.0, 0.0, -0.5, -1.0, -1.5, -2.0, -3.0, -4.0)  # log weights
_SPAN, _STEP = 1.0, 0.025  # of the logarithm of the quota: 2.7 times up and down
_CELLS = 2 * round(_SPAN / _STEP) + 1
_VARY = 2  # steps that a quota goes up and down by from block to block
_WIDER = range(-_VARY, _CELLS + _VARY)
_LEAST = 0.003  # probability of a refusal: no model is that good
_KEEP = 1.0 - 1.0 / 60.0  # of what was known, with each block
_ENOUGH = 60.0  # calls of a block that count in full
_TRUST = 0.8  # of a block's evidence: quotas are not dealt out as evenly as all that
_QUANTILE = 0.2


class QuotaFit:
    """What is known of a quota and of the noise beside it.

    Attributes:
        rate: Calls a second, as measured before; the middle of the grid.
        calls: Seen since ``begin``.
    """

    __slots__ = ("rate", "_noise", "_weights", "calls")

    def __init__(self) -> None:
        self.rate = 0.0
        self._noise = [*_PRIOR]
        self._weights: list[list[float]] = []
        self.calls = 0

    @property
    def is_begun(self) -> bool:
        return bool(self._weights)

    def begin(self, rate: float, sure: float = 0.1) -> None:
        """Begin anew with a quota that was measured; what is known of the noise is kept.

        Args:
            rate: Calls a second.
            sure: Standard deviation of its logarithm.
        """
        if self._weights:
            self._noise = self._marginal()
        self.rate = rate
        prior = [-0.5 * (self._log(cell) / sure) ** 2 for cell in range(_CELLS)]
        prior = [max(value, -6.0) for value in prior]
        self._weights = [[noise + value for value in prior] for noise in self._noise]
        self.calls = 0

    def on_block(self, sent: int, refused: int, seconds: float) -> None:
        """Learn of a block of calls, sent one after the other, and how many were refused."""
        self.calls += sent
        rate = sent / seconds
        trust = _TRUST * min(1.0, _ENOUGH / sent)
        hit, miss = trust * refused, trust * (sent - refused)
        over = [1.0 - self.rate * math.exp(self._log(cell)) / rate for cell in _WIDER]
        some = sum(share > 0.0 for share in over)
        for noise, row in zip(_NOISE, self._weights, strict=True):
            f = max(noise, _LEAST)
            flat = hit * math.log(f) + miss * math.log(1.0 - f)
            fits = [math.exp(-60.0)] * some
            for cell in range(some):
                f = min(0.97, max(_LEAST, noise + (1.0 - noise) * over[cell]))
                fits[cell] = math.exp(max(-60.0, hit * math.log(f) + miss * math.log(1.0 - f)))
            fits += [math.exp(max(-60.0, flat))] * (len(over) - some)
            for cell in range(_CELLS):
                fit = 0.25 * fits[cell] + 0.5 * fits[cell + _VARY] + 0.25 * fits[cell + 2 * _VARY]
                row[cell] = _KEEP * row[cell] + math.log(fit)
        best = max(map(max, self._weights))
        for row in self._weights:
            row[:] = [max(value - best, -30.0) for value in row]
        middle = self.quantile(0.5)
        if abs(math.log(middle / self.rate)) > _SPAN / 2:
            self.begin(middle, 0.3)

    @property
    def noise(self) -> float:
        """Share of the calls that is refused by chance, as expected."""
        sums = [sum(map(math.exp, row)) for row in self._weights]
        return sum(p * w for p, w in zip(_NOISE, sums, strict=True)) / sum(sums)

    @property
    def doubt(self) -> float:
        """Standard deviation of that share."""
        sums = [sum(map(math.exp, row)) for row in self._weights]
        total = sum(sums)
        mean = sum(p * w for p, w in zip(_NOISE, sums, strict=True)) / total
        square = sum(p * p * w for p, w in zip(_NOISE, sums, strict=True)) / total
        return math.sqrt(max(0.0, square - mean * mean))

    def quantile(self, share: float = _QUANTILE) -> float:
        """The quota, in calls a second, that is reached with probability ``1 - share``."""
        sums = [sum(math.exp(row[cell]) for row in self._weights) for cell in range(_CELLS)]
        total, below = sum(sums), 0.0
        for cell, weight in enumerate(sums):
            if below + weight >= share * total:
                part = (share * total - below) / weight
                return self.rate * math.exp(self._log(cell) + (part - 0.5) * _STEP)
            below += weight
        return self.rate

    def _marginal(self) -> list[float]:
        sums = [math.log(sum(map(math.exp, row))) for row in self._weights]
        top = max(sums)
        return [max(-8.0, value - top) for value in sums]

    @staticmethod
    def _log(cell: int) -> float:
        return (cell - _CELLS // 2) * _STEP


class Cruise:
    """Holds a pace near a quota that refills all the time, and follows it.

    Attributes:
        fit: What is known of the quota and of noise.
        pace: Calls a second.
    """

    __slots__ = ("_at", "_blocks", "_least", "_down", "_end_at", "_end_sent", "_is_probe", "_refused", "_sent", "fit", "pace")

    def __init__(self) -> None:
        self.fit = QuotaFit()
        self.pace = 0.0
        self._at, self._sent, self._refused = 0.0, 0, 0
        self._end_at, self._end_sent = math.inf, 0
        self._is_probe = False
        self._blocks = 0
        self._least, self._down = _BLOCK, 0

    def begin(self, now: float, sent: int, rate: float, sure: float) -> None:
        self.fit.begin(rate, sure)
        self._blocks = self._down = 0
        self.resume(now, sent)

    def resume(self, now: float, sent: int) -> None:
        """Begin a block of calls at ``now``."""
        self._at, self._sent, self._refused = now, sent, 0
        self._end_at = math.inf
        self._is_probe, self._least = False, _BLOCK
        self.pace = _LEAN * (self.fit.quantile(_CRUISE) if self.fit.calls else self.fit.rate)

    def on_refused(self, index: int) -> None:
        if index >= self._sent and (self._end_at == math.inf or index < self._end_sent):
            self._refused += 1

    def on_sample(self, now: float, sent: int, lag_s: float) -> bool:
        """Learn how many calls were sent; True: another pace."""
        if self._end_at == math.inf:
            if sent - self._sent < self._least or now - self._at < _BLOCK_S:
                return False
            self._end_at, self._end_sent = now, sent
        if now < self._end_at + lag_s:
            return False
        self._learn()
        low, high = self.fit.quantile(_LOW), self.fit.quantile(_HIGH)
        self._blocks += 1
        if self._is_probe and self.fit.quantile(0.5) > self.pace:
            self._blocks = _EVERY * (self._blocks // _EVERY) + _EVERY - 2  # nothing was refused
        is_probe = not self._is_probe and self._blocks % _EVERY == 0 and high > _WIDE * low
        self.resume(now, sent)
        if is_probe:
            self._is_probe, self.pace = True, high
        elif self._blocks >= self._down + _DOWN_EVERY and self.fit.noise >= 0.02 and self.fit.doubt > 0.3 * self.fit.noise:
            self._down = self._blocks
            self._least = 60
            self.pace *= 1.0 - max(0.12, self.fit.noise)
        return True

    def on_cluster(self, now: float, sent: int, until: float) -> None:
        """Learn of a cluster, with which the block ends; go on after a pause."""
        if self._end_at == math.inf:
            self._end_at, self._end_sent = now, sent
        was_probe = self._is_probe
        if was_probe:
            self._refused += 1
            self._learn()
        self.resume(until, sent)
        if not was_probe:
            self.pace *= _LESS

    def _learn(self) -> None:
        calls, seconds = self._end_sent - self._sent, self._end_at - self._at
        if calls > 0 and seconds >= 1.0 and calls >= _USED * self.pace * seconds:
            self.fit.on_block(calls, min(calls, self._refused), seconds)


_BLOCK, _BLOCK_S = 20, 4.0
_EVERY = 4
_DOWN_EVERY = 8
_LESS = 0.8
_LOW, _CRUISE, _HIGH = 0.2, 0.25, 0.8
_WIDE = 1.12
_LEAN = 0.95
_USED = 0.8
