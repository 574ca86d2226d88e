"""Stems: the part that the usual forms of a word share; words without meaning have none."""

from __future__ import annotations

from functools import cache

from pairmill.quality.word_lists import ENGLISH, FUNCTION_WORDS

__all__ = ["ENGLISH_STEMS", "content_stem", "is_stemmed", "stem", "stems_in"]

_STEMMED = frozenset({"en", None})
_NONE: frozenset[str] = frozenset()
_PREFIX = 6  # letters kept of a word, in languages without a stemmer
_MIN_STEM = 3
_PLURALS = (("sses", "ss"), ("ies", "y"), ("ness", ""), ("us", "us"), ("ss", "ss"), ("s", ""))
_ENDINGS = (
    ("ization", "iz"), ("isation", "is"), ("ation", ""), ("ment", ""), ("ingly", ""), ("edly", ""),
    ("ied", "y"), ("ing", ""), ("ily", "y"), ("ed", ""), ("er", ""), ("ly", ""), ("ive", ""),
    ("ion", ""), ("al", ""),
)  # fmt: skip
_MIN_REST = 4  # letters before an ending; "ring" and "bed" keep theirs


def stem(word: str) -> str:
    """Return the stem of an English word; "" for single letters and digits.

    A light stemmer of our own (plural, then one ending), not Porter's: it only has to map the forms
    of a word in an answer and in its passage to the same stem.
    """
    if len(word) <= _MIN_STEM:
        return word if len(word) > 1 and not word.isdigit() else ""
    if not word.isascii() or not word.isalpha():
        return "" if word.isdigit() else word
    for ending, instead in _PLURALS:
        if word.endswith(ending):
            word = word[: len(word) - len(ending)] + instead
            break
    for ending, instead in _ENDINGS:
        if word.endswith(ending) and len(word) - len(ending) >= _MIN_REST:
            word = word[: len(word) - len(ending)] + instead
            break
    if len(word) > _MIN_STEM and word[-1] == word[-2] and word[-1] not in "lsz":
        word = word[:-1]
    if len(word) > _MIN_STEM and word[-1] in "eiy":
        word = word[:-1]
    return word


def is_stemmed(language: str | None) -> bool:
    """Return whether a language has a stemmer; words of others are cut to six letters."""
    return language in _STEMMED


class Stems(dict[str, str]):
    """Map of words to stems, "" for words without content; filled on demand, cleared when full."""

    MOST = 65_536

    def __init__(self, language: str | None) -> None:
        """Create an empty one for a language (two letters; None is taken for English)."""
        super().__init__()
        self._is_stemmed = is_stemmed(language)
        self._little = ENGLISH if self._is_stemmed else FUNCTION_WORDS.get(language or "", _NONE)

    def __missing__(self, word: str) -> str:
        found = self.make(word)
        if word.isdigit():  # numbers are countless, and few recur
            return found
        if len(self) >= self.MOST:
            self.clear()
        self[word] = found
        return found

    def make(self, word: str) -> str:
        """Return a word's stem without caching it, for a caller with a cache of its own."""
        if word in self._little:
            return ""
        return stem(word) if self._is_stemmed else word[:_PREFIX]


ENGLISH_STEMS = Stems("en")


def stems_in(language: str | None) -> Stems:
    """Return the map of words to stems in a language."""
    return ENGLISH_STEMS if is_stemmed(language) else _stems_in(language)


@cache
def _stems_in(language: str | None) -> Stems:
    return Stems(language)


def content_stem(word: str) -> str:
    """Return the stem of an English word, "" for one without content."""
    return ENGLISH_STEMS[word]
