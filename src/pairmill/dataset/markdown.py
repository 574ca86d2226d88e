"""Text of unknown origin, made inert for a Markdown page."""

from __future__ import annotations

import string
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = ["code", "one_line", "plain", "table"]

# Markdown lets a backslash stand before any ASCII punctuation; these few never start anything.
_ESCAPED = {ord(mark): f"\\{mark}" for mark in string.punctuation if mark not in ",;%'\"?"}
_LONGEST = 200


def one_line(text: str, longest: int = _LONGEST) -> str:
    """``text`` on one line: printable characters only, runs of blanks as one, cut to ``longest``.

    Control, format (direction marks, zero-width) and surrogate characters become blanks.
    """
    printable = "".join(mark if mark.isprintable() else " " for mark in text[: 4 * longest])
    words = " ".join(printable.split())
    return words if len(words) <= longest else f"{words[: longest - 1]}…"


def plain(text: str, longest: int = _LONGEST) -> str:
    """``text`` as words on one line: no markup, link, image, table cell or HTML can come of it."""
    return one_line(text, longest).translate(_ESCAPED)


def code(text: str) -> str:
    """``text`` as a code span on one line, which nothing in it can close or leave."""
    inner = one_line(text).replace("`", "'").replace("|", "¦")
    return f"`{inner}`" if inner else "(none)"


def table(head: Sequence[str], rows: Iterable[Sequence[str]], right: Sequence[int] = ()) -> str:
    """A Markdown table; the cells are taken as they are. Columns in ``right`` hold numbers."""
    rule = ["---:" if index in right else "---" for index in range(len(head))]
    lines = [head, rule, *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
