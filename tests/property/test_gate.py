"""What the gate promises, on a clock that jumps, over whatever calls hypothesis can think of."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support import virtual_time

from pairmill.errors import Kind
from pairmill.llm.limits.gate import Cost, Gate, Lease, Limits
from pairmill.llm.limits.headers import Unit
from pairmill.llm.limits.windows import Bucket
from pairmill.records import Usage

if TYPE_CHECKING:
    from collections.abc import Sequence

EPSILON = 1e-6


@dataclass(frozen=True)
class Call:
    at: float
    tokens: int
    holds: float
    used: int
    cancel_after: float | None
    retry: bool


calls = st.lists(
    st.builds(
        Call,
        at=st.floats(0, 20),
        tokens=st.integers(1, 3000),  # up to three times the bucket
        holds=st.floats(0, 5),
        used=st.integers(0, 3000),
        cancel_after=st.none() | st.floats(0, 10),
        retry=st.booleans(),
    ),
    min_size=1,
    max_size=40,
)


@dataclass
class Log:
    granted: list[tuple[float, Call, Lease]]
    asked: list[Call]
    peak: int = 0


async def play(gate: Gate, script: Sequence[Call], *, reconcile: bool) -> Log:
    log = Log([], [])
    loop = asyncio.get_running_loop()

    async def one(call: Call) -> None:
        await asyncio.sleep(call.at)
        log.asked.append(call)
        lease = await gate.admit(Cost(call.tokens, 0), retry=call.retry)
        log.granted.append((loop.time(), call, lease))
        log.peak = max(log.peak, gate.in_flight)
        try:
            await asyncio.sleep(call.holds)
        finally:
            lease.release(usage=Usage(call.used, 0) if reconcile else None)

    async def maybe_cancelled(call: Call) -> None:
        task = loop.create_task(one(call))
        if call.cancel_after is not None:
            loop.call_later(call.at + call.cancel_after, task.cancel)
        await asyncio.wait([task])

    await asyncio.gather(*(maybe_cancelled(call) for call in script))
    return log


def gate_of(width: int = 4) -> Gate:
    limits = Limits(requests_per_min=120, tokens_per_min=60_000)
    return Gate(limits, clock=asyncio.get_running_loop().time, width=width)


def in_windows(log: Log, unit: Unit, rate: float, capacity: float) -> None:
    """In no window between two grants did more go than the rate and one bucketful allow."""
    times = [at for at, _, _ in log.granted]
    amounts = [lease.amounts[unit] for _, _, lease in log.granted]
    ceiling = max(capacity, *amounts)
    for first in range(len(times)):
        total = 0.0
        for last in range(first, len(times)):
            total += amounts[last]
            assert total <= rate * (times[last] - times[first]) + ceiling + EPSILON * len(times)


@given(calls)
@settings(deadline=None)
def test_no_window_exceeds_rate_and_capacity(script: list[Call]) -> None:
    async def main() -> None:
        gate = gate_of()
        log = await play(gate, script, reconcile=False)
        if log.granted:
            in_windows(log, Unit.TOKENS, 60_000 / 61.0169, 60_000 / 61.0169)
            in_windows(log, Unit.REQUESTS, 120 / 61.0169, 120 / 61.0169)
        assert log.peak <= 4

    virtual_time.run(main())


@given(calls, st.booleans())
@settings(deadline=None)
def test_every_grant_comes_back_and_everyone_is_served(script: list[Call], reconcile: bool) -> None:
    """Whenever a call is cancelled: waiting, granted but not awake, or under way."""

    async def main() -> None:
        gate = gate_of(width=2)
        log = await play(gate, script, reconcile=reconcile)
        assert gate.in_flight == 0
        assert gate.waiting == 0
        assert gate._line.ahead == [0.0] * 5
        patient = sum(call.cancel_after is None for call in log.asked)
        served = sum(call.cancel_after is None for _, call, _ in log.granted)
        assert served == patient
        assert gate.snapshot().sent == len(log.granted)

    virtual_time.run(main())


@given(calls)
@settings(deadline=None)
def test_each_line_is_served_in_the_order_of_asking(script: list[Call]) -> None:
    async def main() -> None:
        gate = gate_of(width=2)
        log = await play(gate, script, reconcile=True)
        for retry in (False, True):
            granted = [id(call) for _, call, _ in log.granted if call.retry is retry]
            kept = set(granted)
            assert granted == [id(call) for call in log.asked if id(call) in kept]

    virtual_time.run(main())


@given(
    st.lists(
        st.tuples(st.floats(0, 5), st.floats(1, 30), st.floats(-30, 30)), min_size=1, max_size=60
    )
)
def test_a_bucket_gives_out_what_flowed_in_and_no_more(steps: list[tuple[float, ...]]) -> None:
    """Settlements included: what was taken, less what was given back, is bounded the same way."""
    bucket = Bucket(7.0, 20.0, level=10.0, now=0.0)
    now = 0.0
    taken = 0.0
    biggest = 0.0
    for gap, amount, back in steps:
        now += gap
        wait_s = bucket.wait_s(amount, now)
        now += wait_s
        assert (
            bucket.wait_s(amount, now) == 0.0 or wait_s == 0.0 or bucket.wait_s(amount, now) < 1e-6
        )
        bucket.take(amount)
        taken += amount
        biggest = max(biggest, amount)
        refund = min(back, amount)
        bucket.give(refund, now)
        taken -= refund
        debt = max(0.0, -min(steps[i][2] for i in range(len(steps))))
        assert taken <= 7.0 * now + max(20.0, biggest) + debt + EPSILON
        assert bucket.level <= bucket.capacity


def test_a_call_of_most_of_the_bucket_is_not_starved_by_small_ones() -> None:
    async def main() -> None:
        gate = Gate(Limits(tokens_per_min=61_017), clock=asyncio.get_running_loop().time, width=999)
        loop = asyncio.get_running_loop()
        stop = False

        async def small() -> None:
            while not stop:
                (await gate.admit(Cost(10, 0))).release()

        loops = [loop.create_task(small()) for _ in range(50)]
        await asyncio.sleep(10)
        started = loop.time()
        await gate.admit(Cost(600, 0))  # 60 % of the bucket
        waited = loop.time() - started
        stop = True
        await asyncio.gather(*loops)
        assert waited < 1.2  # the 50 before it, and its own 0.6 s

    virtual_time.run(main())


def test_a_grant_that_its_owner_never_woke_for_goes_to_the_next() -> None:
    """The narrowest gap: cancelled after the grant, before the waiter ran again."""

    async def main() -> None:
        gate = Gate(clock=asyncio.get_running_loop().time, width=1)
        loop = asyncio.get_running_loop()
        held = await gate.admit(Cost())
        first = loop.create_task(gate.admit(Cost()))
        second = loop.create_task(gate.admit(Cost()))
        await asyncio.sleep(0)
        held.release()  # grants to the first
        first.cancel()
        await asyncio.wait([first, second])
        assert first.cancelled()
        assert gate.in_flight == 1
        (await second).release()
        assert gate.in_flight == 0

    virtual_time.run(main())


def test_ten_thousand_waiters_cost_no_more_each_than_ten() -> None:
    """Operations, not seconds: tests of the head, and timers set, per call."""

    def operations(waiters: int) -> tuple[float, float]:
        async def main() -> tuple[float, float]:
            loop = asyncio.get_running_loop()
            gate = Gate(Limits(requests_per_min=600_000), clock=loop.time, width=64)
            tests = timers = 0
            wait_s, call_later = gate._wait_s, loop.call_later

            def counting_wait_s(*args: object) -> float:
                nonlocal tests
                tests += 1
                return wait_s(*args)  # type: ignore[arg-type]

            def counting_call_later(*args: object) -> asyncio.TimerHandle:
                nonlocal timers
                timers += 1
                return call_later(*args)  # type: ignore[arg-type]

            gate._wait_s = counting_wait_s  # type: ignore[method-assign,assignment]

            async def call() -> None:
                (await gate.admit(Cost())).release()

            tasks = [loop.create_task(call()) for _ in range(waiters)]
            loop.call_later = counting_call_later  # type: ignore[method-assign,assignment]
            await asyncio.gather(*tasks)
            return tests / waiters, timers / waiters

        return virtual_time.run(main())

    tests, timers = operations(10_000)
    assert tests <= 4
    assert timers <= 1.1
    few_tests, _ = operations(100)
    assert tests <= few_tests + 1


@given(
    st.lists(
        st.sampled_from([None, Kind.RATE, Kind.OVERLOAD, Kind.TIMEOUT, Kind.BADOUT]), max_size=60
    )
)
@settings(deadline=None)
def test_whatever_calls_end_in_the_line_always_moves_on(kinds: list[Kind | None]) -> None:
    async def main() -> None:
        gate = Gate(Limits(requests_per_min=600), clock=asyncio.get_running_loop().time)

        async def call(kind: Kind | None) -> None:
            lease = await gate.admit(Cost(10, 10))
            await asyncio.sleep(1)
            lease.release(kind, usage=Usage(10, 10) if kind is None else None)

        await asyncio.gather(*(call(kind) for kind in kinds), call(None))
        assert gate.in_flight == gate.waiting == 0

    virtual_time.run(main())


def test_times_of_grants_never_run_backwards() -> None:
    async def main() -> None:
        script = [Call(i * 0.01, 100, 0.5, 100, None, retry=i % 3 == 0) for i in range(200)]
        log = await play(gate_of(), script, reconcile=True)
        assert all(a <= b for (a, _, _), (b, _, _) in pairwise(log.granted))

    virtual_time.run(main())
