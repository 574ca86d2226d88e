"""A model server in virtual time that refuses calls for reasons of its own, and its callers.

What it refuses may have nothing to do with how fast it is asked: by chance, in waves, by one sick
replica of several; and it may have a quota beside. The caller is the real gate with the real retry
policy, or a bare loop that lets the refused call alone wait.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from dataclasses import dataclass, field
from itertools import count
from typing import TYPE_CHECKING

from tests.support import virtual_time

from pairmill.errors import Kind, ProviderError
from pairmill.llm.limits.gate import Cost, Gate, Limits
from pairmill.llm.pools import Pool, Pools
from pairmill.llm.retry import GiveUp, History, RetryPolicy
from pairmill.records import Usage
from pairmill.simulator.quotas import Enforcer, QuotaRefusal

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pairmill.llm.limits.concurrency import ConcurrencyLimit
    from pairmill.simulator.settings import SimulatedQuota

__all__ = ["Noise", "Outcome", "Server", "bare_loop", "gated", "pooled", "steady", "waves"]

REFUSED_AFTER_S = 0.02
_USAGE = Usage(500, 400)


def steady(share: float) -> Callable[[float], float]:
    """The same share all the time."""
    return lambda _now: share


def waves(share: float, on_s: float, off_s: float) -> Callable[[float], float]:
    """``share`` for ``on_s``, then nothing for ``off_s``, again and again, after ``off_s``."""
    return lambda now: share if now % (on_s + off_s) >= off_s else 0.0


@dataclass(frozen=True)
class Noise:
    """Refusals that do not depend on the rate.

    Attributes:
        share: Of the calls, by the time.
        kind, retry_after_s: How they are refused.
        sick: Of ``replicas`` behind one balancer, taken in turn, refuse all that they get.
    """

    share: Callable[[float], float] = field(default_factory=lambda: steady(0.0))
    kind: Kind = Kind.RATE
    retry_after_s: float | None = None
    sick: int = 0
    replicas: int = 3


@dataclass
class Outcome:
    """What came of it, by the second; ``over``: refused by the quota, and not by chance."""

    done: Counter[int] = field(default_factory=Counter)
    refused: Counter[int] = field(default_factory=Counter)
    over: Counter[int] = field(default_factory=Counter)
    paces: list[tuple[float, float | None, int]] = field(default_factory=list)

    def per_s(self, since_s: int, until_s: int) -> float:
        """Calls answered a second."""
        return sum(self.done[second] for second in range(since_s, until_s)) / (until_s - since_s)

    def seconds_for(self, calls: int) -> int:
        """Whole seconds until so many calls had been answered."""
        second = 0
        while calls > 0:
            calls -= self.done[second]
            second += 1
            assert second <= max(self.done, default=0) + 1, "not so many were"
        return second

    def refused_share(self, since_s: int, until_s: int) -> float:
        """Of the calls that were sent."""
        return self._share(self.refused, since_s, until_s)

    def over_share(self, since_s: int, until_s: int) -> float:
        """Refused by the quota, of the calls that were sent."""
        return self._share(self.over, since_s, until_s)

    def _share(self, counts: Counter[int], since_s: int, until_s: int) -> float:
        sent = sum(self.refused[second] + self.done[second] for second in range(since_s, until_s))
        return sum(counts[second] for second in range(since_s, until_s)) / max(1, sent)


class Server:
    """Answers after ``seconds``; refuses by chance, and what is over its quota."""

    def __init__(
        self,
        noise: Noise,
        *,
        seconds: float = 0.3,
        quota: SimulatedQuota | None = None,
        seed: int = 1,
        says_wait: bool = True,
    ) -> None:
        self.loop = asyncio.get_running_loop()
        self.noise = noise
        self.seconds = seconds
        self.dice = random.Random(seed)
        self.enforcer = Enforcer(quota, self.loop.time()) if quota else None
        self.says_wait = says_wait
        self.outcome = Outcome()
        self._turn = 0

    async def call(self) -> None:
        await asyncio.sleep(0.005 + self.dice.random() * 0.01)
        now, noise = self.loop.time(), self.noise
        charge = self.enforcer.admit(500, 1000, now) if self.enforcer else None
        if isinstance(charge, QuotaRefusal):
            self.outcome.over[int(now)] += 1
            await self._refuse(Kind.RATE, charge.wait_s if self.says_wait else None)
        self._turn += 1
        is_sick = self._turn % noise.replicas < noise.sick
        if is_sick or self.dice.random() < noise.share(now):
            await self._refuse(noise.kind, noise.retry_after_s)
        await asyncio.sleep(self.seconds * self.dice.lognormvariate(0.0, 0.2))
        if self.enforcer and charge is not None and not isinstance(charge, QuotaRefusal):
            self.enforcer.settle(charge, 900, self.loop.time())
        self.outcome.done[int(self.loop.time())] += 1

    async def _refuse(self, kind: Kind, retry_after_s: float | None) -> None:
        await asyncio.sleep(REFUSED_AFTER_S)
        self.outcome.refused[int(self.loop.time())] += 1
        raise ProviderError(kind, "no", status=429, retry_after_s=retry_after_s)


def gated(  # noqa: C901 (client and server in one loop)
    noise: Noise,
    *,
    until_s: float,
    workers: int,
    width: ConcurrencyLimit | int | None = None,
    limits: Limits | None = None,
    seed: int = 1,
    **server_settings: object,
) -> Outcome:
    """``workers`` that keep asking through the real gate, with the real retry policy."""

    async def main() -> Outcome:  # noqa: C901
        loop = asyncio.get_running_loop()
        server = Server(noise, seed=seed, **server_settings)  # type: ignore[arg-type]
        gate = Gate(limits, clock=loop.time, width=width)
        policy, dice = RetryPolicy(max_wait_s=1e9), random.Random(seed)

        async def worker() -> None:
            while True:
                history = History()
                while True:
                    lease = await gate.admit(Cost(500, 400, 1000), retry=history.failures > 0)
                    try:
                        await server.call()
                    except ProviderError as error:
                        is_held = lease.release(error.kind, retry_after_s=error.retry_after_s)
                        decision = policy.decide(error, history, dice)
                        assert not isinstance(decision, GiveUp)
                        history = history.after(error, alone=True)
                        if not is_held:
                            await asyncio.sleep(decision.seconds)
                    else:
                        lease.release(usage=_USAGE)
                        break

        async def watch() -> None:
            while True:
                await asyncio.sleep(1)
                shot = gate.snapshot()
                server.outcome.paces.append((loop.time(), gate.control.pace, shot.concurrency))

        tasks = [loop.create_task(worker()) for _ in range(workers)] + [loop.create_task(watch())]
        await asyncio.sleep(until_s)
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        for task in tasks:
            if not task.cancelled() and task.exception():
                raise task.exception()  # type: ignore[misc]
        return server.outcome

    return virtual_time.run(main())


def pooled(  # noqa: C901 (clients and servers in one loop)
    noises: Sequence[Noise], *, until_s: float, workers: int, width: int, seed: int = 1,
    seconds: float = 1.0,
) -> list[Outcome]:  # fmt: skip
    """``workers`` that keep asking several pools; what came of each."""

    async def main() -> list[Outcome]:
        loop = asyncio.get_running_loop()
        servers = {
            f"pool {number}": Server(noise, seconds=seconds, seed=seed + number)
            for number, noise in enumerate(noises)
        }
        pools = Pools(
            [Pool(name, f"https://{number}/v1", "KEY", "m") for number, name in enumerate(servers)],
            lambda pool: Gate(clock=loop.time, width=width, name=pool.name),
            loop.time,
        )
        policy, dice = RetryPolicy(max_wait_s=1e9, max_asked_s=1e9), random.Random(seed)
        numbers = count()

        async def worker() -> None:
            while True:
                history, request = History(), f"request {next(numbers)}"
                while True:
                    lease = await pools.admit(Cost(500, 400, 1000), retry=history.failures > 0)
                    try:
                        await servers[lease.pool.name].call()
                    except ProviderError as error:
                        is_alone = lease.fail(error, request)
                        decision = policy.decide(error, history, dice)
                        assert not isinstance(decision, GiveUp)
                        history = history.after(error, alone=is_alone)
                        if not lease.is_held:
                            await asyncio.sleep(decision.seconds)
                    else:
                        lease.release(usage=_USAGE)
                        break

        tasks = [loop.create_task(worker()) for _ in range(workers)]
        await asyncio.sleep(until_s)
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        for task in tasks:
            if not task.cancelled() and task.exception():
                raise task.exception()  # type: ignore[misc]
        return [server.outcome for server in servers.values()]

    return virtual_time.run(main())


def bare_loop(
    noise: Noise, *, until_s: float, workers: int, in_flight: int, seed: int = 1,
    **server_settings: object,
) -> Outcome:  # fmt: skip
    """The same with a semaphore in the gate's place, as a script would have it."""

    async def main() -> Outcome:
        loop = asyncio.get_running_loop()
        server = Server(noise, seed=seed, **server_settings)  # type: ignore[arg-type]
        places = asyncio.Semaphore(in_flight)
        policy, dice = RetryPolicy(max_wait_s=1e9), random.Random(seed)

        async def worker() -> None:
            while True:
                history = History()
                while True:
                    try:
                        async with places:
                            await server.call()
                    except ProviderError as error:
                        decision = policy.decide(error, history, dice)
                        assert not isinstance(decision, GiveUp)
                        history = history.after(error, alone=True)
                        await asyncio.sleep(decision.seconds)
                    else:
                        break

        tasks = [loop.create_task(worker()) for _ in range(workers)]
        await asyncio.sleep(until_s)
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        return server.outcome

    return virtual_time.run(main())
