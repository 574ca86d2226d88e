from __future__ import annotations

import pytest

from pairmill.llm.limits.rate_test import LONG_PATIENCE_S, RateTest


def under_test(rate: float) -> RateTest:
    test = RateTest()
    test.begin(100.0, rate, 400, 420)
    return test


def test_a_rate_that_was_objected_to_is_gone_back_to() -> None:
    test = under_test(5.0)
    assert test.end(103.0, 430, is_free=False) == 5.0
    assert test.rate is None
    assert test.end(104.0, 431, is_free=False) is None  # another cluster: no test


def test_what_a_bucket_had_saved_up_is_not_taken_for_its_quota() -> None:
    """300 calls in ten seconds: a minute's at 5 a second, and what flowed in meanwhile."""
    test = under_test(5.0)
    test.release(106.0)
    assert test.end(110.0, 400 + 340, is_free=True) == 5.0


def test_more_than_any_bucket_holds_shows_that_the_rate_was_wrong() -> None:
    test = under_test(0.3)
    test.release(106.0)
    assert test.end(110.0, 400 + 340, is_free=True) is None


def test_what_was_tested_long_ago_is_no_measure() -> None:
    test = under_test(5.0)
    test.release(106.0)
    assert test.end(106.0 + LONG_PATIENCE_S, 400 + 340, is_free=True) is None


@pytest.mark.parametrize(("usual", "is_over"), [(0.0, True), (0.5, False)])
def test_half_of_the_calls_refused_end_a_test_unless_chance_refuses_as_many(
    usual: float, is_over: bool
) -> None:
    test = under_test(5.0)
    assert any(test.on_refused(index, usual) for index in range(421, 461, 2)) is is_over


def test_refusals_of_calls_before_it_are_none_of_a_test() -> None:
    test = under_test(5.0)
    assert not any(test.on_refused(index, 0.0) for index in range(380, 420))


def test_the_next_test_comes_later_after_each_that_failed() -> None:
    test, waits = RateTest(), list[float]()
    for _ in range(3):
        test.hold(0.0, 0, is_long=False)
        waits.append(next(at for at in range(10_000) if test.is_due(float(at), 10**6)))
        test.on_failed(is_long=False)
    assert waits == [2, 8, 32]


def test_a_pool_that_is_too_slow_for_its_calls_is_tested_too() -> None:
    test = RateTest()
    test.hold(0.0, 0, is_long=False)
    assert not test.is_due(50.0, 10)
    assert test.is_due(62.0, 10)
    test.hold_until(90.0)
    assert not test.is_due(80.0, 10**6)
    test.hurry(80.0)
    assert test.is_due(80.0, 10)


def next_due(test: RateTest) -> int:
    test.hold(0.0, 0, is_long=False)
    return next(at for at in range(10_000) if test.is_due(float(at), 10**6))


def test_failed_tests_are_forgotten_once_the_noise_beside_them_has_ended() -> None:
    test = RateTest()
    for _ in range(2):
        test.on_failed(is_long=False)
    test.forgive(5.0, 7.9)
    assert next_due(test) == 32
    test.forgive(5.0, 8.0)
    assert test.is_due(5.0, 0)
    assert next_due(test) == 2


def test_it_takes_more_to_forget_once_that_was_a_mistake() -> None:
    test = RateTest()
    for needed in (8.0, 32.0, 128.0):
        test.on_failed(is_long=False)
        test.on_failed(is_long=False)
        test.forgive(5.0, 0.9 * needed)
        assert next_due(test) > 2
        test.forgive(5.0, needed)
        assert next_due(test) == 2
