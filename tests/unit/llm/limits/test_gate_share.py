"""A gate that may use a part of its limits, for a while: what a shared quota asks of it."""

from __future__ import annotations

import asyncio
import math

from tests.support import virtual_time

from pairmill.llm.limits.concurrency import FixedLimit
from pairmill.llm.limits.gate import Cost, Gate, Limits
from pairmill.llm.limits.headers import HeaderReading, LimitHint, Unit

CALL = Cost(100, 100, 400)


def gate_of(limits: Limits | None = None, width: int = 10_000) -> Gate:
    return Gate(limits, clock=asyncio.get_running_loop().time, width=FixedLimit(width))


async def admitted_in(gate: Gate, seconds: float) -> int:
    count = 0

    async def call() -> None:
        nonlocal count
        while True:
            lease = await gate.admit(CALL)
            count += 1
            lease.release()

    tasks = [asyncio.get_running_loop().create_task(call()) for _ in range(20)]
    await asyncio.sleep(seconds)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    return count


def test_without_a_share_nobody_goes_and_with_one_as_many_as_it_allows() -> None:
    async def main() -> None:
        gate = gate_of(Limits(requests_per_min=600))
        gate.set_share(0.0, -math.inf)
        assert await admitted_in(gate, 5) == 0
        assert gate.snapshot().cause == "it waits for its part of the shared quota"
        gate.set_share(0.25, math.inf)
        assert 130 <= await admitted_in(gate, 60) <= 151
        gate.set_share(1.0, math.inf)
        assert 570 <= await admitted_in(gate, 60) <= 605

    virtual_time.run(main())


def test_a_share_ends_by_itself_and_who_waits_goes_on_with_the_next() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        gate = gate_of(Limits(requests_per_min=600))
        gate.set_share(0.5, loop.time() + 10)
        early = await admitted_in(gate, 10)
        assert 40 <= early <= 51
        assert await admitted_in(gate, 30) == 0
        waiting = loop.create_task(gate.admit(CALL))
        await asyncio.sleep(1)
        assert not waiting.done()
        gate.set_share(0.5, loop.time() + 10)
        (await waiting).release()

    virtual_time.run(main())


def test_a_width_that_was_given_is_shared_too() -> None:
    async def main() -> None:
        gate = gate_of(width=8)
        gate.set_share(0.25, math.inf)
        assert gate.snapshot().concurrency == 2
        gate.set_share(0.01, math.inf)
        assert gate.snapshot().concurrency == 1
        gate.set_share(1.0, math.inf)
        assert gate.snapshot().concurrency == 8

    virtual_time.run(main())


def test_limits_that_another_learned_are_adopted_where_none_is_known() -> None:
    async def main() -> None:
        gate = gate_of(Limits(requests_per_min=600))
        gate.set_share(0.5, math.inf)
        gate.learn({"REQUESTS": 10.0, "TOKENS": 9000.0})
        assert gate.limits.requests_per_min == 600
        assert gate.limits.tokens_per_min == 9000
        assert gate.limits.share == 0.5
        lease = await gate.admit(CALL)
        hint = LimitHint(minute={Unit.TOKENS: HeaderReading(limit=12_000, remaining=11_000)})
        lease.release(hint=hint)
        assert gate.limits.tokens_per_min == 12_000  # its own reading counts for more
        assert gate.limits.share == 0.5

    virtual_time.run(main())


def test_a_pause_that_another_met_holds_all() -> None:
    async def main() -> None:
        gate = gate_of()
        gate.pause(5.0)
        waiting = asyncio.get_running_loop().create_task(gate.admit(CALL))
        await asyncio.sleep(4.9)
        assert not waiting.done()
        await asyncio.sleep(0.2)
        assert waiting.done()

    virtual_time.run(main())
