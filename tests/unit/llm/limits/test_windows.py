from __future__ import annotations

import pytest

from pairmill.llm.limits.windows import (
    Bucket,
    MinuteLog,
    SecondLog,
    TakenLog,
)


def test_a_refund_fills_a_bucket_and_no_more() -> None:
    bucket = Bucket(1.0, 10.0, level=4.0, now=0.0)
    bucket.give(3.0, 1.0)
    assert bucket.level == 8.0
    bucket.give(3.0, 1.0)
    assert bucket.level == 10.0


def test_a_later_charge_is_not_paid_by_the_time_for_which_the_bucket_was_full() -> None:
    bucket = Bucket(1.0, 10.0, level=10.0, now=0.0)
    bucket.give(-5.0, 8.0)
    assert bucket.wait_s(10.0, 8.0) == 5.0


def sent(log: SecondLog, until: float, late: float = 0.0) -> list[float]:
    """When calls go that are always wanted, each so much later than it may."""
    times: list[float] = []
    now = 0.0
    while now < until:
        wait_s = log.wait_s(now)
        if wait_s > 0:
            now += wait_s + late
            log.on_lag(late)
            continue
        log.add(now)
        times.append(now)
    return times


def most_in_a_second(times: list[float]) -> int:
    return max(sum(at <= other < at + 1.0 for other in times) for at in times)


def test_no_second_holds_more_than_falls_on_it() -> None:
    times = sent(SecondLog(5.0), 60)
    assert most_in_a_second(times) == 5
    assert 5 * 60 * 0.98 <= len(times) <= 5 * 60


@pytest.mark.parametrize("late", [0.001, 0.005])
def test_late_timers_cost_their_delay_and_no_more(late: float) -> None:
    times = sent(SecondLog(5.0), 600, late)
    assert most_in_a_second(times) == 5
    assert len(times) >= 5 * 600 / (1 + 0.014 + late) - 5


@pytest.mark.parametrize("per_s", [0.3, 1.0, 7.5, 100.0])
def test_no_minute_holds_more_than_its_quota(per_s: float) -> None:
    times = sent(SecondLog(per_s), 200)
    worst = max(sum(at <= other < at + 60.0 for other in times) for at in times[:50])
    assert worst <= per_s * 60 + 1e-6 + (per_s != round(per_s))


def test_the_way_to_the_server_may_be_longer_for_one_call_than_for_another() -> None:
    log = SecondLog(5.0)
    times = sent(log, 60)
    assert all(b - a >= 1.0 + log.margin_s - 1e-9 for a, b in zip(times, times[5:], strict=False))
    assert log.margin_s >= 0.012


def test_a_refusal_widens_the_margin_up_to_a_tenth() -> None:
    log = SecondLog(5.0)
    before = log.margin_s
    log.on_refused()
    assert before < log.margin_s < 0.03
    for _ in range(20):
        log.on_refused()
    assert log.margin_s == pytest.approx(0.1)


def test_a_call_that_was_not_sent_leaves_room() -> None:
    log = SecondLog(1.0)
    log.add(0.0)
    log.remove(0.0)
    log.remove(7.0)  # long forgotten
    assert log.wait_s(0.1) == 0.0


def test_a_minute_is_forgotten_after_a_minute() -> None:
    log = MinuteLog()
    log.add(100, 0.1)
    log.add(50, 30.0)
    log.trim(60.0)
    assert log.total == 150  # the first is not quite a minute old
    assert 0 < log.wait_s(60.0) <= 0.5
    log.trim(60.4)
    assert log.total == 50
    log.trim(200.0)
    assert log.total == 0


def test_what_was_noted_can_be_corrected_while_it_counts() -> None:
    log = MinuteLog()
    log.add(1000, 1.0)
    log.correct(-700, 1.0)
    assert log.total == 300
    log.trim(100.0)
    log.correct(-300, 1.0)
    assert log.total == 0


def test_a_call_that_is_refused_later_was_never_accepted() -> None:
    log = TakenLog()
    for second in range(5):
        log.add(float(second), 10 * second)
    log.add(5.0, 25)  # of 40, fifteen were refused since
    assert log.minute(5.0) == log.minute(4.5) == log.minute(3.5) == 25
    assert log.minute(2.5) == 20
    assert log.rate(5.0, 2.0) == pytest.approx(0.5)  # none, which counts as one
    assert log.rate(5.0, 4.0) == pytest.approx(15 / 4)


def test_it_is_known_in_which_time_the_last_calls_were_accepted() -> None:
    log = TakenLog()
    assert log.span_s(9.0, 5, 0.5, 60.0) == 0.5
    for second in range(10):
        log.add(float(second), 10 * second)
    assert log.span_s(9.0, 20, 0.5, 60.0) == 2.0
    assert log.span_s(9.0, 20, 3.0, 60.0) == 3.0
    assert log.span_s(9.0, 1000, 0.5, 60.0) == 60.0
