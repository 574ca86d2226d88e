"""Estimates the similarity of two texts by short sketches of them.

A text is the set of its runs of three words (three characters where a script has no spaces), each
as a 32-bit hash. Its sketch holds the least hashes of that set: the bottom-k sketch of Broder ("On
the resemblance and containment of documents", 1997). Up to `SKETCH_SIZE` runs it is the whole set,
so that texts of the length of a chunk are compared almost exactly.

The Jaccard index *j* of two sets is told as the share of words that are in both in the same
order, ``(2 j / (1 + j)) ** (1 / 3)``: where a share *p* of the words was changed at random, that is
about ``1 - p``. (Ondov et al., "Mash: fast genome and metagenome distance estimation using
MinHash", 2016, equation 4, without the logarithm.)
"""

from __future__ import annotations

import zlib
from array import array
from heapq import merge
from typing import TYPE_CHECKING, TypeAlias

from pairmill.quality.text import words

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = ["SKETCH_SIZE", "Sketch", "similarity", "sketch", "union"]

SKETCH_SIZE = 512
_RUN = 3
_MASK = 2**30 - 1  # Python computes with numbers of up to 30 bits far faster
_SPREAD = 0x9E3779B1  # odd: crc32 alone is linear, and XOR of it would fall together
_MOST_WORDS = 2**17  # whose hashes are kept for the next text

Sketch: TypeAlias = array  # of "I": hashes in rising order, each once
"""The least hashes of a text's runs of words, at most `SKETCH_SIZE`."""


class _Hashes(dict[str, int]):
    """Map of words to their hashes at one place of a run; filled on demand, cleared when full."""

    def __init__(self, place: int) -> None:
        super().__init__()
        self._salt = zlib.crc32(bytes([place]))

    def __missing__(self, word: str) -> int:
        if len(self) >= _MOST_WORDS:
            self.clear()
        found = zlib.crc32(word.encode("utf-8", "replace"), self._salt) * _SPREAD >> 7 & _MASK
        self[word] = found
        return found


_FIRST, _SECOND, _THIRD = (_Hashes(place).__getitem__ for place in range(_RUN))


def sketch(text: str) -> Sketch[int]:
    """Return the sketch of a text; an empty one where it has fewer than three words."""
    tokens = words(text)
    runs = {
        one ^ two ^ three  # tabulation hashing: a table for each place
        for one, two, three in zip(
            map(_FIRST, tokens), map(_SECOND, tokens[1:]), map(_THIRD, tokens[2:]), strict=False
        )
    }
    return array("I", sorted(runs)[:SKETCH_SIZE])


def union(sketches: Iterable[Sequence[int]]) -> Sketch[int]:
    """Return the sketch of several texts together."""
    found = array("I")
    last = -1
    for value in merge(*sketches):
        if value != last:
            found.append(value)
            last = value
            if len(found) == SKETCH_SIZE:
                break
    return found


def similarity(one: Sketch[int], other: Sketch[int]) -> float:
    """Estimate the share of words that two texts have in common, in the same order: 0 to 1.

    Texts of up to `SKETCH_SIZE` different runs of words are compared exactly; of longer ones the
    standard error of the Jaccard index is below ``0.5 / sqrt(SKETCH_SIZE)``, about 0.02.
    """
    if not one or not other:
        return 0.0
    all_of_one, both = set(one), set(one).intersection(other)
    if len(one) == SKETCH_SIZE or len(other) == SKETCH_SIZE:  # a sample of the union only
        least = sorted(all_of_one.union(other))[:SKETCH_SIZE]
        shared = sum(value in both for value in least)
        jaccard = shared / len(least)
    else:
        jaccard = len(both) / (len(one) + len(other) - len(both))
    return float((2 * jaccard / (1 + jaccard)) ** (1 / _RUN))
