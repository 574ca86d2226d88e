from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING

import pytest
from tests.support import virtual_time

from pairmill.errors import Kind, StoppedError
from pairmill.llm.limits.breaker import EndpointBreaker
from pairmill.llm.limits.concurrency import AimdLimit
from pairmill.llm.limits.gate import Charge, Cost, EvictedError, Gate, Lease, Limits
from pairmill.llm.limits.headers import HeaderReading, LimitHint, Unit
from pairmill.records import Usage

if TYPE_CHECKING:
    from collections.abc import Coroutine

CALL = Cost(100, 100, 400)


def now() -> float:
    return asyncio.get_running_loop().time()


def gate_of(
    limits: Limits | None = None,
    width: AimdLimit | int | None = 10_000,
    **more: object,
) -> Gate:
    return Gate(limits, clock=asyncio.get_running_loop().time, width=width, **more)  # type: ignore[arg-type]


def run(main: Coroutine[object, object, None]) -> None:
    virtual_time.run(main)


def waiter(gate: Gate, cost: Cost = CALL, *, retry: bool = False) -> asyncio.Task[Lease]:
    return asyncio.get_running_loop().create_task(gate.admit(cost, retry=retry))


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


def test_a_free_gate_admits_at_once() -> None:
    async def main() -> None:
        gate = gate_of()
        lease = await gate.admit(CALL)
        assert gate.in_flight == 1
        lease.release()
        assert gate.in_flight == 0

    run(main())


def test_it_adds_up_how_long_calls_waited_for_their_turn() -> None:
    async def main() -> None:
        gate = gate_of(width=1)
        first = await gate.admit(CALL)
        tasks = [waiter(gate), waiter(gate)]
        await settle()
        await asyncio.sleep(2.0)
        first.release()
        second = await tasks[0]
        await asyncio.sleep(3.0)
        second.release()
        (await tasks[1]).release()
        assert gate.snapshot().waited_s == pytest.approx(2.0 + 5.0)

    run(main())


def test_releasing_twice_counts_once() -> None:
    async def main() -> None:
        gate = gate_of(width=1)
        lease = await gate.admit(CALL)
        lease.release()
        lease.release(Kind.RATE)
        lease.give_back()
        assert gate.in_flight == 0
        assert gate.control.refused == 0
        assert gate.snapshot().sent == 1

    run(main())


def test_concurrency_hands_over_in_order() -> None:
    async def main() -> None:
        gate = gate_of(width=1)
        order: list[int] = []

        async def call(number: int) -> None:
            lease = await gate.admit(CALL)
            order.append(number)
            await asyncio.sleep(1)
            lease.release()

        await asyncio.gather(*(call(number) for number in range(20)))
        assert order == list(range(20))
        assert now() == pytest.approx(20)

    run(main())


def test_requests_flow_at_the_limit_less_the_headroom() -> None:
    async def main() -> None:
        gate = gate_of(Limits(requests_per_min=600))
        for _ in range(593):
            (await gate.admit(CALL)).release()
        assert now() == pytest.approx(60.0, abs=0.1)  # ten each 1.012 seconds

    run(main())


def test_a_call_past_the_gate_is_counted() -> None:
    async def main() -> None:
        gate = gate_of(Limits(requests_per_min=600))
        gate.charge(CALL)
        (await gate.admit(CALL)).release()
        assert now() == pytest.approx(0.1, abs=0.01)

    run(main())


def test_all_dimensions_are_tested_together() -> None:
    """While tokens are short, no request is taken: a small call later finds it all there."""

    async def main() -> None:
        gate = gate_of(Limits(requests_per_min=60, tokens_per_min=60_000))
        big = Cost(900, 0)
        first = await gate.admit(Cost(400, 0))
        assert first.amounts[Unit.TOKENS] == 400
        second = waiter(gate, big)
        await settle()
        assert not second.done()
        second.cancel()
        await asyncio.sleep(1.2)  # one request has flowed in since the first
        started = now()
        await gate.admit(Cost(10, 0))
        assert now() == started

    run(main())


def test_input_and_output_may_be_limited_apart() -> None:
    async def main() -> None:
        gate = gate_of(Limits(input_per_min=6_000_000, output_per_min=6_000))
        for _ in range(11):
            await gate.admit(Cost(10, 50))
        # 550 tokens of output: 49 were there, the rest came at 98.3 a second, one call in debt
        assert 4.5 < now() < 5.5

    run(main())


def test_a_call_larger_than_the_bucket_goes_and_is_paid_off() -> None:
    async def main() -> None:
        gate = gate_of(Limits(tokens_per_min=6_000))  # 98.3 a second
        started: list[float] = []
        for _ in range(3):
            await gate.admit(Cost(983.33, 0))
            started.append(now())
        assert started[0] == pytest.approx(0.5, abs=0.01)  # the bucket starts half full
        assert started[1] - started[0] == pytest.approx(10, abs=0.01)
        assert started[2] - started[1] == pytest.approx(10, abs=0.01)

    run(main())


def test_usage_replaces_the_estimate() -> None:
    async def main() -> None:
        limits = Limits(tokens_per_min=60_000)

        async def seconds_for(limits: Limits, usage: Usage) -> float:
            gate = gate_of(limits)
            started = now()
            for _ in range(101):
                (await gate.admit(Cost(500, 500, 900))).release(usage=usage)
            return now() - started

        # 983 tokens a second: 100 calls of 1000 tokens take 101.7 s, of 500 half of that
        assert await seconds_for(limits, Usage(500, 500)) == pytest.approx(101.7, abs=1.5)
        assert await seconds_for(limits, Usage(250, 250)) == pytest.approx(50.8, abs=1.5)
        assert await seconds_for(limits, Usage(1000, 1000)) == pytest.approx(203.4, abs=3)

    run(main())


def test_a_server_that_keeps_reservations_is_charged_max_tokens() -> None:
    async def main() -> None:
        gate = gate_of(Limits(tokens_per_min=60_000, charge=Charge.RESERVED))
        for _ in range(101):
            (await gate.admit(Cost(100, 50, 900))).release(usage=Usage(100, 50))
        assert now() == pytest.approx(101.7, abs=1.5)

    run(main())


def test_cached_tokens_may_be_free() -> None:
    async def main() -> None:
        gate = gate_of(Limits(tokens_per_min=60_000, cached_free=True))
        for _ in range(101):
            (await gate.admit(Cost(900, 100))).release(usage=Usage(900, 100, cached_tokens=800))
        assert now() == pytest.approx(20.3, abs=1.5)

    run(main())


def test_a_refused_call_gets_its_tokens_back_but_not_its_request() -> None:
    async def main() -> None:
        gate = gate_of(Limits(requests_per_min=6000, tokens_per_min=60_000))
        lease = await gate.admit(Cost(490, 0))
        lease.release(Kind.AUTH)
        started = now()
        await gate.admit(Cost(490, 0))
        assert now() - started < 0.02  # the next request, not the next half second of tokens

    run(main())


def test_retries_go_first_but_only_every_other_time() -> None:
    async def main() -> None:
        gate = gate_of(width=1)
        held = await gate.admit(CALL)
        order: list[str] = []

        async def call(name: str, retry: bool) -> None:
            lease = await gate.admit(CALL, retry=retry)
            order.append(name)
            lease.release()

        tasks = [waiter_task(call(f"new{n}", retry=False)) for n in range(3)]
        await settle()
        tasks += [waiter_task(call(f"again{n}", retry=True)) for n in range(5)]
        await settle()
        held.release()
        await asyncio.gather(*tasks)
        assert order == ["again0", "new0", "again1", "new1", "again2", "new2", "again3", "again4"]

    run(main())


def waiter_task(main: Coroutine[object, object, None]) -> asyncio.Task[None]:
    return asyncio.get_running_loop().create_task(main)


def test_a_burst_of_refusals_is_one_cut() -> None:
    async def main() -> None:
        gate = gate_of(width=AimdLimit(start=8))
        (await gate.admit(CALL)).release()
        leases = [await gate.admit(CALL) for _ in range(8)]
        await asyncio.sleep(1)
        for lease in leases:
            lease.release(Kind.RATE, retry_after_s=7)
        assert gate.control.refused == 8
        assert gate.snapshot().concurrency == 2  # a quarter of 8
        assert gate.snapshot().cause == "the server asked to wait"
        started = now()
        await gate.admit(CALL)
        assert now() - started == pytest.approx(7)
        assert gate.snapshot().concurrency == 2
        await asyncio.sleep(0.5)
        assert gate.snapshot().concurrency == 4  # doubles each half second
        await asyncio.sleep(0.5)
        assert gate.snapshot().concurrency == 8

    run(main())


def test_after_a_pause_there_is_no_herd() -> None:
    async def main() -> None:
        gate = gate_of(width=64)
        leases = [await gate.admit(CALL) for _ in range(16)]
        for lease in leases:
            lease.release(Kind.RATE, retry_after_s=10)
        tasks = [waiter(gate) for _ in range(64)]
        await asyncio.sleep(10.01)
        assert sum(task.done() for task in tasks) <= 16
        for task in tasks:
            task.cancel()

    run(main())


@pytest.mark.parametrize("kind", [Kind.RATE, Kind.OVERLOAD])
def test_one_refused_call_waits_alone(kind: Kind) -> None:
    async def main() -> None:
        gate = gate_of(width=64)
        for _ in range(50):
            (await gate.admit(CALL)).release()
        assert not (await gate.admit(CALL)).release(kind, retry_after_s=30)
        await gate.admit(CALL)
        assert now() == 0.0

    run(main())


def test_a_silent_endpoint_gets_one_probe_at_a_time() -> None:
    async def main() -> None:
        gate = gate_of(width=8)
        for _ in range(5):
            (await gate.admit(CALL)).release(Kind.OVERLOAD)
        tasks = [waiter(gate) for _ in range(8)]
        await asyncio.sleep(0.9)
        assert not any(task.done() for task in tasks)
        assert gate.snapshot().cause == "the endpoint does not answer"
        await asyncio.sleep(0.2)
        done = [task for task in tasks if task.done()]
        assert len(done) == 1
        (await done[0]).release(Kind.OVERLOAD)
        await asyncio.sleep(0.9)
        assert sum(task.done() for task in tasks) == 1
        await asyncio.sleep(0.2)
        probe = next(task for task in tasks[1:] if task.done())
        (await probe).release()
        await settle()
        assert all(task.done() for task in tasks)

    run(main())


def test_a_cancelled_probe_frees_its_place() -> None:
    async def main() -> None:
        gate = gate_of(width=8)
        for _ in range(5):
            (await gate.admit(CALL)).release(Kind.OVERLOAD)
        probe = await gate.admit(CALL)
        second = waiter(gate)
        await settle()
        assert not second.done()
        probe.give_back()
        await settle()
        assert second.done()

    run(main())


async def keep_failing(gate: Gate) -> None:
    while now() < 600:
        (await gate.admit(CALL)).release(Kind.OVERLOAD)


def test_an_endpoint_that_stays_away_closes_the_gate() -> None:
    async def main() -> None:
        breaker = EndpointBreaker(max_wait_s=60)
        gate = gate_of(width=8, breaker=breaker, name="api.example")
        with pytest.raises(StoppedError, match=r"^api\.example does not answer; gave up$"):
            await keep_failing(gate)
        assert 60 <= now() <= 63

    run(main())


def test_closing_tells_all_who_wait_and_all_who_come() -> None:
    async def main() -> None:
        gate = gate_of(width=1)
        held = await gate.admit(CALL)
        tasks = [waiter(gate) for _ in range(3)]
        await settle()
        gate.close(StoppedError("no money left"))
        for task in tasks:
            with pytest.raises(StoppedError, match="no money left"):
                await task
        with pytest.raises(StoppedError):
            await gate.admit(CALL)
        held.release()  # a call in flight still ends well
        assert gate.in_flight == gate.waiting == 0

    run(main())


def test_evicted_waiters_leave_in_order_and_the_gate_stays_open() -> None:
    async def main() -> None:
        gate = gate_of(width=1)
        held = await gate.admit(CALL)
        left: list[int] = []

        async def call(number: int) -> None:
            try:
                await gate.admit(CALL)
            except EvictedError:
                left.append(number)

        tasks = [waiter_task(call(number)) for number in range(4)]
        await settle()
        gate.evict()
        await asyncio.gather(*tasks)
        assert left == [0, 1, 2, 3]
        held.release()
        await gate.admit(CALL)

    run(main())


def test_limits_of_headers_fill_what_was_not_declared() -> None:
    async def main() -> None:
        gate = gate_of(Limits(requests_per_min=60))
        hint = LimitHint(
            minute={
                Unit.REQUESTS: HeaderReading(limit=6000, remaining=5000),
                Unit.TOKENS: HeaderReading(limit=90_000, remaining=80_000),
            }
        )
        (await gate.admit(CALL)).release(hint=hint)
        assert gate.limits.requests_per_min == 60
        assert gate.limits.tokens_per_min == 90_000

    run(main())


def test_what_remains_lowers_the_level_and_never_raises_it() -> None:
    async def main() -> None:
        gate = gate_of(Limits(tokens_per_min=60_000))
        spent = LimitHint(minute={Unit.TOKENS: HeaderReading(limit=60_000, remaining=0)})
        full = LimitHint(minute={Unit.TOKENS: HeaderReading(limit=60_000, remaining=60_000)})
        (await gate.admit(Cost(1, 0))).release(hint=spent)
        started = now()
        lease = await gate.admit(Cost(491.7, 0))
        assert now() - started == pytest.approx(0.5, abs=0.01)
        await asyncio.sleep(0.4)
        lease.release(hint=full)
        started = now()
        await gate.admit(Cost(983, 0))
        assert now() - started > 0.5

    run(main())


def test_a_limit_of_zero_closes_the_gate() -> None:
    async def main() -> None:
        gate = gate_of(name="mistral-large")
        lease = await gate.admit(CALL)
        lease.release(Kind.RATE, hint=LimitHint(minute={Unit.REQUESTS: HeaderReading(limit=0)}))
        with pytest.raises(StoppedError, match="mistral-large is not on this key's plan"):
            await gate.admit(CALL)

    run(main())


def test_the_time_until_a_call_fits_counts_the_line() -> None:
    async def main() -> None:
        gate = gate_of(Limits(requests_per_min=60))
        assert gate.fits_in_s(CALL) == 0
        await gate.admit(CALL)
        assert gate.fits_in_s(CALL) == pytest.approx(1.0, abs=0.02)
        tasks = [waiter(gate) for _ in range(9)]
        await settle()
        assert gate.fits_in_s(CALL) == pytest.approx(10.0, abs=0.02)
        for task in tasks:
            task.cancel()
        await settle()
        assert gate.fits_in_s(CALL) == pytest.approx(1.0, abs=0.02)

    run(main())


def test_a_laptop_that_slept_an_hour_does_not_catch_up() -> None:
    async def main() -> None:
        gate = gate_of(Limits(requests_per_min=600))
        tasks = [waiter(gate) for _ in range(200)]
        await settle()
        loop = asyncio.get_running_loop()
        assert isinstance(loop, virtual_time.VirtualLoop)
        loop.jump(3600)
        await asyncio.sleep(0.001)
        await settle()
        assert sum(task.done() for task in tasks) <= 1 + 10  # one at the start, one bucketful
        for task in tasks:
            task.cancel()

    run(main())


def test_limits_may_change_while_calls_wait() -> None:
    async def main() -> None:
        gate = gate_of(Limits(requests_per_min=6))
        await gate.admit(CALL)
        task = waiter(gate)
        await asyncio.sleep(1)
        assert not task.done()
        gate.set_limits(Limits(requests_per_min=6000))
        await asyncio.sleep(0.05)
        assert task.done()

    run(main())


def test_a_call_that_may_write_more_than_a_minute_holds_goes_when_nothing_else_counts() -> None:
    async def main() -> None:
        gate = gate_of(Limits(tokens_per_min=6_000, charge=Charge.RECONCILED))
        small = await gate.admit(Cost(100, 50, 200))
        small.release(usage=Usage(100, 50))
        large = await gate.admit(Cost(1_000, 500, 9_000))
        assert 60.0 <= now() <= 61.0
        large.release(usage=Usage(1_000, 500))

    run(main())


def test_limits_that_are_taken_away_hold_nothing_up() -> None:
    async def main() -> None:
        gate = gate_of(Limits(requests_per_min=60))
        await gate.admit(CALL)
        gate.set_limits(Limits())
        for _ in range(10):
            await gate.admit(CALL)
        assert now() == 0.0

    run(main())


SPENT = LimitHint(minute={Unit.TOKENS: HeaderReading(60_000, 0.0)})


async def kept_waiting(gate: Gate, count: int) -> list[asyncio.Task[Lease]]:
    """Calls that wait for tokens, the last of them cancelled."""
    tasks = [waiter(gate) for _ in range(count)]
    await settle()
    tasks.pop().cancel()
    return tasks


@pytest.mark.parametrize("kind", [None, Kind.RATE], ids=["answer", "refusal"])
def test_those_who_wait_take_what_is_believed_when_they_go(kind: Kind | None) -> None:
    """Nothing is left where little was used: ``max_tokens`` counts, of the waiting calls too."""

    async def main() -> None:
        gate = gate_of(Limits(tokens_per_min=60_000))
        lease = await gate.admit(CALL)
        await asyncio.sleep(61)
        await gate.admit(Cost(20_000, 0))  # a debt of 19 s
        tasks = await kept_waiting(gate, 50)
        lease.release(kind, usage=Usage(100, 100), hint=SPENT)
        for task in tasks:
            assert (await task).amounts[Unit.TOKENS] == 500
        assert (await gate.admit(CALL)).amounts[Unit.TOKENS] == 500

    run(main())


def test_a_line_that_weighs_anew_is_empty_in_the_end() -> None:
    async def main() -> None:
        gate = gate_of(Limits(tokens_per_min=60_000))
        lease = await gate.admit(CALL)
        await asyncio.sleep(61)
        await gate.admit(Cost(20_000, 0))
        tasks = await kept_waiting(gate, 50)
        lease.release(usage=Usage(100, 100), hint=SPENT)  # before the cancelled one has woken
        assert gate._line.ahead[Unit.TOKENS] == 49 * 500 + 200
        await settle()
        assert gate._line.ahead[Unit.TOKENS] == 49 * 500
        await asyncio.gather(*tasks)
        assert gate._line.ahead == [0.0] * 5

    run(main())


@pytest.mark.parametrize("rpm", [1e9, 1e25, math.inf])
def test_a_limit_that_is_none_costs_no_memory(rpm: float) -> None:
    """As a proxy before a server of one's own may send it, or a user who wants no limit."""

    async def main() -> None:
        gate = gate_of()
        hint = LimitHint(minute={Unit.REQUESTS: HeaderReading(limit=rpm, remaining=rpm)})
        for _ in range(3_000):
            (await gate.admit(CALL)).release(hint=hint)
            await asyncio.sleep(0.01)
        assert now() == pytest.approx(30.0)
        assert gate._quota._second is None

    run(main())


def test_no_call_goes_beyond_the_width_while_a_pace_waits_for_its_first_answer() -> None:
    async def main() -> None:
        gate = gate_of(width=AimdLimit(start=4))
        (first, *_) = [await gate.admit(CALL) for _ in range(4)]
        calls = [waiter(gate) for _ in range(400)]
        await settle()
        first.release(Kind.RATE)
        for _ in range(600):
            await asyncio.sleep(0.05)
            assert gate.in_flight <= gate.snapshot().concurrency
        assert gate.in_flight > 4
        for call in calls:
            call.cancel()
        await asyncio.gather(*calls, return_exceptions=True)

    run(main())
