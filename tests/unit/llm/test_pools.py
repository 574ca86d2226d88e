from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from tests.support import virtual_time

from pairmill.errors import Kind, ProviderError, StoppedError
from pairmill.llm.limits.gate import Charge, Cost, Gate, Limits
from pairmill.llm.pools import Pool, PoolLease, Pools

if TYPE_CHECKING:
    from collections.abc import Coroutine

CALL = Cost(100, 100, 400)


def pool(name: str, rpm: float = 600, **more: object) -> Pool:
    limits = Limits(requests_per_min=rpm)
    return Pool(name, f"https://{name}/v1", "KEY", "m", limits=limits, **more)  # type: ignore[arg-type]


def pools_of(*pools: Pool) -> Pools:
    clock = asyncio.get_running_loop().time
    return Pools(pools, lambda p: Gate(p.limits, clock=clock, width=p.concurrency, name=p.name))


def run(main: Coroutine[object, object, None]) -> None:
    virtual_time.run(main)


async def use(pools: Pools) -> str:
    lease = await pools.admit(CALL)
    lease.release()
    return lease.pool.name


def refuse(lease: PoolLease, kind: Kind) -> None:
    """Let a pool refuse as many different requests as it takes to be given up; end the lease."""
    for number in range(kind.meaning.strikes):
        lease.fail(ProviderError(kind, "no"), f"request {number}")


def ask(pools: Pools) -> asyncio.Task[PoolLease]:
    return asyncio.get_running_loop().create_task(pools.admit(CALL))


def test_a_pool_whose_last_minute_is_full_is_passed_over() -> None:
    """What calls under way may write fills it, long after the bucket has filled again."""

    async def main() -> None:
        strict = Limits(tokens_per_min=60_000, charge=Charge.RECONCILED)
        free = Limits(tokens_per_min=60_000)
        key = ("https://a/v1", "KEY", "m")
        pools = pools_of(Pool("full", *key, limits=strict), Pool("free", *key, limits=free))
        cost = Cost(500, 500, 50_000)
        assert (await pools.admit(cost)).pool.name == "full"
        assert (await pools.admit(cost)).pool.name == "free"
        await asyncio.sleep(5)  # both buckets are full
        lease = await asyncio.wait_for(pools.admit(cost), 1)
        assert lease.pool.name == "free"

    run(main())


def test_a_gate_whose_second_is_full_says_when_it_is_not() -> None:
    async def main() -> None:
        gate = Gate(Limits(requests_per_min=60), clock=asyncio.get_running_loop().time, width=9)
        await gate.admit(CALL)
        await asyncio.sleep(1.0)  # the bucket has its next call; the second and its margin do not
        assert gate.fits_in_s(CALL) == pytest.approx(0.012)

    run(main())


def test_calls_spread_as_the_limits_allow() -> None:
    async def main() -> None:
        pools = pools_of(pool("slow", 60), pool("fast", 540))
        count = {"slow": 0, "fast": 0}

        async def worker() -> None:
            loop = asyncio.get_running_loop()
            while loop.time() < 60:
                lease = await pools.admit(CALL)
                count[lease.pool.name] += loop.time() < 60
                lease.release()

        await asyncio.gather(*(worker() for _ in range(20)))
        assert count["slow"] == pytest.approx(59, abs=3)
        assert count["fast"] == pytest.approx(531, abs=10)

    run(main())


def test_the_first_of_equals_is_preferred() -> None:
    async def main() -> None:
        pools = pools_of(pool("a"), pool("b"))
        assert (await pools.admit(CALL)).pool.name == "a"
        assert (await pools.admit(CALL)).pool.name == "b"

    run(main())


@pytest.mark.parametrize("kind", [Kind.AUTH, Kind.QUOTA, Kind.CONFIG])
def test_a_dead_pools_calls_move_on(kind: Kind) -> None:
    async def main() -> None:
        pools = pools_of(pool("a", 6000, concurrency=1), pool("b", 6000, concurrency=1))
        on_a, on_b = await pools.admit(CALL), await pools.admit(CALL)
        waiting = [asyncio.get_running_loop().create_task(use(pools)) for _ in range(6)]
        await asyncio.sleep(0)
        assert pools.gate("a").waiting == 3
        refuse(on_a, kind)
        assert [p.name for p in pools.alive] == ["b"]
        on_b.release()
        assert await asyncio.gather(*waiting) == ["b"] * 6

    run(main())


def test_when_none_is_left_one_line_says_why() -> None:
    async def main() -> None:
        pools = pools_of(pool("a"), pool("b"))
        first, second = await pools.admit(CALL), await pools.admit(CALL)
        waiting = [ask(pools) for _ in range(3)]
        await asyncio.sleep(0)
        refuse(first, Kind.AUTH)
        refuse(second, Kind.QUOTA)
        for task in waiting:
            with pytest.raises(StoppedError) as caught:
                await task
            assert str(caught.value) == (
                "no pools are left (a: its key was refused: no; b: its quota or credit is used up: "
                "no); fix that, then run the same command again"
            )
            assert caught.value.exit_code == 75

    run(main())


def test_a_paused_pool_sends_its_waiters_to_the_other() -> None:
    async def main() -> None:
        pools = pools_of(pool("a", concurrency=16), pool("b", concurrency=16))
        leases = [await pools.admit(CALL) for _ in range(32)]
        waiting = [asyncio.get_running_loop().create_task(use(pools)) for _ in range(8)]
        await asyncio.sleep(0)
        on_a = [lease for lease in leases if lease.pool.name == "a"]
        for lease in on_a:
            lease.fail(ProviderError(Kind.RATE, "no", retry_after_s=60))
        await asyncio.sleep(0.01)
        assert pools.gate("a").waiting == 0
        for lease in leases:
            lease.release()
        assert await asyncio.gather(*waiting) == ["b"] * 8
        assert asyncio.get_running_loop().time() < 60

    run(main())


def test_a_single_paused_pool_keeps_its_line() -> None:
    async def main() -> None:
        pools = pools_of(pool("a", concurrency=16))
        held = [await pools.admit(CALL) for _ in range(16)]
        for lease in held:
            lease.fail(ProviderError(Kind.RATE, "no", retry_after_s=60))
        assert held[-1].is_held
        (await ask(pools)).release()
        assert 60.0 <= asyncio.get_running_loop().time() <= 63.0

    run(main())


def test_two_keys_of_one_organisation_share_their_limits() -> None:
    async def main() -> None:
        pools = pools_of(pool("a", 60, scope="org"), pool("b", 60, scope="org"))
        assert pools.gate("a") is pools.gate("b")
        first = await pools.admit(CALL)
        await pools.admit(CALL)
        assert asyncio.get_running_loop().time() == pytest.approx(1.017, abs=0.01)
        task = ask(pools)
        await asyncio.sleep(0)
        refuse(first, Kind.AUTH)  # one key is gone, the other works on
        assert (await task).pool.name == "b"
        first.give_back()

    run(main())


def test_a_spent_scope_is_gone_for_all_its_keys() -> None:
    async def main() -> None:
        pools = pools_of(pool("a", scope="org"), pool("b", scope="org"), pool("c"))
        lease = await pools.admit(CALL)
        refuse(lease, Kind.QUOTA)
        assert [p.name for p in pools.alive] == ["c"]

    run(main())


def test_escalation_is_for_calls_that_name_it_only() -> None:
    async def main() -> None:
        pools = pools_of(pool("cheap"), pool("strong", is_escalation=True))
        for _ in range(5):
            assert (await pools.admit(CALL)).pool.name == "cheap"
            assert (await pools.admit(CALL, among={"strong"})).pool.name == "strong"
        pools.drop("strong", "its key was refused")
        with pytest.raises(StoppedError, match="strong: its key was refused"):
            await pools.admit(CALL, among={"strong"})
        assert (await pools.admit(CALL)).pool.name == "cheap"

    run(main())


def test_an_endpoint_that_stays_silent_is_dropped() -> None:
    async def main() -> None:
        pools = pools_of(pool("a"), pool("b"))
        pools.gate("a").close(StoppedError("a does not answer; gave up"))
        for _ in range(3):
            assert (await pools.admit(CALL)).pool.name == "b"
        pools.gate("b").close(StoppedError("b does not answer; gave up"))
        with pytest.raises(StoppedError, match="b does not answer; gave up"):
            await pools.admit(CALL)

    run(main())


def test_cancelled_while_waiting_nothing_is_lost() -> None:
    async def main() -> None:
        pools = pools_of(pool("a", concurrency=1))
        held = await pools.admit(CALL)
        task = ask(pools)
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        held.release()
        (await pools.admit(CALL)).release()
        assert pools.gate("a").in_flight == 0

    run(main())


@pytest.mark.parametrize("others", [0, 1])
def test_a_pool_that_asks_all_calls_to_wait_for_a_day_is_not_waited_for(others: int) -> None:
    """Although it answered a moment ago."""

    async def main() -> None:
        pools = pools_of(pool("a", 6_000), *[pool("b", 6_000)] * others)
        leases = [await pools.admit(CALL, among=["a"]) for _ in range(40)]
        leases.pop(0).release()
        day = ProviderError(Kind.RATE, "slow down", status=429, retry_after_s=86_400.0)
        for number, lease in enumerate(leases):
            lease.fail(day, f"request {number}")
        assert [pool.name for pool in pools.alive] == ["b"][:others]
        if not others:
            with pytest.raises(StoppedError, match="asks to wait for long: slow down"):
                await pools.admit(CALL)

    run(main())
