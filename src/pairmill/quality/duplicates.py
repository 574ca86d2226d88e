"""Duplicates across a whole dataset: exact, and near by the Jaccard index of three-word runs.

Near means a Jaccard similarity of at least 0.7 between the sets of three-word runs (three
characters where a script has no spaces). It is computed exactly: two sets that similar must share
one of their few rarest runs (prefix filtering: Bayardo, Ma and Srikant, "Scaling up all pairs
similarity search", WWW 2007), so that an index of those finds every candidate, and each candidate
is verified. For texts as short as instructions that is as fast as MinHash, misses nothing, and
needs no seed and no other package.

Nothing here depends on the order of the items: they are decided best score first, then by id.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pairmill.quality.text import words
from pairmill.quality.thresholds import LEAST_JACCARD

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

__all__ = ["Duplicate", "Item", "find_duplicates", "group", "jaccard", "shingles"]

_RUN = 3
_SLACK = 1e-9  # 0.7 * 10 must not round up to 8


@dataclass(frozen=True, slots=True)
class Item:
    """A text to compare, under a unique id; of duplicates the one with the higher score is kept."""

    id: str
    text: str
    score: float = 0.0


@dataclass(frozen=True, slots=True)
class Duplicate:
    """What a dropped item repeats: the id of the kept one, and their similarity (1: exact)."""

    of: str
    similarity: float


def shingles(text: str) -> frozenset[tuple[str, ...]]:
    """Return the runs of three words of a text; a shorter text is one run."""
    return _runs(words(text))


def jaccard(one: frozenset[tuple[str, ...]], other: frozenset[tuple[str, ...]]) -> float:
    """Shared by all, 0 to 1; two empty sets are alike."""
    either = len(one | other)
    return len(one & other) / either if either else 1.0


def find_duplicates(items: Iterable[Item], *, least: float = LEAST_JACCARD) -> dict[str, Duplicate]:
    """Decide which items repeat another: id of each to drop, to what it repeats.

    Of two similar items the higher score is kept, then the smaller id; a dropped item is always
    similar to a kept one. The same items in any order give the same result.
    """
    ordered = sorted(items, key=lambda item: (-item.score, item.id))
    found: dict[str, Duplicate] = {}
    first: dict[tuple[str, ...], str] = {}
    distinct: list[tuple[str, tuple[str, ...]]] = []
    for item in ordered:
        tokens = words(item.text)
        kept = first.setdefault(tokens, item.id)
        if kept == item.id:
            distinct.append((item.id, tokens))
        else:
            found[item.id] = Duplicate(kept, 1.0)
    index = _Index(least)
    for (name, _), runs in zip(distinct, _ranked([tokens for _, tokens in distinct]), strict=True):
        nearest = max(index.find(runs), default=None, key=lambda near: (near[1], -near[0]))
        if nearest is None:
            index.add(runs, name)
        else:
            found[name] = Duplicate(index.names[nearest[0]], nearest[1])
    return {name: _to_kept(duplicate, found) for name, duplicate in found.items()}


def group(items: Iterable[Item], *, least: float = LEAST_JACCARD) -> dict[str, str]:
    """Gather items that are alike, also through others: id to the smallest id of its group.

    For splits: two items of one group must not be in different splits.
    """
    ordered = sorted(items, key=lambda item: item.id)
    parents: dict[str, str] = {item.id: item.id for item in ordered}
    first: dict[tuple[str, ...], str] = {}
    for item in ordered:
        parents[item.id] = first.setdefault(words(item.text), item.id)
    index = _Index(least)
    for runs, name in zip(_ranked(list(first)), list(first.values()), strict=True):
        for other, _ in index.find(runs):
            one, two = sorted((_root(parents, name), _root(parents, index.names[other])))
            parents[two] = one
        index.add(runs, name)
    return {item.id: _root(parents, item.id) for item in ordered}


class _Index:
    """Sets of ranks, indexed by their rarest ones."""

    def __init__(self, least: float) -> None:
        self.names: list[str] = []
        self._least = least
        self._sets: list[tuple[int, ...]] = []
        self._postings: defaultdict[int, list[int]] = defaultdict(list)

    def add(self, runs: tuple[int, ...], name: str) -> None:
        for run in self._prefix(runs):
            self._postings[run].append(len(self._sets))
        self._sets.append(runs)
        self.names.append(name)

    def find(self, runs: tuple[int, ...]) -> Iterator[tuple[int, float]]:
        """Positions of all sets that are alike, each with its exact Jaccard."""
        candidates = {at for run in self._prefix(runs) for at in self._postings.get(run, ())}
        wanted = frozenset(runs)
        low, high = self._least * len(runs) - _SLACK, len(runs) / self._least + _SLACK
        for at in candidates:
            other = self._sets[at]
            if low <= len(other) <= high:
                shared = len(wanted.intersection(other))
                similarity = shared / (len(runs) + len(other) - shared)
                if similarity >= self._least - _SLACK:
                    yield at, similarity

    def _prefix(self, runs: tuple[int, ...]) -> tuple[int, ...]:
        """Return the rarest runs, of which two similar sets share at least one.

        Alike sets share at least ``least`` of the larger one, so that one may not miss more than
        the rest of its own.
        """
        return runs[: len(runs) - math.ceil(self._least * len(runs) - _SLACK) + 1]


def _ranked(texts: Sequence[tuple[str, ...]]) -> list[tuple[int, ...]]:
    """Each text's runs as numbers, rarest first."""
    numbers: dict[tuple[str, ...], int] = {}
    sets = [[numbers.setdefault(run, len(numbers)) for run in _runs(text)] for text in texts]
    counts = Counter(run for runs in sets for run in runs)
    by_rarity = sorted(counts, key=lambda run: (counts[run], run))
    ranks = {run: rank for rank, run in enumerate(by_rarity)}
    return [tuple(sorted(ranks[run] for run in runs)) for runs in sets]


def _runs(tokens: tuple[str, ...]) -> frozenset[tuple[str, ...]]:
    if len(tokens) < _RUN:
        return frozenset({tokens}) if tokens else frozenset()
    return frozenset(zip(tokens, tokens[1:], tokens[2:], strict=False))


def _root(parents: dict[str, str], name: str) -> str:
    while parents[name] != name:
        parents[name] = parents[parents[name]]
        name = parents[name]
    return name


def _to_kept(duplicate: Duplicate, found: dict[str, Duplicate]) -> Duplicate:
    """Resolve an exact repeat of a text that is itself near to a third to that third."""
    further = found.get(duplicate.of)
    return Duplicate(further.of, further.similarity) if further else duplicate
