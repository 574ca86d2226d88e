"""Two clients for the same job: pairmill's own stack, and the script that one would write first."""

from __future__ import annotations

import asyncio
import random
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from benchmarks.quota.virtual import LoopClock
from benchmarks.quota.wire import PlainWire

from pairmill.events import Bus
from pairmill.llm.client import Client
from pairmill.llm.limits.gate import Gate, Limits
from pairmill.llm.limits.gauges import metrics_url, read_gauges
from pairmill.llm.limits.headers import HeaderDialect
from pairmill.llm.pools import Pool, Pools
from pairmill.llm.providers.provider import Mode
from pairmill.llm.router import Route, Router
from pairmill.records import Message, Prompt, Request, Sampling, Template

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from pairmill.llm.limits.concurrency import ConcurrencyLimit

__all__ = ["MAX_TOKENS", "keep_asking", "pairmill", "plain_script"]

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
    url: str, limits: Limits, width: ConcurrencyLimit | None = None, *, gauge: bool = False
) -> AsyncIterator[Callable[[int], Awaitable[None]]]:
    """The client, exchange, pool and gate of a run."""
    clock = LoopClock()
    gate = Gate(limits, clock=clock.monotonic, width=width)
    pool = Pool("one", url, "OPENAI_API_KEY", MODEL, limits)
    provider = PlainWire(url, clock)
    station = Route(pool, provider, Mode.PROMPT, HeaderDialect.COMMON)
    exchange = Router(MODEL, [station], Pools([pool], lambda _: gate), clock)
    client = Client(exchange, _Flight(), Bus(), clock, random.Random(1))
    watching = asyncio.create_task(_watch(url, gate)) if gauge else None

    async def ask(number: int) -> None:
        prompt = Prompt(_SYSTEM, question(number), Sampling(0.8, MAX_TOKENS, 0))
        await client.complete(Request(prompt, MODEL))

    try:
        yield ask
    finally:
        if watching:
            watching.cancel()
        await provider.aclose()


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
