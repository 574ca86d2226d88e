"""Cleaning: what was never part of the article goes; punctuation, code and structure stay."""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import islice

from pairmill.chunking.boilerplate import is_boilerplate
from pairmill.records import Document
from pairmill.sources.characters import plain_line, strip_hidden

__all__ = ["MIN_WORDS", "Dropped", "clean", "tidy"]

MIN_WORDS = 40
"""A document with fewer words is no article. A CJK character counts as a word."""

_MAX_LINK_SHARE = 0.6
_MAX_BLANK_LINES = 2
_WORDY_CHARS = 12 * MIN_WORDS
_WALL_MAX_CHARS = 1500  # error and consent pages are short; an article about them is not

_LINK_LINE = re.compile(
    r"(?:[-*+•] |\d{1,4}[.)] |\[\d{1,4}\] ?)?"
    r"(?:\[[^\[\]]*\]\([^()\s]*(?: \"[^\"]*\")?\)|<?https?://\S++)[.,;|·\s]*+"
)
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


def clean(document: Document) -> Document | Dropped:
    """Return the document with a clean text and title, or why there is nothing left of it.

    Title, author, URL and language are made one printable line each. The id stays.
    """
    text, link_chars = tidy(document.text)
    dropped = _judge(text, link_chars)
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
    )


def tidy(text: str) -> tuple[str, int]:
    """Return the clean text, and how many of its characters stand in lines that are only links.

    Hidden characters, trailing spaces, boilerplate lines, and blank lines beyond two in a row go.
    Lines inside fenced code are kept as they are, but for trailing spaces.
    """
    kept: list[str] = []
    fence = ""
    after_boilerplate = False
    blank = _MAX_BLANK_LINES  # so that no blank line stands first
    link_chars = 0
    for raw in strip_hidden(text).split("\n"):
        line = raw.rstrip()
        if fence:
            bare = line.strip()
            if bare.startswith(fence) and not bare.strip(fence[0]):
                fence = ""
        elif not line:
            blank += 1
            if blank > _MAX_BLANK_LINES:
                continue
            kept.append(line)
            continue
        elif ("`" in line or "~" in line) and (match := _FENCE.match(line)):
            fence = match[1]
        elif is_boilerplate(line, after_boilerplate):
            after_boilerplate = True
            continue
        elif ("]" in line or ":" in line) and _LINK_LINE.fullmatch(line.strip()):
            link_chars += len(line)
        blank = 0
        after_boilerplate = False
        kept.append(line)
    return "\n".join(kept).rstrip(), link_chars


def _judge(text: str, link_chars: int) -> Dropped | None:
    if not text or text.isspace():
        return Dropped("no text")
    words = _words_up_to_enough(text)
    if len(text) <= _WALL_MAX_CHARS:
        if _NOT_FOUND.match(text):
            return Dropped("error page", "a 404 or refusal page")
        if _may_be_wall(text) and _WALL.search(text):
            return Dropped("error page", "a cookie or JavaScript notice")
    if words < MIN_WORDS:
        return Dropped("too short", f"{words} words, fewer than {MIN_WORDS}")
    if link_chars > _MAX_LINK_SHARE * len(text):
        return Dropped("link list", f"{100 * link_chars // len(text)} % of it is links")
    return None


def _words_up_to_enough(text: str) -> int:
    """Count words, but no more than are asked for. Most texts show at once that they have them."""
    start = text[:_WORDY_CHARS].encode("utf-8", "replace").translate(_LETTERS, _NOT_ASCII)
    if start.count(b"a ") >= MIN_WORDS:  # ends of words, and never more than there are
        return MIN_WORDS
    return sum(1 for _ in islice(_WORD.finditer(text), MIN_WORDS))


def _may_be_wall(text: str) -> bool:
    """Whether a part of each phrase is there that has the same letters in any case: far faster."""
    lower = text.encode("utf-8", "replace").lower()
    return any(part in lower for part in _WALL_PARTS)


def _line(text: str | None, max_chars: int = 300) -> str | None:
    return (plain_line(text, max_chars) or None) if text else None
