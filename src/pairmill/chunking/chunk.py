"""Chunking: splits a cleaned document into spans of about equal size, along its structure.

Guarantees, for any text and any valid bounds:

* ``document.text[chunk.start:chunk.end] == chunk.text``; chunks are in order and disjoint, and only
  white space is between them: nothing is lost or duplicated.
* No chunk is longer than ``max_chars``.
* A fenced code block of at most ``max_chars`` is never cut. A longer one is cut at blank
  lines, else at line ends.
* A heading stays with the beginning of what follows it, unless that is a code block which fills a
  chunk by itself.
* ``min_chars`` is a preference: a chunk is shorter only if its neighbours have no room for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from pairmill.chunking.blocks import (
    Block,
    Shape,
    cut_span,
    find_blocks,
    nearest_sentence_end,
    sentence_ends,
    skip_blank,
)
from pairmill.records import Chunk, PartOrigin, digest

if TYPE_CHECKING:
    from pairmill.records import Document

__all__ = [
    "ChunkValues",
    "Span",
    "chunk_values",
    "find_spans",
    "join_neighbours",
    "make_chunk",
    "split",
]

Span = tuple[int, int, tuple[str, ...], tuple[int, ...]]
"""A chunk's start and end; the headings above it; and, for a window of several chunks, the start of
each but the first, relative to the window."""

ChunkValues = tuple[
    str,
    str,
    str,
    int,
    int,
    str,
    int,
    tuple[str, ...],
    str | None,
    str | None,
    str | None,
    str | None,
    tuple[int, ...],
    tuple[PartOrigin, ...],
    str | None,
    str,
    str | None,
]
"""The fields of a `Chunk`, in their order."""


_MOST_BEFORE = 300  # characters of the text before a chunk


class _Atom(NamedTuple):
    """A span that packing does not cut, unless it is prose and a neighbour needs part of it."""

    start: int
    end: int
    shape: Shape
    section: tuple[str, ...]
    opens: bool  # begins with a heading


class _Bounds(NamedTuple):
    least: int
    target: int
    most: int


_Group = list[_Atom]


def split(document: Document, *, min_chars: int, target_chars: int, max_chars: int) -> list[Chunk]:
    """Cut a cleaned document into chunks; the module's docstring lists the guarantees.

    ``min_chars <= target_chars <= max_chars`` is expected. Each chunk has its document's title,
    author, URL, language and source; its id is the digest of its text. White space makes no chunk.
    """
    spans = find_spans(document.text, (min_chars, target_chars, max_chars))
    return [make_chunk(document, index, span) for index, span in enumerate(spans)]


def find_spans(text: str, bounds: tuple[int, int, int]) -> list[Span]:
    """Return the spans that `split` cuts; ``bounds`` are minimum, target and maximum characters."""
    blocks = find_blocks(text)
    if len(blocks) == 1:
        start, end, _, _, section = blocks[0]
        if end - start <= bounds[2]:
            return [(start, end, section, ())]
    wish = _Bounds(*bounds)
    atoms = [atom for block in blocks for atom in _atoms(text, block, wish)]
    groups = _mend(text, _pack(text, atoms, wish), wish)
    return [(group[0].start, group[-1].end, group[0].section, ()) for group in groups]


def make_chunk(document: Document, index: int, span: Span) -> Chunk:
    """Make a chunk of one span of a document."""
    return Chunk(*chunk_values(document, index, span))


def chunk_values(document: Document, index: int, span: Span, name: str = "") -> ChunkValues:
    """Return the fields of the chunk of a span, in their order, without making it."""
    start, end, section, parts = span
    text = document.text[start:end]
    return (
        name or digest(text),
        text,
        document.id,
        start,
        end,
        document.source,
        index,
        section,
        document.title,
        document.author,
        document.url,
        document.language,
        parts,
        (),
        document.date,
        _end_before(document.text, start) if start else "",
        document.license,
    )


def _end_before(text: str, start: int) -> str:
    """Return the last sentences before an offset, at most 300 characters, truncated if needed.

    A heading, a list item or a table row counts as a sentence.
    """
    low = max(0, start - _MOST_BEFORE)
    before = text[low:start]
    if low:
        ends = (at for at in sentence_ends(text, low, start) if text[at:start].strip())
        first = next(ends, -1)
        if first < 0:
            first = max(low, text.find(" ", low, start))
        before = text[first:start]
    return " ".join(before.split())


def join_neighbours(spans: list[Span], size: int, step: int) -> list[Span]:
    """Return windows of ``size`` neighbouring spans, each ``step`` spans after the previous one.

    The last window ends with the last span, and may overlap the previous one more than the others
    do; fewer spans than ``size`` make one window.
    """
    if not spans:
        return []
    last = max(0, len(spans) - size)
    starts = [*range(0, last, step), last]
    windows: list[Span] = []
    for at in starts:
        group = spans[at : at + size]
        begin = group[0][0]
        windows.append(
            (begin, group[-1][1], group[0][2], tuple(span[0] - begin for span in group[1:]))
        )
    return windows


def _atoms(text: str, block: Block, bounds: _Bounds) -> list[_Atom]:
    start, end, body, shape, section = block
    opens = body > start
    if end - start <= bounds.most:
        return [_Atom(start, end, shape, section, opens)]
    if opens and shape is Shape.CODE and end - body <= bounds.most:
        headings = cut_span(text, start, body, Shape.PROSE, bounds)
        pieces = [_Atom(*piece, Shape.PROSE, section, opens=False) for piece in headings]
        return [*pieces, _Atom(body, end, shape, section, opens=False)]
    return [
        _Atom(*piece, shape, section, opens and piece[0] == start)
        for piece in cut_span(text, start, end, shape, bounds, body)
    ]


def _pack(text: str, atoms: list[_Atom], bounds: _Bounds) -> list[_Group]:
    """Fill groups up to about the target size; a heading closes a group that is long enough."""
    groups: list[_Group] = []
    group: _Group = []
    for atom in atoms:
        rest = atom
        if group:
            size = group[-1].end - group[0].start
            whole = atom.end - group[0].start
            if not _goes_on(size, whole, atom.opens, bounds):
                if size < bounds.least and atom.shape is Shape.PROSE and not atom.opens:
                    head, rest = _fill(text, group[0].start, atom, bounds)
                    group.extend(head)
                groups.append(group)
                group = []
        group.append(rest)
    if group:
        groups.append(group)
    return groups


def _goes_on(size: int, whole: int, opens: bool, bounds: _Bounds) -> bool:
    """Return whether a group of ``size`` characters should grow to ``whole`` by the next atom."""
    if whole > bounds.most:
        return False
    if size < bounds.least:
        return True
    return not opens and whole - bounds.target < bounds.target - size


def _fill(text: str, start: int, atom: _Atom, bounds: _Bounds) -> tuple[list[_Atom], _Atom]:
    """Cut sentences off a long paragraph for a group that is still too short; possibly none."""
    wish = start + bounds.target
    low = max(atom.start, start + bounds.least)
    high = min(start + bounds.most, atom.end)
    cut = nearest_sentence_end(text, low, high, wish)
    return _part(text, atom, cut) if cut > atom.start else ([], atom)


def _part(text: str, atom: _Atom, cut: int) -> tuple[list[_Atom], _Atom]:
    tail_start = skip_blank(text, cut, atom.end)
    if tail_start >= atom.end:
        return [], atom
    return [atom._replace(end=cut)], atom._replace(start=tail_start, opens=False)


def _mend(text: str, groups: list[_Group], bounds: _Bounds) -> list[_Group]:
    """Join each group that is too short to a neighbour, or share a neighbour's text with it."""
    mended: list[_Group] = []
    for group in groups:
        if mended and (_size(group) < bounds.least or _size(mended[-1]) < bounds.least):
            mended[-1:] = _share(text, mended[-1], group, bounds)
        else:
            mended.append(group)
    return mended


def _share(text: str, left: _Group, right: _Group, bounds: _Bounds) -> list[_Group]:
    """Join two groups if they fit into one; else even out their sizes if possible."""
    start, end = left[0].start, right[-1].end
    both = [*left, *right]
    if end - start <= bounds.most:
        return [both]
    middle = (start + end) // 2
    places = {
        atom.start: index
        for index, atom in enumerate(both)
        if index and _is_even(start, both[index - 1].end, atom.start, end, bounds)
    }
    if places:
        index = places[min(places, key=lambda at: abs(at - middle))]
        return [both[:index], both[index:]]
    return _share_sentences(text, both, middle, bounds) or [left, right]


def _share_sentences(
    text: str, atoms: list[_Atom], middle: int, bounds: _Bounds
) -> list[_Group] | None:
    start, end = atoms[0].start, atoms[-1].end
    low, high = max(start + bounds.least, end - bounds.most), min(start + bounds.most, end - 1)
    for index, atom in enumerate(atoms):
        if atom.shape is not Shape.PROSE or atom.end <= low or atom.start >= high:
            continue
        reach = max(low, atom.start), min(high, atom.end)
        cut = nearest_sentence_end(text, *reach, middle)
        if cut <= atom.start or cut >= atom.end:
            continue
        head, tail = _part(text, atom, cut)
        if head and _is_even(start, cut, tail.start, end, bounds):
            return [[*atoms[:index], *head], [tail, *atoms[index + 1 :]]]
    return None


def _is_even(start: int, cut: int, go_on: int, end: int, bounds: _Bounds) -> bool:
    least, _, most = bounds
    return least <= cut - start <= most and least <= end - go_on <= most


def _size(group: _Group) -> int:
    return group[-1].end - group[0].start
