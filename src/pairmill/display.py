"""Text for people: sanitized for a terminal, a log, a table or an error line; short numbers."""

from __future__ import annotations

import textwrap

__all__ = ["format_duration", "sanitize", "short_number", "wrap_line"]

_UNITS = ("", "k", "M", "G", "T")
_THOUSAND = 1000
_HUNDRED = 100
_EXACT = 10_000


def sanitize(text: object, limit: int = 300) -> str:
    """Return one line of printable characters, runs of blanks collapsed, cut at ``limit``.

    Control, bidirectional, zero-width and surrogate characters become blanks. Text beyond four
    times the limit is ignored.
    """
    line = str(text)[: 4 * limit]
    if not line.isprintable():
        line = "".join(mark if mark.isprintable() else " " for mark in line)
    line = " ".join(line.split())
    return line if len(line) <= limit else f"{line[: limit - 1]}\u2026"


def wrap_line(line: str, width: int, indent: int = 2) -> str:
    """Break a line at blanks where it is too long for a terminal.

    Args:
        line: One line; blanks at its beginning stay.
        width: Columns of the terminal.
        indent: By how much further lines stand to the right of the first.
    """
    if len(line) <= width:
        return line
    start = len(line) - len(line.lstrip())
    return textwrap.fill(
        line.strip(),
        max(width, 30),
        initial_indent=" " * start,
        subsequent_indent=" " * (start + indent),
        break_long_words=False,
        break_on_hyphens=False,
    )


def short_number(number: float) -> str:
    """Format a count in at most about five characters: 9,999, 12.3k, 412k, 1.2M."""
    if abs(number) < _EXACT:
        return f"{number:,.0f}"
    for unit in _UNITS:
        if abs(number) < _THOUSAND - 0.5 or unit == _UNITS[-1]:
            break
        number /= _THOUSAND
    return f"{number:.0f}{unit}" if abs(number) >= _HUNDRED - 0.05 else f"{number:.1f}{unit}"


def format_duration(seconds: float) -> str:
    """Format seconds as 0:07, 12:34 or 3:04:05."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
