"""Text from outside, made harmless for a terminal, a log, a table or an error line."""

from __future__ import annotations

__all__ = ["plain"]


def plain(text: object, limit: int = 300) -> str:
    """One line of printable characters, runs of blanks as one, cut at ``limit``.

    Control, bidirectional, zero-width and surrogate characters become blanks. Of what is longer
    than four times the limit the rest is not looked at.
    """
    line = str(text)[: 4 * limit]
    if not line.isprintable():
        line = "".join(mark if mark.isprintable() else " " for mark in line)
    line = " ".join(line.split())
    return line if len(line) <= limit else f"{line[: limit - 1]}\u2026"
