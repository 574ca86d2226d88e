"""Splits an answer into sentences, and removes some of them.

``pairmill.chunking.blocks`` finds the ends of sentences. A block of code is one piece, and so is
each line of a list or a table; marks of list items, headings and quotations belong to the layout.
In scripts without sentence punctuation a line is one piece.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pairmill.chunking.blocks import sentence_ends

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

__all__ = ["Span", "leave_out", "split_answer"]

Span = tuple[int, int]

_CODE = re.compile(r"^(```|~~~).*?(?:^\1[ \t]*$|\Z)", re.MULTILINE | re.DOTALL)
_LINE = re.compile(r"[^\n]+")
_MARK = re.compile(r"\s*(?:(?:[-*+•>]|#{1,6}|\(?\d{1,3}[.)])\s+)*")
_SAYS = re.compile(r"[^\W_]{2}|[^\W\d_a-zA-Z]")  # or one non-Latin letter


def split_answer(text: str) -> list[Span]:
    """Return the spans of an answer's sentences and other pieces, in order, white space excluded.

    A piece without content (a rule, the frame of a table) is part of the one before it.
    """
    spans: list[Span] = []
    for start, end in _pieces(text):
        if spans and not _SAYS.search(text, start, end):
            spans[-1] = (spans[-1][0], end)
        elif _SAYS.search(text, start, end):
            spans.append((start, end))
    return spans


def leave_out(text: str, spans: Sequence[Span], gone: Collection[int]) -> str:
    """Remove pieces of a text by position; the layout of the others is kept."""
    kept: list[str] = []
    joints: list[str] = []
    before = 0
    for at, (start, end) in enumerate(spans):
        joints.append(text[before:start])
        before = end
        if at in gone:
            continue
        kept += [_joint(joints), text[start:end]]
        joints = []
    return ("".join(kept) + text[before:]).strip()


def _joint(joints: Sequence[str]) -> str:
    """Return the separator between two pieces: the last with a line break, as many as any has."""
    last = next((joint for joint in reversed(joints) if "\n" in joint), None)
    if last is None:
        return joints[-1]
    lines = max(joint.count("\n") for joint in joints)
    return "\n" * lines + last[last.rfind("\n") + 1 :]


def _pieces(text: str) -> Iterator[Span]:
    at = 0
    for code in _CODE.finditer(text):
        yield from _prose(text, at, code.start())
        yield code.start(), code.end()
        at = code.end()
    yield from _prose(text, at, len(text))


def _prose(text: str, start: int, end: int) -> Iterator[Span]:
    for line in _LINE.finditer(text, start, end):
        found = _MARK.match(text, line.start(), line.end())
        begin = found.end() if found else line.start()
        for stop in [*sentence_ends(text, begin, line.end()), line.end()]:
            span = _bare(text, begin, stop)
            if span[0] < span[1]:
                yield span
            begin = stop


def _bare(text: str, start: int, end: int) -> Span:
    while start < end and text[start].isspace():
        start += 1
    while end > start and text[end - 1].isspace():
        end -= 1
    return start, end
