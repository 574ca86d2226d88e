"""Makes text of unknown origin inert in a Markdown page."""

from __future__ import annotations

import string
from typing import TYPE_CHECKING

from pairmill.plain import plain

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = ["LONGEST", "code", "escaped", "table"]

# Markdown lets a backslash stand before any ASCII punctuation; these few never start anything.
_ESCAPED = {ord(mark): f"\\{mark}" for mark in string.punctuation if mark not in ",;%'\"?"}
LONGEST = 200
"""Characters of a name or a phrase on a page."""


def escaped(text: str, longest: int = LONGEST) -> str:
    """``text`` as words on one line: no markup, link, image, table cell or HTML can come of it."""
    return plain(text, longest).translate(_ESCAPED)


def code(text: str) -> str:
    """``text`` as a code span on one line, which nothing in it can close or leave."""
    inner = plain(text, LONGEST).replace("`", "'").replace("|", "¦")
    return f"`{inner}`" if inner else "(none)"


def table(head: Sequence[str], rows: Iterable[Sequence[str]], right: Sequence[int] = ()) -> str:
    """Format a Markdown table; cells are used unchanged. Columns in ``right`` hold numbers."""
    rule = ["---:" if index in right else "---" for index in range(len(head))]
    lines = [head, rule, *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
