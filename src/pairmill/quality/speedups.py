"""The compiled inner loops of the checks, where they were built.

``_speedups.c`` does in C what `pairmill.quality.text`, ``grounding`` and ``support`` do in Python,
for texts whose words are between spaces. Those are the reference: where the extension is missing
(no compiler when it was installed) or is turned off (``PAIRMILL_SPEEDUPS=off``), they run.
Verdicts are the same.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from enum import IntEnum, IntFlag
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

from pairmill.quality.stems import Stems, is_stemmed, stems_in
from pairmill.quality.word_lists import (
    FUNCTION_WORDS,
    LEADING_PRONOUNS,
    NEGATIONS,
    POINTERS,
    POINTERS_IN_ANSWERS,
    SPELLED_NUMBERS,
    own_words,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

_VERSION = 3  # of the extension's interface: one built from another source is left alone
try:
    from pairmill.quality._speedups import VERSION, Lexicon, Text
except ImportError:  # it was not built
    _is_used = False
else:
    _is_used = VERSION == _VERSION and os.environ.get("PAIRMILL_SPEEDUPS") != "off"

__all__ = [
    "Comparison",
    "Flag",
    "Hint",
    "Lexicon",
    "MarkedWords",
    "Text",
    "are_used",
    "fast_text",
    "reference",
    "word_table",
]


class Flag(IntEnum):
    """What a word is; the extension counts the different words of each kind in a text."""

    FUNCTION = 0  # one of the language's function words
    OWN = 1  # one that no other language has
    POINTER = 2  # of an instruction that refers to its source
    POINTER_IN_ANSWER = 3
    NEGATION = 4
    SPELLED = 5  # a number in words
    LEADING = 6  # a pronoun that an instruction must not open with


class Hint(IntFlag):
    """What a check may find in a text; where a bit is not set, it surely finds nothing."""

    POINTS = 1  # as an English instruction, at its source
    POINTS_IN_ANSWER = 2  # as an English answer
    NAMES = 4  # words in a row that begin with a capital
    REFUSES = 8  # in English
    PLACEHOLDERS = 16
    FOREIGN = 32  # in another language than the one that it was prepared for
    CUT = 64
    PERSONAL = 128
    SECRETS = 256


class Comparison(NamedTuple):
    """Counts of an answer beside its text.

    Attributes:
        shared: Different stems of the answer that the text or its headings hold.
        near: Neighbouring stems that are near each other in the text, in either order.
        ahead: So in the answer's order.
        gap: The longest run of those that are not near.
        linked: Neighbours that the text holds both.
        parted: Of these, that do not follow each other there.
        strayed: As of `pairmill.quality.support.SupportSignals`; likewise ``isolated``.
        unseen_numbers: Different numbers that neither the text nor its headings hold.
        unseen_capitals: Words with a capital inside a sentence that the text lacks; -1 where they
            have to be looked at.
        negations: Stems that the answer negates and the text does not.
        opposed: Words of which the text has the opposite in the same place, if asked for.
        covered: Words in runs that the text holds.
        squares: The sum of the squares of the runs' lengths.
        longest: Words of the longest run.
    """

    shared: int
    near: int
    ahead: int
    gap: int
    linked: int
    parted: int
    strayed: int
    isolated: int
    unseen_numbers: int
    unseen_capitals: int
    negations: int
    opposed: int
    covered: int
    squares: int
    longest: int


def are_used() -> bool:
    """Return whether the extension was built and is not turned off."""
    return _is_used


@contextmanager
def reference() -> Iterator[None]:
    """Prepare texts for the reference in Python during the block, for tests and benchmarks."""
    global _is_used  # noqa: PLW0603 (the one switch)
    before, _is_used = _is_used, False
    try:
        yield
    finally:
        _is_used = before


def fast_text(
    folded: str | None, text: str, language: str | None, *, is_source: bool = False
) -> Text | None:
    """Return a text for the extension, or None where the reference is used.

    Args:
        folded: Its folded words with blanks between them; of ASCII None will do.
        text: As given; its numbers are looked for there.
        language: Two-letter code; None is taken for English.
        is_source: It is compared with, and not checked itself.
    """
    if not _is_used:
        return None
    lexicon = _lexicon(language or "en")
    if text.isascii():
        return Text(lexicon, None, text, is_source)
    folded_bytes = None if folded is None else folded.encode()
    return Text(lexicon, folded_bytes, text.encode("ascii", "replace"), is_source)


class MarkedWords:
    """Words with marks, 0 to 7 each, to be counted in texts; only where the extension was built."""

    def __init__(self, marks: Mapping[str, int]) -> None:
        """Create it; ``marks`` are bits."""
        self._lexicon = Lexicon(lambda word: ("", marks[word]), len(marks))
        Text(self._lexicon, " ".join(marks).encode(), b"")  # which makes it known

    def count(self, text: str) -> tuple[int, ...]:
        """Count an ASCII text's words, those that begin with a digit, and those with each mark."""
        return self._lexicon.count(text)


def word_table(words: Iterable[str]) -> Text:
    """Return English words as a text, to look them up; only where the extension was built."""
    return Text(_lexicon("en"), " ".join(words).encode(), b"")


@cache
def _lexicon(language: str) -> Lexicon:
    """Return stems and flags of a language's words; it alone keeps them."""
    lists = {
        Flag.FUNCTION: FUNCTION_WORDS.get(language, frozenset()),
        Flag.OWN: own_words(language),
        Flag.POINTER: POINTERS,
        Flag.POINTER_IN_ANSWER: POINTERS_IN_ANSWERS,
        Flag.NEGATION: NEGATIONS if is_stemmed(language) else frozenset(),
        Flag.SPELLED: frozenset(SPELLED_NUMBERS),
        Flag.LEADING: LEADING_PRONOUNS,
    }
    kinds: dict[str, int] = {}
    for flag, words in lists.items():
        for word in words:
            kinds[word] = kinds.get(word, 0) | 1 << flag
    make = stems_in(language).make

    def describe(word: str) -> tuple[str, int]:
        return make(word), kinds.get(word, 0)

    return Lexicon(describe, Stems.MOST)
