"""Reasons why a clean text is not an article: one table of filters, each a pure function.

A filter drops only texts that are certainly unusable. Whatever could be an article passes, and
everything else is listed with its reason, in `skipped.jsonl` and by `inspect`.
"""

from __future__ import annotations

import re
import zlib
from dataclasses import dataclass
from itertools import islice
from string import ascii_letters
from typing import TYPE_CHECKING, NamedTuple

from pairmill.sources.fences import fenced_ranges

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["FILTERS", "DocumentFilter", "Dropped", "FilterInput", "judge", "too_short"]

_WALL_MAX_CHARS = 1500  # error and consent pages are short; an article about them is not
_MAX_LINK_SHARE = 0.6
_WORD = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]|[^\W\d_]+")
# Letters as "a", all else as a space; what is not ASCII is left out.
_LETTERS = bytes(ord("a") if chr(byte).isalpha() else ord(" ") for byte in range(128)) + bytes(128)
_NOT_ASCII = bytes(range(128, 256))
_WALL = re.compile(
    r"(?:enable|activate|turn on) javascript|javascript (?:is|must be|has been) "
    r"(?:disabled|required|enabled|not available)|(?:accept|we use|uses|use of|manage) (?:all )?"
    r"cookies|verify (?:that )?you are (?:a )?human|checking your browser|enable cookies",
    re.IGNORECASE,
)
_WALL_PARTS = (b"java", b"coo", b"fy ", b"brow")
_NOT_FOUND = re.compile(
    r"\W*(?:(?:error|http)\W+)?404\b|\W*(?:page|file) not found|\W*access denied", re.IGNORECASE
)
_ERROR = re.compile(
    r"\W*(?:(?:error|http|status)\W+)?(?:40[0134]|410|429|50[0234])\W*"
    r"(?:error\b|not found|forbidden|unauthori[sz]ed|bad request|bad gateway|gone\b|page\b"
    r"|internal server|service (?:temporarily )?unavailable|gateway time|too many requests|\n|$)"
    r"|\W*(?:page|file|seite) (?:not found|nicht gefunden)|\W*page (?:non trouvée|introuvable)"
    r"|\W*página no encontrada|\W*pagina non trovata|\W*página não encontrada"
    r"|\W*access (?:to this page has been )?denied|\W*(?:403 )?forbidden\b"
    r"|\W*internal server error|\W*service (?:temporarily )?unavailable|\W*bad gateway"
    r"|\W*attention required!|\W*just a moment\.\.\.|\W*are you (?:a )?(?:robot|human)"
    r"|\W*this (?:account|site|page|domain) (?:has been|is) (?:suspended|disabled|for sale|parked)"
    r"|\W*index of /",
    re.IGNORECASE,
)
_LEAST_LOOKED_AT = 600  # characters; a shorter text is too little to judge
_SAMPLE = 8_000
_MOST_REPLACED = 0.01  # of the characters: U+FFFD
_LEAST_LETTERS = 0.15  # of the characters other than white space
_LONGEST_MEAN_WORD = 30
_MOST_WITHOUT_VOWEL = 0.5  # of the longer ASCII words
_LEAST_WORDS_LOOKED_AT = 60
_LONG_WORD = re.compile(r"(?<![A-Za-z])[A-Za-z]{4,}(?![A-Za-z])")
_NO_VOWEL = re.compile(
    r"(?<![A-Za-z])[b-df-hj-np-tv-xzB-DF-HJ-NP-TV-XZ]{4,}(?![A-Za-z])"
)  # share of the long words without a vowel
# Of ASCII: consonants as "c", vowels as "v", spaces; all else is left out.
_SHAPES = bytes(
    ord("v" if chr(code) in "aeiouyAEIOUY" else "c" if chr(code) in ascii_letters else " ")
    for code in range(256)
)
_NO_SHAPE = bytes({*range(256)} - {*ascii_letters.encode(), ord(" ")})
_STEP = 500  # characters
_LEAST_REPEATING = 20_000  # characters
_LEAST_PACKED = 0.02  # compressed size to size; prose compresses to 0.4, tables to 0.1


@dataclass(frozen=True, slots=True)
class Dropped:
    """Why a document has no usable text: a few stable words, and the evidence."""

    reason: str
    detail: str = ""


class FilterInput(NamedTuple):
    """Input of a filter.

    Attributes:
        link_chars: Number of characters in lines that consist of links.
        min_words: Minimum number of words.
    """

    text: str
    link_chars: int
    min_words: int


class DocumentFilter(NamedTuple):
    """A reason to drop a document.

    Attributes:
        reason: A few stable words, for counting.
        since: First version of reading that applies it.
        until: First version of reading that no longer applies it.
        look: Returns the evidence; empty if the filter does not apply.
    """

    reason: str
    since: int
    look: Callable[[FilterInput], str]
    until: int = 1_000


def judge(judged: FilterInput, reading: int) -> Dropped | None:
    """Return the first reason to drop a text; None if there is none."""
    for filter_ in FILTERS:
        if filter_.since <= reading < filter_.until and (detail := filter_.look(judged)):
            return Dropped(filter_.reason, "" if detail == filter_.reason else detail)
    return None


def too_short(text: str, min_words: int) -> Dropped | None:
    """Return the reason if a text has fewer words than required."""
    detail = _short(FilterInput(text, 0, min_words))
    return Dropped("too short", detail) if detail else None


def _nothing(judged: FilterInput) -> str:
    return "no text" if not judged.text or judged.text.isspace() else ""


def _not_found(judged: FilterInput) -> str:
    is_short = len(judged.text) <= _WALL_MAX_CHARS
    return "a 404 or refusal page" if is_short and _NOT_FOUND.match(judged.text) else ""


def _error(judged: FilterInput) -> str:
    is_short = len(judged.text) <= _WALL_MAX_CHARS
    return "an error or refusal page" if is_short and _ERROR.match(judged.text) else ""


def _wall(judged: FilterInput) -> str:
    text = judged.text
    if len(text) > _WALL_MAX_CHARS or not _may_be_wall(text) or not _WALL.search(text):
        return ""
    return "a cookie or JavaScript notice"


def _short(judged: FilterInput) -> str:
    words = _words_up_to_enough(judged.text, judged.min_words)
    return f"{words} words, fewer than {judged.min_words}" if words < judged.min_words else ""


def _links(judged: FilterInput) -> str:
    if judged.link_chars <= _MAX_LINK_SHARE * len(judged.text):
        return ""
    return f"{100 * judged.link_chars // len(judged.text)} % of it is links"


def _gibberish(judged: FilterInput) -> str:
    sample = judged.text[:_SAMPLE]
    if len(sample) < _LEAST_LOOKED_AT:
        return ""
    replaced = sample.count("\ufffd")
    if replaced > _MOST_REPLACED * len(sample):
        return f"{100 * replaced // len(sample)} % of its characters could not be read"
    odd = _odd_words(sample)
    return "" if odd and fenced_ranges(sample) else odd  # code is not judged


def _odd_words(sample: str) -> str:
    """Return what is odd about the words; "" for most texts, after three quick tests."""
    is_ascii = sample.isascii()
    shapes = sample.encode("utf-8", "replace").translate(_SHAPES, _NO_SHAPE)
    letters = len(shapes) - shapes.count(b" ")
    least = _LEAST_LETTERS * len(sample)
    if letters < least and not is_ascii:
        letters = _count_letters(sample, least)
    words = len(sample) // _LONGEST_MEAN_WORD + 1
    if (
        letters >= least
        and (not is_ascii or len(sample.split(None, words - 1)) == words)
        # Upper bound: a text has no more such words than runs of that many consonants.
        and shapes.count(b"cccc") <= _MOST_WITHOUT_VOWEL * _LEAST_WORDS_LOOKED_AT
    ):
        return ""
    return _odd_words_counted(sample)


def _odd_words_counted(sample: str) -> str:
    words = sample.split()
    filled = sum(map(len, words))
    letters = _count_letters(sample, len(sample))
    if letters < _LEAST_LETTERS * filled:
        return f"{100 * letters // filled} % of it is letters"
    if sample.isascii() and filled > _LONGEST_MEAN_WORD * len(words):
        return f"words of {filled // len(words)} characters on average"
    long_words = len(_LONG_WORD.findall(sample))
    without = len(_NO_VOWEL.findall(sample))
    share = without / max(_LEAST_WORDS_LOOKED_AT, long_words)
    return f"{share:.0%} of its words have no vowel" if share > _MOST_WITHOUT_VOWEL else ""


def _count_letters(sample: str, enough: float) -> int:
    """Count letters of any script, up to the number that is needed."""
    found = 0
    for at in range(0, len(sample), _STEP):  # slow: letter by letter
        found += sum(map(str.isalpha, sample[at : at + _STEP]))
        if found >= enough:
            break
    return found


def _repetition(judged: FilterInput) -> str:
    text = judged.text
    if len(text) < _LEAST_REPEATING:
        return ""
    data = text[:_LEAST_REPEATING].encode("utf-8", "replace")
    packed = len(zlib.compress(data, 1)) / len(data)
    return f"packs to {100 * packed:.1f} % of its size" if packed < _LEAST_PACKED else ""


FILTERS = (
    DocumentFilter("no text", 1, _nothing),
    DocumentFilter("error page", 1, _not_found, until=3),
    DocumentFilter("error page", 3, _error),
    DocumentFilter("error page", 1, _wall),
    DocumentFilter("too short", 1, _short),
    DocumentFilter("link list", 1, _links),
    DocumentFilter("gibberish", 3, _gibberish),
    DocumentFilter("repetition", 3, _repetition),
)
"""All filters, in the order in which they are applied. Language and privacy depend on a run's
settings, and are checked where its documents are admitted."""


def _words_up_to_enough(text: str, enough: int) -> int:
    """Count words, up to the number that is needed. Most texts are quickly seen to have enough."""
    start = text[: 12 * enough].encode("utf-8", "replace").translate(_LETTERS, _NOT_ASCII)
    if start.count(b"a ") >= enough:  # ends of words: a lower bound
        return enough
    return sum(1 for _ in islice(_WORD.finditer(text), enough))


def _may_be_wall(text: str) -> bool:
    """Return whether a caseless part of each phrase occurs: a much faster pre-check."""
    lower = text.encode("utf-8", "replace").lower()
    return any(part in lower for part in _WALL_PARTS)
