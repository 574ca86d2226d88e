"""A number of calls that the user gave: reached soon, but not in one instant."""

from __future__ import annotations

import asyncio

from tests.support import virtual_time

from pairmill.llm.limits.concurrency import FixedLimit
from pairmill.llm.limits.gate import Cost, Gate

CALL = Cost(100, 100, 400)


async def most_in_flight(gate: Gate, callers: int, seconds: list[float]) -> list[int]:
    """Calls that never end: how many are in flight at each of these times."""
    tasks = [asyncio.get_running_loop().create_task(gate.admit(CALL)) for _ in range(callers)]
    found, before = [], 0.0
    for at in seconds:
        await asyncio.sleep(at - before)
        before = at
        found.append(gate.in_flight)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    return found


def gate_of(width: int) -> Gate:
    return Gate(clock=asyncio.get_running_loop().time, width=FixedLimit(width))


def test_a_small_number_is_there_at_once_and_a_large_one_within_its_thousands_of_seconds() -> None:
    async def main() -> None:
        assert await most_in_flight(gate_of(64), 100, [0.001]) == [64]
        found = await most_in_flight(gate_of(1024), 2000, [0.001, 0.5, 1.1])
        assert found[0] <= 90
        assert 450 <= found[1] <= 600
        assert found[2] == 1024

    virtual_time.run(main())


def test_a_pause_in_between_is_not_made_up_for_at_once() -> None:
    async def main() -> None:
        gate = gate_of(1024)
        assert (await most_in_flight(gate, 100, [1.0]))[0] == 100
        await asyncio.sleep(60)
        assert (await most_in_flight(gate, 900, [0.001]))[0] <= 100 + 25

    virtual_time.run(main())


def test_a_share_of_it_holds_at_once_and_the_whole_is_reached_again() -> None:
    limit = FixedLimit(1000)
    limit.narrow(30)
    assert (limit.most, limit.limit) == (30, 30)
    limit.narrow(1000)
    assert limit.limit == 64
    now = 5.0
    while limit.on_full(now) != float("inf"):
        now += 0.004
    assert limit.limit == 1000
    assert 5.9 <= now <= 6.0
