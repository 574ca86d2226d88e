from __future__ import annotations

import time
from typing import TYPE_CHECKING

import anyio
import pytest
from tests.support.questions import request

from pairmill.clock import SystemClock
from pairmill.errors import Kind, ProviderError, StoppedError
from pairmill.llm.budget import Budget, Caps
from pairmill.llm.limits.gate import Gate
from pairmill.llm.limits.headers import HeaderDialect
from pairmill.llm.pools import Pool, Pools
from pairmill.llm.prices import Price
from pairmill.llm.providers.provider import Mode, ProviderReply
from pairmill.llm.router import Route, Router
from pairmill.records import Completion, Usage

if TYPE_CHECKING:
    from pairmill.llm.providers.provider import Provider

CHEAP, DEAR = Price(1, 1, 4), Price(10, 10, 40)
REPLY = ProviderReply(Completion("hi", "stop", "served", Usage(100, 10), 0.0))


def _pool(name: str, model: str, price: Price | None = None, *, strong: bool = False) -> Pool:
    return Pool(name, f"http://{name}.test/v1", "KEY", model, price=price, is_escalation=strong)


def _exchange(
    *pools: Pool, caps: Caps | None = None, prices: dict[str, Price] | None = None
) -> Router:
    wire: Provider = None  # type: ignore[assignment]
    routes = [Route(pool, wire, Mode.PROMPT, HeaderDialect.COMMON) for pool in pools]
    gates = Pools(pools, lambda pool: Gate(clock=time.monotonic, width=4, name=pool.name))
    budget = Budget(caps or Caps(), clock=lambda: 0.0, unproven_tokens=0)
    return Router("m", routes, gates, SystemClock(), budget, prices.get if prices else None)


async def test_a_call_learns_what_its_model_is_called_where_it_goes() -> None:
    exchange = _exchange(_pool("a", "other-name"))
    turn = await exchange.admit(request(), is_retry=False)
    assert turn.request.model == "other-name"
    assert turn.request.prompt == request().prompt
    turn.answered(REPLY)
    assert exchange.pools.gate("a").in_flight == 0


async def test_a_request_that_names_a_pools_model_goes_there_only() -> None:
    exchange = _exchange(_pool("usual", "m"), _pool("strong", "big", strong=True))
    turn = await exchange.admit(request(model="big"), is_retry=False)
    assert turn.request.model == "big"
    assert exchange.pools.gate("strong").in_flight == 1
    turn.give_back()
    usual = await exchange.admit(request(), is_retry=False)
    assert exchange.pools.gate("usual").in_flight == 1
    usual.give_back()


async def test_a_model_that_no_pool_names_is_asked_of_the_usual_ones() -> None:
    exchange = _exchange(_pool("usual", "m"), _pool("strong", "big", strong=True))
    turn = await exchange.admit(request(model="judge"), is_retry=False)
    assert turn.request.model == "judge"
    assert exchange.pools.gate("usual").in_flight == 1
    turn.give_back()


async def test_a_model_without_a_pool_is_reserved_and_settled_at_its_own_price() -> None:
    prices = {"judge": DEAR}
    exchange = _exchange(_pool("usual", "m", CHEAP), caps=Caps(10**9), prices=prices)
    budget = exchange.budget
    usual = await exchange.admit(request(), is_retry=False)
    reserved = budget.reserved.picodollars
    judge = await exchange.admit(request(model="judge"), is_retry=False)
    assert budget.reserved.picodollars == 11 * reserved
    assert usual.answered(REPLY).picodollars == CHEAP.cost(REPLY.completion.usage)
    assert judge.answered(REPLY).picodollars == DEAR.cost(REPLY.completion.usage)
    assert budget.spent.picodollars == 11 * CHEAP.cost(REPLY.completion.usage)


async def test_a_refused_key_leaves_the_work_to_the_others_and_then_to_nobody() -> None:
    exchange = _exchange(_pool("a", "m"), _pool("b", "m"))
    error = ProviderError(Kind.AUTH, "no")
    for number in range(3):  # a single one may be a sick replica's
        (await exchange.admit(request(f"q{number}"), is_retry=False)).failed(error)
    assert exchange.has_other(request(), frozenset({"a"}))
    for number in range(3):
        (await exchange.admit(request(f"q{number}"), is_retry=True)).failed(error)
    with pytest.raises(StoppedError, match="b: its key was refused"):
        exchange.has_other(request(), frozenset({"b"}))
    with pytest.raises(StoppedError, match="no pools are left"):
        await exchange.admit(request(), is_retry=True)


async def test_the_dearest_price_is_reserved_and_the_real_one_is_settled() -> None:
    exchange = _exchange(_pool("a", "m", CHEAP), _pool("b", "m", DEAR), caps=Caps(10**9))
    turn = await exchange.admit(request(), is_retry=False)
    reserved = exchange.budget.reserved
    assert reserved.picodollars > request().prompt.sampling.max_tokens * DEAR.output
    cost = turn.answered(REPLY).picodollars
    assert cost == CHEAP.cost(REPLY.completion.usage)
    assert exchange.budget.reserved.picodollars == 0


@pytest.mark.parametrize("how", ["failed", "abandoned", "give_back", "maybe"])
async def test_however_a_call_ends_its_reservation_ends_with_it(how: str) -> None:
    exchange = _exchange(_pool("a", "m", CHEAP), caps=Caps(10**9))
    turn = await exchange.admit(request(), is_retry=False)
    if how == "failed":
        turn.failed(ProviderError(Kind.OVERLOAD, "busy"))
    elif how == "maybe":
        turn.failed(ProviderError(Kind.TIMEOUT, "late", maybe_paid=True))
    else:
        getattr(turn, how)()
    budget = exchange.budget
    assert budget.reserved.picodollars == 0
    assert (budget.spent.picodollars > 0) is (how in {"abandoned", "maybe"})


async def test_a_call_without_room_waits_for_those_in_flight_and_no_longer() -> None:
    one = _exchange(_pool("a", "m", CHEAP), caps=Caps(10**9))
    turn = await one.admit(request(), is_retry=False)
    room = one.budget.reserved.picodollars
    turn.give_back()
    exchange = _exchange(_pool("a", "m", CHEAP), caps=Caps(room + room // 2))
    first = await exchange.admit(request(), is_retry=False)
    ended: list[str] = []

    async def second() -> None:
        (await exchange.admit(request(), is_retry=False)).abandoned()
        ended.append("second")
        with pytest.raises(StoppedError, match="cap"):
            await exchange.admit(request(), is_retry=False)
        ended.append("third")

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(second)
        await anyio.wait_all_tasks_blocked()
        assert ended == []
        first.answered(REPLY)
    assert ended == ["second", "third"]


async def test_what_calls_use_is_learned_where_the_model_has_another_name() -> None:
    exchange = _exchange(_pool("a", "other-name"))

    async def reserved() -> float:
        before = exchange.pools.gate("a")._quota.reserved
        turn = await exchange.admit(request(), is_retry=False)
        found = exchange.pools.gate("a")._quota.reserved - before
        turn.answered(REPLY)
        return found

    first = await reserved()
    assert await reserved() != first


async def test_a_wait_that_is_cancelled_gives_its_reservation_back() -> None:
    exchange = _exchange(_pool("a", "m", CHEAP), caps=Caps(10**9))
    held = [await exchange.admit(request(), is_retry=False) for _ in range(4)]  # all there are
    reserved = exchange.budget.reserved
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(lambda: exchange.admit(request(), is_retry=False))
        await anyio.wait_all_tasks_blocked()
        assert exchange.budget.reserved.picodollars > reserved.picodollars
        tasks.cancel_scope.cancel()
    assert exchange.budget.reserved == reserved
    for turn in held:
        turn.give_back()
    assert exchange.budget.reserved.picodollars == 0


async def test_a_reply_that_was_paid_for_and_empty_is_charged() -> None:
    exchange = _exchange(_pool("a", "m", CHEAP), caps=Caps(10**9))
    turn = await exchange.admit(request(), is_retry=False)
    error = ProviderError(Kind.BADOUT, "empty", prompt_tokens=100, completion_tokens=64)
    turn.failed(error)
    assert turn.charge is not None
    assert turn.charge.picodollars == CHEAP.cost(Usage(100, 64))
    assert exchange.budget.spent.picodollars == CHEAP.cost(Usage(100, 64))


async def test_a_pool_that_counts_too_few_tokens_is_named_at_its_third_reply_and_once() -> None:
    router = _exchange(_pool("a", "m"), _pool("b", "m"))
    told: list[str] = []
    router.on_understated = lambda pool, *_: told.append(pool)
    for pool in ("a", "b", "a"):
        router.note_count(pool, 1, 900)
    assert told == []
    router.note_count("a", 1, 900)
    assert told == ["a"]
    router.note_count("a", 1, 900)
    assert told == ["a"]
