"""Duplicates across a dataset: exact, near by shared words, and near by meaning.

Near means a Jaccard similarity of at least 0.7 between the sets of three-word runs (three
characters where a script has no spaces). It is computed exactly: two sets that similar must share
one of their few rarest runs (prefix filtering: Bayardo, Ma and Srikant, "Scaling up all pairs
similarity search", WWW 2007), so that an index of those finds every candidate, and each candidate
is verified. For texts as short as instructions this is as fast as MinHash, exact, and needs neither
a seed nor another package.

Nothing here depends on the order of the items: they are decided best score first, then by id.

The embeddings are wordllama's (Miller 2024, MIT): one vector of 256 numbers a token, averaged; the
weights are in its package, and nothing is downloaded. They work best for English, and represent
which words occur, not their relations.

Vectors are rounded to whole numbers from -127 to 127. All their products and sums then fit into a
float's 24 bits, so that a cosine is exact, and does not depend on how a machine orders its sums.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from pairmill.errors import ConfigError
from pairmill.quality.text import words
from pairmill.quality.thresholds import LEAST_COSINE, LEAST_JACCARD

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

__all__ = [
    "Duplicate",
    "Embed",
    "Item",
    "find_alike",
    "find_duplicates",
    "group",
    "jaccard",
    "load_embedder",
    "shingles",
]

_RUN = 3
_SLACK = 1e-9  # 0.7 * 10 must not round up to 8


@dataclass(frozen=True, slots=True)
class Item:
    """A text to compare, with a unique id; of duplicates the one with the higher score is kept."""

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
    """Return the Jaccard similarity, 0 to 1; 1 for two empty sets."""
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
        """Return the positions of all similar sets, each with its exact Jaccard similarity."""
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

        Similar sets share at least ``least`` of the larger one, which bounds how many runs of a set
        the other may lack.
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
    """Map an exact repeat of a near duplicate to the text that the latter repeats."""
    further = found.get(duplicate.of)
    return Duplicate(further.of, further.similarity) if further else duplicate


Embed: TypeAlias = "Callable[[Sequence[str]], Any]"
"""Texts to an array of one row of floats each, of any length; all zeros for an empty text."""

_NAME = "wordllama"
_SCALE = 127
_BLOCK = 1024  # items compared with all kept ones at a time
_LONGEST = 2_000  # characters that are embedded: a batch is padded to its longest text
_PANEL = 8192  # kept items in one product: 32 MB of cosines


def load_embedder() -> Embed:
    """Load the embeddings of wordllama, from its own package and without a network.

    Raises:
        ConfigError: The extra is not installed, or its package came without the weights.
    """
    found = find_spec(_NAME)
    if found is None or not found.submodule_search_locations:
        raise ConfigError("comparing by embeddings needs the extra: pip install 'pairmill[embed]'")
    from wordllama import WordLlama  # noqa: PLC0415 (an extra, and numpy with it)

    # Without the folder it would look for the tokenizer elsewhere, and then on a hub.
    place = Path(found.submodule_search_locations[0])
    try:
        model = WordLlama.load(cache_dir=place, disable_download=True)
    except (OSError, ValueError):
        raise ConfigError(f"{_NAME} is installed without its weights; reinstall it") from None

    def embed(texts: Sequence[str]) -> Any:
        return model.embed([_whole(text[:_LONGEST]) for text in texts])

    return embed


def find_alike(
    items: Iterable[Item], embed: Embed, *, least: float = LEAST_COSINE
) -> dict[str, Duplicate]:
    """Decide which items mean what another means: id of each to drop, to what it repeats.

    Of two similar items the one with the higher score is kept, then the smaller id; a dropped item
    is always similar to a kept one. The result does not depend on the order of the items. An empty
    text resembles no other. Holds 256 bytes of each item; time grows with the square of their
    number.
    """
    import numpy as np  # noqa: PLC0415 (comes with the extra)

    ordered = sorted(items, key=lambda item: (-item.score, item.id))
    vectors = _rounded(embed([item.text for item in ordered])) if ordered else np.zeros((0, 1))
    lengths = np.sqrt(np.square(vectors.astype(np.float64)).sum(axis=1))
    found: dict[str, Duplicate] = {}
    kept: list[int] = []
    for start in range(0, len(ordered), _BLOCK):
        block = range(start, min(start + _BLOCK, len(ordered)))
        nearest = _nearest(vectors, lengths, block, kept)
        inside = _cosines(vectors, lengths, block, block)
        fresh = np.zeros(len(block), bool)  # items of the block that are kept
        for row, at in enumerate(block):
            best, other = nearest[row]
            among = np.where(fresh, inside[row], -1.0)
            place = int(among.argmax())
            if among[place] > best:
                best, other = among[place], block[place]
            if other >= 0 and best >= least:
                found[ordered[at].id] = Duplicate(ordered[other].id, float(best))
            else:
                fresh[row] = True
                kept.append(at)
    return found


def _rounded(vectors: Any) -> Any:
    """Scale each row to the longest vector of whole numbers that fits; NaN becomes 0."""
    import numpy as np  # noqa: PLC0415

    given = np.nan_to_num(np.asarray(vectors, np.float64))
    lengths = np.linalg.norm(given, axis=1, keepdims=True)
    return np.rint(_SCALE * given / np.where(lengths > 0, lengths, 1)).astype(np.int8)


def _nearest(
    vectors: Any, lengths: Any, block: range, kept: Sequence[int]
) -> list[tuple[float, int]]:
    """Return each item's greatest cosine with a kept item, and the latter's position, or -1."""
    best = [(-1.0, -1)] * len(block)
    for start in range(0, len(kept), _PANEL):
        panel = kept[start : start + _PANEL]
        cosines = _cosines(vectors, lengths, block, panel)
        places = cosines.argmax(axis=1)
        for row, place in enumerate(places):
            if cosines[row, place] > best[row][0]:
                best[row] = (cosines[row, place], panel[place])
    return best


def _cosines(vectors: Any, lengths: Any, rows: Sequence[int], columns: Sequence[int]) -> Any:
    import numpy as np  # noqa: PLC0415

    left, right = vectors[list(rows)], vectors[list(columns)]
    dots = (left.astype(np.float32) @ right.astype(np.float32).T).astype(np.float64)
    sizes = np.outer(lengths[list(rows)], lengths[list(columns)])
    return np.divide(dots, sizes, out=np.full_like(dots, -1.0), where=sizes > 0)


def _whole(text: str) -> str:
    """Remove lone surrogates, which the tokenizer does not accept."""
    return text.encode("utf-8", "replace").decode("utf-8")
