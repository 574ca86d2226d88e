"""Scores how well a text supports an answer, by signals that distinguish wrong answers.

Grounding asks whether an answer's words are in the text, which any answer to the right text
passes. Support asks whether they are *together* there: a fact is a relation of words, and most
changes of a fact put words beside each other that are not together in the text. Numbers, names and
negations that are not in the text also lower the score, as do words whose opposite is in the same
place of the text. No model is asked.
"""

from __future__ import annotations

from itertools import repeat
from operator import and_
from typing import TYPE_CHECKING, NamedTuple

from msgspec import Struct

from pairmill.quality.grounding import (
    beside,
    compare,
    count_unseen_negations,
    count_unseen_numbers,
    negated_words,
    unseen_single_names,
)
from pairmill.quality.opposites import opposites
from pairmill.quality.phrases import applies
from pairmill.quality.stems import is_stemmed
from pairmill.quality.thresholds import LATEST_FORMULA

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pairmill.quality.grounding import PreparedChunk, PreparedPair
    from pairmill.quality.text import Prepared

__all__ = ["SupportSignals", "measure_support", "support"]


class SupportSignals(Struct, frozen=True):
    """Signals that make up the score.

    Attributes:
        near: Share of the answer's neighbouring content stems that are within five content words
            of each other in the text, 0 to 1.
        turned: Share of them that are only near each other in the other order, 0 to 1.
        gap: The longest run of neighbours that are not near each other in the text.
        numbers: Numbers that are not in the text.
        names: Words capitalised within a sentence that are not in the text.
        negations: Negated words that the text does not negate.
        apart: Of the neighbours that both occur in the text, the share that do not follow each
            other there, with at most one content word between them.
        strayed: Words between two others, where the text has another word between these.
        isolated: Words that are next to neither neighbour in the text, in a stretch that otherwise
            is.
        opposed: Words whose opposite is in the same place of the text (English).
        length: Content stems of the answer.
    """

    near: float
    turned: float
    gap: int
    numbers: int
    names: int
    negations: int
    apart: float = 0.0
    strayed: int = 0
    isolated: int = 0
    opposed: int = 0
    length: int = 0

    @property
    def score(self) -> float:
        """Score from 0 to 1, the best; weights from ``benchmarks/quality``."""
        # A long answer has more of these by chance, but no more by mistake.
        by_chance = (
            0.3 * min(max(self.gap - _FREE_GAP, 0), _MOST_GAP)
            + 0.3 * min(self.names, _MOST)
            + 0.7 * min(self.negations, _MOST)
            + 0.15 * min(self.strayed, _MOST)
            + 0.3 * min(self.isolated, _MOST)
        ) / max(1.0, self.length / _USUAL_LENGTH)
        lost = (
            (1.0 - self.near)
            + 1.5 * self.turned
            + 4.0 * max(0.0, self.turned - _MOST_TURNED)
            + 0.4 * self.apart
            + 1.0 * min(self.numbers, _MOST)
            + 1.5 * min(self.opposed, _MOST)
            + by_chance
        )
        return 1.0 / (1.0 + lost)

    @property
    def first_score(self) -> float:
        """Score of the first version, 0 to 1."""
        lost = (
            1.0 * self.turned
            + 0.02 * min(max(self.gap - _FREE_GAP, 0), _MOST_GAP)
            + 0.3 * min(self.numbers, _MOST)
            + 0.15 * min(self.names, _MOST)
            + 0.2 * min(self.negations, _MOST)
        )
        return min(1.0, max(0.0, self.near - lost))


_FREE_GAP, _MOST_GAP, _MOST = 4, 10, 3
_USUAL_LENGTH = 30
_MOST_TURNED = 0.3  # no true answer has more; in a text read backwards all are turned
_LEAST_NEIGHBOURS = 4  # fewer are no evidence
_LEAST_SHARED = 2  # neighbours of a function word that are beside its opposite in the text


def support(
    pair: PreparedPair, chunk: PreparedChunk, formula: int = LATEST_FORMULA
) -> float | None:
    """Return the row's ``support``, 0 to 1; None if it cannot be measured.

    It cannot in scripts without spaces between words, nor for an answer of four content words or
    fewer.

    Args:
        pair: The pair.
        chunk: Its chunk.
        formula: Version of the score.
    """
    signals = measure_support(pair, chunk)
    if signals is None:
        return None
    return signals.score if formula >= LATEST_FORMULA else signals.first_score


def measure_support(pair: PreparedPair, chunk: PreparedChunk) -> SupportSignals | None:
    """Return the parts of the score; None if it cannot be measured."""
    answer = pair.answer
    if answer.spaceless or chunk.text.spaceless:
        return None
    counted = compare(answer, chunk)
    total = (len(answer.stems) if answer.fast is None else answer.fast.stems) - 1
    if total < _LEAST_NEIGHBOURS:
        return None
    found = _neighbours(answer, chunk) if counted is None else counted
    is_capital = applies("unseen_name", chunk.language) and (
        counted is None or counted.unseen_capitals != 0
    )
    return SupportSignals(
        near=found.near / total,
        turned=(found.near - found.ahead) / total,
        gap=found.gap,
        numbers=count_unseen_numbers(answer, chunk)
        if counted is None or counted.unseen_numbers
        else 0,
        names=len(unseen_single_names(answer.text, chunk)) if is_capital else 0,
        negations=count_unseen_negations(answer, chunk) if counted is None else counted.negations,
        apart=found.parted / found.linked if found.linked else 0.0,
        strayed=found.strayed,
        isolated=found.isolated,
        opposed=_count_opposed(answer, chunk) if counted is None else counted.opposed,
        length=total + 1,
    )


class _Neighbours(NamedTuple):
    """Counts of an answer's neighbouring stems.

    Attributes:
        near: Near each other in the text, in either order.
        ahead: Of these, those in the answer's order.
        gap: Longest run of neighbours that are not near each other.
        linked: Both in the text.
        parted: Of these, those that do not follow each other there.
        strayed: As of `SupportSignals`.
        isolated: Likewise.
    """

    near: int
    ahead: int
    gap: int
    linked: int
    parted: int
    strayed: int
    isolated: int


def _neighbours(answer: Prepared, chunk: PreparedChunk) -> _Neighbours:
    places = list(map(chunk.places.get, answer.stems, repeat(0)))
    total = len(places) - 1
    reach = list(map(chunk.reach.__getitem__, places))
    ahead = bytes(map(bool, map(and_, reach, places[1:])))
    back = bytes(map(bool, map(and_, reach[1:], places)))
    either = (int.from_bytes(ahead) | int.from_bytes(back)).to_bytes(total)
    held = bytes(map(bool, places))
    both = int.from_bytes(held[:-1]) & int.from_bytes(held[1:])
    follows = bytes(map(bool, map(and_, map(chunk.step.__getitem__, places), places[1:])))
    parted = (both ^ int.from_bytes(follows)).to_bytes(total)
    strayed, isolated = _out_of_place(places, parted, follows) if 1 in parted else (0, 0)
    return _Neighbours(
        either.count(1),
        ahead.count(1),
        max(map(len, either.split(b"\1"))),
        both.bit_count(),
        parted.count(1),
        strayed,
        isolated,
    )


def _out_of_place(places: Sequence[int], parted: bytes, follows: bytes) -> tuple[int, int]:
    """Count strayed and isolated words; see `SupportSignals`.

    Args:
        places: Places of each stem of the answer in the text.
        parted: For each but the last, whether it and the next one are both in the text, but apart.
        follows: Likewise, whether the next one follows it there.
    """
    strayed = isolated = 0
    last = len(places) - 1
    links = [at for at, is_parted in enumerate(parted) if is_parted]
    for at in {*links, *(link + 1 for link in links)}:
        if not 0 < at < last:
            continue
        before, here, behind = places[at - 1 : at + 2]
        frame = before << 2 & behind
        strayed += bool(here and frame and not frame >> 1 & here)
        isolated += bool(
            1 < at < last - 1
            and parted[at - 1]
            and parted[at]
            and follows[at - 2]
            and follows[at + 1]
        )
    return strayed, isolated


def _count_opposed(answer: Prepared, chunk: PreparedChunk) -> int:
    """Count the answer's words whose opposite is in the same place of the text.

    Words that either side negates do not count: "not easy" means "hard".
    """
    if not is_stemmed(answer.language):
        return 0
    found = 0
    negated = negated_words(answer)
    places = [chunk.places.get(stem, 0) for stem in answer.stems]
    for stem in answer.content & chunk.opposable - negated:
        if stem in chunk.negated:
            continue
        others = 0
        for other in opposites().stems[stem]:
            if other not in negated and other not in chunk.negated:
                others |= chunk.places.get(other, 0)
        own = chunk.places.get(stem, 0)
        at = -1
        for _ in range(answer.stems.count(stem)):
            at = answer.stems.index(stem, at + 1)
            around = 0
            for near in (*places[max(0, at - 2) : at], *places[at + 1 : at + 3]):
                around |= chunk.around[near]
            found += bool(around & others and not around & own)
    little = answer.vocabulary & chunk.opposable_little
    if little:
        mine = beside(answer, little)
        found += sum(_says_opposite(word, mine[word], chunk) for word in little)
    return found


def _says_opposite(word: str, mine: Sequence[frozenset[str]], chunk: PreparedChunk) -> bool:
    """Return whether an opposite of a function word shares more of its neighbours in the text.

    Args:
        word: The word.
        mine: The content words beside each place where the answer has it.
        chunk: The text.
    """
    said = chunk.beside_little
    others = [place for other in opposites().words[word] for place in said.get(other, ())]
    own = said.get(word, ())
    for near in mine:
        most = max((len(near & place) for place in others), default=0)
        if most >= _LEAST_SHARED and most > max((len(near & place) for place in own), default=0):
            return True
    return False
