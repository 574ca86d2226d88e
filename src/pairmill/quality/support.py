"""Scores how well a text supports an answer, by signals that distinguish wrong answers.

Grounding asks whether an answer's words are in the text, which any answer to the right text
passes. Support asks whether they are *together* there: a fact is a relation of words, and most
changes of a fact put words beside each other that are not so in the text. Numbers, names and
negations that the text does not hold count on top. No model is asked.
"""

from __future__ import annotations

from itertools import repeat
from operator import and_
from typing import TYPE_CHECKING

from msgspec import Struct

from pairmill.quality.grounding import (
    count_unseen_negations,
    count_unseen_numbers,
    unseen_single_names,
)
from pairmill.quality.phrases import applies

if TYPE_CHECKING:
    from pairmill.quality.grounding import PreparedChunk, PreparedPair
    from pairmill.quality.text import Prepared

__all__ = ["SupportSignals", "measure_support", "support"]


class SupportSignals(Struct, frozen=True):
    """Signals that make up the score.

    Attributes:
        near: Share of the answer's neighbouring content stems that are within five content words
            of each other in the text, 0 to 1.
        turned: Share of them that do so only in the other order, 0 to 1.
        gap: The longest run of neighbours that are not near each other in the text.
        numbers: Numbers that the text does not hold.
        names: Words with a capital inside a sentence that the text does not hold.
        negations: Negated words that the text does not negate.
    """

    near: float
    turned: float
    gap: int
    numbers: int
    names: int
    negations: int

    @property
    def score(self) -> float:
        """Score, 0 to 1; weights from ``benchmarks/quality``."""
        lost = (
            _TURNED * self.turned
            + _GAP * min(max(self.gap - _FREE_GAP, 0), _MOST_GAP)
            + _NUMBER * min(self.numbers, _MOST)
            + _NAME * min(self.names, _MOST)
            + _NEGATION * min(self.negations, _MOST)
        )
        return min(1.0, max(0.0, self.near - lost))


_TURNED, _GAP, _NUMBER, _NAME, _NEGATION = 1.0, 0.02, 0.3, 0.15, 0.2
_FREE_GAP, _MOST_GAP, _MOST = 4, 10, 3
_LEAST_NEIGHBOURS = 4  # fewer say nothing about an answer


def support(pair: PreparedPair, chunk: PreparedChunk) -> float | None:
    """Return the row's ``support``, 0 to 1; None if it cannot be measured.

    That is so in scripts without spaces between words, and for an answer of four content words or
    fewer.
    """
    signals = measure_support(pair, chunk)
    return signals.score if signals else None


def measure_support(pair: PreparedPair, chunk: PreparedChunk) -> SupportSignals | None:
    """Return the parts of the score; None if it cannot be measured."""
    answer = pair.answer
    if answer.spaceless or chunk.text.spaceless:
        return None
    total = (len(answer.stems) if answer.fast is None else answer.fast.stems) - 1
    if total < _LEAST_NEIGHBOURS:
        return None
    if answer.fast is not None and chunk.text.fast is not None:
        near, ahead, gap = answer.fast.neighbours(chunk.text.fast)
    else:
        near, ahead, gap = _neighbours(answer, chunk)
    is_capital = applies("unseen_name", chunk.language)
    return SupportSignals(
        near=near / total,
        turned=(near - ahead) / total,
        gap=gap,
        numbers=count_unseen_numbers(answer, chunk),
        names=len(unseen_single_names(answer.text, chunk)) if is_capital else 0,
        negations=count_unseen_negations(answer, chunk),
    )


def _neighbours(answer: Prepared, chunk: PreparedChunk) -> tuple[int, int, int]:
    """Count the neighbours near each other in the text: in either order, and in the answer's.

    The third number is the longest run of those that are not.
    """
    places = list(map(chunk.places.get, answer.stems, repeat(0)))
    reach = list(map(chunk.reach.__getitem__, places))
    ahead = bytes(map(bool, map(and_, reach, places[1:])))
    back = bytes(map(bool, map(and_, reach[1:], places)))
    either = (int.from_bytes(ahead) | int.from_bytes(back)).to_bytes(len(ahead))
    return either.count(1), ahead.count(1), max(map(len, either.split(b"\1")))
