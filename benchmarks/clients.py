"""The reference clients, each as a process of its own that prints what it took as JSON.

python -m benchmarks.clients NAME URL CONCURRENCY CORPUS COUNT [OUT]

``bare_direct``, ``bare_sdk``  a loop over the same wire as pairmill's, nothing kept, nothing parsed
                               beyond the reply's envelope
``aiohttp``   a bare loop over aiohttp: body by orjson, envelope and content read by orjson
``script``    what a good engineer writes in thirty lines: AsyncOpenAI, a semaphore, json.loads,
              append to a file
``datatrove`` the tool itself, where it is installed: see `benchmarks.datatrove_pool`
``handbook``  ThreadPoolExecutor of four, as in the LLM Engineer's Handbook
"""

from __future__ import annotations

import asyncio
import importlib
import json
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson
from benchmarks import datatrove_pool
from benchmarks.corpus import PROMPT

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

MAX_TOKENS = 1380
# Loaded before the clock starts: what is compared is the steady state, not the start-up.
MODULES = {
    "bare_direct": ("pairmill.llm.providers.direct", "pairmill.recipes.backtranslate"),
    "bare_sdk": (
        "pairmill.llm.providers.sdk",
        "pairmill.recipes.backtranslate",
        "openai.resources.chat",
    ),
    "aiohttp": ("aiohttp",),
    "script": ("openai.resources.chat",),
    "handbook": ("openai.resources.chat",),
    "datatrove": (),
}


def texts(corpus: str, count: int) -> list[str]:
    """The first texts of a corpus, over again where it is too short."""
    with Path(corpus).open("rb") as file:
        found = [orjson.loads(line)["text"] for line, _ in zip(file, range(count), strict=False)]
    return [found[index % len(found)] for index in range(count)]


def messages(text: str) -> list[dict[str, str]]:
    return [
        {"role": "system", "content": PROMPT},
        {"role": "user", "content": f"N=3\n<<<PASSAGE\n{text}\nPASSAGE>>>"},
    ]


async def in_flight(call: Callable[[str], Awaitable[None]], todo: list[str], limit: int) -> None:
    """Keep ``limit`` calls in flight until all is done."""
    queue = iter(todo)

    async def work() -> None:
        for text in queue:
            await call(text)

    async with asyncio.TaskGroup() as group:
        for _ in range(limit):
            group.create_task(work())


async def bare(
    url: str, limit: int, todo: list[str], wire: str, took: list[float] | None = None
) -> None:
    """Ask for all of them; ``took`` gets the seconds of each call."""
    from pairmill.clock import SystemClock
    from pairmill.llm.providers.endpoint import Endpoint, Secret
    from pairmill.llm.providers.provider import Mode
    from pairmill.recipes.answers import json_schema
    from pairmill.recipes.backtranslate import WrittenAnswer as Written
    from pairmill.records import Message, Prompt, Request, Sampling, Template

    endpoint, clock = Endpoint(url, Secret("none")), SystemClock()
    provider: Any
    if wire == "direct":
        from pairmill.llm.providers.direct import DirectProvider

        provider = DirectProvider(endpoint, clock, concurrency=limit)
    else:
        from pairmill.llm.providers.sdk import SdkProvider

        provider = SdkProvider(endpoint, clock, concurrency=limit)
    template = Template("bench", "1", (Message("system", PROMPT),))
    schema, sampling = json_schema(Written), Sampling(0.8, MAX_TOKENS, 0)

    async def call(text: str) -> None:
        prompt = Prompt(template, messages(text)[-1]["content"], sampling)
        began = time.monotonic()
        await provider.complete(Request(prompt, "m", schema), Mode.JSON_SCHEMA)
        if took is not None:
            took.append(time.monotonic() - began)

    await in_flight(call, todo, limit)
    await provider.aclose()


async def bare_aiohttp(url: str, limit: int, todo: list[str]) -> None:
    import aiohttp

    address = f"{url}/chat/completions"
    headers = {"Content-Type": "application/json", "Authorization": "Bearer none"}
    timeout = aiohttp.ClientTimeout(total=150)
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(
        connector=connector, headers=headers, timeout=timeout
    ) as session:

        async def call(text: str) -> None:
            body = {"model": "m", "messages": messages(text), "max_tokens": MAX_TOKENS}
            async with session.post(address, data=orjson.dumps(body)) as response:
                reply = orjson.loads(await response.read())
                orjson.loads(reply["choices"][0]["message"]["content"])

        await in_flight(call, todo, limit)


async def script(url: str, limit: int, todo: list[str], out: Path) -> int:
    from openai import AsyncOpenAI

    client = AsyncOpenAI(base_url=url, api_key="none")
    semaphore = asyncio.Semaphore(limit)
    failed = 0

    async def one(text: str) -> None:
        nonlocal failed
        async with semaphore:
            try:
                response = await client.chat.completions.create(
                    model="m",
                    messages=messages(text),  # type: ignore[arg-type]
                    max_tokens=MAX_TOKENS,
                )
                pairs = json.loads(response.choices[0].message.content or "")["pairs"]
            except Exception:
                failed += 1
                return
            for pair in pairs:
                file.write(json.dumps(pair) + "\n")

    with out.open("a", encoding="utf-8") as file:
        await asyncio.gather(*(one(text) for text in todo))
    await client.close()
    return failed


def handbook(url: str, todo: list[str], out: Path) -> None:
    from openai import OpenAI

    client = OpenAI(base_url=url, api_key="none")

    def one(text: str) -> list[dict[str, Any]]:
        response = client.chat.completions.create(
            model="m",
            messages=messages(text),  # type: ignore[arg-type]
            max_tokens=MAX_TOKENS,
            temperature=0.7,
        )
        return list(json.loads(response.choices[0].message.content or "")["pairs"])

    with ThreadPoolExecutor(max_workers=4) as pool:
        pairs = [pair for found in pool.map(one, todo) for pair in found]
    out.write_text(json.dumps(pairs, indent=2), encoding="utf-8")


def main() -> None:
    name, url, concurrency, corpus, count = sys.argv[1:6]
    out = Path(sys.argv[6]) if len(sys.argv) > 6 else Path("/dev/null")
    todo, limit, failed = texts(corpus, int(count)), int(concurrency), 0
    if name in {"bare_direct", "aiohttp"}:
        with suppress(ImportError):  # as pairmill does; it makes no difference to the SDK
            import uvloop

            asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
    if name == "datatrove":
        print(json.dumps(datatrove_pool.run(url, limit, todo)))
        return
    for module in MODULES[name]:
        importlib.import_module(module)
    started, cpu = time.perf_counter(), time.process_time()
    if name.startswith("bare_"):
        asyncio.run(bare(url, limit, todo, name.removeprefix("bare_")))
    elif name == "aiohttp":
        asyncio.run(bare_aiohttp(url, limit, todo))
    elif name == "script":
        failed = asyncio.run(script(url, limit, todo, out))
    else:
        handbook(url, todo, out)
    took = {"seconds": time.perf_counter() - started, "cpu_s": time.process_time() - cpu}
    print(json.dumps({**took, "calls": len(todo) - failed, "failed": failed}))


if __name__ == "__main__":
    main()
