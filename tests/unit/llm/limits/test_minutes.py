from __future__ import annotations

import pytest

from pairmill.llm.limits.minutes import MinuteWatch
from pairmill.llm.limits.windows import TakenLog


def log_of(*spans: tuple[float, float, float]) -> TakenLog:
    """Calls that were taken: from, until, a second."""
    log, taken, end = TakenLog(), 0.0, 0.0
    for since, until, per_s in spans:
        for half in range(int(since * 2), int(until * 2)):
            taken += per_s / 2
            log.add((half + 1) / 2, round(taken))
        end = until
    assert end
    return log


def test_a_long_silence_tells_of_minutes_and_twenty_short_ones_against_them() -> None:
    watch = MinuteWatch(log_of((0, 60, 5)))
    assert bool(watch.is_long) is False
    watch.begin_exhaustion(20.0, None)
    assert watch.end_exhaustion(60.0, 40.0, is_cluster=True)
    assert watch.is_long
    for second in range(61, 80):
        watch.begin_exhaustion(second, None)
        watch.end_exhaustion(second + 0.5, 0.5, is_cluster=False)  # one refusal tells nothing
    assert watch.is_long
    for second in range(80, 100):
        watch.begin_exhaustion(second, None)
        watch.end_exhaustion(second + 0.5, 0.5, is_cluster=True)
    assert not watch.is_long


def test_a_silence_that_was_asked_for_as_a_short_one_is_no_minute() -> None:
    watch = MinuteWatch(log_of((0, 60, 5)))
    watch.begin_exhaustion(20.0, 0.5)
    assert not watch.end_exhaustion(30.0, 10.0, is_cluster=True)


def test_long_silences_that_come_too_soon_are_waves() -> None:
    watch = MinuteWatch(log_of((0, 100, 5)))
    ends = []
    for second in (10, 35, 60, 85):
        watch.begin_exhaustion(second, None)
        ends.append(watch.end_exhaustion(second + 5.0, 5.0, is_cluster=True))
    assert ends == [True, True, None, False]
    assert not watch.is_long


@pytest.mark.parametrize("last_refused_s", [40.0, 58.0])
def test_a_minute_is_measured_where_it_was_full(last_refused_s: float) -> None:
    """A burst at its start, whose edge a guess of its end would cut off."""
    watch = MinuteWatch(log_of((0, 3, 100), (3, 60, 0), (60, 62, 20)))
    watch.begin_exhaustion(3.0, None)
    watch.still_full(last_refused_s, None)
    assert watch.measure(62.0, 3.0) == pytest.approx(5.0)
    assert watch.allowed == pytest.approx(5.0)


def test_the_end_that_the_server_named_counts() -> None:
    watch = MinuteWatch(log_of((0, 60, 4), (60, 63, 100), (63, 120, 0), (120, 122, 4)))
    watch.begin_exhaustion(63.0, 57.0)
    assert watch.measure(122.0, 63.0) == pytest.approx(5.0)  # what went from 60 to 120


def test_a_pool_whose_refusals_come_while_its_minute_is_empty_knows_no_minutes() -> None:
    log = log_of((0, 60, 10))
    watch = MinuteWatch(log)
    assert not watch.on_sample(60.0, 10, 0.5, 0, 10.0)
    is_none = False
    for refused in range(1, 60):
        log.add(60.0 + refused / 2, 600 + refused)
        watch.on_single(60.0 + refused / 2, 10.0)
        is_none = is_none or watch.on_sample(60.0 + refused / 2, 5, 0.5, refused, 10.0)
    assert is_none
    assert watch.noise > 0.1
