"""Two clients for the same job: pairmill's own stack, and the script that one would write first."""

from __future__ import annotations

import asyncio
import random
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from benchmarks.quota.virtual import LoopClock
from benchmarks.quota.wire import PlainWire

from pairmill.errors import ProviderError
from pairmill.events import Bus
from pairmill.llm.client import Client
from pairmill.llm.endpoint_info import metrics_url, read_gauges
from pairmill.llm.limits.gate import Gate, Limits
from pairmill.llm.limits.headers import HeaderDialect
from pairmill.llm.pools import Pool, Pools
from pairmill.llm.providers.provider import Mode
from pairmill.llm.retry import GiveUp, History, RetryPolicy
from pairmill.llm.router import Route, Router
from pairmill.records import Message, Prompt, Request, Sampling, Template

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

    from pairmill.llm.limits.concurrency import ConcurrencyLimit

__all__ = ["MAX_TOKENS", "bare_loop", "keep_asking", "pairmill", "plain_script"]

MAX_TOKENS = 1_000
MODEL = "gpt-4o-mini"
_SYSTEM = Template("benchmark", "1", (Message("system", "You write pairs as JSON. " * 60),))
_WORDS = [
    "harbour",
    "orchard",
    "railway",
    "lighthouse",
    "market",
    "glacier",
    "library",
    "bakery",
    "canal",
    "observatory",
]


class _Flight:
    """Nobody ends this run."""

    def check(self) -> None: ...

    def begin(self) -> None: ...

    def end(self) -> None: ...


def question(number: int) -> str:
    """A passage of 800 to 2,400 characters, another one for each number."""
    draw = random.Random(number)
    lines = [
        f"The {draw.choice(_WORDS)} number {draw.randrange(10**6)} supplies the"
        f" {draw.choice(_WORDS)} because {draw.randrange(900)} people rely on it."
        for _ in range(draw.randrange(10, 30))
    ]
    return f"Write up to 3 pairs.\n<<<PASSAGE\n{' '.join(lines)}\nPASSAGE>>>"


@asynccontextmanager
async def pairmill(
    urls: Sequence[str],
    limits: Limits,
    width: ConcurrencyLimit | int | None = None,
    *,
    gauge: bool = False,
) -> AsyncIterator[Callable[[int], Awaitable[None]]]:
    """The client, exchange, pools and gates of a run; one pool for each URL."""
    clock = LoopClock()
    names = [f"pool {number}" for number in range(len(urls))]
    pools = [
        Pool(name, url, "OPENAI_API_KEY", MODEL, limits)
        for name, url in zip(names, urls, strict=True)
    ]
    gates = {name: Gate(limits, clock=clock.monotonic, width=width) for name in names}
    routes = [
        Route(pool, PlainWire(pool.base_url, clock), Mode.PROMPT, HeaderDialect.COMMON)
        for pool in pools
    ]
    choice = Pools(pools, lambda pool: gates[pool.name], clock.monotonic)
    exchange = Router(MODEL, routes, choice, clock)
    policy = RetryPolicy(max_wait_s=1e9, max_asked_s=1e9, max_alone=1_000)
    client = Client(exchange, _Flight(), Bus(), clock, random.Random(1), policy=policy)
    watching = asyncio.create_task(_watch(urls[0], gates[names[0]])) if gauge else None

    async def ask(number: int) -> None:
        await client.complete(_request(number))

    try:
        yield ask
    finally:
        if watching:
            watching.cancel()
        for route in routes:
            await route.provider.aclose()


@asynccontextmanager
async def bare_loop(url: str, in_flight: int) -> AsyncIterator[Callable[[int], Awaitable[None]]]:
    """A semaphore, and pairmill's own rules of when to try again: the refused call alone waits."""
    clock = LoopClock()
    wire, places = PlainWire(url, clock), asyncio.Semaphore(in_flight)
    policy, dice = RetryPolicy(max_wait_s=1e9, max_asked_s=1e9), random.Random(1)

    async def ask(number: int) -> None:
        history = History()
        while True:
            try:
                async with places:
                    await wire.complete(_request(number), Mode.PROMPT)
            except ProviderError as error:
                decision = policy.decide(error, history, dice)
                assert not isinstance(decision, GiveUp)
                history = history.after(error)
                await asyncio.sleep(decision.seconds)
            else:
                return

    try:
        yield ask
    finally:
        await wire.aclose()


def _request(number: int) -> Request:
    return Request(Prompt(_SYSTEM, question(number), Sampling(0.8, MAX_TOKENS, 0)), MODEL)


@asynccontextmanager
async def plain_script(
    url: str, in_flight: int = 32
) -> AsyncIterator[Callable[[int], Awaitable[None]]]:
    """``AsyncOpenAI`` as it comes, with its two retries, behind an ``asyncio.Semaphore``."""
    from openai import AsyncOpenAI, OpenAIError

    places = asyncio.Semaphore(in_flight)
    system = {"role": "system", "content": _SYSTEM.messages[0].content}
    async with AsyncOpenAI(api_key="none", base_url=url) as client:

        async def ask(number: int) -> None:
            messages = [system, {"role": "user", "content": question(number)}]
            async with places:
                try:
                    await client.chat.completions.create(
                        model=MODEL, messages=messages, max_tokens=MAX_TOKENS, temperature=0.8
                    )
                except OpenAIError:
                    lost.append(number)

        lost: list[int] = []
        yield ask


async def keep_asking(ask: Callable[[int], Awaitable[None]], workers: int, until_s: float) -> None:
    """Ask as fast as the client lets us, for so many seconds; what is in flight then is left."""
    loop = asyncio.get_running_loop()
    numbers = iter(range(10**9))

    async def worker() -> None:
        while loop.time() < until_s:
            await ask(next(numbers))

    tasks = [asyncio.create_task(worker()) for _ in range(workers)]
    await asyncio.sleep(until_s)
    for task in tasks:
        task.cancel()
    ended = await asyncio.gather(*tasks, return_exceptions=True)
    for error in ended:
        if isinstance(error, Exception):
            raise error


async def _watch(url: str, gate: Gate) -> None:
    import httpx2

    async with httpx2.AsyncClient(trust_env=False) as http:
        while True:
            gauges = read_gauges((await http.get(metrics_url(url))).text)
            if gauges:
                gate.observe_gauge(*gauges)
            await asyncio.sleep(1.0)
