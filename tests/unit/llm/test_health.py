from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pairmill.errors import EXIT_CONFIG, EXIT_RESUMABLE, Kind, ProviderError
from pairmill.llm.health import PoolHealth

HOPELESS = [kind for kind in Kind if kind.meaning.strikes]
IN_A_ROW = Kind.REFUSED.meaning.strikes


def refused(kind: Kind, text: str = "no", **more: float) -> ProviderError:
    return ProviderError(kind, text, status=400, **more)  # type: ignore[arg-type]


def refuse(health: PoolHealth, kind: Kind, count: int, now: float = 1.0, start: int = 0) -> str:
    """So many different requests are refused; the last reason to give the pool up, if there is."""
    why = ""
    for number in range(start, start + count):
        why = health.failed(refused(kind), f"r{number}", now, now).why
    return why


@pytest.mark.parametrize("kind", HOPELESS)
def test_a_pool_is_given_up_once_so_many_different_requests_were_refused(kind: Kind) -> None:
    health = PoolHealth()
    assert not refuse(health, kind, kind.meaning.strikes - 1)
    found = health.failed(refused(kind, "its words"), "last", 2.0, 2.0)
    assert found.why.endswith(": its words")
    assert found.exit_code == (EXIT_CONFIG if kind in {Kind.AUTH, Kind.CONFIG} else EXIT_RESUMABLE)
    assert found.for_good == (kind in {Kind.AUTH, Kind.CONFIG, Kind.QUOTA})


@pytest.mark.parametrize("kind", [kind for kind in HOPELESS if kind.meaning.strikes > 1])
def test_the_same_request_is_one_strike_however_often_it_is_refused(kind: Kind) -> None:
    health = PoolHealth()
    for _ in range(100):
        assert not health.failed(refused(kind), "odd", 1.0, 1.0).why


@pytest.mark.parametrize("kind", HOPELESS)
def test_refusals_wait_for_the_answers_that_are_still_out(kind: Kind) -> None:
    """A refusal comes in milliseconds, an answer in seconds: a third of 90 calls is refused."""
    health = PoolHealth()
    for number in range(30):
        found = health.failed(refused(kind), f"r{number}", 1.0, 1.0, others=60)
        assert not found.why
    health.answered(sent_at=1.5, now=3.0)
    assert not refuse(health, kind, kind.meaning.strikes - 1, start=100)


@pytest.mark.parametrize("kind", HOPELESS)
def test_where_all_that_is_out_is_refused_the_pool_is_given_up(kind: Kind) -> None:
    health, out = PoolHealth(), 60
    whys = [
        health.failed(refused(kind), f"r{number}", 1.0, 1.0, others=out - 1).why
        for number in range(2 * out)
    ]
    assert any(whys)
    assert whys.index(next(filter(None, whys))) < out + kind.meaning.strikes


def test_kinds_of_refusals_add_up() -> None:
    health = PoolHealth()
    assert not refuse(health, Kind.CHUNK, 12)
    assert not refuse(health, Kind.REFUSED, 11, start=12)
    assert refuse(health, Kind.REFUSED, 1, start=23).startswith("it refused 24 different chunks")


def test_only_an_answer_to_what_was_sent_later_takes_strikes_away() -> None:
    health = PoolHealth()
    assert not refuse(health, Kind.REFUSED, IN_A_ROW - 1, now=10.0)
    health.answered(sent_at=5.0, now=20.0)  # it was on its way when the refusals began
    assert refuse(health, Kind.REFUSED, 1, start=50)
    health = PoolHealth()
    assert not refuse(health, Kind.REFUSED, IN_A_ROW - 1, now=10.0)
    health.answered(sent_at=11.0, now=20.0)
    assert not refuse(health, Kind.REFUSED, IN_A_ROW - 1, start=50)


def test_a_bad_answer_is_an_answer() -> None:
    health = PoolHealth()
    assert not refuse(health, Kind.REFUSED, IN_A_ROW - 1, now=10.0)
    health.failed(refused(Kind.BADOUT), "x", 11.0, 12.0)
    assert not refuse(health, Kind.REFUSED, IN_A_ROW - 1, start=50)


ITS_OWN = [kind for kind in Kind if kind not in {Kind.AUTH, Kind.CONFIG, Kind.QUOTA}]


@given(st.lists(st.sampled_from(ITS_OWN), min_size=30, max_size=200), st.integers(2, 24))
def test_where_some_calls_are_answered_no_pool_is_given_up(kinds: list[Kind], every: int) -> None:
    health = PoolHealth()
    now = 0.0
    for number, kind in enumerate(kinds):
        now += 1.0
        if number % every == 0:
            health.answered(now, now + 0.5)
        assert not health.failed(refused(kind), str(number), now, now + 0.6).why


@given(st.lists(st.sampled_from([Kind.REFUSED, Kind.CHUNK]), min_size=24, max_size=60))
def test_where_none_is_answered_it_is_given_up_at_the_24th(kinds: list[Kind]) -> None:
    health = PoolHealth()
    whys = [health.failed(refused(kind), str(n), n, n).why for n, kind in enumerate(kinds)]
    assert next(n for n, why in enumerate(whys, 1) if why) == IN_A_ROW


def test_on_probation_one_refusal_is_enough_and_an_answer_ends_it() -> None:
    health = PoolHealth()
    health.on_probation()
    assert refuse(health, Kind.REFUSED, 1)
    health.on_probation()
    health.answered(2.0, 3.0)
    assert not refuse(health, Kind.REFUSED, 2, now=4.0)


def test_a_failure_of_the_server_is_the_requests_own_while_others_are_answered() -> None:
    health = PoolHealth()
    error = ProviderError(Kind.OVERLOAD, "500", status=500)
    others = ["b", "c", "d"]
    for name in others:  # nobody is answered: it is the server
        assert not health.failed(error, name, 1.0, 2.0).alone
    assert not health.failed(error, "a", 1.0, 2.0).alone
    health.answered(sent_at=3.0, now=4.0)
    assert health.failed(error, "a", 4.5, 5.0).alone
    for name in others:
        health.failed(error, name, 6.0, 7.0)
    assert not health.failed(error, "a", 6.0, 7.0).alone


def test_at_the_end_of_a_run_a_request_that_fails_by_itself_is_at_fault() -> None:
    health = PoolHealth()
    health.answered(0.0, 1.0)
    error = ProviderError(Kind.OVERLOAD, "500", status=500)
    assert health.failed(error, "a", 2.0, 3.0).alone
    assert health.failed(error, "b", 2.0, 3.0).alone
    assert not health.failed(error, "c", 2.0, 3.0).alone


def test_where_nobody_listens_nobody_is_at_fault() -> None:
    health = PoolHealth()
    health.answered(0.0, 1.0)
    error = ProviderError(Kind.OVERLOAD, "refused", code="refused")
    assert not health.failed(error, "a", 2.0, 3.0).alone


MONEY = "Your plan allows no more. Upgrade your subscription."
RATE = "Rate limit reached. Add a payment method to raise it."


@pytest.mark.parametrize(("text", "ends"), [(MONEY, True), (RATE, False), ("Slow down.", False)])
def test_a_refusal_that_never_passes_and_speaks_of_money_gives_the_pool_up(
    text: str, ends: bool
) -> None:
    health = PoolHealth()
    health.answered(0.0, 0.0)
    for second in range(89):
        assert not health.failed(refused(Kind.RATE, text), "a", second, float(second)).why
    why = health.failed(refused(Kind.RATE, text), "a", 95.0, 95.0).why
    assert (text in why) == ends
    assert health.refused == 90


def test_an_answer_in_between_makes_it_a_matter_of_the_rate() -> None:
    health = PoolHealth()
    for second in range(300):
        assert not health.failed(refused(Kind.RATE, MONEY), "a", second, float(second)).why
        if second % 50 == 0:
            health.answered(second, float(second))


def test_a_wait_of_hours_gives_the_pool_up_unless_it_answers_others() -> None:
    health = PoolHealth()
    day = refused(Kind.RATE, "tomorrow", retry_after_s=86_400.0)
    assert health.failed(day, "a", 1.0, 1.0).why
    health.answered(90.0, 100.0)
    assert not health.failed(day, "a", 101.0, 101.0).why


def test_a_pool_that_answers_with_nothing_and_is_paid_for_it_is_given_up() -> None:
    """Each empty reply costs; that it came so often in a row is no fault of the chunks."""

    def empty(code: str = "empty") -> ProviderError:
        return ProviderError(Kind.BADOUT, "nothing", code=code, maybe_paid=True)

    health = PoolHealth()
    for number in range(200):  # some are answered
        assert not health.failed(empty(), f"r{number}", 1.0, 1.0).why
        if number % 20 == 0:
            health.answered(1.0, 1.0)
    health.answered(1.0, 1.0)
    for number in range(200):  # they thought for too long, or refused: it is the chunk's ladder's
        assert not health.failed(empty("length"), f"r{number}", 1.0, 1.0).why
    whys = [health.failed(empty(), f"r{number}", 1.0, 1.0) for number in range(IN_A_ROW)]
    assert not any(found.why for found in whys[:-1])
    assert whys[-1].why == "24 replies in a row held nothing: nothing"
    assert not whys[-1].for_good
    health.on_probation()
    assert health.failed(empty(), "again", 2.0, 2.0).why
    health.answered(3.0, 3.0)
    assert not health.failed(empty(), "later", 4.0, 4.0).why
