from __future__ import annotations

from pairmill.llm.limits.quota import Charge, ChargeWatch


def belief(watch: ChargeWatch) -> Charge:
    return watch.charge


def looks(watch: ChargeWatch, since: int, until: int, left: float, *, counted: float = 1.0) -> None:
    for now in range(since, until):
        watch.on_remaining(now, left, counted=counted, held=0.05, is_in_use=True)


def test_what_is_used_is_believed_at_first() -> None:
    watch = ChargeWatch(None, 0.0)
    looks(watch, 0, 600, 0.5)
    assert belief(watch) is Charge.ACTUAL


def test_what_was_given_is_never_doubted() -> None:
    watch = ChargeWatch(Charge.RECONCILED, 0.0)
    assert not watch.on_refused(100, is_much=True)
    looks(watch, 100, 900, 0.9)
    assert belief(watch) is Charge.RECONCILED


def test_the_first_minute_proves_nothing_others_may_have_used_the_quota() -> None:
    watch = ChargeWatch(None, 0.0)
    assert not watch.on_refused(59, is_much=True)
    looks(watch, 0, 59, 0.0, counted=0.4)
    assert belief(watch) is Charge.ACTUAL


def test_a_refusal_that_calls_under_way_explain_is_put_down_to_them() -> None:
    watch = ChargeWatch(None, 0.0)
    assert watch.on_refused(61, is_much=False)
    assert belief(watch) is Charge.RECONCILED
    assert not watch.on_refused(200, is_much=False)  # nothing new


def test_nothing_left_where_we_used_little_means_that_nothing_is_given_back() -> None:
    watch = ChargeWatch(None, 0.0)
    looks(watch, 61, 62, 0.0, counted=0.6)
    assert belief(watch) is Charge.RESERVED


def test_nothing_left_is_right_where_we_used_it_all() -> None:
    watch = ChargeWatch(None, 0.0)
    looks(watch, 61, 300, 0.001, counted=0.98)
    assert belief(watch) is Charge.ACTUAL


def test_a_minute_of_full_use_with_much_left_makes_it_milder_step_by_step() -> None:
    watch = ChargeWatch(None, 0.0)
    watch.on_refused(61, is_much=True)
    looks(watch, 61, 130, 0.45)
    assert belief(watch) is Charge.RESERVED
    looks(watch, 130, 140, 0.45)
    assert belief(watch) is Charge.RECONCILED
    looks(watch, 140, 300, 0.07)
    assert belief(watch) is Charge.ACTUAL


def test_each_time_that_it_was_wrong_it_waits_twice_as_long() -> None:
    watch = ChargeWatch(None, 0.0)
    watch.on_refused(61, is_much=True)
    looks(watch, 61, 140, 0.45)
    watch.on_refused(210, is_much=True)
    looks(watch, 210, 340, 0.45)
    assert belief(watch) is Charge.RESERVED
    looks(watch, 340, 370, 0.45)
    assert belief(watch) is Charge.RECONCILED


def test_much_left_says_nothing_while_nobody_asks_for_it() -> None:
    watch = ChargeWatch(None, 0.0)
    watch.on_refused(61, is_much=True)
    for now in range(61, 400):
        watch.on_remaining(now, 0.9, counted=0.1, held=0.0, is_in_use=now % 60 > 0)
    assert belief(watch) is Charge.RESERVED
