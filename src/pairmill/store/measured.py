"""What finished units took on average, and how sure that is. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Mean", "Measured"]


@dataclass(frozen=True, slots=True)
class Mean:
    """A mean, and its standard error."""

    value: float = 0.0
    error: float = 0.0

    @classmethod
    def of(cls, values: Sequence[float]) -> Mean:
        """Of independent values; with fewer than two the error is as large as the mean."""
        count = len(values)
        if not count:
            return cls()
        mean = sum(values) / count
        if count == 1:
            return cls(mean, abs(mean))
        variance = sum((value - mean) ** 2 for value in values) / (count - 1)
        return cls(mean, math.sqrt(variance / count))


@dataclass(frozen=True, slots=True)
class Measured:
    """Per unit, over those for which an answer was bought.

    Attributes:
        units: How many it is taken from.
        answers: Answers bought, repairs included.
        repaired: Share of the units that took more than one answer.
    """

    units: int = 0
    pairs: Mean = Mean()
    answers: Mean = Mean()
    prompt_tokens: Mean = Mean()
    completion_tokens: Mean = Mean()
    repaired: float = 0.0

    @classmethod
    def of(cls, rows: Sequence[tuple[int, int, int, int]]) -> Measured:
        """From a row a unit: pairs, answers, prompt and completion tokens."""
        if not rows:
            return cls()
        pairs, answers, prompt, completion = map(Mean.of, zip(*rows, strict=True))
        repaired = sum(row[1] > 1 for row in rows) / len(rows)
        return cls(len(rows), pairs, answers, prompt, completion, repaired)
