"""Cleaning: what was never part of the article goes; punctuation, code and structure stay."""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import islice
from typing import NamedTuple

from pairmill.chunking.boilerplate import is_boilerplate
from pairmill.records import Document
from pairmill.sources.characters import plain_line, strip_hidden
from pairmill.sources.fences import fenced_ranges

__all__ = ["MIN_WORDS", "READING_VERSION", "Dropped", "Tidied", "clean", "tidy"]

MIN_WORDS = 40
"""A document with fewer words is no article. A CJK character counts as a word."""

READING_VERSION = 2
"""What reading and cleaning make of a text. A text that an earlier version would have given
otherwise has this number in ``Document.since``: in a folder that was begun with that version its
chunks count as new, which is never paid for unasked."""

_MAX_LINK_SHARE = 0.6
_MAX_BLANK_LINES = 2
_WALL_MAX_CHARS = 1500  # error and consent pages are short; an article about them is not

_LINK_LINE = re.compile(
    r"(?:[-*+•] |\d{1,4}[.)] |\[\d{1,4}\] ?)?"
    r"(?:\[[^\[\]]*\]\([^()\s]*(?: \"[^\"]*\")?\)|<?https?://\S++)[.,;|·\s]*+"
)
_LONG_RUN = 400  # characters without a space: no word is so long
_DATA_IMAGE = re.compile(
    r"!\[[^\[\]\n]{0,300}\]\(\s*<?data:[^)\s]*+[^)\n]{0,300}\)"
    r"|<img\b[^>]{0,300}?\bsrc=[\"']?data:[^>\"'\s]*+[\"']?[^>]{0,300}>"
)
_DATA_ADDRESS = re.compile(
    r"\(?data:[\w/+.-]{3,80};base64,(?:[A-Za-z0-9+/%]{60,}+\s)*+[A-Za-z0-9+/%]*+={0,2}\)?"
)
_DATA_RUN = re.compile(rf"(?<![A-Za-z0-9+/=_-])[A-Za-z0-9+/=_-]{{{_LONG_RUN},}}")
_FENCE = re.compile(r"[ \t]*(`{3,}(?!.*`)|~{3,})")
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


@dataclass(frozen=True, slots=True)
class Dropped:
    """Why a document holds nothing to work on: a few stable words, and what was seen."""

    reason: str
    detail: str = ""


class Tidied(NamedTuple):
    """A clean text.

    Attributes:
        link_chars: How many of its characters stand in lines that are only links.
        since: The version of reading since which it comes out like this.
    """

    text: str
    link_chars: int
    since: int = 1


def clean(document: Document, min_words: int = MIN_WORDS) -> Document | Dropped:
    """Return the document with a clean text and title, or why there is nothing left of it.

    Title, author, URL and language are made one printable line each. The id stays.
    """
    text, link_chars, since = tidy(document.text)
    dropped = _judge(text, link_chars, min_words)
    if dropped:
        return dropped
    return Document(
        document.id,
        text,
        document.source,
        _line(document.title),
        _line(document.author),
        _line(document.url, 2000),
        _line(document.language, 40),
        max(document.since, since),
        _line(document.date, 40),
    )


def tidy(text: str) -> Tidied:
    """Return the clean text.

    Hidden characters, trailing spaces, embedded files, boilerplate lines, and blank lines beyond
    two in a row go. Lines inside fenced code are kept as they are.
    """
    text = strip_hidden(text)
    since = 1
    if _may_hold_files(text):
        whole = _DATA_RUN.sub("", _DATA_ADDRESS.sub("", _DATA_IMAGE.sub("", text)))
        since = 1 if len(whole) == len(text) else READING_VERSION
        text = whole
    fences = fenced_ranges(text)
    lines = text.split("\n")
    code = _lines_of(fences, lines) if fences else frozenset()
    if (fences or "~~~" in text) and code != _simply_fenced(lines):
        since = READING_VERSION
    kept: list[str] = []
    after_boilerplate = False
    blank = _MAX_BLANK_LINES  # so that no blank line stands first
    link_chars = 0
    for at, raw in enumerate(lines):
        line = raw.rstrip()
        if at in code:
            if raw != line and at + 1 in code:
                line = raw
                since = READING_VERSION
        elif not line:
            blank += 1
            if blank > _MAX_BLANK_LINES:
                continue
            kept.append(line)
            continue
        elif is_boilerplate(line, after_boilerplate):
            after_boilerplate = True
            continue
        elif ("]" in line or ":" in line) and _LINK_LINE.fullmatch(line.strip()):
            link_chars += len(line)
        blank = 0
        after_boilerplate = False
        kept.append(line)
    return Tidied("\n".join(kept).rstrip(), link_chars, since)


def _lines_of(ranges: list[tuple[int, int]], lines: list[str]) -> frozenset[int]:
    """Return the numbers of the lines that ranges of characters touch."""
    found: set[int] = set()
    at = offset = 0
    for start, end in ranges:
        while at < len(lines) and offset + len(lines[at]) < start:
            offset += len(lines[at]) + 1
            at += 1
        while at < len(lines) and offset < end:
            found.add(at)
            offset += len(lines[at]) + 1
            at += 1
    return frozenset(found)


def _simply_fenced(lines: list[str]) -> frozenset[int]:
    """Return the lines in fences as reading of version 1 saw them."""
    found: set[int] = set()
    fence = ""
    for at, raw in enumerate(lines):
        if fence:
            found.add(at)
        if "`" not in raw and "~" not in raw:
            continue
        line = raw.strip()
        if fence:
            if line.startswith(fence) and not line.strip(fence[0]):
                fence = ""
        elif match := _FENCE.match(raw):
            found.add(at)
            fence = match[1]
    return frozenset(found)


def _may_hold_files(text: str) -> bool:
    """Whether a text has a run without spaces as long as no word is: one look every so often."""
    if len(text) < _LONG_RUN:
        return False
    step = _LONG_RUN // 2
    for at in range(0, len(text) - step + 1, step):
        piece = text[at : at + step]
        if " " not in piece and "\n" not in piece and piece.isascii():
            return True
    return False


def _judge(text: str, link_chars: int, min_words: int) -> Dropped | None:
    if not text or text.isspace():
        return Dropped("no text")
    words = _words_up_to_enough(text, min_words)
    if len(text) <= _WALL_MAX_CHARS:
        if _NOT_FOUND.match(text):
            return Dropped("error page", "a 404 or refusal page")
        if _may_be_wall(text) and _WALL.search(text):
            return Dropped("error page", "a cookie or JavaScript notice")
    if words < min_words:
        return Dropped("too short", f"{words} words, fewer than {min_words}")
    if link_chars > _MAX_LINK_SHARE * len(text):
        return Dropped("link list", f"{100 * link_chars // len(text)} % of it is links")
    return None


def _words_up_to_enough(text: str, enough: int) -> int:
    """Count words, but no more than are asked for. Most texts show at once that they have them."""
    start = text[: 12 * enough].encode("utf-8", "replace").translate(_LETTERS, _NOT_ASCII)
    if start.count(b"a ") >= enough:  # ends of words, and never more than there are
        return enough
    return sum(1 for _ in islice(_WORD.finditer(text), enough))


def _may_be_wall(text: str) -> bool:
    """Whether a part of each phrase is there that has the same letters in any case: far faster."""
    lower = text.encode("utf-8", "replace").lower()
    return any(part in lower for part in _WALL_PARTS)


def _line(text: str | None, max_chars: int = 300) -> str | None:
    return (plain_line(text, max_chars) or None) if text else None
