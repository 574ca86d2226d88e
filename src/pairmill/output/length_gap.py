"""Length difference of chosen and rejected answers: with a gap, training learns length."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pairmill.quality.text import words

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["GapCounter", "LengthGap"]

_FAR = 0.1  # of the mean length: beyond, a model can win by length alone


@dataclass(frozen=True, slots=True)
class LengthGap:
    """Result over all pairs of answers.

    Attributes:
        mean_words: Mean length of the chosen ones less that of the rejected, in words.
        mean_length: Mean length of all of them, in words.
        chosen_longer: Share of the pairs in which the chosen one is the longer.
    """

    mean_words: float
    mean_length: float
    chosen_longer: float

    @property
    def is_far(self) -> bool:
        """True if the gap is wider than a tenth of the mean length."""
        return abs(self.mean_words) > _FAR * self.mean_length

    def line(self) -> str:
        """Describe the gap in a line, with what a good one looks like."""
        verdict = "too wide: training learns length" if self.is_far else "fine"
        return (
            f"length gap: chosen answers are {self.mean_words:+.1f} words longer than rejected ones"
            f" on average (of {self.mean_length:.0f}), and the longer in {self.chosen_longer:.0%}"
            f" of the pairs; under a tenth is good: {verdict}"
        )


class GapCounter:
    """Counts records of a preference format."""

    def __init__(self) -> None:
        self._pairs = self._chosen = self._rejected = self._longer = 0

    def add(self, record: Mapping[str, str]) -> None:
        """Count one record with ``chosen`` and ``rejected``."""
        chosen, rejected = len(words(record["chosen"])), len(words(record["rejected"]))
        self._pairs += 1
        self._chosen += chosen
        self._rejected += rejected
        self._longer += chosen > rejected

    def result(self) -> LengthGap | None:
        """Return the gap; None if nothing was counted."""
        if not self._pairs:
            return None
        return LengthGap(
            (self._chosen - self._rejected) / self._pairs,
            (self._chosen + self._rejected) / (2 * self._pairs),
            self._longer / self._pairs,
        )
