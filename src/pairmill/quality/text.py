"""Words, stems and the prepared view of a text: computed once, read by every check.

Two kinds of script are told apart. Where words stand between spaces, a token is a folded word. In
Chinese, Japanese, Thai, Lao, Khmer and Burmese each character is a token of its own, so that every
n-gram of tokens is a character n-gram there, and nothing needs a dictionary.
"""

from __future__ import annotations

import re
import string
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import TYPE_CHECKING

from pairmill.quality.stopwords import ENGLISH, FUNCTION_WORDS

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = [
    "Prepared",
    "Trigram",
    "count_words",
    "is_spaceless",
    "join",
    "key",
    "prepare",
    "stem",
    "words",
]

Trigram = tuple[str, str, str]

_SPACELESS = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff"  # Thai, Lao, Burmese, Khmer
    "\u3040-\u30ff\u31f0-\u31ff\uff66-\uff9f"  # kana
    "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"  # Han
)
_MARKS = "\u0300-\u036f\u0591-\u05c7\u064b-\u065f\u0900-\u0dff"  # no word breaks at these
_ONE_SPACELESS = re.compile(f"[{_SPACELESS}]")
_TOKEN = re.compile(f"[{_SPACELESS}]|(?:(?![{_SPACELESS}])[^\\W_]|[{_MARKS}])+")
_WORD = re.compile(f"(?:[^\\W_]|[{_MARKS}])+")
_ASCII_BREAKS = str.maketrans(
    {mark: " " for mark in string.punctuation if mark != "'"} | {"'": None}
)
_APOSTROPHES = str.maketrans("", "", "'\u2019\u02bc")
_PREFIX = 6  # letters kept of a word of a language we have no stemmer for


@dataclass(frozen=True, slots=True)
class Prepared:
    """What every check reads of one text.

    Attributes:
        text: As given.
        words: Folded tokens in order.
        vocabulary: The same, each once.
        content: Stems of the words that carry meaning; for scripts without spaces, pairs of
            neighbouring characters.
    """

    text: str
    words: tuple[str, ...]
    vocabulary: frozenset[str]
    content: frozenset[str]


def words(text: str) -> tuple[str, ...]:
    """The folded tokens of a text, in order: case and apostrophes gone, punctuation a break."""
    if text.isascii():
        return tuple(text.lower().translate(_ASCII_BREAKS).split())
    folded = text.casefold().translate(_APOSTROPHES)
    pattern = _TOKEN if _ONE_SPACELESS.search(folded) else _WORD
    return tuple(pattern.findall(folded))


def prepare(
    text: str, language: str | None = "en", *, tokens: tuple[str, ...] | None = None
) -> Prepared:
    """Prepare a text in a language (two letters; None: unknown), perhaps of words made before."""
    tokens = words(text) if tokens is None else tokens
    vocabulary = frozenset(tokens)
    return Prepared(text, tokens, vocabulary, _content(tokens, vocabulary, language))


def key(text: str) -> str:
    """What two texts that differ in case, spacing and punctuation only have in common."""
    return " ".join(words(text))


def join(tokens: Iterable[str]) -> str:
    """One string in which a run of tokens can be looked up, itself joined the same way."""
    return f" {' '.join(tokens)} "


def count_words(prepared: Prepared) -> int:
    """Length in words; two characters of a script without spaces count as one."""
    wide = sum(map(_is_wide, prepared.words)) if not prepared.text.isascii() else 0
    return len(prepared.words) - wide + (wide + 1) // 2


def is_spaceless(token: str) -> bool:
    """Whether the token is a character of a script that is written without spaces."""
    return _ONE_SPACELESS.match(token) is not None


def _content(
    tokens: tuple[str, ...], vocabulary: frozenset[str], language: str | None
) -> frozenset[str]:
    if language == "en" or language is None:
        content = frozenset(map(stem, vocabulary - ENGLISH))
    else:
        left = vocabulary - FUNCTION_WORDS.get(language, frozenset())
        content = frozenset(word[:_PREFIX] for word in left)
    if "".join(vocabulary).isascii() or not any(map(_is_wide, vocabulary)):
        return content - {""}
    spaced = {stemmed for stemmed in content if not _is_wide(stemmed)}
    spaced.update(
        first + second for first, second in pairwise(tokens) if _is_wide(first) and _is_wide(second)
    )
    return frozenset(spaced)


@lru_cache(maxsize=65_536)
def _is_wide(token: str) -> bool:
    return not token.isascii() and is_spaceless(token)


_MIN_STEM = 3
_PLURALS = (("sses", "ss"), ("ies", "y"), ("ness", ""), ("us", "us"), ("ss", "ss"), ("s", ""))
_ENDINGS = (
    ("ization", "iz"), ("isation", "is"), ("ation", ""), ("ment", ""), ("ingly", ""), ("edly", ""),
    ("ied", "y"), ("ing", ""), ("ily", "y"), ("ed", ""), ("er", ""), ("ly", ""), ("ive", ""),
    ("ion", ""), ("al", ""),
)  # fmt: skip
_MIN_REST = 4  # letters before an ending; "ring" and "bed" keep theirs


@lru_cache(maxsize=65_536)
def stem(word: str) -> str:
    """Cut an English word to what its usual forms share; words of a letter or digits to nothing.

    A light cut of our own (plural, then one ending), not Porter's: it only has to bring an answer's
    and a passage's forms of one word together.
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
