"""What a run did over time, and what each stage of it took: kept in the folder for people.

Counted from events and looked at once a second; a start that is killed loses its last seconds. The
bill is the ledger's: whoever shows these sums shows what of the bill they do not explain.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["StageSum", "StartPace", "Timeline", "read_timeline", "stage_name", "write_timeline"]

MOST_STARTS = 40
"""Starts that are kept; of earlier ones only what their stages took."""
MOST_POINTS = 240
"""Points of one start."""
_FORMAT = 1
_LAST_S = 4e9  # seconds since the epoch: the year 2096
_LEAST_STEP_S = 0.01
_MOST_READ = 10_000
_MOST = 1e12


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

    format: int = _FORMAT
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
    return found if found.format <= _FORMAT and all(map(_is_sound, found.starts)) else Timeline()


def write_timeline(path: Path, timeline: Timeline) -> None:
    """Replace the file, whole or not at all; nothing depends on it, so no refusal is told."""
    timeline.starts = timeline.starts[-MOST_STARTS:]
    new = path.with_name(f"{path.name}.new")
    with suppress(OSError):
        new.write_bytes(msgspec.json.encode(timeline))
        new.replace(path)


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
