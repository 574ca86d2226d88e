"""Authorship attribution of answers by character n-grams.

For each document with answers, the author whose other documents are most similar is chosen, without
the document itself. Texts are distorted first (Stamatatos 2017, "Authorship attribution using text
distortion"): words that the authors do not share become a star, so that style decides and not the
subject. Frequencies of n-grams are compared by cosine delta (Evert et al. 2017, "Understanding
and explaining Delta measures for authorship attribution").
"""

from __future__ import annotations

import math
import re
from collections import Counter
from dataclasses import dataclass
from operator import mul
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

__all__ = ["Attribution", "attribute", "few_authors", "why_not"]

MOST_AUTHORS = 20
LEAST_AUTHORS = 2
LEAST_DOCUMENTS = 2  # of an author: one document is left out in turn
LEAST_WORDS = 150  # of all answers of a document; fewer show no style
_COMMON_WORDS = 150
_FEATURES = 800
_GRAM = 4
_TOKEN = re.compile(r"\w+(?:['\u2019]\w+)*|[^\w\s]")


@dataclass(frozen=True, slots=True)
class Attribution:
    """Number of documents whose answers were attributed to their author.

    Attributes:
        authors: Authors to choose from.
        documents: Documents that have answers, and whose author has another document.
        answers: Documents whose answers read like their author's other documents.
        sources: Documents whose own text does, cut to the length of their answers.
    """

    authors: int
    documents: int
    answers: int
    sources: int

    @property
    def chance(self) -> float:
        """Share that a guess would get right."""
        return 1 / self.authors


def attribute(
    sources: Mapping[str, Mapping[str, str]], answers: Mapping[str, Mapping[str, str]]
) -> Attribution | None:
    """Attribute the answers of each document; None if there are too few authors or texts.

    Args:
        sources: Author to document to its text.
        answers: Author to document to all of its answers.
    """
    tried = {
        author: {
            name: said
            for name, said in answers.get(author, {}).items()
            if name in texts and len(said.split()) >= LEAST_WORDS
        }
        for author, texts in sources.items()
        if len(texts) >= LEAST_DOCUMENTS
    }
    authors = sorted(tried, key=lambda author: (-len(tried[author]), author))[:MOST_AUTHORS]
    total = sum(len(tried[author]) for author in authors)
    if len(authors) < LEAST_AUTHORS or not total:
        return None
    common = _common_words([sources[author] for author in authors])
    grams = {
        author: {name: _grams(text, common) for name, text in sources[author].items()}
        for author in authors
    }
    whole = {author: _summed(grams[author].values()) for author in authors}
    total_grams = _summed(whole.values())
    features = sorted(total_grams, key=lambda gram: (-total_grams[gram], gram))[:_FEATURES]
    profiles = {author: _shares(counts, features) for author, counts in whole.items()}
    right = {"answers": 0, "sources": 0}
    for author in authors:
        for name, said in tried[author].items():
            rest = _shares(whole[author] - grams[author][name], features)
            others = {**profiles, author: rest}
            # If the scale included the text in question, it would look unlike its author's others.
            scale = _Scale(list(others.values()))
            known = {other: scale.of(row) for other, row in others.items()}
            own = " ".join(sources[author][name].split()[: len(said.split())])
            for kind, text in (("answers", said), ("sources", own)):
                point = scale.of(_shares(_grams(text, common), features))
                right[kind] += _nearest(point, known) == author
    return Attribution(len(authors), total, right["answers"], right["sources"])


def few_authors(documents: Sequence[int]) -> str:
    """Return an explanation if there are too few authors to choose from; else "".

    Args:
        documents: Number of documents of each author.
    """
    usable = sum(count >= LEAST_DOCUMENTS for count in documents)
    if usable >= LEAST_AUTHORS:
        return ""
    if not documents:
        return "no document names its author"
    return f"{usable} of {len(documents):,} authors with {LEAST_DOCUMENTS} documents or more"


def why_not(
    sources: Mapping[str, Mapping[str, str]], answers: Mapping[str, Mapping[str, str]]
) -> str:
    """Return why `attribute` returns None for these texts; "" if it returns a figure."""
    few = few_authors([len(texts) for texts in sources.values()])
    if few or any(
        len(said.split()) >= LEAST_WORDS
        for author, texts in sources.items()
        if len(texts) >= LEAST_DOCUMENTS
        for name, said in answers.get(author, {}).items()
        if name in texts
    ):
        return few
    return f"no document has {LEAST_WORDS} words of answers"


def _nearest(point: Sequence[float], known: Mapping[str, Sequence[float]]) -> str:
    return max(sorted(known), key=lambda author: _cosine(point, known[author]))


def _common_words(texts: Sequence[Mapping[str, str]]) -> frozenset[str]:
    """Return the most frequent of the words that most authors use."""
    used: Counter[str] = Counter()
    total: Counter[str] = Counter()
    for documents in texts:
        tokens = Counter(
            word.lower() for text in documents.values() for word in _TOKEN.findall(text)
        )
        used.update(tokens.keys())
        total.update(tokens)
    ranked = sorted(total, key=lambda word: (-used[word], -total[word], word))
    return frozenset(ranked[:_COMMON_WORDS])


def _grams(text: str, common: frozenset[str]) -> Counter[str]:
    tokens = (token.lower() for token in _TOKEN.findall(text))
    told = " ".join(token if token in common else "*" for token in tokens)
    return Counter(told[at : at + _GRAM] for at in range(len(told) - _GRAM + 1))


def _summed(counts: Iterable[Counter[str]]) -> Counter[str]:
    total: Counter[str] = Counter()
    for each in counts:
        total.update(each)
    return total


def _shares(counts: Counter[str], features: Sequence[str]) -> list[float]:
    total = counts.total() or 1
    return [counts[gram] / total for gram in features]


class _Scale:
    """Mean and spread of each feature over the authors."""

    def __init__(self, rows: Sequence[Sequence[float]]) -> None:
        columns = list(zip(*rows, strict=True))
        self._means = [sum(column) / len(column) for column in columns]
        self._spreads = [
            math.sqrt(sum((value - mean) ** 2 for value in column) / len(column)) or 1.0
            for column, mean in zip(columns, self._means, strict=True)
        ]

    def of(self, row: Sequence[float]) -> list[float]:
        """Return the row in standard deviations from the mean."""
        return [
            (value - mean) / spread
            for value, mean, spread in zip(row, self._means, self._spreads, strict=True)
        ]


def _cosine(one: Sequence[float], other: Sequence[float]) -> float:
    lengths = math.sqrt(_product(one, one) * _product(other, other))
    return _product(one, other) / lengths if lengths else 0.0


def _product(one: Sequence[float], other: Sequence[float]) -> float:
    return float(sum(map(mul, one, other)))
