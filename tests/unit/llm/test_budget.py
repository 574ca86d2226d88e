from __future__ import annotations

import random
from typing import Any

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.questions import SCHEMA, request

from pairmill.errors import Kind, ProviderError, StoppedError
from pairmill.llm.budget import (
    Budget,
    CallOutcome,
    Caps,
    PricedUsage,
    Reservation,
    Spent,
    charge_answer,
    charge_lost,
    is_answer,
)
from pairmill.llm.prices import Price, pico
from pairmill.llm.token_estimate import worst_prompt_tokens
from pairmill.records import Usage

PRICE = Price(150_000, 75_000, 600_000)


class Clock:
    def __init__(self, now: float = 0.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


def _budget(caps: Caps, spent: Spent | None = None, clock: Clock | None = None) -> Budget:
    return Budget(caps, clock=clock or Clock(), spent=spent, unproven_tokens=0)


def _is_over(budget: Budget) -> bool:
    return budget.exhausted is not None


def _charge(usage: Usage) -> PricedUsage:
    return PricedUsage(usage, PRICE.cost(usage))


def _charged(said: Usage, prompt_chars: int = 4000, answer_chars: int = 400) -> PricedUsage:
    return charge_answer(
        said,
        PRICE,
        chars=(prompt_chars, answer_chars),
        least=(prompt_chars // 6, answer_chars // 6),
        chars_per_token=4.0,
        worst=lambda: (4100, 500),
        at=0.0,
        most_cached=900,
    )


def test_without_caps_everything_fits() -> None:
    budget = _budget(Caps())
    assert not budget.is_capped
    assert budget.try_reserve(10**9, 10**9, None) is not None
    assert budget.exhausted is None


def test_nothing_is_at_risk_before_the_first_call_goes_out() -> None:
    budget = _budget(Caps(picodollars=pico(1)))
    assert budget.at_risk == Spent()
    assert budget.try_reserve(1000, 1000, PRICE) is not None
    assert budget.at_risk == Spent(), "a call that waits for its turn costs nothing"


def test_an_answer_costs_what_it_used() -> None:
    budget = _budget(Caps(picodollars=pico(1)))
    held = budget.try_reserve(1000, 1000, PRICE)
    assert held is not None
    assert budget.reserved.picodollars == 750_000_000
    budget.settle(held, CallOutcome.ANSWERED, _charge(Usage(900, 100, cached_tokens=100)))
    budget.settle(held, CallOutcome.MAYBE_PAID)  # a second time does nothing
    assert budget.spent == Spent(800 * 150_000 + 100 * 75_000 + 100 * 600_000, 1000, 0)
    assert budget.reserved == Spent()


def test_free_failures_give_back_and_maybe_paid_ones_stay_charged() -> None:
    budget = _budget(Caps(tokens=100))
    first = budget.try_reserve(50, 50, None)
    assert first is not None
    assert budget.try_reserve(1, 0, None) is None
    assert not _is_over(budget)  # the one in flight may give back
    budget.settle(first, CallOutcome.FREE)
    second = budget.try_reserve(50, 50, None)
    assert second is not None
    budget.settle(second, CallOutcome.MAYBE_PAID)
    assert budget.spent.tokens == 100
    assert budget.try_reserve(1, 0, None) is None
    assert budget.exhausted == (
        "the cap of 100 tokens is reached: 100 used, the next call may take 1;"
        " raise max_total_tokens to go on"
    )
    assert budget.exhausted_cap == "max_total_tokens"


def test_an_answer_without_a_charge_is_charged_as_reserved() -> None:
    budget = _budget(Caps(tokens=1000))
    held = budget.try_reserve(50, 50, None)
    assert held is not None
    budget.settle(held, CallOutcome.ANSWERED)
    assert budget.spent.tokens == 100


def test_what_an_earlier_start_spent_counts() -> None:
    before = Spent(picodollars=pico("0.99"), tokens=5, seconds=3000)
    clock = Clock(1000)
    budget = _budget(Caps(picodollars=pico(1), seconds=3600), before, clock)
    assert budget.try_reserve(1_000_000, 0, PRICE) is None  # 15 cents
    assert budget.exhausted is not None
    assert budget.exhausted.startswith("the cap of $1.00 is reached: $0.9900 spent")
    clock.now = 1000
    budget = _budget(Caps(picodollars=pico(1), seconds=3600), before, clock)
    clock.now = 1599
    assert budget.try_reserve(10_000, 0, PRICE) is not None
    clock.now = 1600
    assert budget.try_reserve(1, 0, PRICE) is None
    assert budget.exhausted == "the cap of 1 hours is reached; raise max_hours to go on"
    assert budget.spent.seconds == 3600


def test_a_count_that_can_be_true_is_believed() -> None:
    for said in (Usage(1000, 100), Usage(700, 70), Usage(1500, 2000, 900, 1900)):
        assert _charged(said) == PricedUsage(said, PRICE.cost(said))


def test_an_answer_of_one_token_is_believed() -> None:
    """Such as a verdict: yes or no."""
    said = Usage(1000, 1)
    assert _charged(said, answer_chars=3) == PricedUsage(said, PRICE.cost(said))


@pytest.mark.parametrize(
    ("said", "usage", "most"),
    [
        (Usage(), Usage(1000, 100), 4100 + 500),
        (Usage(1, 0), Usage(1000, 100), 4100 + 500),
        (Usage(1000, 0), Usage(1000, 100), 1000 + 500),
        (Usage(0, 100), Usage(1000, 100), 4100 + 100),
        (Usage(1000, 1), Usage(1000, 100), 1000 + 500),
        (Usage(1, 100), Usage(1000, 100), 4100 + 100),
        (Usage(500, 50), Usage(1000, 100), 4100 + 500),
        (Usage(1000, 65), Usage(1000, 100), 1000 + 500),
        (Usage(665, 100), Usage(1000, 100), 4100 + 100),
    ],
)
def test_a_count_that_cannot_be_true_is_charged_as_seen_and_capped_at_its_worst(
    said: Usage, usage: Usage, most: int
) -> None:
    charge = _charged(said)
    assert charge.usage == usage
    assert charge.picodollars == PRICE.cost(usage)
    assert charge.most_tokens == most
    assert charge.doubt_picodollars > 0


def test_an_answer_that_was_longer_than_asked_is_charged_as_long_as_it_was_seen() -> None:
    charge = _charged(Usage(1000, 50), answer_chars=80_000)
    assert charge.usage == Usage(1000, 20_000)
    assert charge.most_tokens == 1000 + 46_666  # nothing bounds it but its own characters


def test_more_from_a_cache_than_was_ever_sent_is_doubted_and_not_denied() -> None:
    said = Usage(1000, 100, cached_tokens=1000)
    charge = _charged(said)
    assert charge.usage == said
    assert charge.picodollars == PRICE.cost(said)
    assert (charge.doubt_tokens, charge.doubt_picodollars) == (0, 100 * (150_000 - 75_000))


def test_a_doubt_that_makes_nothing_dearer_costs_nothing() -> None:
    """Where a cache gives no rebate, it does not matter what came from it."""
    charge = charge_answer(
        Usage(1000, 100, cached_tokens=1000),
        Price(150_000, 150_000, 600_000),
        chars=(4000, 400),
        least=(666, 66),
        chars_per_token=4.0,
        worst=lambda: (4100, 500),
        at=0.0,
        most_cached=900,
    )
    assert (charge.doubt_tokens, charge.doubt_picodollars) == (0, 0)


def test_an_empty_reply_costs_what_it_says_and_at_worst_all_that_it_might() -> None:
    assert is_answer(ProviderError(Kind.BADOUT, "empty"))
    assert not is_answer(ProviderError(Kind.TIMEOUT, "late", maybe_paid=True))
    told = _charged(Usage(1000, 500), answer_chars=0)
    assert told.picodollars == PRICE.cost(Usage(1000, 500))
    untold = _charged(Usage(1000, 0), answer_chars=0)
    assert untold.usage == Usage(1000, 0)
    assert untold.most_tokens == 1500


def test_a_lost_call_costs_perhaps_nothing_and_at_worst_what_was_reserved() -> None:
    charge = charge_lost(PRICE, (1000, 500), 0.0)
    assert (charge.picodollars, charge.most_tokens) == (0, 1500)
    assert charge.most_picodollars == PRICE.worst(1000, 500)
    assert charge_lost(None, (1000, 500), 0.0).picodollars is None


def test_until_a_server_has_shown_that_it_keeps_to_the_limit_answers_are_taken_for_long() -> None:
    budget = Budget(Caps(tokens=100_000), clock=Clock())
    held = [budget.try_reserve(1000, 500, None) for _ in range(4)]
    assert [it is not None for it in held] == [True, True, False, False]
    assert budget.exhausted is None
    assert held[0] is not None
    budget.settle(held[0], CallOutcome.ANSWERED, PricedUsage(Usage(900, 400), None))
    found = budget.try_reserve(1000, 500, None)
    assert found is not None
    assert found.tokens == 1500


def test_a_cap_that_no_long_answer_fits_lets_one_call_go_alone() -> None:
    budget = Budget(Caps(tokens=10_000), clock=Clock())
    assert budget.try_reserve(1000, 500, None) is not None
    assert budget.try_reserve(1000, 500, None) is None
    assert budget.exhausted is None


def test_after_an_answer_that_was_too_long_the_next_ones_are_reserved_as_long() -> None:
    budget = _budget(Caps(tokens=10**6))
    held = budget.try_reserve(1000, 500, None)
    assert held is not None
    budget.settle(held, CallOutcome.ANSWERED, PricedUsage(Usage(1800, 20_000), None))
    after = budget.try_reserve(1000, 500, None)
    assert after is not None
    assert after.max_tokens == 30_000
    assert after.prompt_tokens == 1800


def test_what_a_server_reads_beyond_the_worst_grows_with_each_that_shows_more() -> None:
    """Counted from what was sent, however much was added to it already."""
    budget = _budget(Caps(tokens=10**6))
    for read, reserved in ((1800, 1000), (2000, 1800), (1500, 2000), (1000, 2000)):
        held = budget.try_reserve(1000, 500, None)
        assert held is not None
        assert held.prompt_tokens == reserved
        budget.settle(held, CallOutcome.ANSWERED, PricedUsage(Usage(read, 500), None))


def test_an_answer_that_was_cut_at_the_limit_kept_to_it() -> None:
    budget = _budget(Caps(tokens=10**6))
    held = budget.try_reserve(1000, 500, None)
    assert held is not None
    budget.settle(held, CallOutcome.ANSWERED, PricedUsage(Usage(1000, 500), None))
    after = budget.try_reserve(1000, 500, None)
    assert after is not None
    assert (after.prompt_tokens, after.max_tokens) == (1000, 500)


class Counting(dict[str, Any]):
    """A schema that knows how often it was written out."""

    written = 0

    def __repr__(self) -> str:
        Counting.written += 1
        return super().__repr__()


async def test_the_worst_is_reserved_and_what_is_constant_of_it_computed_once() -> None:
    budget = _budget(Caps(tokens=10**9))
    total = 0
    for number in range(20):
        asked = request("hello " * number, schema=Counting(SCHEMA))
        await budget.reserve(asked, None)
        total += worst_prompt_tokens(asked.prompt, str(SCHEMA)) + 64
        assert budget.reserved.tokens == total
    assert Counting.written == 1
    await budget.reserve(request("hello", schema=None), None)
    assert budget.reserved.tokens == total + worst_prompt_tokens(request("hello").prompt) + 64


async def test_who_waits_for_room_goes_on_or_ends_as_soon_as_it_is_decided() -> None:
    asked = request("hello")
    worst = worst_prompt_tokens(asked.prompt, str(SCHEMA)) + 64
    budget = _budget(Caps(tokens=worst))
    held = await budget.reserve(asked, None)
    ends: list[str] = []

    async def wait() -> None:
        try:
            await budget.reserve(asked, None)
        except StoppedError:
            ends.append("stopped")

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(wait)
        await anyio.wait_all_tasks_blocked()
        assert ends == []
        budget.settle(held, CallOutcome.MAYBE_PAID)
    assert ends == ["stopped"]


SEEDS = 100
LEAST_SHARE = 1 / 3


def _play(seed: int, *, reserving: bool) -> bool:
    """Send hundreds of calls under a cap; whether a wallet that bills on receipt ends above it.

    Without ``reserving`` calls in flight are forgotten: what would happen then says whether the
    cap was in danger at all.
    """
    dice = random.Random(seed)
    width, cap = dice.randint(8, 300), dice.randint(50, 400) * PRICE.worst(1500, 1000)
    budget = _budget(Caps(picodollars=cap))
    in_flight: list[tuple[Reservation, CallOutcome, PricedUsage]] = []
    wallet = 0
    for _ in range(900):
        if len(in_flight) >= width:
            budget.settle(*in_flight.pop(dice.randrange(len(in_flight))))
        prompt, most = dice.randint(1, 3000), dice.randint(1, 2000)
        held = budget.try_reserve(prompt, most, PRICE)
        if held is None:
            continue
        if not reserving:
            budget._reserved_picodollars = budget._reserved_tokens = 0
            held.picodollars = held.prompt_tokens = held.max_tokens = 0
        outcome = dice.choices(list(CallOutcome), (1, 1, 6))[0]
        usage = Usage(prompt, int(most * dice.random() ** 0.5))
        wallet += 0 if outcome is CallOutcome.FREE else PRICE.cost(usage)
        in_flight.append((held, outcome, _charge(usage)))
        if reserving:
            assert wallet <= cap
            assert budget.spent.picodollars + budget.reserved.picodollars <= cap
    for call in in_flight:
        budget.settle(*call)
    if reserving:
        assert wallet <= budget.spent.picodollars <= cap
        assert budget.reserved == Spent()
    return wallet > cap


@pytest.mark.slow
def test_with_hundreds_in_flight_no_cap_is_ever_passed() -> None:
    in_danger = sum(_play(seed, reserving=False) for seed in range(SEEDS))
    assert in_danger >= LEAST_SHARE * SEEDS
    assert not any(_play(seed, reserving=True) for seed in range(SEEDS))


usages = st.builds(
    Usage,
    st.sampled_from([0, 1, 40, 900, 1000, 5000]),
    st.sampled_from([0, 1, 30, 100, 500, 20_000]),
)


@given(usages, st.integers(1, 4000), st.integers(0, 80_000))
def test_no_usage_makes_a_call_cheaper_than_it_can_be(
    said: Usage, prompt_chars: int, answer_chars: int
) -> None:
    charge = _charged(said, prompt_chars, answer_chars)
    assert charge.usage.prompt_tokens >= prompt_chars // 6
    assert charge.usage.completion_tokens >= answer_chars // 6
    assert charge.most_tokens >= said.prompt_tokens + said.completion_tokens
    if said.completion_tokens == 0:
        assert charge.most_tokens >= 500


def test_an_allowance_that_may_grow_is_waited_for_and_says_what_is_wanted() -> None:
    async def main() -> None:
        budget = _budget(Caps(picodollars=pico(1.0)))
        budget.allow(0, None, may_grow=True)
        async with anyio.create_task_group() as waiting:
            found: list[Reservation] = []

            async def reserve() -> None:
                found.append(await budget.reserve(request(), PRICE))

            waiting.start_soon(reserve)
            await anyio.sleep(0.01)
            assert budget.exhausted is None
            assert not found
            cost, tokens = budget.wanted
            assert cost > 0
            assert tokens > 0
            budget.allow(cost, None, may_grow=True)
        assert found
        assert budget.wanted == (0, 0)
        assert budget.is_capped

    anyio.run(main)


def test_an_allowance_that_grows_no_more_ends_the_run_with_the_cap_of_all() -> None:
    async def main() -> None:
        budget = _budget(Caps(picodollars=pico(1.0)))
        budget.allow(10, None, may_grow=False)
        with pytest.raises(StoppedError, match=r"the cap of \$1.00 is reached"):
            await budget.reserve(request(), PRICE)
        assert budget.exhausted_cap == "max_usd"

    anyio.run(main)
