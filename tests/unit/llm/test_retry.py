from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pairmill.errors import Kind, ProviderError
from pairmill.llm.retry import AT_PROBE, IN_RUN, GiveUp, History, RetryPolicy, Wait

POLICY = RetryPolicy(base_s=1.0, cap_s=8.0, max_wait_s=100.0)
PATIENT = [Kind.RATE, Kind.OVERLOAD]
FINAL = [Kind.QUOTA, Kind.AUTH, Kind.CONFIG, Kind.CHUNK, Kind.REFUSED]


class Highest:
    """Draws the upper bound."""

    def uniform(self, a: float, b: float, /) -> float:
        assert a == 0.0
        return b


BILLED = [Kind.TIMEOUT, Kind.LOST]


def failed(kind: Kind, *, after_s: float | None = None, code: str | None = None) -> ProviderError:
    return ProviderError(kind, "x", retry_after_s=after_s, code=code, maybe_paid=kind in BILLED)


@pytest.mark.parametrize("kind", FINAL)
def test_what_waiting_cannot_mend_is_given_up_at_once(kind: Kind) -> None:
    assert isinstance(POLICY.decide(failed(kind, after_s=1.0), History(), Highest()), GiveUp)


@pytest.mark.parametrize("kind", PATIENT)
def test_the_bound_of_the_wait_doubles_up_to_a_cap(kind: Kind) -> None:
    waits = [POLICY.decide(failed(kind), History(failures=n), Highest()) for n in range(6)]
    assert waits == [Wait(1.0), Wait(2.0), Wait(4.0), Wait(8.0), Wait(8.0), Wait(8.0)]
    assert POLICY.decide(failed(kind), History(failures=10**6), Highest()) == Wait(8.0)


def test_a_wait_that_the_server_asked_for_is_never_cut_short() -> None:
    assert POLICY.decide(failed(Kind.RATE, after_s=10.0), History(), Highest()) == Wait(11.0)
    busy = failed(Kind.OVERLOAD, after_s=20.0)
    assert POLICY.decide(busy, History(failures=9), Highest()) == Wait(22.0)


def test_while_others_are_answered_it_waits_for_seconds_and_not_for_a_minute() -> None:
    error, late = failed(Kind.OVERLOAD), History(failures=20)
    assert RetryPolicy().decide(error, late, Highest(), alone=True) == Wait(5.0)
    assert RetryPolicy().decide(error, late, Highest()) == Wait(60.0)


def test_calls_that_failed_together_do_not_come_back_together() -> None:
    rng = random.Random(1)
    waits = {POLICY.decide(failed(Kind.RATE), History(failures=3), rng) for _ in range(100)}
    seconds = [wait.seconds for wait in waits if isinstance(wait, Wait)]
    assert len(seconds) == 100
    assert min(seconds) < 1.0
    assert max(seconds) > 7.0


@pytest.mark.parametrize("kind", PATIENT)
def test_a_wait_that_was_asked_for_is_never_cut_short(kind: Kind) -> None:
    rng = random.Random(2)
    for _ in range(100):
        decision = POLICY.decide(failed(kind, after_s=20.0), History(failures=9), rng)
        assert isinstance(decision, Wait)
        assert 20.0 <= decision.seconds <= 22.0


def test_patience_ends_with_the_time_waited_not_with_a_number_of_tries() -> None:
    error = failed(Kind.OVERLOAD)
    assert isinstance(POLICY.decide(error, History(10**6, waited_s=91.0), Highest()), Wait)
    assert isinstance(POLICY.decide(error, History(20, waited_s=93.0), Highest()), GiveUp)
    long = failed(Kind.RATE, after_s=500.0)
    assert isinstance(POLICY.decide(long, History(waited_s=100.0), Highest()), Wait)
    assert isinstance(POLICY.decide(long, History(asked_s=1400.0), Highest()), GiveUp)


@pytest.mark.parametrize("kind", BILLED)
def test_a_request_that_may_be_billed_is_sent_at_most_twice(kind: Kind) -> None:
    error, busy = failed(kind), failed(Kind.OVERLOAD)
    history = History()
    assert isinstance(POLICY.decide(error, history, Highest()), Wait)
    history = history.after(error).after(busy).after(failed(Kind.RATE))
    assert isinstance(POLICY.decide(busy, history, Highest()), Wait)
    for other in map(failed, BILLED):
        assert isinstance(POLICY.decide(other, history, Highest()), GiveUp)


@pytest.mark.parametrize("kind", BILLED)
def test_in_a_run_the_second_send_waits_until_others_are_answered(kind: Kind) -> None:
    error = failed(kind)
    for alone in (False, True):
        assert isinstance(IN_RUN.decide(error, History(), Highest(), alone=alone), GiveUp)
    busy = failed(Kind.OVERLOAD)
    assert isinstance(IN_RUN.decide(busy, History(billed=1), Highest()), Wait)


def test_what_the_server_counted_tokens_for_is_billed() -> None:
    error = ProviderError(Kind.OVERLOAD, "x", completion_tokens=7)
    assert isinstance(POLICY.decide(error, History(billed=1), Highest()), GiveUp)


def test_a_request_that_fails_while_others_are_answered_is_given_up_after_four_tries() -> None:
    error, history = failed(Kind.OVERLOAD), History()
    for _ in range(3):
        assert isinstance(POLICY.decide(error, history, Highest(), alone=True), Wait)
        history = history.after(error, alone=True)
    assert isinstance(POLICY.decide(error, history, Highest(), alone=True), GiveUp)
    assert isinstance(POLICY.decide(error, history, Highest(), alone=False), Wait)


def test_only_a_failure_of_the_server_while_it_answers_others_counts_against_a_request() -> None:
    """Not one that all share, nor a refusal for the rate, however many are answered."""
    shared, rate = History(), History()
    for _ in range(9):
        shared = shared.after(failed(Kind.OVERLOAD), alone=False)
        rate = rate.after(failed(Kind.RATE), alone=True)
    for history in (shared, rate):
        assert isinstance(
            POLICY.decide(failed(Kind.OVERLOAD), history, Highest(), alone=True), Wait
        )


@pytest.mark.parametrize("code", ["refusal", "length", "empty", "too_large", None])
def test_an_answer_without_content_is_not_asked_for_again_here(code: str | None) -> None:
    assert isinstance(POLICY.decide(failed(Kind.BADOUT, code=code), History(), Highest()), GiveUp)


@settings(max_examples=50)
@given(
    st.lists(st.tuples(st.sampled_from(list(Kind)), st.none() | st.floats(0, 200)), max_size=60),
    st.integers(0, 9),
)
def test_no_sequence_of_failures_waits_longer_than_allowed(
    failures: list[tuple[Kind, float | None]], seed: int
) -> None:
    history, rng = History(), random.Random(seed)
    for kind, after_s in failures:
        error = failed(kind, after_s=after_s)
        decision = POLICY.decide(error, history, rng)
        if isinstance(decision, GiveUp):
            break
        assert decision.seconds >= (after_s or 0.0)
        history = history.after(error).rested(decision.seconds, asked=after_s is not None)
    assert history.waited_s <= 100.0
    assert history.asked_s <= 1800.0 * 1.1
    assert history.billed <= 1


def test_each_bound_is_reached_and_not_passed() -> None:
    busy = failed(Kind.OVERLOAD)
    assert POLICY.decide(busy, History(20, waited_s=92.0), Highest()) == Wait(8.0)
    assert isinstance(POLICY.decide(busy, History(20, waited_s=92.1), Highest()), GiveUp)
    asked = failed(Kind.RATE, after_s=800.0)
    assert isinstance(POLICY.decide(asked, History(asked_s=1000.0), Highest()), Wait)
    assert isinstance(POLICY.decide(asked, History(asked_s=1000.1), Highest()), GiveUp)


def test_a_run_is_as_patient_as_the_page_on_limits_says() -> None:
    busy = failed(Kind.OVERLOAD)
    assert IN_RUN.decide(busy, History(), Highest()) == Wait(0.5)
    assert IN_RUN.decide(busy, History(20, waited_s=1740.0), Highest()) == Wait(60.0)
    assert isinstance(IN_RUN.decide(busy, History(20, waited_s=1741.0), Highest()), GiveUp)
    alone = [IN_RUN.decide(busy, History(n, alone=n), Highest(), alone=True) for n in range(5)]
    assert [isinstance(it, GiveUp) for it in alone] == [False, False, False, True, True]


def test_what_a_request_went_through_is_added_up() -> None:
    history = History().after(failed(Kind.LOST)).after(failed(Kind.OVERLOAD), alone=True)
    history = history.after(failed(Kind.RATE), alone=True)  # that is no trouble of the server's
    history = history.rested(3.0, asked=True).rested(4.0, asked=False).rested(5.0, asked=True)
    assert history == History(failures=3, billed=1, alone=1, waited_s=4.0, asked_s=8.0)


def test_a_gateway_that_fails_is_sent_to_four_times_before_another_way_of_asking() -> None:
    error = ProviderError(Kind.OVERLOAD, "x", status=502)
    decisions = [AT_PROBE.decide(error, History(failures=n), random.Random(1)) for n in range(4)]
    assert [isinstance(each, GiveUp) for each in decisions] == [False, False, False, True]
