"""Timelines of the parts of one run, joined to that of the whole."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest

from pairmill.store.timeline import (
    MOST_POINTS,
    StageSum,
    StartPace,
    Timeline,
    join_timelines,
    read_timeline,
    write_timeline,
)

if TYPE_CHECKING:
    from pathlib import Path


def pace(at: float, pairs: list[int], step_s: float = 1.0, **given: object) -> StartPace:
    count = len(pairs)
    made = StartPace(
        at, step_s, pairs, [2 * n for n in pairs], [0] * count, [0] * count,
        [4.0] * count, [8.0] * count, [0.0] * count, "done",
    )  # fmt: skip
    for name, value in given.items():
        setattr(made, name, value)
    return made


def joined(*starts: StartPace) -> list[StartPace]:
    return join_timelines([Timeline(starts=[start]) for start in starts]).starts


def test_parts_that_ran_at_the_same_time_are_one_start() -> None:
    (start,) = joined(pace(100.0, [1, 2, 3]), pace(101.0, [10, 20, 30]))
    assert (start.at, start.step_s) == (100.0, 1.0)
    assert start.pairs == [1, 12, 23, 30]
    assert start.answers == [2, 24, 46, 60]
    assert start.in_flight == [4.0, 8.0, 8.0, 4.0]
    assert start.allowed == [8.0, 16.0, 16.0, 8.0]
    assert start.ended == "done"


def test_parts_that_ran_one_after_the_other_stay_apart_in_their_order() -> None:
    found = joined(pace(200.0, [5]), pace(100.0, [1, 2]), pace(102.0, [7]))
    assert [(start.at, start.pairs) for start in found] == [
        (100.0, [1, 2]), (102.0, [7]), (200.0, [5]),
    ]  # fmt: skip


def test_other_steps_and_moments_lose_no_pair() -> None:
    fine = pace(100.3, [3] * 7, 1.0, paused=[1.0] * 7)
    coarse = pace(100.0, [11, 13], 4.0)
    (start,) = joined(fine, coarse)
    assert start.step_s == 4.0
    assert sum(start.pairs) == 21 + 24
    assert start.paused[0] == pytest.approx(3.7 / 7.7, abs=0.01)
    assert start.in_flight[0] == pytest.approx(4 + 4 * 3.7 / 4, abs=0.01)


def test_sums_hold_and_points_stay_few_whatever_the_parts() -> None:
    rng = random.Random(3)
    starts = [
        pace(
            1000 + rng.random() * 400,
            [rng.randrange(9) for _ in range(rng.randrange(1, 240))],
            2.0 ** rng.randrange(4),
        )
        for _ in range(30)
    ]
    found = joined(*starts)
    assert sum(sum(one.pairs) for one in found) == sum(sum(one.pairs) for one in starts)
    assert all(len(one.pairs) <= MOST_POINTS for one in found)
    assert all(min(one.pairs) >= 0 for one in found)
    assert all(0 <= share <= 1 for one in found for share in one.paused)


def test_how_any_part_ended_is_told_and_what_stages_took_is_added_up() -> None:
    one = Timeline(starts=[pace(1.0, [1])], stages=[StageSum("judge", "m", 2, 30, 4, 50, 1)])
    other = Timeline(
        starts=[pace(1.0, [1], ended="stopped by SIGTERM")],
        stages=[StageSum("judge", "m", 1, 10, 1, 5), StageSum("write", "m", 9)],
    )
    found = join_timelines([one, other, Timeline()])
    assert [start.ended for start in found.starts] == ["stopped by SIGTERM"]
    assert found.stages == [StageSum("judge", "m", 3, 40, 5, 55, 1), StageSum("write", "m", 9)]
    assert (one.stages[0].calls, one.starts[0].pairs) == (2, [1])  # theirs stay as they are


def test_what_is_joined_can_be_read_again(tmp_path: Path) -> None:
    path = tmp_path / "timeline.json"
    line = join_timelines([Timeline(starts=[pace(1.0, [1, 2]), pace(1.5, [3], 2.0)])])
    write_timeline(path, line)
    assert read_timeline(path) == line
