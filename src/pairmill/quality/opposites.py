"""Words of opposite meaning (English), to detect an answer that says the reverse of its text.

The pairs are WordNet's (``antonyms.txt``, with its licence), with comparatives made of them, and a
few of our own for function words, which WordNet does not have.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING

from pairmill.quality.speedups import word_table
from pairmill.quality.stems import content_stem
from pairmill.quality.word_lists import ENGLISH

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from pairmill.quality.speedups import Text

__all__ = ["Opposites", "fast_tables", "opposites"]

_FUNCTION_WORDS = (
    "before after|until after|always never|all none|both neither|many few|more less|most least"
    "|first last|above below|over under|up down|with without|inside outside|everybody nobody"
    "|everyone nobody|everything nothing|somebody nobody|something nothing"
)
_SHORT = 5  # most letters of an adjective whose comparative is formed by an ending


@dataclass(frozen=True, slots=True)
class Opposites:
    """Word to the words of opposite meaning.

    Attributes:
        stems: Of content words, by stem.
        words: Of function words, and of those that have one as an opposite; as they are written.
        content: The stems that have one.
        little: The function words that have one.
        content_pairs: Content words with one opposite each, both ways, as they are written.
        little_pairs: Likewise of ``words``.
    """

    stems: Mapping[str, frozenset[str]]
    words: Mapping[str, frozenset[str]]
    content: frozenset[str]
    little: frozenset[str]
    content_pairs: tuple[tuple[str, str], ...]
    little_pairs: tuple[tuple[str, str], ...]


@cache
def opposites() -> Opposites:
    """Return the pairs; read once."""
    file = resources.files("pairmill.quality").joinpath("antonyms.txt")
    pairs = [
        tuple(line.split())
        for line in file.read_text("utf-8").splitlines()
        if not line.startswith("#")
    ]
    pairs += [tuple(map(_comparative, pair)) for pair in pairs if max(map(len, pair)) <= _SHORT]
    pairs += [tuple(pair.split()) for pair in _FUNCTION_WORDS.split("|")]
    little = _both_ways(pair for pair in pairs if not ENGLISH.isdisjoint(pair))
    content = [
        pair
        for pair in _both_ways(pair for pair in pairs if ENGLISH.isdisjoint(pair))
        if len({*map(content_stem, pair), ""}) > 2  # noqa: PLR2004 (each has one of its own)
    ]
    by_stem = _by_word((content_stem(one), content_stem(other)) for one, other in content)
    by_word = _by_word(little)
    return Opposites(
        by_stem, by_word, frozenset(by_stem), frozenset(by_word), tuple(content), tuple(little)
    )


@cache
def fast_tables() -> tuple[Text, Text, Text, Text]:
    """Return the pairs for the extension: content words, their opposites, and little words'."""
    known = opposites()
    content, little = zip(*known.content_pairs, strict=True), zip(*known.little_pairs, strict=True)
    ones, others, little_ones, little_others = map(word_table, (*content, *little))
    return ones, others, little_ones, little_others


def _comparative(word: str) -> str:
    return f"{word}r" if word.endswith("e") else f"{word}er"


def _both_ways(pairs: Iterable[tuple[str, ...]]) -> list[tuple[str, str]]:
    found = {(one, other) for pair in pairs for one, other in (pair, pair[::-1]) if one != other}
    return sorted(found)


def _by_word(pairs: Iterable[tuple[str, str]]) -> Mapping[str, frozenset[str]]:
    found: dict[str, set[str]] = {}
    for one, other in pairs:
        found.setdefault(one, set()).add(other)
    return {word: frozenset(others) for word, others in found.items()}
