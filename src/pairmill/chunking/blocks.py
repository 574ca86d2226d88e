"""Markdown blocks with exact offsets: what must stay together, and under which headings."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import NamedTuple

from pairmill.sources.characters import plain_line
from pairmill.sources.fences import fenced_ranges

__all__ = ["Block", "Shape", "find_blocks"]


class Shape(StrEnum):
    """How a block may be cut if it has to be."""

    PROSE = "prose"  # at sentences
    ROWS = "rows"  # a list or a table: at line ends
    CODE = "code"  # at blank lines, then at line ends


class Block(NamedTuple):
    """A span of text that stays whole where it can, with the headings right before it.

    Attributes:
        start: Where it begins, its own headings included.
        body: Where what follows the headings begins; equals ``start`` where it has none.
        section: The headings it is under, outermost first, its own included.
    """

    start: int
    end: int
    body: int
    shape: Shape
    section: tuple[str, ...]


_GAP = re.compile(r"\n\s*\n")
_ATX = re.compile(r"^ {0,3}(#{1,6})[ \t]+([^\n]*)", re.MULTILINE)
_UNDERLINED = re.compile(r" {0,3}(\S[^\n]*)\n {0,3}(=+|-{3,})[ \t]*(?=\n|\Z)")
_ROW = re.compile(r"[ \t]*(?:[-*+•] |\||\d{1,4}[.)] )")
_TITLE_MAX_CHARS = 200

_Span = tuple[int, int, Shape, int]  # start, end, shape, heading level (0: no heading)


def find_blocks(text: str) -> list[Block]:
    """Cut ``text`` into blocks: in order, disjoint, with nothing but white space between them.

    Headings are part of the block that follows them, however many there are; headings at the very
    end are a block of their own. A fenced code block is one block, and no heading is seen in it.
    """
    if "\n" not in text and "#" not in text and "`" not in text and "~" not in text:
        end = len(text.rstrip())  # one paragraph: nothing to look for
        return [Block(0, end, 0, Shape.PROSE, ())] if end else []
    blocks: list[Block] = []
    path: list[tuple[int, str]] = []
    section: tuple[str, ...] = ()
    first = -1  # where the run of headings before the next block begins
    end = 0
    for start, end, shape, level in _spans(text):
        if level:
            path = [entry for entry in path if entry[0] < level]
            path.append((level, _title(text, start, end)))
            section = tuple(title for _, title in path if title)
            first = start if first < 0 else first
            continue
        blocks.append(Block(start if first < 0 else first, end, start, shape, section))
        first = -1
    if first >= 0:
        blocks.append(Block(first, end, first, Shape.PROSE, section))
    return blocks


def _spans(text: str) -> list[_Span]:
    spans: list[_Span] = []
    position = 0
    for start, end in fenced_ranges(text):
        _add_plain(spans, text, position, start)
        spans.append((start, end, Shape.CODE, 0))
        position = end
    _add_plain(spans, text, position, len(text))
    return spans


def _add_plain(spans: list[_Span], text: str, start: int, end: int) -> None:
    """Cut a stretch without fences at its blank lines."""
    position = start
    for gap in _GAP.finditer(text, start, end):
        _add_paragraph(spans, text, position, gap.start())
        position = gap.end()
    _add_paragraph(spans, text, position, end)


def _add_paragraph(spans: list[_Span], text: str, start: int, end: int) -> None:
    """Take the headings out of lines that are together; the rest is prose, or rows."""
    while start < end and text[start] == "\n":
        start += 1
    if start >= end or text[start:end].isspace():
        return
    # A look for the line's end first: without one, the pattern tries every shorter line.
    has_lines = text.find("\n", start, end) >= 0
    underlined = _UNDERLINED.match(text, start, end) if has_lines else None
    if underlined and underlined[1][0] not in "-*+|•>":
        spans.append((start, underlined.end(), Shape.PROSE, 1 if underlined[2][0] == "=" else 2))
        start = underlined.end()
    if text.find("#", start, end) >= 0:
        for heading in _ATX.finditer(text, start, end):
            if heading.start() > start:
                _add_body(spans, text, start, heading.start())
            spans.append((heading.start(), heading.end(), Shape.PROSE, len(heading[1])))
            start = heading.end()
    _add_body(spans, text, start, end)


def _add_body(spans: list[_Span], text: str, start: int, end: int) -> None:
    while start < end and text[start] == "\n":
        start += 1
    while end > start and text[end - 1].isspace():
        end -= 1
    if start < end:
        is_rows = text.find("\n", start, end) >= 0 and bool(_ROW.match(text, start, end))
        spans.append((start, end, Shape.ROWS if is_rows else Shape.PROSE, 0))


def _title(text: str, start: int, end: int) -> str:
    line = text[start:end].lstrip().split("\n", 1)[0]
    if line.startswith("#"):
        line = line.lstrip("#").strip().rstrip("#")
    return plain_line(line, _TITLE_MAX_CHARS)
