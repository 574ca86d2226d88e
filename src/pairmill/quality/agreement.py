"""Agreement of two ratings of the same things: the figures of the judge's trust report.

Ratings are integers, or None if there is none; a thing that lacks one of its two ratings is left
out, never counted as a score.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Agreement", "agree", "spearman", "weighted_kappa"]


@dataclass(frozen=True, slots=True)
class Agreement:
    """Comparison of two ratings.

    Attributes:
        compared: Things with both ratings; all figures are None if there are none.
        exact: Share with equal ratings.
        within_one: Share whose ratings differ by at most 1.
        kappa: Quadratic-weighted kappa: 1 is full agreement, 0 no more than chance; None if
            chance alone would agree (every rating is the same).
    """

    compared: int
    exact: float | None
    within_one: float | None
    kappa: float | None


def agree(first: Sequence[int | None], second: Sequence[int | None]) -> Agreement:
    """Compare two ratings of the same things, in the same order.

    Raises:
        ValueError: The two are not of one length.
    """
    pairs = [
        (one, other)
        for one, other in zip(first, second, strict=True)
        if one is not None and other is not None
    ]
    if not pairs:
        return Agreement(0, None, None, None)
    gaps = [abs(one - other) for one, other in pairs]
    total = len(pairs)
    return Agreement(
        compared=total,
        exact=sum(gap == 0 for gap in gaps) / total,
        within_one=sum(gap <= 1 for gap in gaps) / total,
        kappa=weighted_kappa([one for one, _ in pairs], [other for _, other in pairs]),
    )


def weighted_kappa(first: Sequence[int], second: Sequence[int]) -> float | None:
    """Quadratic-weighted kappa (Cohen 1968), from -1 to 1; None if it is not defined."""
    total = len(first)
    observed = sum((one - other) ** 2 for one, other in zip(first, second, strict=True))
    ones, others = Counter(first), Counter(second)
    expected = sum(
        (one - other) ** 2 * ones[one] * others[other] for one in ones for other in others
    )
    return 1 - observed * total / expected if expected else None


def spearman(first: Sequence[float], second: Sequence[float]) -> float | None:
    """Spearman's rank correlation, ties at their mean rank; None if one side does not vary."""
    ones, others = _ranks(first), _ranks(second)
    middle = (len(ones) + 1) / 2
    shared = sum((one - middle) * (other - middle) for one, other in zip(ones, others, strict=True))
    spread = math.sqrt(
        sum((one - middle) ** 2 for one in ones) * sum((other - middle) ** 2 for other in others)
    )
    return shared / spread if spread else None


def _ranks(values: Sequence[float]) -> list[float]:
    order = sorted(range(len(values)), key=values.__getitem__)
    ranks = [0.0] * len(values)
    start = 0
    while start < len(order):
        stop = start
        while stop < len(order) and values[order[stop]] == values[order[start]]:
            stop += 1
        for at in order[start:stop]:
            ranks[at] = (start + 1 + stop) / 2
        start = stop
    return ranks
