"""HTML builder in which text can only ever be text."""

from __future__ import annotations

import html
from typing import TypeAlias

__all__ = ["Child", "Markup", "page_text", "tag"]

_VOID = frozenset({"meta"})


class Markup(str):
    """A string that is HTML already: made by ``tag``, or the page's own style."""

    __slots__ = ()

    def __html__(self) -> str:
        """Itself, as templates ask for what is HTML already."""
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
