"""A run at full speed for as long as you like, with faults: ``make soak MINUTES=30``.

An endless input, a server that breaks one call in twenty, and a companion that looks at the run's
processes every few seconds: memory, open files, delay of the event loop, processor time of a call.
At the end a table says by how much each would have grown over the whole time, and by how much it
varies anyway. It fails if one grew by more than that.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.corpus import write
from tests.support.cli import environment

from pairmill.events import CallFailed, LoopLate, RunOpened
from pairmill.simulator import Faults, Latency, SimulatorProcess, SimulatorSettings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pairmill.service.companions import RunView

SAMPLES = "soak.jsonl"
EVERY_S = 5.0
WARM = 0.25  # of the time: caches and pools fill, and the interpreter's heap
BATCH = 2_000
TICKS = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")
YARD = json.dumps({"values": list(range(20_000))})
FAULTS = Faults(
    rates={
        "overloaded": 0.01,
        "rate_limit": 0.01,
        "reset": 0.005,
        "close_mid_body": 0.005,
        "garbage": 0.002,
        "fences": 0.01,
        "one_broken": 0.005,
        "refusal": 0.005,
    }
)


@dataclass(frozen=True, slots=True)
class Trend:
    """How a figure moved over the measured time.

    Attributes:
        mean: Over the measured time.
        change: By the line of least squares, from the beginning to the end.
        noise: Standard deviation around that line.
        allowed: Change that is too small to matter, whatever the noise.
    """

    mean: float
    change: float
    noise: float
    allowed: float

    @property
    def is_flat(self) -> bool:
        return self.change <= max(2.0 * self.noise, self.allowed)


def trend(times: Sequence[float], values: Sequence[float], allowed: float) -> Trend:
    """Fit a line; growth alone is a fault, not a decline."""
    fit = statistics.linear_regression(times, values)
    around = [
        value - (fit.intercept + fit.slope * at) for at, value in zip(times, values, strict=True)
    ]
    change = fit.slope * (times[-1] - times[0])
    return Trend(statistics.fmean(values), change, statistics.pstdev(around), allowed)


async def sample(view: RunView) -> None:
    """Look at this run every few seconds (a companion)."""
    late: list[float] = []
    failed: list[object] = []
    view.bus.subscribe(lambda event: late.append(event.seconds), LoopLate)
    view.bus.subscribe(failed.append, CallFailed)
    opened = asyncio.Event()
    view.bus.subscribe(lambda _event: opened.set(), RunOpened)
    await opened.wait()
    began, me = time.monotonic(), os.getpid()
    failures = 0
    with (view.folder.parent / SAMPLES).open("a", encoding="utf-8") as file:
        while True:
            await asyncio.sleep(EVERY_S)
            failures += len(failed)
            failed.clear()
            progress = view.progress()
            others = children(me)
            said = {
                "at": time.monotonic() - began,
                "rss_mb": rss_mb(me),
                "others_mb": sum(rss_mb(pid) for pid in others),
                "processes": 1 + len(others),
                "files": len(os.listdir(f"/proc/{me}/fd")),  # noqa: PTH208 (names alone)
                "cpu_s": cpu_s(me),
                "others_cpu_s": sum(cpu_s(pid) for pid in others),
                "yard_ms": yard_ms(),
                "lag_ms": 1000 * statistics.fmean(late) if late else 0.0,
                "most_lag_ms": 1000 * max(late, default=0.0),
                "calls": progress.calls,
                "failed": failures,
                "pairs": progress.pairs,
            }
            late.clear()
            file.write(json.dumps(said) + "\n")
            file.flush()


def yard_ms() -> float:
    """Processor time of some fixed work: what else the machine does makes it slower, too."""
    least = float("inf")
    for _ in range(3):
        began = time.thread_time()
        sum(json.loads(YARD)["values"])
        least = min(least, 1000 * (time.thread_time() - began))
    return least


def children(pid: int) -> list[int]:
    """All processes below this one."""
    found = []
    with suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            for child in (task / "children").read_text("ascii").split():
                found += [int(child), *children(int(child))]
    return found


def rss_mb(pid: int) -> float:
    with suppress(OSError):
        return int(Path(f"/proc/{pid}/statm").read_text("ascii").split()[1]) * PAGE / 2**20
    return 0.0


def cpu_s(pid: int) -> float:
    with suppress(OSError):
        fields = Path(f"/proc/{pid}/stat").read_text("ascii").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS
    return 0.0


def feed(seconds: float) -> None:
    """Write articles to standard output until the time is over, whole lines only."""
    until, seed = time.monotonic() + seconds, 1
    while time.monotonic() < until:
        write(sys.stdout.buffer, BATCH, seed)
        sys.stdout.buffer.flush()
        seed += 1


def soak(minutes: float, folder: Path, concurrency: int) -> list[dict[str, Any]]:
    """Run for the time; returns the samples."""
    settings = SimulatorSettings(faults=FAULTS, latency=Latency("fixed", 0.05))
    feeding = [sys.executable, "-m", "tests.soak", "--feed", str(60 * minutes)]
    with SimulatorProcess(settings) as endpoint:
        feeder = subprocess.Popen(feeding, stdout=subprocess.PIPE)
        given = ["run", "-", "-o", str(folder / "out"), "--concurrency", str(concurrency), "-q"]
        more = ["--set", "companions=[tests.soak:sample]"]
        running = subprocess.Popen(
            [sys.executable, "-m", "pairmill", *given, *more],
            stdin=feeder.stdout,
            env={**environment(endpoint.url), "PYTHONPATH": str(Path.cwd())},
        )
        assert feeder.stdout is not None
        feeder.stdout.close()
        try:
            code = running.wait(60 * minutes + 600)
        finally:
            for process in (feeder, running):
                if process.poll() is None:
                    process.send_signal(signal.SIGKILL)
                process.wait()
    if code:
        raise SystemExit(f"the run ended with {code}")
    lines = (folder / SAMPLES).read_text("utf-8").splitlines()
    return [json.loads(line) for line in lines]


def judge(samples: list[dict[str, Any]], minutes: float) -> dict[str, Trend]:
    """Return the trend of each figure, after the time to warm up and before the input ends."""
    end = 60 * minutes
    kept = [each for each in samples if WARM * end <= each["at"] <= end]
    times = [each["at"] for each in kept]

    def of(name: str) -> list[float]:
        return [float(each[name]) for each in kept]

    yard = statistics.median(of("yard_ms"))

    def per_call(name: str) -> list[float]:
        """Milliseconds, as if the machine were as fast all the time as it is at its median."""
        found = []
        for one, other in pairwise(kept):
            calls = max(1, other["calls"] - one["calls"])
            slowness = (one["yard_ms"] + other["yard_ms"]) / 2 / yard
            found.append(1000 * (other[name] - one[name]) / calls / slowness)
        return found

    rss, others = of("rss_mb"), of("others_mb")
    return {
        "memory of the run, MB": trend(times, rss, 0.02 * statistics.fmean(rss)),
        "memory of its other processes, MB": trend(times, others, 0.02 * statistics.fmean(others)),
        "open files": trend(times, of("files"), 1.0),
        "processes": trend(times, of("processes"), 0.5),
        "delay of the event loop, ms": trend(times, of("lag_ms"), 1.0),
        "processor time of a call, ms": trend(times[1:], per_call("cpu_s"), 0.05),
        "the same of its other processes, ms": trend(times[1:], per_call("others_cpu_s"), 0.05),
    }


def main() -> int:
    """Soak, print the table; the exit code is 1 where something grew."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak")
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--concurrency", type=int, default=64)
    parser.add_argument("--feed", type=float, metavar="SECONDS", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.feed is not None:
        with suppress(BrokenPipeError):
            feed(given.feed)
        os._exit(0)  # standard output may be closed
    with tempfile.TemporaryDirectory(prefix="pairmill-soak-") as folder:
        samples = soak(given.minutes, Path(folder), given.concurrency)
    last = samples[-1]
    say(
        f"{last['at'] / 60:.1f} minutes: {last['calls']:,} calls paid for, {last['failed']:,}"
        f" failed, {last['pairs']:,} pairs; {last['calls'] / last['at']:.0f} calls a second;"
        f" longest delay of the event loop {max(s['most_lag_ms'] for s in samples):.0f} ms"
    )
    found = judge(samples, given.minutes)
    say("| figure | mean | grew by | varies by | |")
    say("|---|---|---|---|---|")
    for name, it in found.items():
        verdict = "flat" if it.is_flat else "grew"
        say(f"| {name} | {it.mean:.2f} | {it.change:+.2f} | {it.noise:.2f} | {verdict} |")
    return int(not all(it.is_flat for it in found.values()))


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
