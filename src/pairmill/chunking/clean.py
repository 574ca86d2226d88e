"""Cleaning: removes what was never part of the article; keeps punctuation, code and structure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from pairmill.chunking.document_filters import Dropped, FilterInput, judge
from pairmill.chunking.page_parts import find_parts, is_boilerplate, without_running_heads
from pairmill.records import Document
from pairmill.sources.characters import plain_line, strip_hidden
from pairmill.sources.encodings import fix_mojibake
from pairmill.sources.fences import fenced_ranges

if TYPE_CHECKING:
    from collections import Counter

__all__ = ["FOLLOWED_SINCE", "MIN_WORDS", "READING_VERSION", "CleanText", "clean", "clean_body"]

MIN_WORDS = 40
"""Minimum words of an article. A CJK character counts as a word."""

READING_VERSION = 4
"""Version of reading and cleaning.

A text that an earlier version read differently has this number in ``Document.since``: in a folder
that was begun with the earlier version, its chunks count as new, and are only paid for if the user
accepts that. What version 3 removes from texts is only removed in folders that were begun with it
or a later one. Version 4 finds articles in web pages in a different way.
"""

FOLLOWED_SINCE = 3
"""The first version of reading by which an input can be followed."""

_FENCES_SINCE = 2
_PARTS_SINCE = 3

_MAX_BLANK_LINES = 2

_LINK_LINE = re.compile(
    r"(?:[-*+•] |\d{1,4}[.)] |\[\d{1,4}\] ?)?"
    r"(?:\[[^\[\]]*\]\([^()\s]*(?: \"[^\"]*\")?\)|<?https?://\S++)[.,;|·\s]*+"
)
_LONG_RUN = 400  # characters without a space; no word is that long
_DATA_IMAGE = re.compile(
    r"!\[[^\[\]\n]{0,300}\]\(\s*<?data:[^)\s]*+[^)\n]{0,300}\)"
    r"|<img\b[^>]{0,300}?\bsrc=[\"']?data:[^>\"'\s]*+[\"']?[^>]{0,300}>"
)
_DATA_ADDRESS = re.compile(
    r"\(?data:[\w/+.-]{3,80};base64,(?:[A-Za-z0-9+/%]{60,}+\s)*+[A-Za-z0-9+/%]*+={0,2}\)?"
)
_DATA_RUN = re.compile(rf"(?<![A-Za-z0-9+/=_-])[A-Za-z0-9+/=_-]{{{_LONG_RUN},}}")
_FENCE = re.compile(r"[ \t]*(`{3,}(?!.*`)|~{3,})")


class CleanText(NamedTuple):
    """A clean text.

    Attributes:
        link_chars: Number of characters in lines that consist of links.
        since: First version of reading with this result.
    """

    text: str
    link_chars: int
    since: int = 1


def clean(
    document: Document,
    min_words: int = MIN_WORDS,
    reading: int = READING_VERSION,
    removed: Counter[str] | None = None,
) -> Document | Dropped:
    """Return the document with a clean text and title, or why it is not usable.

    Title, author, URL and language become one printable line each. The id is kept.

    Args:
        document: The document as read.
        min_words: Minimum words of an article.
        reading: The version of reading with which the run folder was begun.
        removed: Kind of removed text to number of characters; added to.
    """
    text, link_chars, since = clean_body(document.text, reading, removed)
    title = document.title
    if title and reading >= _PARTS_SINCE:
        title = fix_mojibake(title)
    dropped = judge(FilterInput(text, link_chars, min_words), reading)
    if dropped:
        return dropped
    return Document(
        document.id,
        text,
        document.source,
        _line(
            fix_mojibake(document.title)
            if document.title and reading >= _PARTS_SINCE
            else document.title
        ),
        _line(document.author),
        _line(document.url, 2000),
        _line(document.language, 40),
        max(document.since, since),
        _line(document.date, 40),
        _line(document.license, 300),
        document.version,
    )


def clean_body(
    text: str, reading: int = READING_VERSION, removed: Counter[str] | None = None
) -> CleanText:
    """Return the clean text.

    Hidden characters, trailing spaces, embedded files, boilerplate lines, and blank lines beyond
    two in a row go. Lines inside fenced code are kept as they are. ``removed`` counts what was
    removed.
    """
    goes_further = reading >= _PARTS_SINCE
    text, since = _without_foreign(text, removed, goes_further=goes_further)
    fences = fenced_ranges(text)
    lines = text.split("\n")
    code = _lines_of(fences, lines) if fences else frozenset()
    if (fences or "~~~" in text) and code != _simply_fenced(lines):
        since = _FENCES_SINCE
    parts = find_parts(lines, code) if goes_further else {}
    kept: list[str] = []
    after_boilerplate = False
    blank = _MAX_BLANK_LINES  # so that no blank line is first
    link_chars = 0
    for at, raw in enumerate(lines):
        line = raw.rstrip()
        if at in code:
            if raw != line and at + 1 in code:
                line = raw
                since = _FENCES_SINCE
        elif not line:
            blank += 1
            is_doubled = goes_further and after_boilerplate and kept and not kept[-1]
            if blank > _MAX_BLANK_LINES or is_doubled:
                continue
            kept.append(line)
            continue
        elif (kind := parts.get(at)) or is_boilerplate(line, after_boilerplate):
            after_boilerplate = True
            _add(removed, kind or "boilerplate lines", len(line))
            continue
        elif ("]" in line or ":" in line) and _LINK_LINE.fullmatch(line.strip()):
            link_chars += len(line)
        blank = 0
        after_boilerplate = False
        kept.append(line)
    return CleanText("\n".join(kept).rstrip(), link_chars, since)


def _without_foreign(
    text: str, removed: Counter[str] | None, *, goes_further: bool
) -> tuple[str, int]:
    """Remove what is not part of the text: running heads, hidden characters, embedded files."""
    if goes_further and (mended := fix_mojibake(text)) != text:
        _add(removed, "mojibake", len(text) - len(mended))
        text = mended
    if goes_further and "\f" in text:
        text, chars = without_running_heads(text)
        _add(removed, "running heads", chars)
    text = strip_hidden(text)
    if not _may_hold_files(text):
        return text, 1
    whole = _DATA_RUN.sub("", _DATA_ADDRESS.sub("", _DATA_IMAGE.sub("", text)))
    _add(removed, "embedded files", len(text) - len(whole))
    return whole, 1 if len(whole) == len(text) else _FENCES_SINCE


def _add(removed: Counter[str] | None, kind: str, chars: int) -> None:
    if removed is not None and chars:
        removed[kind] += chars


def _lines_of(ranges: list[tuple[int, int]], lines: list[str]) -> frozenset[int]:
    """Return the numbers of the lines that character ranges overlap."""
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
    """Return the lines in fenced code as reading of version 1 determined them."""
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
    """Return whether a text has a run without spaces longer than any word, by sampling."""
    if len(text) < _LONG_RUN:
        return False
    step = _LONG_RUN // 2
    for at in range(0, len(text) - step + 1, step):
        piece = text[at : at + step]
        if " " not in piece and "\n" not in piece and piece.isascii():
            return True
    return False


def _line(text: str | None, max_chars: int = 300) -> str | None:
    return (plain_line(text, max_chars) or None) if text else None
