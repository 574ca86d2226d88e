"""Limits on calls in flight that are found out; one that is given: ``test_fixed_limit``."""

from __future__ import annotations

import math

import pytest

from pairmill.llm.limits.concurrency import AimdLimit, Done, GradientLimit


def done(now: float, in_flight: int, *, seconds: float = 1.0, is_clean: bool = True) -> Done:
    return Done(now, now - seconds, in_flight, 100, is_clean)


def test_without_a_refusal_each_answer_makes_room_for_one_more() -> None:
    limit = AimdLimit(start=8)
    for place in range(8):
        limit.on_done(done(1.0, 8 + place))
    assert limit.limit == 16


def test_it_doubles_each_half_second_in_which_all_places_are_taken() -> None:
    limit = AimdLimit(start=8)
    assert limit.on_full(0.0) == pytest.approx(0.5)
    assert limit.on_full(0.3) == pytest.approx(0.2)
    assert limit.on_full(0.5) == 0.0
    assert limit.limit == 16
    limit.on_full(1.0)
    assert limit.limit == 32


def test_places_that_nobody_takes_are_no_reason_for_more() -> None:
    limit = AimdLimit(start=10)
    limit.on_done(done(1.0, 7))
    assert limit.limit == 10
    limit.on_done(done(1.0, 8))
    assert limit.limit == 11


def test_a_refusal_ends_the_doubling_and_a_round_without_one_adds_a_quarter() -> None:
    limit = AimdLimit(start=64)
    limit.on_refused(10.0, 32)
    assert limit.limit == 36  # what was in flight, and an eighth
    assert limit.on_full(20.0) == math.inf
    for _ in range(36):
        limit.on_done(done(12.0, 36, seconds=1.0))
    assert limit.limit == 45
    for index in range(45):
        limit.on_done(done(14.0, 45, is_clean=index != 3))
    assert limit.limit == 45


def test_answers_to_calls_from_before_a_refusal_say_nothing() -> None:
    limit = AimdLimit(start=8)
    limit.on_refused(10.0, 8)
    for _ in range(100):
        limit.on_done(done(10.5, 8, seconds=1.0))
    assert limit.limit == 8


def test_a_server_of_ones_own_is_narrowed_by_a_quarter_where_it_refuses() -> None:
    limit = GradientLimit(start=8)
    limit.on_refused(1.0, 40)
    assert limit.limit == 6
    limit.on_refused(2.0, 4)
    assert limit.limit == 3


def test_a_server_that_is_no_slower_is_given_more_and_a_slower_one_less() -> None:
    limit, now = GradientLimit(start=8), 0.0
    for _ in range(24):
        now += 1.0
        limit.on_done(done(now, limit.limit, seconds=1.0))
    assert limit.limit > 16
    wide = limit.limit
    for _ in range(200):
        now += 1.0
        limit.on_done(done(now, limit.limit, seconds=4.0))
    assert limit.limit < wide / 2


def test_places_that_nobody_takes_do_not_raise_the_limit_of_a_server() -> None:
    limit = GradientLimit(start=8)
    for now in range(1, 60):
        limit.on_done(done(float(now), 1))
    assert limit.limit == 8


def test_four_of_five_places_taken_is_enough_for_more() -> None:
    limit = GradientLimit(start=10)
    for now in range(1, 11):  # a round, which says how fast its tokens are
        limit.on_done(done(float(now), 10))
    wide = limit.limit
    limit.on_done(done(12.0, wide * 4 // 5 - 1))
    assert limit.limit == wide
    limit.on_done(done(13.0, -(-wide * 4 // 5)))
    assert limit.limit == wide + 1


def test_the_waiting_gauge_decides_where_there_is_one() -> None:
    limit = GradientLimit(start=10)
    limit.on_gauge(1.0, 10, running=10.0, waiting=0.0)
    assert limit.limit == 15
    limit.on_gauge(2.0, 15, running=15.0, waiting=1.0)  # a few wait, as is the aim
    assert limit.limit == 15
    limit.on_gauge(3.0, 15, running=10.0, waiting=5.0)
    assert limit.limit == 11
    for _ in range(50):
        limit.on_done(done(4.0, 11, seconds=0.1))
    assert limit.limit == 11
