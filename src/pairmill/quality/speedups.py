"""The compiled inner loops of the checks, if they were built.

``_speedups.c`` does in C what `pairmill.quality.text`, ``grounding`` and ``support`` do in Python,
for texts whose words are between spaces. The Python code is the reference, and runs if the
extension is missing (no compiler at installation) or turned off (``PAIRMILL_SPEEDUPS=off``).
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

_VERSION = 3  # version of the extension's interface: one built from other source is not used
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
    """Kinds of words; the extension counts the distinct words of each kind in a text."""

    FUNCTION = 0  # one of the language's function words
    OWN = 1  # a function word of no other language
    POINTER = 2  # occurs in instructions that refer to their source
    POINTER_IN_ANSWER = 3
    NEGATION = 4
    SPELLED = 5  # a number in words
    LEADING = 6  # a pronoun that an instruction must not open with


class Hint(IntFlag):
    """Hints at what checks may find in a text; if a bit is not set, the check finds nothing."""

    POINTS = 1  # a reference to the source, as in English instructions
    POINTS_IN_ANSWER = 2  # likewise, as in English answers
    NAMES = 4  # words in a row that begin with a capital
    REFUSES = 8  # in English
    PLACEHOLDERS = 16
    FOREIGN = 32  # another language than the one it was prepared for
    CUT = 64
    PERSONAL = 128
    SECRETS = 256


class Comparison(NamedTuple):
    """Counts of an answer compared with its text.

    Attributes:
        shared: Distinct stems of the answer that occur in the text or its headings.
        near: Neighbouring stems that are near each other in the text, in either order.
        ahead: Of these, those in the answer's order.
        gap: Longest run of neighbouring stems that are not near each other.
        linked: Neighbouring stems that both occur in the text.
        parted: Of these, those that do not follow each other there.
        strayed: As of `pairmill.quality.support.SupportSignals`; likewise ``isolated``.
        unseen_numbers: Distinct numbers that are in neither the text nor its headings.
        unseen_capitals: Words capitalised within a sentence that are not in the text; -1 if Python
            has to count them.
        negations: Stems that the answer negates and the text does not.
        opposed: Words whose opposite is in the same place of the text, if requested.
        covered: Words in runs that occur in the text.
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
    """Return a text for the extension, or None if the reference is used.

    Args:
        folded: Its folded words separated by blanks; None is enough for ASCII.
        text: The text as given; its numbers are searched here.
        language: Two-letter code; None is taken for English.
        is_source: Answers are compared with it; it is not checked itself.
    """
    if not _is_used:
        return None
    lexicon = _lexicon(language or "en")
    if text.isascii():
        return Text(lexicon, None, text, is_source)
    folded_bytes = None if folded is None else folded.encode()
    return Text(lexicon, folded_bytes, text.encode("ascii", "replace"), is_source)


class MarkedWords:
    """Words with marks, 0 to 7 each, to be counted in texts; requires the extension."""

    def __init__(self, marks: Mapping[str, int]) -> None:
        """Create it; ``marks`` are bits."""
        self._lexicon = Lexicon(lambda word: ("", marks[word]), len(marks))
        Text(self._lexicon, " ".join(marks).encode(), b"")  # creating it registers it

    def count(self, text: str) -> tuple[int, ...]:
        """Count an ASCII text's words, those that begin with a digit, and those with each mark."""
        return self._lexicon.count(text)


def word_table(words: Iterable[str]) -> Text:
    """Return English words as a text for look-ups; requires the extension."""
    return Text(_lexicon("en"), " ".join(words).encode(), b"")


@cache
def _lexicon(language: str) -> Lexicon:
    """Return the table of stems and flags of a language's words."""
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
