"""Tables of pages: distinguishes data from layout, and builds the grid of cells."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pairmill.sources.pages.tree import Node

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["is_data_table", "table_rows"]

_MOST_COLUMNS = 60
_MOST_ROWS = 5000
_LONG_CELL = 700  # characters: cells of data are shorter
_LONG_BLOCKS = frozenset(("pre", "h1", "h2", "h3", "table", "blockquote"))


def is_data_table(table: Node) -> bool:
    """Return whether a table's rows and columns have a meaning.

    Tables with nested tables, headings, code or long text in their cells, with one column, or with
    one row and no heading are layout: their cells are read one after the other.
    """
    if table.get("role") in ("presentation", "none"):
        return False
    rows = list(_rows(table))
    widest = max((len(row) for row in rows), default=0)
    if widest < 2:  # noqa: PLR2004
        return False
    has_heading = any(cell.tag == "th" for row in rows for cell in row)
    if len(rows) == 1 and not has_heading:
        return False
    for row in rows:
        for cell in row:
            if cell.chars > _LONG_CELL and not has_heading:
                return False
            if cell.has_blocks and any(kid.tag in _LONG_BLOCKS for kid in cell.nodes()):
                return False
    return True


def table_rows(table: Node, text_of: Callable[[Node], str]) -> list[list[str]]:
    """Return the texts of a table, rows padded to equal width; spanned cells are not repeated."""
    grid: list[list[str]] = []
    covered: dict[tuple[int, int], bool] = {}
    for at, row in enumerate(_rows(table)):
        if at >= _MOST_ROWS:
            break
        line: list[str] = []
        for cell in row:
            while covered.pop((at, len(line)), False):
                line.append("")
            wide, high = _span(cell, "colspan"), _span(cell, "rowspan")
            for column in range(len(line), len(line) + wide):
                for below in range(at + 1, at + high):
                    covered[below, column] = True
            line.append(text_of(cell))
            line.extend([""] * (wide - 1))
            if len(line) > _MOST_COLUMNS:
                break
        if any(line):
            grid.append(line[:_MOST_COLUMNS])
    width = max(map(len, grid), default=0)
    return [line + [""] * (width - len(line)) for line in grid]


def _span(cell: Node, name: str) -> int:
    value = cell.get(name)
    return min(int(value), 50) if value.isdigit() and 0 < len(value) < 4 and int(value) else 1  # noqa: PLR2004


def _rows(table: Node) -> Iterator[list[Node]]:
    for kid in table.kids:
        if isinstance(kid, str):
            continue
        if kid.tag == "tr":
            cells = [
                cell for cell in kid.kids if isinstance(cell, Node) and cell.tag in ("td", "th")
            ]
            if cells:
                yield cells
        elif kid.tag in ("tbody", "thead", "tfoot"):
            yield from _rows(kid)
