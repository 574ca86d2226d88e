"""The gate beside aiolimiter, an independent bucket: where they agree, and why the gate is its own.

If one of the last two tests fails after an update, docs/decisions/0002 may be looked at again.
"""

from __future__ import annotations

import asyncio
from collections import Counter

from aiolimiter import AsyncLimiter
from tests.support import virtual_time

from pairmill.llm.limits.gate import Cost, Gate, Limits

A_SECOND = 60 * 60 / 59  # tokens a minute that make one a second, with the headroom
REQUEST_A_SECOND = 60 * 1.012  # and requests

STEP_S = 1e-5  # aiolimiter would spin on a clock that stands still between timers


async def through(acquire: object, until_s: float) -> Counter[int]:
    """How many calls of equal size 20 eager callers get through, by the second."""
    loop = asyncio.get_running_loop()
    count: Counter[int] = Counter()

    async def caller() -> None:
        while True:
            await acquire()  # type: ignore[operator]
            count[int(loop.time())] += 1

    tasks = [loop.create_task(caller()) for _ in range(20)]
    await asyncio.sleep(until_s)
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    return count


def both(until_s: float) -> tuple[Counter[int], Counter[int]]:
    async def ours() -> Counter[int]:
        limits = Limits(requests_per_min=30 * REQUEST_A_SECOND)
        gate = Gate(limits, clock=asyncio.get_running_loop().time, width=99)

        async def admit() -> None:
            (await gate.admit(Cost())).release()

        return await through(admit, until_s)

    async def theirs() -> Counter[int]:
        return await through(AsyncLimiter(60, 2).acquire, until_s)

    return virtual_time.run(ours(), step_s=STEP_S), virtual_time.run(theirs(), step_s=STEP_S)


def test_in_the_long_run_they_agree_on_calls_of_one_size() -> None:
    ours, theirs = both(60)
    late_ours = sum(count for second, count in ours.items() if second >= 10)
    late_theirs = sum(count for second, count in theirs.items() if second >= 10)
    assert abs(late_ours - late_theirs) <= 3


def test_only_aiolimiter_doubles_the_first_period() -> None:
    ours, theirs = both(2)
    assert ours.total() <= 62
    assert theirs.total() >= 115  # a full bucket of 60, and 60 that flowed in


def test_only_aiolimiter_lets_small_calls_overtake_a_large_one() -> None:
    async def waited(acquire: object) -> float:
        loop = asyncio.get_running_loop()

        async def small() -> None:
            while True:
                await acquire(10)  # type: ignore[operator]

        tasks = [loop.create_task(small()) for _ in range(50)]
        await asyncio.sleep(5)
        large = loop.create_task(acquire(600))  # type: ignore[operator]
        started = loop.time()
        await asyncio.wait([large], timeout=10)
        seconds = loop.time() - started
        for task in (*tasks, large):
            task.cancel()
        await asyncio.wait([*tasks, large])
        return seconds

    async def ours() -> float:
        limits = Limits(tokens_per_min=1000 * A_SECOND)
        gate = Gate(limits, clock=asyncio.get_running_loop().time, width=99)

        async def admit(tokens: int) -> None:
            (await gate.admit(Cost(tokens, 0))).release()

        return await waited(admit)

    async def theirs() -> float:
        return await waited(AsyncLimiter(1000, 1).acquire)

    assert virtual_time.run(ours(), step_s=STEP_S) < 1.2
    assert virtual_time.run(theirs(), step_s=STEP_S) >= 10
