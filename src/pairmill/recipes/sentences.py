"""An answer in its sentences, and an answer without some of them.

Where sentences end is for ``pairmill.chunking.cuts`` to say. A block of code is one piece, and so
is each line of a list or a table; what marks a list item, a heading or a quotation belongs to the
layout. In scripts without sentence marks a line is one piece.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pairmill.chunking.cuts import sentence_ends

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

__all__ = ["Span", "leave_out", "split_answer"]

Span = tuple[int, int]

_CODE = re.compile(r"^(```|~~~).*?(?:^\1[ \t]*$|\Z)", re.MULTILINE | re.DOTALL)
_LINE = re.compile(r"[^\n]+")
_MARK = re.compile(r"\s*(?:(?:[-*+•>]|#{1,6}|\(?\d{1,3}[.)])\s+)*")
_SAYS = re.compile(r"[^\W_]{2}|[^\W\d_a-zA-Z]")  # two letters or digits, or one sign that is a word


def split_answer(text: str) -> list[Span]:
    """Where each sentence or other piece of an answer stands, in order, white space apart.

    A piece that says nothing (a rule, the frame of a table) is part of the one before it.
    """
    spans: list[Span] = []
    for start, end in _pieces(text):
        if spans and not _SAYS.search(text, start, end):
            spans[-1] = (spans[-1][0], end)
        elif _SAYS.search(text, start, end):
            spans.append((start, end))
    return spans


def leave_out(text: str, spans: Sequence[Span], gone: Collection[int]) -> str:
    """The text without some of its pieces, by position; the layout of the others stays."""
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
    """What stands between two pieces: the last that begins a line, as far down as any does."""
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
