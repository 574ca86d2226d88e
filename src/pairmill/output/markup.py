"""HTML and Markdown with every text escaped."""

from __future__ import annotations

import html
import string
from typing import TYPE_CHECKING, TypeAlias

from pairmill.display import sanitize

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = ["LONGEST", "Child", "Markup", "code", "escaped", "page_text", "table", "tag"]

_VOID = frozenset({"meta"})


class Markup(str):
    """A string that is HTML already: made by ``tag``, or the page's own style."""

    __slots__ = ()

    def __html__(self) -> str:
        """Return itself: the protocol by which Jinja2 recognises safe HTML."""
        return self


Child: TypeAlias = "str | Markup | None"


def tag(name: str, /, *children: Child, **attributes: str | float | None) -> Markup:
    """Make an element. Children other than Markup are escaped; None is left out.

    A trailing underscore of an attribute's name is dropped (``class_``), others become hyphens.
    """
    given = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{_escape(str(value))}"'
        for key, value in attributes.items()
        if value is not None
    )
    if name in _VOID:
        return Markup(f"<{name}{given}>")
    inside = "".join(_child(child) for child in children if child is not None)
    return Markup(f"<{name}{given}>{inside}</{name}>")


def page_text(text: str, longest: int = 20_000) -> str:
    """Foreign text fit to show: no control or direction marks but newline and tab, cut if long."""
    shown = "".join(
        mark if mark.isprintable() or mark in "\n\t" else "\N{REPLACEMENT CHARACTER}"
        for mark in text[:longest].replace("\r\n", "\n")
    )
    return f"{shown} …" if len(text) > longest else shown


def _child(child: str | Markup) -> str:
    return child if isinstance(child, Markup) else _escape(child)


def _escape(text: str) -> str:
    return html.escape(page_text(text), quote=True)


# Markdown lets a backslash stand before any ASCII punctuation; these few never start anything.
_ESCAPED = {ord(mark): f"\\{mark}" for mark in string.punctuation if mark not in ",;%'\"?"}
LONGEST = 200
"""Characters of a name or a phrase on a page."""


def escaped(text: str, longest: int = LONGEST) -> str:
    """``text`` as words on one line: no markup, link, image, table cell or HTML can come of it."""
    return sanitize(text, longest).translate(_ESCAPED)


def code(text: str) -> str:
    """``text`` as a code span on one line, which nothing in it can close or leave."""
    inner = sanitize(text, LONGEST).replace("`", "'").replace("|", "¦")
    return f"`{inner}`" if inner else "(none)"


def table(head: Sequence[str], rows: Iterable[Sequence[str]], right: Sequence[int] = ()) -> str:
    """Format a Markdown table; cells are used unchanged. Columns in ``right`` hold numbers."""
    rule = ["---:" if index in right else "---" for index in range(len(head))]
    lines = [head, rule, *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
