from __future__ import annotations

import pytest

from pairmill.llm.limits.pauses import (
    AskedWait,
    CapacityWatch,
    PoolPause,
)


def test_calls_double_each_time_that_the_last_ones_could_have_been_refused() -> None:
    pause = PoolPause(0.5, 60.0)
    pause.on_refused(0.1)
    pause.begin(10.0, 5.0, sent=100, base=1)
    assert pause.until == 15.0
    assert [pause.room(15.0 + s, 100, 64) for s in (0.0, 0.19, 0.21, 0.41, 0.61)] == [1, 1, 2, 4, 8]
    assert pause.wait_s(15.1, 101, 64) == pytest.approx(0.1)
    assert pause.room(17.0, 100, 64) == 64
    assert not pause.is_ramping


def test_a_wait_is_only_ever_made_longer() -> None:
    pause = PoolPause(0.5, 60.0)
    pause.begin(10.0, 5.0, sent=0, base=4)
    pause.extend(12.0)
    assert pause.until == 15.0
    pause.begin(11.0, 1.0, sent=0, base=4)
    assert pause.until == 15.0


def test_a_fast_pool_asks_more_often() -> None:
    pause = PoolPause(0.5, 60.0)
    pause.blocked = 10
    assert [pause.backoff_s(pace) for pace in (None, 5.0, 100.0)] == [60.0, 5.0, 0.5]


def refuse(watch: CapacityWatch, indices: range, retry_after_s: float | None = None) -> list[float]:
    """Waits that refusals of these calls, with 100 others taken before, lead to."""
    found = [watch.on_refused(index, 100, 0.0, 10.0, retry_after_s) for index in indices]
    return [wait for wait in found if wait is not None]


def test_single_refusals_hold_nobody_up() -> None:
    watch = CapacityWatch()
    assert [watch.on_refused(index, index, 0.0, 10.0, None) for index in range(0, 900, 9)] == (
        [None] * 100
    )


def test_a_cluster_does_and_each_further_refusal_for_twice_as_long() -> None:
    watch, waits = CapacityWatch(), list[float]()
    for index in range(100, 130):  # what went before a pause tells nothing new: `RateControl`
        wait_s = watch.on_refused(index, 100, 0.0, 10.0, None)
        waits += [] if wait_s is None else [wait_s]
    assert waits[:4] == [0.25, 0.5, 1.0, 2.0]
    assert max(waits) == 2.5  # 25 calls of this pool


def test_the_server_is_asked_again_when_it_says() -> None:
    assert refuse(CapacityWatch(), range(100, 110), 7.0)[0] == 7.0


def test_one_sick_replica_of_three_holds_nobody_up() -> None:
    watch, taken, held = CapacityWatch(), 0, 0
    for index in range(3_000):
        if index % 3:
            taken += 1
        else:
            held += watch.on_refused(index, taken, 0.0, 30.0, None) is not None
    assert held == 0


@pytest.mark.parametrize("rate", [0.1, 1_000.0])
def test_a_wait_is_bounded_whatever_the_rate(rate: float) -> None:
    watch = CapacityWatch()
    waits = [watch.on_refused(100 + index, 100, 0.0, rate, None) for index in range(200)]
    assert max(wait for wait in waits if wait is not None) <= 25.0


def asked(wait: AskedWait, now: float, rate: float) -> list[float]:
    """When calls ask while a server refuses all for 30 s, as it says; until they are taken."""
    times, end = list[float](), now + 30.0
    while now < end:
        now += wait.pause_s(now, end - now, rate, len(times))
        times.append(now - end + 30.0)
    wait.on_flow(now)
    return times


def test_a_wait_that_costs_little_is_waited() -> None:
    assert asked(AskedWait(), 0.0, 10.0) == [30.0]


def test_one_that_costs_much_is_waited_once_the_server_was_right() -> None:
    wait = AskedWait()
    assert asked(wait, 0.0, 60.0) == [1.0, 3.0, 7.0, 15.0, 23.0, 30.0]
    assert asked(wait, 90.0, 60.0) == [30.0]


def test_a_server_that_refuses_again_at_once_was_not_right() -> None:
    wait = AskedWait()
    asked(wait, 0.0, 60.0)
    assert len(asked(wait, 32.0, 60.0)) > 1


def test_a_server_that_takes_calls_sooner_than_it_said_is_not_believed() -> None:
    wait = AskedWait()
    assert wait.pause_s(0.0, 30.0, 60.0, 0) == 1.0
    assert wait.is_doubted(1.0)
    wait.on_flow(1.0)
    assert not wait.is_doubted(1.0)
    assert wait.pause_s(60.0, 30.0, 60.0, 0) == 1.0
