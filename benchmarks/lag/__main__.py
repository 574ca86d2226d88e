"""How late the event loop comes while large records are read and calls are in flight.

python -m benchmarks.lag [REPEATS]           3 where none is given

The same run three ways, in turns: read in a process of its own, as it is; read in a thread of this
process, as it was; and with nothing large to read, which is what everything else makes of it.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson
from benchmarks import corpus
from benchmarks.cells import endpoint
from benchmarks.machine import describe, median, save, table

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pairmill.events import Event

WAYS = ("process", "thread", "nothing large")
LOOK_S = 0.002
TEXT_BYTES, PAGE_BYTES = 5_000_000, 2_000_000


def write(folder: Path, *, large: bool) -> None:
    """Texts of 5 MB and pages of 2 MB, each followed by what keeps calls in flight."""
    folder.mkdir()
    with (folder / "small.jsonl").open("wb") as file:
        corpus.write(file, 2000)
    small = [
        orjson.loads(line)["text"] for line in (folder / "small.jsonl").read_bytes().splitlines()
    ]
    with (folder / "small.jsonl").open("wb") as file:
        for number, text in enumerate(small):
            file.write(orjson.dumps({"text": text}) + b"\n")
            if large and number % 400 == 200:
                body = f"“Large” text {number}.\n\n" + "\n\n".join(small)
                file.write(orjson.dumps({"text": (body * 2)[:TEXT_BYTES]}) + b"\n")
                page = "".join(f"<p>{paragraph}</p>" for paragraph in small)[:PAGE_BYTES]
                file.write(orjson.dumps({"html": f"<html><body>{page}</body></html>"}) + b"\n")


async def measure(articles: str, out: str, url: str, way: str) -> dict[str, Any]:
    """Run pairmill, and look at the clock every two milliseconds beside it."""
    from contextlib import nullcontext

    from pairmill.chunking.chunk_batches import read_batches
    from pairmill.config import load
    from pairmill.events import Bus, CallAnswered, ReadingDone
    from pairmill.run import session

    if way == "thread":
        vars(session)["ReaderProcess"] = lambda job: nullcontext(read_batches(job))
    late: list[float] = []
    loop = asyncio.get_running_loop()
    is_working = False

    def listen(event: Event) -> None:
        nonlocal is_working
        if isinstance(event, CallAnswered):
            is_working = True
        elif isinstance(event, ReadingDone):
            looking.cancel()

    async def look() -> None:
        while True:
            due = loop.time() + LOOK_S
            await asyncio.sleep(LOOK_S)
            if is_working:
                late.append(loop.time() - due)

    given = {
        "inputs": (articles,),
        "output": out,
        "model": "m",
        "base_url": url,
        "checks": "off",
        "structured_output": "json_schema",
        "concurrency": 64,
        "limit_per_document": 20,
    }
    looking = asyncio.create_task(look())
    bus = Bus()
    bus.subscribe(listen)
    await session.run(load(given=given), bus)
    late.sort()
    return {
        "p50_ms": late[len(late) // 2] * 1000,
        "p99_ms": late[len(late) * 99 // 100] * 1000,
        "p999_ms": late[len(late) * 999 // 1000] * 1000,
        "max_ms": late[-1] * 1000,
        "over_5_ms": sum(it > 0.005 for it in late) / len(late),
    }


def run(folder: Path, url: str, way: str, number: int) -> dict[str, Any]:
    """One run in a process of its own."""
    articles = folder / ("small" if way == "nothing large" else "large")
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.lag", "--measure", str(articles),
         str(folder / f"out-{way}-{number}"), url, way],
        stdout=subprocess.PIPE, check=True, env={**os.environ, "OPENAI_API_KEY": "none"},
    )  # fmt: skip
    return dict(orjson.loads(done.stdout))


def rounds(repeats: int) -> Iterator[tuple[str, dict[str, Any]]]:
    with tempfile.TemporaryDirectory(prefix="pairmill-bench-") as name, endpoint("300ms") as it:
        for large in (True, False):
            write(Path(name) / ("large" if large else "small"), large=large)
        for number in range(repeats):
            for way in WAYS:
                yield way, run(Path(name), it.url, way, number)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.lag")
    parser.add_argument("repeats", type=int, nargs="?", default=3)
    print(describe(), "\n")
    samples: dict[str, list[dict[str, Any]]] = {way: [] for way in WAYS}
    for way, sample in rounds(parser.parse_args().repeats):
        samples[way].append(sample)
    names = ("p50_ms", "p99_ms", "p999_ms", "max_ms", "over_5_ms")
    found = {
        way: {name: round(median([it[name] for it in of]), 4) for name in names}
        for way, of in samples.items()
    }
    table(
        ["read in", "p50 ms", "p99 ms", "p99.9 ms", "max ms", "later than 5 ms"],
        [
            [way, *(f"{it[name]:.1f}" for name in names[:4]), f"{100 * it['over_5_ms']:.2f} %"]
            for way, it in found.items()
        ],
    )
    save("lag", found)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--measure"]:
        import uvloop

        result = uvloop.run(measure(*sys.argv[2:6]))
        print(orjson.dumps(result).decode())
    else:
        main()
