"""Words of opposite meaning (English), to detect an answer that says the reverse of its text.

The pairs are WordNet's (``antonyms.txt``, with its licence), with comparatives made of them, and a
few of our own for function words, which WordNet does not have.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING

from pairmill.quality.text import ENGLISH, content_stem

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["Opposites", "opposites"]

_FUNCTION_WORDS = (
    "before after|until after|always never|all none|both neither|many few|more less|most least"
    "|first last|above below|over under|up down|with without|inside outside|everybody nobody"
    "|everyone nobody|everything nothing|somebody nobody|something nothing"
)
_SHORT = 5  # letters of an adjective that is compared by an ending


@dataclass(frozen=True, slots=True)
class Opposites:
    """Word to the words of opposite meaning.

    Attributes:
        stems: Of content words, by stem.
        words: Of function words, and of those that have one as an opposite; as they are written.
        content: The stems that have one.
        little: The words that have one.
    """

    stems: Mapping[str, frozenset[str]]
    words: Mapping[str, frozenset[str]]
    content: frozenset[str]
    little: frozenset[str]


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
    little = [pair for pair in pairs if not ENGLISH.isdisjoint(pair)]
    stems = [tuple(map(content_stem, pair)) for pair in pairs if ENGLISH.isdisjoint(pair)]
    by_stem, by_word = _both_ways(stems), _both_ways(little)
    return Opposites(by_stem, by_word, frozenset(by_stem), frozenset(by_word))


def _comparative(word: str) -> str:
    return f"{word}r" if word.endswith("e") else f"{word}er"


def _both_ways(pairs: Iterable[tuple[str, ...]]) -> Mapping[str, frozenset[str]]:
    found: dict[str, set[str]] = {}
    for one, other in pairs:
        if one and other and one != other:
            found.setdefault(one, set()).add(other)
            found.setdefault(other, set()).add(one)
    return {word: frozenset(others) for word, others in found.items()}
