"""Texts with weights, to draw one from by a share of their sum: tables that are made once."""

from __future__ import annotations

from bisect import bisect_right
from functools import lru_cache
from itertools import accumulate
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Weights", "pick", "weights_of", "without"]

_MOST_EXACT = 2.0**20
_MOST_TABLES = 2048


class Weights:
    """A table of texts and weights, ready to draw from.

    Attributes:
        weights: Text to weight, none below 0.
        total: Their sum.
    """

    __slots__ = ("_ends", "_names", "total", "weights")

    def __init__(self, names: tuple[str, ...], weights: tuple[float, ...]) -> None:
        self.weights: Mapping[str, float] = dict(zip(names, weights, strict=True))
        self.total = sum(weights)
        self._names = names
        # Sums and differences of whole numbers are exact: looking for the place gives the same.
        is_exact = self.total < _MOST_EXACT and all(map(float.is_integer, weights))
        self._ends = list(accumulate(weights)) if is_exact else None

    def pick(self, share: float) -> str:
        """Return the text at a share of the sum: a multiple of 2**-32 from 0 to below 1."""
        if self._ends is None:
            return pick(self.weights, share)
        return self._names[bisect_right(self._ends, share * self.total)]


def pick(weights: Mapping[str, float], share: float) -> str:
    """Return the text at a share of the sum, from 0 to below 1, of weights that are no table."""
    place = share * sum(weights.values())
    for text, weight in weights.items():
        place -= weight
        if place < 0:
            return text
    return next(reversed([text for text, weight in weights.items() if weight]))


def weights_of(weights: Mapping[str, float]) -> Weights:
    """Return the table of these weights: the same one for the same, as long as it is in use."""
    return _table(tuple(weights), tuple(map(float, weights.values())))


@lru_cache(maxsize=_MOST_TABLES)
def without(table: Weights, name: str) -> Weights:
    """Return the table without a text; the same one where it is not among them."""
    if name not in table.weights:
        return table
    return weights_of({text: weight for text, weight in table.weights.items() if text != name})


_table = lru_cache(maxsize=_MOST_TABLES)(Weights)
