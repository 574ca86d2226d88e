from __future__ import annotations

import pytest

from pairmill.events import CallAnswered
from pairmill.records import Usage
from pairmill.service.pilot import Pace, PilotWatch


def flown(answers: list[tuple[float, float]], concurrency: int | None = None) -> Pace | None:
    """The pace of a pilot whose answers came at, and took, so many seconds."""
    times = iter([0.0, *(at for at, _ in answers)])
    watch = PilotWatch(lambda: next(times))
    for _, seconds in answers:
        watch(CallAnswered("m", "answer", Usage(), None, seconds=seconds))
    return watch.pace(concurrency)


def test_too_few_answers_say_nothing() -> None:
    assert flown([(number + 4.0, 4.0) for number in range(4)]) is None


def test_the_start_and_the_last_answers_are_left_out_of_the_likely_pace() -> None:
    slow_start = [(10.0 + number / 2, 4.0) for number in range(40)]  # two a second in the end
    pace = flown([*slow_start[:-1], (60.0, 30.0)])
    assert pace is not None
    assert pace.likely == pytest.approx(2.0)
    assert pace.low == pytest.approx(0.8 * 40 / 54)
    assert pace.high == pytest.approx(8.0)


def test_answers_that_come_all_at_once_prove_no_rate() -> None:
    pace = flown([(4.0, 4.0)] * 50)
    assert pace is not None
    assert pace.likely == pytest.approx(4 * 50 / 4)


def test_with_a_given_number_in_flight_latency_decides() -> None:
    pace = flown([(4.0 * (number // 8 + 1), 4.0) for number in range(20)], concurrency=8)
    assert pace is not None
    assert pace.likely == pytest.approx(2.0)
    assert pace.low < 2.0 < pace.high
