"""Model servers in virtual time: quotas in four flavours, and slots behind an endless queue.

They judge a client without a network: how much of the quota it used, how often it was refused.
"""

from __future__ import annotations

import asyncio
import math
import random
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from pairmill.errors import Kind
from pairmill.llm.limits.headers import HeaderReading, LimitHint, Unit
from pairmill.records import Usage

if TYPE_CHECKING:
    from pairmill.llm.limits.gate import Gate, Lease

__all__ = ["Job", "Meter", "QuotaServer", "Report", "SlotServer", "drive", "meter_of"]


@dataclass(frozen=True)
class Job:
    """What one call really uses, and what the client expected."""

    prompt: int
    output: int
    max_tokens: int


class Meter(Protocol):
    """One quota: how much of it is left at a time."""

    def left(self, now: float) -> float: ...

    def take(self, now: float, amount: float) -> None: ...

    def reset_s(self, now: float, amount: float) -> float: ...


class BucketMeter:
    """Continuous refill, ``seconds`` of the rate at most; full at the start."""

    def __init__(self, per_min: float, seconds: float) -> None:
        self.rate = per_min / 60
        self.capacity = self.rate * seconds
        self.level = self.capacity
        self.at = 0.0

    def left(self, now: float) -> float:
        self.level = min(self.capacity, self.level + (now - self.at) * self.rate)
        self.at = now
        return self.level

    def take(self, now: float, amount: float) -> None:
        self.level -= amount

    def reset_s(self, now: float, amount: float) -> float:
        return max(0.0, (amount - self.level) / self.rate)


class WindowMeter:
    """A fixed window of ``seconds``: the whole share at once, and nothing until the next."""

    def __init__(self, per_min: float, seconds: float) -> None:
        self.share = per_min / 60 * seconds
        self.seconds = seconds
        self.window = -1
        self.used = 0.0

    def left(self, now: float) -> float:
        window = int(now // self.seconds)
        if window != self.window:
            self.window, self.used = window, 0.0
        return self.share - self.used

    def take(self, now: float, amount: float) -> None:
        self.used += amount

    def reset_s(self, now: float, amount: float) -> float:
        return (self.window + 1) * self.seconds - now


class SlidingMeter:
    """No minute, wherever it begins, may hold more than the limit."""

    def __init__(self, per_min: float) -> None:
        self.limit = per_min
        self.used = 0.0
        self.log: deque[tuple[float, float]] = deque()

    def left(self, now: float) -> float:
        while self.log and self.log[0][0] <= now - 60:
            self.used -= self.log.popleft()[1]
        return self.limit - self.used

    def take(self, now: float, amount: float) -> None:
        self.log.append((now, amount))
        self.used += amount

    def reset_s(self, now: float, amount: float) -> float:
        missing = amount - (self.limit - self.used)
        for at, part in self.log:
            missing -= part
            if missing <= 0:
                return at + 60 - now
        return 60.0


def meter_of(flavour: str, per_min: float) -> Meter:
    if flavour == "second":
        return WindowMeter(per_min, 1.0)
    if flavour == "minute":
        return WindowMeter(per_min, 60.0)
    if flavour == "sliding":
        return SlidingMeter(per_min)
    return BucketMeter(per_min, float(flavour.removeprefix("bucket")))


@dataclass
class Report:
    used: float
    refused_per_done: float
    done: int
    refused: int


class QuotaServer:
    """Refuses what is over its quotas, at once; answers the rest after a while."""

    def __init__(
        self,
        flavour: str,
        *,
        rpm: float,
        tpm: float,
        keeps_max_tokens: bool = False,
        says_wait: bool = True,
        says_limits: bool = False,
        warm_up_s: float = 120.0,
    ) -> None:
        self.meters = {Unit.REQUESTS: meter_of(flavour, rpm), Unit.TOKENS: meter_of(flavour, tpm)}
        self.limits = {Unit.REQUESTS: rpm, Unit.TOKENS: tpm}
        self.keeps_max_tokens = keeps_max_tokens
        self.says_wait = says_wait
        self.says_limits = says_limits
        self.warm_up_s = warm_up_s
        self.charged = dict.fromkeys(self.meters, 0.0)
        self.done = 0
        self.refused = 0
        self.dice = random.Random(7)

    async def call(self, lease: Lease, job: Job) -> bool:
        loop = asyncio.get_running_loop()
        await asyncio.sleep(0.025)
        now = loop.time()
        output = job.max_tokens if self.keeps_max_tokens else job.output
        amounts = {Unit.REQUESTS: 1.0, Unit.TOKENS: float(job.prompt + output)}
        counts = now >= self.warm_up_s
        short = [unit for unit, meter in self.meters.items() if meter.left(now) < amounts[unit]]
        if short:
            self.refused += counts
            wait_s = max(self.meters[unit].reset_s(now, amounts[unit]) for unit in short)
            await asyncio.sleep(0.025)
            is_held = lease.release(
                Kind.RATE, retry_after_s=wait_s if self.says_wait else None, hint=self.hint(now)
            )
            if not is_held:
                await asyncio.sleep(wait_s if self.says_wait else self.dice.uniform(0.0, 1.0))
            return False
        for unit, meter in self.meters.items():
            meter.take(now, amounts[unit])
            self.charged[unit] += amounts[unit] * counts
        hint = self.hint(now)
        await asyncio.sleep(0.5 + job.output * 0.01)
        self.done += counts
        lease.release(usage=Usage(job.prompt, job.output), hint=hint)
        return True

    def hint(self, now: float) -> LimitHint | None:
        if not self.says_limits:
            return None
        return LimitHint(
            minute={
                unit: HeaderReading(self.limits[unit], max(0.0, meter.left(now)))
                for unit, meter in self.meters.items()
            }
        )

    def report(self, end_s: float) -> Report:
        minutes = (end_s - self.warm_up_s) / 60
        used = max(self.charged[unit] / (self.limits[unit] * minutes) for unit in self.meters)
        return Report(used, self.refused / max(1, self.done), self.done, self.refused)


class SlotServer:
    """``slots`` calls at a time, the rest in an endless queue; never refuses."""

    def __init__(self, slots: int, *, per_token_s: float = 0.01) -> None:
        self.slots = asyncio.Semaphore(slots)
        self.size = slots
        self.per_token_s = per_token_s
        self.running = 0
        self.waiting = 0
        self.tokens: list[tuple[float, int]] = []

    async def call(self, lease: Lease, job: Job) -> bool:
        loop = asyncio.get_running_loop()
        self.waiting += 1
        async with self.slots:
            self.waiting -= 1
            self.running += 1
            await asyncio.sleep(0.1 + job.output * self.per_token_s)
            self.running -= 1
        self.tokens.append((loop.time(), job.output))
        lease.release(usage=Usage(job.prompt, job.output))
        return True

    def share(self, since_s: float, until_s: float, mean_output: float) -> float:
        written = sum(tokens for at, tokens in self.tokens if since_s <= at < until_s)
        call_s = 0.1 + mean_output * self.per_token_s
        return written / ((until_s - since_s) * self.size * mean_output / call_s)


async def drive(
    gate: Gate,
    server: QuotaServer | SlotServer,
    *,
    until_s: float,
    workers: int,
    seed: int = 1,
    mean_output: float = 300.0,
) -> None:
    """Keep the gate asked by ``workers`` calls at a time; a refused one comes back as a retry."""
    from pairmill.llm.limits.gate import Cost

    loop = asyncio.get_running_loop()
    rng = random.Random(seed)

    def draw() -> Job:
        output = min(1000, max(1, round(rng.lognormvariate(math.log(mean_output) - 0.125, 0.5))))
        return Job(max(50, round(rng.gauss(700, 100))), output, 1000)

    async def worker() -> None:
        while loop.time() < until_s:
            job = draw()
            retry = False
            while True:
                lease = await gate.admit(Cost(job.prompt * 1.03, 360, 1000), retry=retry)
                if await server.call(lease, job):
                    break
                retry = True

    tasks = [loop.create_task(worker()) for _ in range(workers)]
    await asyncio.sleep(until_s)
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
