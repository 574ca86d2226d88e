from __future__ import annotations

import random

import pytest

from pairmill.errors import Kind
from pairmill.llm.limits.breaker import EndpointBreaker, FitBreaker, State, Watchdog


def opened(**settings: float) -> EndpointBreaker:
    breaker = EndpointBreaker(**settings)  # type: ignore[arg-type]
    for _ in range(5):
        breaker.record(Kind.OVERLOAD, 0.0)
    return breaker


def test_five_in_a_row_open_it() -> None:
    breaker = EndpointBreaker()
    for _ in range(4):
        breaker.record(Kind.OVERLOAD, 0.0)
        assert breaker.state(0.0) is State.CLOSED
    breaker.record(Kind.OVERLOAD, 0.0)
    assert breaker.state(0.0) is State.OPEN
    assert breaker.until == 1.0


@pytest.mark.parametrize("share", [0.05, 0.2, 1 / 3])
def test_single_ones_do_not_however_many(share: float) -> None:
    """As with one sick replica of three behind a balancer."""
    breaker, dice, opened_at = EndpointBreaker(), random.Random(1), 0
    for number in range(5_000):
        breaker.record(Kind.OVERLOAD if dice.random() < share else None, number / 100)
        opened_at += not breaker.is_closed
        breaker.record(None, number / 100)
    assert opened_at <= 5


def test_failures_of_other_kinds_prove_that_it_is_there() -> None:
    breaker = EndpointBreaker()
    for kind in (Kind.RATE, Kind.AUTH, Kind.CHUNK, Kind.BADOUT, Kind.TIMEOUT) * 20:
        breaker.record(kind, 0.0)
    assert breaker.is_closed


def test_probes_wait_for_a_quarter_of_the_time_that_it_has_been_down_and_give_up() -> None:
    breaker = opened(max_wait_s=1800)
    now, waits = 0.0, []
    while not breaker.gave_up:
        waits.append(breaker.until - now)
        now = breaker.until
        assert breaker.state(now) is State.HALF_OPEN
        breaker.record(Kind.OVERLOAD, now, is_probe=True)
    assert waits[:6] == [1, 1, 1, 1, 1, 1.25]
    assert max(waits) == 300
    assert now == 1800


def test_an_answer_closes_it_and_forgets() -> None:
    breaker = opened()
    breaker.record(None, 6.0, is_probe=True)
    assert breaker.state(6.0) is State.CLOSED
    for _ in range(4):
        breaker.record(Kind.OVERLOAD, 7.0)
    assert breaker.is_closed
    breaker.record(Kind.OVERLOAD, 8.0)
    assert breaker.until == 9.0  # and the wait begins anew


def test_stragglers_do_not_make_it_wait_longer_but_their_success_closes_it() -> None:
    breaker = opened()
    for _ in range(20):
        breaker.record(Kind.OVERLOAD, 1.0)
    assert breaker.until == 1.0
    breaker.record(None, 2.0)
    assert breaker.is_closed


def test_a_probe_that_hangs_is_no_sign_of_life() -> None:
    breaker = opened()
    breaker.record(Kind.TIMEOUT, 10.0, is_probe=True)
    assert breaker.state(10.0) is State.OPEN
    assert breaker.until == 12.0


def test_more_than_half_of_the_first_twenty_stop_the_run() -> None:
    breaker = FitBreaker()
    for number in range(19):
        assert breaker.record(usable=number >= 11) is None
    reason = breaker.record(usable=True)
    assert reason is not None
    assert reason.startswith("11 of the last 20 answers were unusable: the prompt and the model")


def test_half_is_not_more_than_half() -> None:
    breaker = FitBreaker()
    for number in range(400):
        assert breaker.record(usable=number % 2 == 0) is None


def test_a_model_that_breaks_later_is_found_within_two_hundred() -> None:
    breaker = FitBreaker()
    for _ in range(1000):
        assert breaker.record(usable=True) is None
    needed = next(n for n in range(1, 300) if breaker.record(usable=False))
    assert needed == 101
    assert breaker.record(usable=True) is not None  # it stays


def test_a_watchdog_barks_after_its_time_and_says_why() -> None:
    dog = Watchdog(quiet_s=900, now=0)
    assert dog.check(899) == (False, "")
    dog.progressed(600)
    assert dog.check(1499) == (False, "")
    assert dog.check(1500, cause="waiting for the disk") == (
        True,
        "nothing was finished for 15 minutes: waiting for the disk",
    )


def test_a_pause_that_was_asked_for_is_named_and_does_not_bark() -> None:
    dog = Watchdog(quiet_s=900, now=0)
    stop, text = dog.check(1200, cause="the server asked to wait", paused_until=1500)
    assert not stop
    assert text == (
        "nothing was finished for 20 minutes: the server asked to wait; going on in 300 s"
    )


def test_silence_opens_it_only_where_nobody_is_answered() -> None:
    breaker = EndpointBreaker()
    for number in range(100):
        breaker.record(Kind.TIMEOUT if number % 12 else None, 0.0)
    assert breaker.is_closed
    for _ in range(12):
        breaker.record(Kind.TIMEOUT, 1.0)
    assert breaker.state(1.0) is State.OPEN
    assert breaker.until == 2.0


def test_three_probes_that_may_be_billed_are_enough() -> None:
    breaker = EndpointBreaker()
    now = 0.0
    for _ in range(12):
        breaker.record(Kind.TIMEOUT, now)
    for kind in (Kind.TIMEOUT, Kind.LOST, Kind.TIMEOUT):
        assert not breaker.gave_up
        now = breaker.until
        breaker.record(kind, now, is_probe=True)
    assert breaker.gave_up
    assert breaker.last_words("a").startswith("a: no answer in time, 14 calls in a row: raise")


def test_a_start_near_the_end_is_judged_by_the_whole_run() -> None:
    breaker = FitBreaker(good=700, bad=30)
    for number in range(40):  # what is left is what needs repair
        assert breaker.record(usable=number % 5 == 0) is None
    needed = next(n for n in range(1, 300) if breaker.record(usable=False))
    assert needed < 101  # and a model that broke since is found all the same


def test_a_start_after_one_that_did_not_fit_is_no_new_beginning() -> None:
    breaker = FitBreaker(good=0, bad=12)
    reasons = [breaker.record(usable=False) for _ in range(8)]
    assert reasons[-1] is not None
    assert not any(reasons[:-1])
