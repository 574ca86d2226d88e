"""How a run went over time, and what each stage of it took: charts and tables of the report."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, NamedTuple

from pairmill.display import format_duration
from pairmill.llm.prices import PICO
from pairmill.output.markup import Child, Markup, tag
from pairmill.output.report.layout import section, table
from pairmill.store.timeline import stage_name

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pairmill.output.facts import RunFacts
    from pairmill.store.timeline import StageSum, StartPace, Timeline

__all__ = ["pace", "stages"]

_WIDTH, _HEIGHT = 1_016, 190
_LEFT, _RIGHT, _TOP, _BOTTOM = 8, 8, 34, 24
_MOST_STARTS = 12  # the last ones
_GAP = 6.0  # between two starts
_SMOOTH_S = 10.0
_LEAST_CUT = 0.7  # of what was allowed before: a step down to less is marked
_REST = "probes, empty replies, and what a kill lost count of"
_PER = 1_000
_Sums = tuple[int, int, int, int]
"""Calls, prompt tokens, answer tokens and picodollars."""


class _Axis(NamedTuple):
    """Where on the page each start's points lie."""

    starts: Sequence[StartPace]
    lefts: Sequence[float]
    per_s: float

    def x(self, start: int, point: float) -> float:
        """Of a point of a start, counted from 0."""
        return self.lefts[start] + point * self.starts[start].step_s * self.per_s


def pace(timeline: Timeline) -> Markup | None:
    """Pairs and answers a minute, calls in flight, refusals and waits; None for no start.

    Starts are beside each other, without the time between them.
    """
    asking = [start for start in timeline.starts if start.pairs]
    starts = asking[-_MOST_STARTS:]
    if not starts:
        return None
    axis = _axis(starts)
    rates = [
        ("answers a minute", [_rates(start.answers, start.step_s) for start in starts], "c1"),
        ("pairs a minute", [_rates(start.pairs, start.step_s) for start in starts], "c0"),
    ]
    flight = [
        ("allowed", [list(start.allowed) for start in starts], "c1"),
        ("in flight", [list(start.in_flight) for start in starts], "c0"),
    ]
    refusals = [[n * 60.0 / start.step_s for n in start.refused] for start in starts]
    told = _told(starts, len(asking))
    return section(
        "Pace",
        tag("p", told, class_="note"),
        tag("div", _chart(axis, rates, "Pairs and answers a minute over time"), class_="panel"),
        tag(
            "div",
            _chart(
                axis,
                flight,
                "Calls in flight and allowed over time, with refusals, waits and cuts",
                refusals=refusals,
            ),
            tag(
                "p",
                _legend(starts),
                class_="note",
            ),
            class_="panel",
        ),
    )


def _legend(starts: Sequence[StartPace]) -> str:
    """Explain the marks in the chart, if there are any."""
    told = []
    if any(any(start.refused) for start in starts):
        told.append("Bars at the bottom: refusals.")
    if any(any(start.paused) for start in starts):
        told.append("Shaded: nothing was sent.")
    if any(_cuts(start) for start in starts):
        told.append("Dotted: fewer calls were allowed from here on.")
    if len(starts) > 1:
        told.append("Each part is a start of the run.")
    return " ".join(told)


def stages(timeline: Timeline, facts: RunFacts, rows: int) -> Markup | None:
    """Render what was spent on each stage and model, and the part of the bill in neither."""
    if not timeline.stages:
        return None
    by_stage = _summed(timeline.stages, lambda one: stage_name(one.stage))
    by_model = _summed(timeline.stages, lambda one: one.model or "others")
    usage, usd = facts.usage, facts.cost_usd
    told_prompt = sum(one[1] for one in by_stage.values())
    told_answer = sum(one[2] for one in by_stage.values())
    told_usd = sum(one[3] for one in by_stage.values()) / PICO
    rest: list[tuple[Child, ...]] = []
    if usage is not None:
        left = (
            max(0, usage.prompt_tokens - told_prompt),
            max(0, usage.completion_tokens - told_answer),
            None if usd is None else max(0.0, usd - told_usd),
        )
        if left[0] or left[1]:
            rest.append(_row(_REST, 0, *left, rows))
    head = ("", "Calls", "Prompt tokens", "Answer tokens", "USD", "USD per 1,000 pairs")
    knows_price = all(not one.unpriced for one in timeline.stages)
    inside = []
    for label, found in (("Stage", by_stage), ("Model", by_model)):
        ordered = sorted(found.items(), key=lambda item: (-item[1][3], -item[1][1], item[0]))
        lines = [
            _row(name, calls, prompt, answer, pico / PICO if knows_price else None, rows)
            for name, (calls, prompt, answer, pico) in ordered
        ]
        inside.append(
            tag(
                "div",
                table((label, *head[1:]), [*lines, *rest], (1, 2, 3, 4, 5), stacks=True),
                class_="panel",
            )
        )
    return section("Cost by stage and model", *inside)


def _rates(counts: Sequence[int], step_s: float) -> list[float]:
    """Counts a minute, each a mean over the points around it: over 10 seconds or more."""
    reach = math.ceil(_SMOOTH_S / step_s / 2)
    rates = []
    for at in range(len(counts)):
        part = counts[max(0, at - reach) : at + reach + 1]
        rates.append(sum(part) * 60.0 / (len(part) * step_s))
    return rates


def _row(
    name: str, calls: int, prompt: int, answer: int, usd: float | None, rows: int
) -> tuple[Child, ...]:
    dollars = "" if usd is None else f"{usd:,.4f}"
    each = "" if usd is None or not rows else f"{usd * _PER / rows:,.2f}"
    return name, f"{calls:,}" if calls else "", f"{prompt:,}", f"{answer:,}", dollars, each


def _summed(sums: Sequence[StageSum], name: Callable[[StageSum], str]) -> dict[str, _Sums]:
    found: dict[str, _Sums] = {}
    for one in sums:
        key = name(one)
        calls, prompt, answer, pico = found.get(key, (0, 0, 0, 0))
        found[key] = (
            calls + one.calls,
            prompt + one.prompt_tokens,
            answer + one.completion_tokens,
            pico + one.picodollars,
        )
    return found


def _told(starts: Sequence[StartPace], of: int) -> str:
    """Describe the charts in words."""
    seconds = sum(len(start.pairs) * start.step_s for start in starts)
    pairs = sum(sum(start.pairs) for start in starts)
    rates = sorted(n for start in starts for n in _rates(start.pairs, start.step_s))
    refused = sum(sum(start.refused) for start in starts)
    failed = sum(sum(start.failed) for start in starts)
    paused = sum(sum(start.paused) * start.step_s for start in starts)
    first = time.strftime("%Y-%m-%d %H:%M", time.gmtime(starts[0].at))
    count = f"{of} {'start' if of == 1 else 'starts'}, the first"
    if of > len(starts):
        count = f"the last {len(starts)} of {of} starts, the first of these"
    average, middle, top = pairs * 60 / seconds, rates[len(rates) // 2], rates[-1]
    parts = [
        f"{count} at {first} UTC, {format_duration(seconds)} of asking in all",
        f"{average:,.0f} pairs a minute on average, {middle:,.0f} as a rule, at most {top:,.0f}",
        f"{refused:,} calls refused for the rate, {failed:,} failed otherwise",
    ]
    if paused >= 1:
        parts.append(f"{format_duration(paused)} of waiting")
    cuts = sum(len(_cuts(start)) for start in starts)
    if cuts:
        parts.append(f"{cuts} {'cut' if cuts == 1 else 'cuts'} of what may be in flight")
    ends = [start.ended for start in starts if start.ended not in {"", "done"}]
    if ends:
        parts.append(f"ended: {'; '.join(ends[-3:])}")
    return ". ".join(part[0].upper() + part[1:] for part in parts) + "."


def _cuts(start: StartPace) -> list[int]:
    """Points at which less may be in flight than just before, by a good part."""
    allowed = start.allowed
    return [
        at
        for at in range(1, len(allowed))
        if allowed[at - 1] > 1 and allowed[at] < _LEAST_CUT * allowed[at - 1]
    ]


def _axis(starts: Sequence[StartPace]) -> _Axis:
    seconds = sum(len(start.pairs) * start.step_s for start in starts)
    room = _WIDTH - _LEFT - _RIGHT - _GAP * (len(starts) - 1)
    per_s = room / seconds
    lefts, left = [], float(_LEFT)
    for start in starts:
        lefts.append(left)
        left += len(start.pairs) * start.step_s * per_s + _GAP
    return _Axis(starts, lefts, per_s)


def _chart(
    axis: _Axis,
    series: Sequence[tuple[str, Sequence[Sequence[float]], str]],
    title: str,
    *,
    refusals: Sequence[Sequence[float]] = (),
) -> Markup:
    floor = _HEIGHT - _BOTTOM
    highest = max((v for _, parts, _ in series for part in parts for v in part), default=0.0) or 1.0
    parts: list[Markup] = [*_marks(axis, floor, with_gate=bool(refusals))]
    most = max((value for part in refusals for value in part), default=0.0)
    for at, part in enumerate(refusals):
        for point, value in enumerate(part):
            if value:
                tall = max(2.0, 0.35 * (floor - _TOP) * value / most)
                wide = max(1.0, axis.x(at, point + 1) - axis.x(at, point))
                parts.append(
                    tag("rect", x=f"{axis.x(at, point):.1f}", y=f"{floor - tall:.1f}",
                        width=f"{wide:.1f}", height=f"{tall:.1f}", class_="refused")
                )  # fmt: skip
    for place, (name, lines, kind) in enumerate(series):
        for at, line in enumerate(lines):
            points = " ".join(
                f"{axis.x(at, point + 0.5):.1f},{floor - (floor - _TOP) * value / highest:.1f}"
                for point, value in enumerate(line)
            )
            if len(line) == 1:  # a line needs two ends
                y = points.partition(",")[2]
                points = f"{axis.x(at, 0):.1f},{y} {axis.x(at, 1):.1f},{y}"
            parts.append(
                tag("g", tag("title", name), tag("polyline", points=points, class_=f"curve {kind}"))
            )
        parts.append(
            tag("text", name, x=_LEFT + 260 * place, y=18, class_=f"key {kind}")
        )  # fmt: skip
    parts.append(tag("text", f"highest {highest:,.0f}", x=_WIDTH - _RIGHT, y=18, text_anchor="end"))
    parts.append(
        tag("line", x1=_LEFT, x2=_WIDTH - _RIGHT, y1=floor + 0.5, y2=floor + 0.5, class_="axis")
    )
    return tag(
        "svg", *parts, viewBox=f"0 0 {_WIDTH} {_HEIGHT}", role="img", aria_label=title,
        class_="chart wide",
    )  # fmt: skip


def _marks(axis: _Axis, floor: int, *, with_gate: bool) -> list[Markup]:
    """Waits, cuts, and how long each start took."""
    parts: list[Markup] = []
    for at, start in enumerate(axis.starts):
        left, right = axis.x(at, 0), axis.x(at, len(start.pairs))
        if at:
            gap = f"{left - _GAP / 2:.1f}"
            parts.append(tag("line", x1=gap, x2=gap, y1=_TOP - 6, y2=floor, class_="restart"))
        if right - left > 60:  # noqa: PLR2004 (room for its words)
            took = format_duration(len(start.pairs) * start.step_s)
            parts.append(tag("text", took, x=f"{right:.1f}", y=_HEIGHT - 5, text_anchor="end"))
        for point, share in enumerate(start.paused):
            if share > 0:
                x, wide = axis.x(at, point), axis.x(at, point + 1) - axis.x(at, point)
                parts.append(
                    tag("rect", x=f"{x:.1f}", y=_TOP, width=f"{max(wide * share, 0.8):.1f}",
                        height=floor - _TOP, class_="wait")
                )  # fmt: skip
        for point in _cuts(start) if with_gate else ():
            cut = f"{axis.x(at, point):.1f}"
            parts.append(tag("line", x1=cut, x2=cut, y1=_TOP, y2=floor, class_="limit"))
    return parts
