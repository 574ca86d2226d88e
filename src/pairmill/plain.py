"""Text from outside, made harmless for a terminal, a log or an error line."""

from __future__ import annotations

__all__ = ["plain"]

_LONGEST = 20  # times the limit: what a hostile server or page sends is not worth a long search


def plain(text: object, limit: int = 300) -> str:
    """One line of printable characters, cut at ``limit``; white space is run together.

    Control, format (bidirectional, zero-width, tags), surrogate, private and unassigned characters
    become spaces: the line reaches neither the terminal's state nor the next line of a log.
    """
    line = str(text)[: limit * _LONGEST]
    if not line.isprintable():
        line = "".join(char if char.isprintable() else " " for char in line)
    line = " ".join(line.split())
    return line if len(line) <= limit else f"{line[: limit - 1]}\u2026"
