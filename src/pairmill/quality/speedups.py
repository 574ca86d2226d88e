"""The compiled inner loops of the checks, where they were built.

``_speedups.c`` does in C what `pairmill.quality.text`, ``grounding`` and ``support`` do in Python,
for texts whose words are between spaces. Those are the reference: where the extension is missing
(no compiler when it was installed) or is turned off (``PAIRMILL_SPEEDUPS=off``), they run.
Verdicts are the same.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from enum import IntEnum
from functools import cache
from typing import TYPE_CHECKING

from pairmill.quality.stems import Stems, is_stemmed, stems_in
from pairmill.quality.word_lists import (
    FUNCTION_WORDS,
    NEGATIONS,
    POINTERS,
    POINTERS_IN_ANSWERS,
    SPELLED_NUMBERS,
    own_words,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_VERSION = 2  # of the extension's interface: one built from another source is left alone
try:
    from pairmill.quality._speedups import VERSION, Lexicon, Text
except ImportError:  # it was not built
    _is_used = False
else:
    _is_used = VERSION == _VERSION and os.environ.get("PAIRMILL_SPEEDUPS") != "off"

__all__ = ["Flag", "Lexicon", "Text", "are_used", "fast_text", "reference", "word_table"]


class Flag(IntEnum):
    """What a word is; the extension counts the different words of each kind in a text."""

    FUNCTION = 0  # one of the language's function words
    OWN = 1  # one that no other language has
    POINTER = 2  # of an instruction that refers to its source
    POINTER_IN_ANSWER = 3
    NEGATION = 4
    SPELLED = 5  # a number in words


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


def fast_text(folded: str, text: str, language: str | None) -> Text | None:
    """Return a text for the extension, or None where the reference is used.

    Args:
        folded: Its folded words with blanks between them.
        text: As given; its numbers are looked for there.
        language: Two-letter code; None is taken for English.
    """
    if not _is_used:
        return None
    return Text(_lexicon(language or "en"), folded.encode(), text.encode("ascii", "replace"))


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
    }
    kinds: dict[str, int] = {}
    for flag, words in lists.items():
        for word in words:
            kinds[word] = kinds.get(word, 0) | 1 << flag
    make = stems_in(language).make

    def describe(word: str) -> tuple[str, int]:
        return make(word), kinds.get(word, 0)

    return Lexicon(describe, Stems.MOST)
