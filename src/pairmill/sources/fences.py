"""Finds fenced code in Markdown, and splits code and tables that are too long for a chunk."""

from __future__ import annotations

import re

__all__ = ["fenced_ranges", "part_long_blocks"]

_MARK = re.compile(r"`{3,}|~{3,}")
_BEFORE_FENCE = re.compile(r"[ \t]*(?:(?:[-*+]|\d{1,9}[.)])[ \t]+)*")
_CLOSING = {mark: re.compile(rf"^[ \t]*({mark}{{3,}})[ \t]*$", re.MULTILINE) for mark in "`~"}
_NAMED_OPENING = re.compile(r"^[ \t]*`{3,}[ \t]*\w[^\n`]*$", re.MULTILINE)
_INFO = re.compile(r"[ \t]*[\w+#.-]*[ \t]*")
_HEADING = re.compile(r"^#{1,6} +\S", re.MULTILINE)
_TABLE = re.compile(
    r"(?<![^\n])[ \t]*\|[^\n]*\n[ \t]*\|?[ \t]*:?-[-| :\t]*+\n(?:[ \t]*\|[^\n]*(?:\n|\Z))+"
)


def fenced_ranges(text: str) -> list[tuple[int, int]]:
    """Return the ranges of fenced code, from the opening fence to the end of the closing one.

    A fence may open in a list item or after text. An unclosed one ends at the next heading or at
    the end of the text. A row of tildes under a line of text is an underline, not a fence.
    """
    # One character is found faster than three, and most texts have neither.
    if ("`" not in text or "```" not in text) and ("~" not in text or "~~~" not in text):
        return []
    marks, closings = _Marks(text), _Closings(text)
    ranges: list[tuple[int, int]] = []
    position = 0
    while mark := marks.after(position):
        line_end = text.find("\n", mark.end())
        line_end = len(text) if line_end < 0 else line_end
        end = _end_of(text, mark, line_end, closings)
        if end < 0:
            position = line_end
            continue
        ranges.append((mark.start(), end))
        position = max(end, mark.end())
    return ranges


class _Marks:
    """Positions of runs of three or more marks. If queried in text order, each is scanned once.

    Searching for the characters takes a tenth of the time of the pattern.
    """

    def __init__(self, text: str) -> None:
        self._text = text
        self._next = dict.fromkeys(("```", "~~~"), -1)

    def after(self, position: int) -> re.Match[str] | None:
        """Return the first one that begins at or after a position."""
        for run, at in self._next.items():
            if at < position:
                found = self._text.find(run, position)
                self._next[run] = len(self._text) if found < 0 else found
        return _MARK.match(self._text, min(self._next.values()))


class _Closings:
    """Positions of closing fences. If queried in text order, it scans once per length."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._all: dict[str, list[tuple[int, int, int]]] = {}
        self._at: dict[tuple[str, int], int] = {}

    def after(self, position: int, mark: str, length: int) -> tuple[int, int] | None:
        """Return start and end of the first one from ``position`` that is long enough."""
        found = self._all.get(mark)
        if found is None:
            marks = _CLOSING[mark].finditer(self._text)
            found = self._all[mark] = [(it.start(), it.end(1), len(it[1])) for it in marks]
        at = self._at.get((mark, length), 0)
        while at < len(found) and (found[at][0] < position or found[at][2] < length):
            at += 1
        self._at[mark, length] = at
        return found[at][:2] if at < len(found) else None


def _end_of(text: str, mark: re.Match[str], line_end: int, closings: _Closings) -> int:
    """Return where the code of a fence ends; -1 if the mark opens none."""
    sign, info = mark[0][0], text[mark.end() : line_end]
    line_start = text.rfind("\n", 0, mark.start()) + 1
    before = text[line_start : mark.start()]
    opens_line = bool(_BEFORE_FENCE.fullmatch(before))
    if sign == "`":
        is_fence = "`" not in info and (opens_line or ("`" not in before and _INFO.fullmatch(info)))
    else:
        is_fence = opens_line and (bool(info.strip()) or not _is_underline(text, line_start))
    if not is_fence:
        return -1
    closing = closings.after(line_end, sign, len(mark[0]))
    if closing is None:
        if not opens_line or sign == "~":
            return -1
        heading = _HEADING.search(text, line_end)
        return len(text[: heading.start()].rstrip()) if heading else len(text.rstrip())
    # A fence that names a language closes nothing: if one follows, with a heading before it, then
    # nobody closed this one.
    other = _NAMED_OPENING.search(text, line_end, closing[0])
    if other and (heading := _HEADING.search(text, line_end, other.start())):
        return len(text[: heading.start()].rstrip())
    return closing[1]


def _is_underline(text: str, line_start: int) -> bool:
    before = text.rfind("\n", 0, max(0, line_start - 1)) + 1
    line = text[before : max(0, line_start - 1)].strip()
    return bool(line) and not line.startswith(("~", "`"))


def part_long_blocks(text: str, most: int) -> str:
    """Split long code blocks and tables of a text into parts that fit into a chunk.

    Parts end at line ends, preferably at blank lines; each repeats the fence or the table's header.
    A block with a line longer than ``most`` characters is left unchanged.
    """
    if len(text) <= most:
        return text
    codes = fenced_ranges(text)
    ranges = [(start, end, True) for start, end in codes if end - start > most]
    if "|" in text:
        ranges.extend(
            (table.start(), len(text[: table.end()].rstrip("\n")), False)
            for table in _TABLE.finditer(text)
            if table.end() - table.start() > most
            and not any(start <= table.start() < end for start, end in codes)
        )
    if not ranges:
        return text
    pieces: list[str] = []
    at = 0
    for start, end, is_code in sorted(ranges):
        pieces.append(text[at:start])
        pieces.append((_parted_code if is_code else _parted_table)(text[start:end], most))
        at = end
    pieces.append(text[at:])
    return "".join(pieces)


def _parted_code(block: str, most: int) -> str:
    first, *lines = block.split("\n")
    mark = first[: len(first) - len(first.lstrip("`~"))]
    if lines and lines[-1].strip().startswith(mark):
        lines.pop()
    parts = _parts(lines, most - len(first) - len(mark) - 2)
    return "\n\n".join(f"{first}\n{part}\n{mark}" for part in parts) if len(parts) > 1 else block


def _parted_table(block: str, most: int) -> str:
    head, rule, *rows = block.split("\n")
    parts = _parts(rows, most - len(head) - len(rule) - 2)
    return "\n\n".join(f"{head}\n{rule}\n{part}" for part in parts) if len(parts) > 1 else block


def _parts(lines: list[str], room: int) -> list[str]:
    """Fill parts with lines up to ``room`` characters; none if a single line is longer."""
    if room < 1 or any(len(line) > room for line in lines):
        return []
    parts: list[str] = []
    part: list[str] = []
    size = 0
    for line in lines:
        if part and size + len(line) + 1 > room:
            cut = _blank_near_end(part)
            parts.append("\n".join(part[:cut]))
            part = part[cut:]
            while part and not part[0].strip():
                part.pop(0)
            size = sum(len(one) + 1 for one in part)
        part.append(line)
        size += len(line) + 1
    if part:
        parts.append("\n".join(part))
    return parts


def _blank_near_end(lines: list[str]) -> int:
    """Return the line to cut before: a blank one in the last third, else after the last."""
    for at in range(len(lines) - 1, 2 * len(lines) // 3, -1):
        if not lines[at].strip():
            return at
    return len(lines)
