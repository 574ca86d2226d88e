"""How the report is laid out: sections with anchors, tables, and bars on one scale."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pairmill.output.markup import Child, Markup, tag

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = ["anchor", "bars", "section", "table"]

_NAME_CHARS = 120


def section(title: str, *children: Child) -> Markup:
    """Render a section with its heading and anchor."""
    return tag("section", tag("h2", title), *children, id=anchor(title))


def anchor(title: str) -> str:
    """Return the name under which a section can be linked to."""
    return "-".join(title.lower().replace(",", "").split())


def table(
    head: Sequence[str],
    rows: Iterable[Sequence[Child]],
    numbers: Sequence[int] = (),
    gauge: int | None = None,
    *,
    stacks: bool = False,
) -> Markup:
    """Render a table; columns in ``numbers`` are right-aligned, the ``gauge`` column holds bars.

    One that ``stacks`` has too many columns for a narrow window: there each cell is by itself,
    under its column's name.
    """
    classes = dict.fromkeys(numbers, "number") | ({gauge: "gauge"} if gauge else {})

    def cells(kind: str, row: Sequence[Child]) -> list[Markup]:
        return [
            tag(
                kind if cell else "td",  # a column without a name has no header
                cell,
                class_=classes.get(place),
                data_label=head[place] if stacks and kind == "td" else None,
            )
            for place, cell in enumerate(row)
        ]

    top = tag("thead", tag("tr", *cells("th", head)))
    body = tag("tbody", *(tag("tr", *cells("td", row)) for row in rows))
    return tag("table", top, body, class_="stacks" if stacks else "bars" if gauge else None)


def _cut(name: str) -> str:
    return name if len(name) <= _NAME_CHARS else f"{name[: _NAME_CHARS - 1]}\u2026"


def bars(label: str, counted: Sequence[tuple[str, int]], share_of: int | None = None) -> Markup:
    """Counts under their names, each with a bar; with ``share_of`` also as a share of that."""
    highest = max((count for _, count in counted), default=0) or 1
    head = [label, "", "Count", "Share"]
    rows: list[list[Child]] = [
        [_cut(name), _track(count / highest), f"{count:,}", f"{count / (share_of or 1):.1%}"]
        for name, count in counted
    ]
    wide = 4 if share_of else 3
    return table(head[:wide], [row[:wide] for row in rows], numbers=(2, 3), gauge=1)


def _track(share: float) -> Markup:
    size = {"y": 0, "height": 6, "rx": 1}
    rail = tag("rect", x=0, width=100, class_="rail", **size)
    bar = tag("rect", x=0, width=f"{100 * share:.1f}", class_="bar", **size)
    return tag(
        "svg",
        rail,
        bar,
        viewBox="0 0 100 6",
        preserveAspectRatio="none",
        class_="track",
        aria_hidden="true",
    )
