"""What a call waits beyond the endpoint's own time, with a thousand of them in flight.

All calls of a run count, those of its start too, when a thousand connections are opened. The wait
is what the caller sees: from the moment that a call may go to the moment that its answer is taken,
the endpoint's own queue included. How much that is, a bare loop over the same wire shows, which
keeps as many in flight and does nothing else.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from benchmarks import clients
from benchmarks.cells import endpoint
from benchmarks.machine import cpus

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["added_latency"]

DELAY_S = 2.0
_ALLOWED_S = 0.1


def added_latency(
    corpus: Path, *, concurrency: int, count: int, repeats: int = 3, checks: str = "off"
) -> dict[str, Any]:
    """The middle one of some runs, by its p99; all of them are told."""
    runs = [_run(corpus, concurrency, count, checks) for _ in range(repeats)]
    runs.sort(key=lambda run: run["p99_ms"])
    return {**runs[repeats // 2], "all_p99_ms": [run["p99_ms"] for run in runs]}


def _run(corpus: Path, concurrency: int, count: int, checks: str) -> dict[str, Any]:
    """Run pairmill over a server that takes 2 s, and return the added p50 and p99 in ms."""
    with tempfile.TemporaryDirectory() as out, endpoint("2s_derived") as server:
        child = subprocess.run(
            [sys.executable, "-m", "benchmarks.throughput.latency", str(corpus), f"{out}/run",
             server.url, str(concurrency), str(count), checks],
            env={**os.environ, "OPENAI_API_KEY": "none"},
            capture_output=True, text=True, check=True, timeout=120,
        )  # fmt: skip
    return dict(json.loads(child.stdout))


def main() -> None:
    from pairmill import generate
    from pairmill.events import Bus, CallAnswered, CallFailed, Event
    from pairmill.service.tally import RunTally

    corpus, out, url, concurrency, count, checks = sys.argv[1:7]
    if cpus()[1] is not None:
        os.sched_setaffinity(0, {cpus()[1] or 0})
    if checks == "bare":
        print(json.dumps(_figures(_bare(corpus, url, int(concurrency), int(count)))))
        return
    waits: list[float] = []
    failures: list[str] = []

    def listen(event: Event) -> None:
        if isinstance(event, CallAnswered):
            waits.append(float(str(event.seconds)) - DELAY_S)
        elif isinstance(event, CallFailed):
            failures.append(str(event.code))

    bus, tally = Bus(), RunTally(time.monotonic)
    bus.subscribe(listen)
    tally.listen(bus)
    generate(
        corpus,
        output=out,
        bus=bus,
        base_url=url,
        model="m",
        concurrency=int(concurrency),
        limit=int(count),
        checks=checks,
    )
    late = {"failed": failures, "loop_late_ms": tally.summary()["loop_late_ms"]}
    print(json.dumps(_figures(waits) | late))


def _bare(corpus: str, url: str, concurrency: int, count: int) -> list[float]:
    took: list[float] = []
    todo = clients.texts(corpus, count)
    with suppress(ImportError):
        import uvloop

        asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
    asyncio.run(clients.bare(url, concurrency, todo, "direct", took))
    return [seconds - DELAY_S for seconds in took]


def _figures(waits: list[float]) -> dict[str, Any]:
    waits.sort()
    return {
        "p50_ms": round(waits[len(waits) // 2] * 1000, 1),
        "p99_ms": round(waits[len(waits) * 99 // 100] * 1000, 1),
        "most_ms": round(waits[-1] * 1000, 1),
        "over_100_ms": sum(wait > _ALLOWED_S for wait in waits),
        "calls": len(waits),
        "load": round(os.getloadavg()[0], 1),
    }


if __name__ == "__main__":
    main()
