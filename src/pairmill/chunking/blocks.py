"""Markdown blocks with exact offsets, and the best place to cut a long one.

The sentence rule is a guarded pattern, not a model: an end mark, closing quotes, white space, and
then something that can open a sentence; but not after a known abbreviation or an initial. Decimals
and versions have no space after their point, so they are never a boundary. CJK marks need no space.
"""

from __future__ import annotations

import re
import unicodedata
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

from pairmill.sources.characters import plain_line
from pairmill.sources.fences import fenced_ranges

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = [
    "Block",
    "Shape",
    "cut_span",
    "find_blocks",
    "is_cut_anew",
    "nearest_sentence_end",
    "sentence_ends",
    "skip_blank",
]


class Shape(StrEnum):
    """Where a block may be cut if necessary."""

    PROSE = "prose"  # at sentences
    ROWS = "rows"  # a list or a table: at line ends
    CODE = "code"  # at blank lines, then at line ends


class Block(NamedTuple):
    """A span of text that is kept whole if possible, with the headings right before it.

    Attributes:
        start: Start offset, including its own headings.
        body: Start of the text after the headings; equals ``start`` if there are none.
        section: Headings above it and its own, outermost first.
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
        end = len(text.rstrip())  # one paragraph: no structure
        return [Block(0, end, 0, Shape.PROSE, ())] if end else []
    blocks: list[Block] = []
    path: list[tuple[int, str]] = []
    section: tuple[str, ...] = ()
    first = -1  # start of the run of headings before the next block
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
    """Separate headings from adjacent lines; the rest is prose or rows."""
    while start < end and text[start] == "\n":
        start += 1
    if start >= end or text[start:end].isspace():
        return
    # Check for the line's end first: otherwise the pattern tries every shorter line.
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


_END = re.compile(
    r"""(?<![.!?…।؟॥۔។៕။።։])[.!?…।؟॥۔។៕။።։]++["'”’»)\]*_]*+(?=\s)|(?<![。！？｡])[。！？｡]++["'”’」』）》]*+"""  # noqa: RUF001 (real marks)
)
_ABBREVIATION = re.compile(
    r"(?:\b(?:mr|mrs|ms|dr|prof|rev|gen|col|capt|lt|sgt|sen|rep|gov|hon|st|mt|jr|sr|messrs"
    r"|vs|etc|cf|al|fig|figs|eq|no|nos|vol|vols|pp?|ch|sec|art|ed|eds|est|approx|dept|inc|ltd|co"
    r"|corp|bros|jan|feb|mar|apr|jun|jul|aug|sept?|oct|nov|dec|z\.b|d\.h|bzw|ca|nr)"
    r"|(?:^|[\s(\[\"'“‘.])[^\W\d_])\.$",  # noqa: RUF001
    re.IGNORECASE,
)
# Thai, Lao, Burmese and Khmer separate phrases by spaces and do not mark the end of a sentence.
_PHRASE_END = re.compile("(?<=[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff]) (?=\\S)")
_NEW_IN_3 = re.compile(
    "[\u0965\u06d4\u17d4\u17d5\u104b\u1362\u0589\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff]"
)
_CJK_MARKS = "。！？｡"  # noqa: RUF001
_OPENING = "\"'“‘«([*_"  # noqa: RUF001
_NEAR = 150
_LOOK_BACK = 12  # length of the longest abbreviation and the character before it
_MAX_CLUSTER = 64  # code points; a longer "character" is an attack, and is cut
_ZERO_WIDTH_JOINER = "\u200d"


def is_cut_anew(text: str) -> bool:
    """Return whether version 3 of the reader may cut a long text elsewhere than earlier ones."""
    return not text.isascii() and _NEW_IN_3.search(text) is not None


def sentence_ends(text: str, start: int, end: int) -> Iterator[int]:
    """Yield, in order, each offset within ``start < offset < end`` at which a sentence ends."""
    for match in _END.finditer(text, start, end):
        at = match.end()
        if start < at < end and _ends_sentence(text, match.start(), at):
            yield at


def nearest_sentence_end(text: str, low: int, high: int, wish: int) -> int:
    """Return the sentence end within ``low..high`` that is nearest to ``wish``; -1: there is none.

    It searches nearby first: most sentences end within a few hundred characters.
    """
    for radius in (_NEAR, 4 * _NEAR, high - low + 1):
        near, far = max(low - 1, wish - radius), min(high + 1, wish + radius)
        at = min(sentence_ends(text, near, far), key=lambda end: abs(end - wish), default=-1)
        if at >= 0:
            return at
    return -1


def cut_span(
    text: str, start: int, end: int, shape: Shape, bounds: tuple[int, int, int], body: int = 0
) -> list[tuple[int, int]]:
    """Cut ``text[start:end]`` into pieces ``(start, end)``, none of them over the maximum.

    ``bounds`` are the least, wished and greatest characters of a piece. Pieces are of about even
    size; the least is kept if the text has a suitable place. Only white space is between pieces,
    and no piece is only white space. Headings before ``body`` are cut only if necessary.
    """
    least, target, most = bounds
    pieces: list[tuple[int, int]] = []
    while end - start > most:
        aim = (end - start) / -(-(end - start) // target)
        cut = _best(text, (start, end, max(body, start)), shape, (least, aim, most))
        _add(pieces, text, start, cut)
        start = skip_blank(text, cut, end)
    _add(pieces, text, start, end)
    return pieces


def skip_blank(text: str, start: int, end: int) -> int:
    """Return the start of the next non-blank line, including its indentation.

    Within a line: the start of the next word; ``end`` if nothing follows.
    """
    at = start
    while at < end and text[at].isspace():
        at += 1
    if at >= end:
        return end
    line = text.rfind("\n", start, at) + 1
    if line:
        return line
    return start if start == 0 or text[start - 1] == "\n" else at


def _add(pieces: list[tuple[int, int]], text: str, start: int, end: int) -> None:
    while end > start and text[end - 1].isspace():
        end -= 1
    if end > start:
        pieces.append((start, end))


def _best(
    text: str, span: tuple[int, int, int], shape: Shape, bounds: tuple[float, float, float]
) -> int:
    """Return the cut nearest to the target among the best available kind of place."""
    start, end, body = span
    least, aim, most = bounds
    high = min(start + int(most), end - 1)
    low = max(start + int(min(least, aim)), min(body + 1, high))
    wish = start + aim
    for places in _kinds_of_places(text, low, high, int(wish), shape):
        at = min(places, key=lambda place: abs(place - wish), default=-1)
        if at > start:
            return at
    space = _last_space(text, start, high)
    return space if space > start else _between_characters(text, start, high)


def _kinds_of_places(
    text: str, low: int, high: int, wish: int, shape: Shape
) -> Iterator[list[int]]:
    if shape is Shape.CODE:
        yield _all(text, "\n\n", low, high)
    if shape is not Shape.PROSE:
        yield _all(text, "\n", low, high)
    if shape is not Shape.CODE:
        at = nearest_sentence_end(text, low, high, wish)
        yield [at] if at >= 0 else []
        yield _all(text, "\n", low, high)
        yield [space.start() for space in _PHRASE_END.finditer(text, low, high)]


def _all(text: str, mark: str, low: int, high: int) -> list[int]:
    places = []
    at = text.find(mark, low, high)
    while at >= 0:
        places.append(at)
        at = text.find(mark, at + 1, high)
    return places


def _last_space(text: str, start: int, high: int) -> int:
    at = high
    while at > start and not text[at].isspace():
        at -= 1
    return at


def _between_characters(text: str, start: int, at: int) -> int:
    """Move back from ``at`` to a place that separates no mark from its base and no pair."""
    for cut in range(at, max(start, at - _MAX_CLUSTER), -1):
        if not _joins(text[cut - 1], text[cut]) and not _parts_flag(text, start, cut):
            return cut
    return at


def _joins(left: str, right: str) -> bool:
    return (
        unicodedata.category(right)[0] == "M"
        or _ZERO_WIDTH_JOINER in (left, right)
        or "\U0001f3fb" <= right <= "\U0001f3ff"  # skin tones
        or ("\ud800" <= left <= "\udbff" and "\udc00" <= right <= "\udfff")
        or ("\u1100" <= left <= "\u11ff" and "\u1160" <= right <= "\u11ff")  # Hangul jamo
    )


def _parts_flag(text: str, start: int, cut: int) -> bool:
    run = 0
    while cut - run > start and "\U0001f1e6" <= text[cut - run - 1] <= "\U0001f1ff":
        run += 1
    return run % 2 == 1 and "\U0001f1e6" <= text[cut] <= "\U0001f1ff"


def _ends_sentence(text: str, mark: int, at: int) -> bool:
    if text[mark] in _CJK_MARKS:
        return True
    follower = at
    while follower < len(text) and (text[follower].isspace() or text[follower] in _OPENING):
        follower += 1
    if follower < len(text) and text[follower].islower():
        return False
    return text[mark] != "." or not _ABBREVIATION.search(text[max(0, mark - _LOOK_BACK) : mark + 1])
