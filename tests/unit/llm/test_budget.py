from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pairmill.errors import ConfigError
from pairmill.llm.budget import Budget, CallOutcome, Caps, Reservation, Spent
from pairmill.llm.prices import Price, pico
from pairmill.records import Usage

PRICE = Price(150_000, 75_000, 600_000)


def test_without_caps_everything_fits() -> None:
    budget = Budget(Caps(), now=0)
    assert budget.reserve(10**9, 10**9, None, 10**9) is not None
    assert budget.exhausted is None


def test_an_answer_costs_what_it_used() -> None:
    budget = Budget(Caps(picodollars=pico(1)), now=0)
    held = budget.reserve(1000, 1000, PRICE, 0)
    assert held is not None
    assert budget.reserved.picodollars == 750_000_000
    budget.settle(held, CallOutcome.ANSWERED, Usage(900, 100, cached_tokens=100))
    budget.settle(held, CallOutcome.MAYBE_PAID)  # a second time does nothing
    assert budget.spent(0) == Spent(800 * 150_000 + 100 * 75_000 + 100 * 600_000, 1000, 0)
    assert budget.reserved == Spent()


def test_free_failures_give_back_and_maybe_paid_ones_stay_charged() -> None:
    budget = Budget(Caps(tokens=100), now=0)
    first = budget.reserve(50, 50, None, 0)
    assert first is not None
    assert budget.reserve(1, 0, None, 0) is None
    assert budget.exhausted is None  # the one in flight may give back
    budget.settle(first, CallOutcome.FREE)
    second = budget.reserve(50, 50, None, 0)
    assert second is not None
    budget.settle(second, CallOutcome.MAYBE_PAID)
    assert budget.spent(0).tokens == 100
    assert budget.reserve(1, 0, None, 0) is None
    assert budget.exhausted == (
        "the cap of 100 tokens is reached: 100 used, the next call may take 1"
    )


def test_an_answer_without_usage_is_charged_as_reserved() -> None:
    budget = Budget(Caps(tokens=1000), now=0)
    held = budget.reserve(50, 50, None, 0)
    assert held is not None
    budget.settle(held, CallOutcome.ANSWERED)
    assert budget.spent(0).tokens == 100


def test_what_an_earlier_start_spent_counts() -> None:
    before = Spent(picodollars=pico("0.99"), tokens=5, seconds=3000)
    budget = Budget(Caps(picodollars=pico(1), seconds=3600), now=1000, spent=before)
    assert budget.reserve(1_000_000, 0, PRICE, 1000) is None  # 15 cents
    assert budget.exhausted is not None
    assert budget.exhausted.startswith("the cap of $1.00 is reached: $0.9900 spent")
    assert budget.reserve(10_000, 0, PRICE, 1599) is not None
    assert budget.reserve(1, 0, PRICE, 1600) is None
    assert budget.exhausted == "the cap of 1 hours is reached"
    assert budget.spent(1600).seconds == 3600


def test_a_cap_in_dollars_needs_a_price() -> None:
    with pytest.raises(ConfigError, match="the price of 'x' is not known"):
        Budget(Caps(picodollars=1), now=0).check_price("x", None)
    Budget(Caps(tokens=1), now=0).check_price("x", None)
    Budget(Caps(picodollars=1), now=0).check_price("x", PRICE)


calls = st.lists(
    st.tuples(
        st.integers(1, 3000),
        st.integers(1, 2000),
        st.sampled_from(CallOutcome),
        st.floats(0, 1),
        st.integers(0, 600),
    ),
    max_size=600,
)


@given(calls, st.integers(0, 2 * 10**9), st.integers(1, 500))
def test_with_hundreds_in_flight_no_cap_is_ever_passed(
    script: list[tuple[int, int, CallOutcome, float, int]], cap: int, width: int
) -> None:
    """The wallet bills on receipt, at whatever the model then writes, up to its limit."""
    budget = Budget(Caps(picodollars=cap), now=0)
    in_flight: list[tuple[Reservation, CallOutcome, Usage]] = []
    wallet = 0
    for prompt, most, fate, part, turn in script:
        if len(in_flight) >= width:
            budget.settle(*in_flight.pop(turn % len(in_flight)))
        held = budget.reserve(prompt, most, PRICE, 0)
        if held is None:
            continue
        usage = Usage(prompt, int(most * part))
        wallet += 0 if fate is CallOutcome.FREE else PRICE.cost(usage)
        in_flight.append((held, fate, usage))
        assert wallet <= cap
        assert budget.spent(0).picodollars + budget.reserved.picodollars <= cap
    for held, fate, usage in in_flight:
        budget.settle(held, fate, usage)
    assert wallet <= budget.spent(0).picodollars <= cap
    assert budget.reserved == Spent()
