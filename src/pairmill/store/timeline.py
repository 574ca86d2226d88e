"""What a run did over time, and what each stage of it took: kept in the folder for people.

Counted from events and looked at once a second; a start that is killed loses its last seconds. The
bill is the ledger's: whoever shows these sums shows what of the bill they do not explain.
"""

from __future__ import annotations

import math
from contextlib import suppress
from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct

from pairmill.store.side_files import FORMATS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

__all__ = [
    "StageSum",
    "StartPace",
    "Timeline",
    "join_timelines",
    "read_timeline",
    "stage_name",
    "write_timeline",
]

MOST_STARTS = 40
"""Starts that are kept; of earlier ones only what their stages took."""
MOST_POINTS = 240
"""Points of one start."""
_LAST_S = 4e9  # seconds since the epoch: the year 2096
_LEAST_STEP_S = 0.01
_MOST_READ = 10_000
_MOST = 1e12


_COUNTED = ("pairs", "answers", "refused", "failed")
_SUMMED = ("calls", "prompt_tokens", "completion_tokens", "picodollars", "unpriced")
_STAGES = {
    "backtranslate": "write", "answers": "write", "instructions": "write", "verbatim": "write",
    "extractive": "write", "recipe": "write", "closed_book": "second answer", "replace": "refine",
    "repair": "repair", "evolve": "evolve", "judge": "judge", "verify": "verify",
    "style": "style card",
}  # fmt: skip


class StartPace(Struct):
    """One start of a run, in equal steps.

    Attributes:
        at: When it began to ask, seconds since the epoch.
        step_s: Seconds that a point stands for.
        pairs: Pairs written in each step.
        answers: Calls that were answered.
        refused: Calls that were refused for the rate.
        failed: Calls that failed otherwise.
        in_flight: Calls in flight, on average.
        allowed: Calls that might have been in flight, on average.
        paused: Share of the step in which nothing was sent, 0 to 1.
        ended: How it ended, one line; "" while it runs, or after a kill.
    """

    at: float
    step_s: float = 1.0
    pairs: list[int] = []
    answers: list[int] = []
    refused: list[int] = []
    failed: list[int] = []
    in_flight: list[float] = []
    allowed: list[float] = []
    paused: list[float] = []
    ended: str = ""


class StageSum(Struct):
    """What calls of one stage to one model took.

    Attributes:
        stage: Name of the prompt's template, or what the recipe calls it.
        model: As the reply named it.
        picodollars: Their cost, except for calls without a known price.
        unpriced: Calls whose price was not known.
    """

    stage: str
    model: str
    calls: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    picodollars: int = 0
    unpriced: int = 0


class Timeline(Struct):
    """All starts, the first one first, and the sums of all of them by stage and model."""

    format: int = FORMATS[".run/timeline.json"]
    starts: list[StartPace] = []
    stages: list[StageSum] = []


def stage_name(stage: str) -> str:
    """Return a stage's name for people: for a recipe's own step, the step's name."""
    return _STAGES.get(stage, stage) or "others"


def read_timeline(path: Path) -> Timeline:
    """Read a folder's timeline; empty if there is none, or nothing readable."""
    try:
        found = msgspec.json.decode(path.read_bytes(), type=Timeline)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError):
        return Timeline()
    return found if all(map(_is_sound, found.starts)) else Timeline()


def write_timeline(path: Path, timeline: Timeline) -> None:
    """Replace the file, whole or not at all; nothing depends on it, so no refusal is told."""
    timeline.starts = timeline.starts[-MOST_STARTS:]
    new = path.with_name(f"{path.name}.new")
    with suppress(OSError):
        new.write_bytes(msgspec.json.encode(timeline))
        new.replace(path)


def join_timelines(timelines: Iterable[Timeline]) -> Timeline:
    """Join those of the parts of one run, which were worked on at the same time, or one by one.

    Starts that overlap in time become one: what they counted is added up, moment by moment, and so
    is what they had in flight; a moment counts as a pause as far as all of them paused.
    """
    given = list(timelines)
    starts = sorted((one for line in given for one in line.starts if one.pairs), key=_begin)
    groups: list[list[StartPace]] = []
    until = 0.0
    for start in starts:
        if groups and start.at < until:
            groups[-1].append(start)
        else:
            groups.append([start])
        until = max(until, _end(start))
    sums: dict[tuple[str, str], StageSum] = {}
    for one in (one for line in given for one in line.stages):
        found = sums.setdefault((one.stage, one.model), StageSum(one.stage, one.model))
        for name in _SUMMED:
            setattr(found, name, getattr(found, name) + getattr(one, name))
    return Timeline(starts=[_joined(group) for group in groups], stages=list(sums.values()))


def _begin(start: StartPace) -> float:
    return start.at


def _end(start: StartPace) -> float:
    return start.at + len(start.pairs) * start.step_s


def _joined(starts: list[StartPace]) -> StartPace:
    """Join starts that overlap, at the coarsest of their steps or one that fits their length."""
    if len(starts) == 1:
        return starts[0]
    begin, end = starts[0].at, max(map(_end, starts))
    step = max(start.step_s for start in starts)
    while (end - begin) / step > MOST_POINTS:
        step *= 2
    count = max(1, math.ceil((end - begin) / step - 1e-9))
    made = StartPace(begin, step)
    for name in _COUNTED:
        setattr(made, name, _whole(_summed(starts, made, count, name, in_seconds=False)))
    for name in ("in_flight", "allowed"):
        points = _summed(starts, made, count, name, in_seconds=True)
        setattr(made, name, [round(point / step, 2) for point in points])
    alive, paused = (_summed(starts, made, count, name, in_seconds=True) for name in ("", "paused"))
    made.paused = [
        round(pause / life, 3) if life else 0.0 for pause, life in zip(paused, alive, strict=True)
    ]
    ends = dict.fromkeys(start.ended for start in starts)
    made.ended = "; ".join(end for end in ends if end not in {"", "done"}) or next(iter(ends))
    return made


def _summed(
    starts: Sequence[StartPace], onto: StartPace, count: int, name: str, *, in_seconds: bool
) -> list[float]:
    """Add up a series of several starts on the steps of one; "": how long each of them ran."""
    found = [0.0] * count
    for start in starts:
        points = getattr(start, name) if name else [1.0] * len(start.pairs)
        weight = start.step_s if in_seconds else 1.0
        for at, share, value in _spread(start, onto.at, onto.step_s, points):
            found[at] += value * share * weight
    return found


def _spread(
    start: StartPace, begin: float, step: float, points: Sequence[float]
) -> Iterator[tuple[int, float, float]]:
    """Yield each point's value with the steps that it falls into, and its share in each."""
    for number, value in enumerate(points):
        left = (start.at - begin) / step + number * start.step_s / step
        right = left + start.step_s / step
        at = int(left)
        while at < right - 1e-9:
            share = (min(right, at + 1) - max(left, at)) / (right - left)
            yield at, share, value
            at += 1


def _whole(points: Sequence[float]) -> list[int]:
    """Round so that the sum stays what it is: what one is short of, the next has more."""
    found, total, told = [], 0.0, 0
    for point in points:
        total += point
        found.append(round(total) - told)
        told = round(total)
    return found


def _is_sound(start: StartPace) -> bool:
    """Return whether all series have the same number of points, each with a possible value.

    The folder may come from anyone.
    """
    series = (start.pairs, start.answers, start.refused, start.failed, start.in_flight,
              start.allowed, start.paused)  # fmt: skip
    return (
        0 <= start.at < _LAST_S
        and _LEAST_STEP_S <= start.step_s < _LAST_S
        and len({len(points) for points in series}) == 1
        and len(start.pairs) <= _MOST_READ
        and all(0 <= value <= _MOST for points in series for value in points)
    )
