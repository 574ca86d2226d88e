"""Building blocks of the report: sections, tables, bars, charts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pairmill.output.markup import Child, Markup, tag

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Iterable, Sequence

__all__ = ["Bar", "anchor", "bars", "bins_of", "curves", "histogram", "section", "table"]

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


_WIDTH, _WIDE, _HEIGHT = 500, 1_016, 190  # of half a page and of a whole one, so type is one size
_LEFT, _RIGHT, _TOP, _BOTTOM = 8, 8, 22, 24
_STEPS = (1, 2, 5, 10, 20, 25, 50, 100, 200, 250, 500)
_MOST_LABELS = 8
_CURVE_BINS = 25


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar of a histogram: its lower bound as written under it, its reach, its height."""

    label: str
    reach: str
    count: int


def bins_of(lengths: Counter[int], most: int = 30) -> list[Bar]:
    """Gather counted whole numbers into at most ``most`` bars of equal, round width.

    The top hundredth goes into the last bar, so that one giant does not flatten the rest.
    """
    if not lengths:
        return []
    ordered = sorted(lengths.elements()) if lengths.total() < 100 else None  # noqa: PLR2004
    top = ordered[-1] if ordered else _top(lengths)
    step = next((step for step in _STEPS if top // step < most), _STEPS[-1])
    count = min(top // step + 1, most)
    heights = [0] * count
    for length, times in lengths.items():
        heights[min(length // step, count - 1)] += times
    longest = max(lengths)
    return [
        Bar(str(place * step), _reach(place, step, count, longest), height)
        for place, height in enumerate(heights)
    ]


def histogram(bars: Sequence[Bar], title: str, unit: str, *, wide: bool = False) -> Markup:
    """Draw a histogram with its highest count above, bounds below, and a tooltip on each bar.

    ``wide`` is for a chart as wide as the page; otherwise it is half as wide.
    """
    if not any(bar.count for bar in bars):
        return tag("p", "Nothing to show.", class_="none")
    highest = max(bar.count for bar in bars)
    full = _WIDE if wide else _WIDTH
    width = (full - _LEFT - _RIGHT) / len(bars)
    floor = _HEIGHT - _BOTTOM
    every = -(-len(bars) // (_MOST_LABELS * (2 if wide else 1)))
    parts = [
        tag("line", x1=_LEFT, x2=full - _RIGHT, y1=floor + 0.5, y2=floor + 0.5, class_="axis"),
        tag("text", f"highest {highest:,}", x=full - _RIGHT, y=14, text_anchor="end"),
    ]
    for place, bar in enumerate(bars):
        left = _LEFT + place * width
        height = (floor - _TOP) * bar.count / highest
        parts.append(
            tag(
                "g",
                tag("title", f"{bar.reach} {unit}: {bar.count:,}"),
                tag(
                    "rect",
                    x=f"{left:.1f}",
                    y=_TOP,
                    width=f"{width:.1f}",
                    height=floor - _TOP,
                    class_="hit",
                ),
                _column(left, floor, width, height) if bar.count else None,
            )
        )
        if place % every == 0:
            parts.append(tag("text", bar.label, x=f"{left + 1:.1f}", y=_HEIGHT - 7))
    return tag(
        "svg",
        *parts,
        viewBox=f"0 0 {full} {_HEIGHT}",
        role="img",
        aria_label=title,
        class_="chart wide" if wide else "chart",
    )


def curves(
    series: Sequence[tuple[str, Sequence[float]]],
    limits: Sequence[tuple[str, float]],
    title: str,
) -> Markup:
    """Draw the distribution of values from 0 to 1, a curve per series, with thresholds.

    Args:
        series: A name and its values; curves of the first two names are told apart by dashes too.
        limits: A name and a value for each line.
        title: For those who hear the page.
    """
    floor, inner = _HEIGHT - _BOTTOM, _WIDE - _LEFT - _RIGHT
    parts = [tag("line", x1=_LEFT, x2=_WIDE - _RIGHT, y1=floor, y2=floor, class_="axis")]
    for name, value in limits:
        x = _LEFT + inner * value
        parts += [
            tag("line", x1=f"{x:.1f}", x2=f"{x:.1f}", y1=_TOP, y2=floor, class_="limit"),
            tag("text", f"{name} below {value:.2f}", x=f"{x - 4:.1f}", y=14, text_anchor="end")
            if name == limits[0][0]
            else tag("text", f"{name} below {value:.2f}", x=f"{x + 4:.1f}", y=14),
        ]
    for at, (name, values) in enumerate(series):
        if not values:
            continue
        counts = [0] * _CURVE_BINS
        for value in values:
            counts[min(int(value * _CURVE_BINS), _CURVE_BINS - 1)] += 1
        highest = max(counts)
        points = " ".join(
            f"{_LEFT + inner * (place + 0.5) / _CURVE_BINS:.1f},"
            f"{floor - (floor - _TOP) * count / highest:.1f}"
            for place, count in enumerate(counts)
        )
        parts.append(
            tag("g", tag("title", name), tag("polyline", points=points, class_=f"curve c{at}"))
        )
        parts.append(tag("text", name, x=_WIDE - _RIGHT - 4, y=34 + 16 * at, text_anchor="end",
                         class_=f"key c{at}"))  # fmt: skip
    parts += [
        tag("text", f"{tenth / 10:.1f}", x=f"{_LEFT + inner * tenth / 10:.1f}", y=_HEIGHT - 7)
        for tenth in range(0, 10, 2)
    ]
    return tag(
        "svg", *parts, viewBox=f"0 0 {_WIDE} {_HEIGHT}", role="img", aria_label=title,
        class_="chart wide",
    )  # fmt: skip


def _column(left: float, floor: float, width: float, height: float) -> Markup:
    tall = max(height, 1.0)
    return tag(
        "rect",
        x=f"{left + 1:.1f}",
        y=f"{floor - tall:.1f}",
        width=f"{max(width - 2, 1):.1f}",
        height=f"{tall:.1f}",
        rx=1.5,
        class_="bar",
    )


def _top(lengths: Counter[int]) -> int:
    needed = 0.99 * lengths.total()
    seen = 0
    for length in sorted(lengths):
        seen += lengths[length]
        if seen >= needed:
            return length
    return max(lengths)


def _reach(place: int, step: int, count: int, longest: int) -> str:
    first = place * step
    last = first + step - 1 if place < count - 1 else max(longest, first + step - 1)
    return str(first) if first == last else f"{first} to {last}"
