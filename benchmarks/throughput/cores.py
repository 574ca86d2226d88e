"""Which process of a run takes how much processor time, and what more cores bring by that.

python -m benchmarks.throughput.cores [CHUNKS]      8,000 where none is given; half a minute

The endpoint has one core, the run and its processes the other. So what is measured is processor
time for each chunk, not a rate; the rates for several cores are computed from it: the slowest
process of each share of cores decides.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

from benchmarks import corpus
from benchmarks.cells import PAIRS, endpoint
from benchmarks.machine import cpus, describe, save, table

KINDS = {"worker_process": "reading", "checking_process": "checking"}
TICK_S = 1 / os.sysconf("SC_CLK_TCK")


def measure(count: int) -> dict[str, float]:
    """Microseconds of processor time for each chunk, by kind of process."""
    taken: dict[str, float] = {}
    with tempfile.TemporaryDirectory(prefix="pairmill-bench-") as name, endpoint("derived") as it:
        folder = Path(name)
        with (folder / "articles.jsonl").open("wb") as file:
            corpus.write(file, count)
        (folder / "run.yaml").write_text("check_processes: 1\n", "utf-8")
        for limit in (256, count):  # what the start takes is taken off
            child = subprocess.Popen(
                [sys.executable, "-m", "pairmill", "run", str(folder / "articles.jsonl"),
                 "--output", f"{folder}/{limit}", "--model", "m", "--base-url", it.url,
                 "--concurrency", "64", "--config", f"{folder}/run.yaml", "--limit", str(limit)],
                stdin=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env={**os.environ, "OPENAI_API_KEY": "none"},
            )  # fmt: skip
            if cpus()[1] is not None:
                os.sched_setaffinity(child.pid, {cpus()[1] or 0})
            found = _watch(child)
            sign = -1 if limit != count else 1
            for kind, seconds in found.items():
                taken[kind] = taken.get(kind, 0.0) + sign * seconds
    return {kind: seconds / (count - 256) * 1e6 for kind, seconds in taken.items()}


def _watch(child: subprocess.Popen[bytes]) -> dict[str, float]:
    """Processor seconds of a run and of its processes, up to their ends."""
    found: dict[str, float] = {}
    children = Path(f"/proc/{child.pid}/task/{child.pid}/children")
    while child.poll() is None:
        with suppress(OSError, IndexError, ValueError):
            found["run"] = _seconds(child.pid)
            for pid in map(int, children.read_text().split()):
                command = Path(f"/proc/{pid}/cmdline").read_bytes().decode("utf-8", "replace")
                kind = next((it for name, it in KINDS.items() if name in command), None)
                if kind:
                    found[kind] = _seconds(pid)
        time.sleep(0.02)
    return found


def _seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) * TICK_S


def by_cores(taken: dict[str, float]) -> dict[str, float]:
    """Microseconds for each chunk that the busiest core has to do, by the number of cores."""
    run, reading, checking = (taken.get(kind, 0.0) for kind in ("run", "reading", "checking"))
    return {
        "1": run + reading + checking,
        "2": max(run, reading + checking),
        "3": max(run, reading, checking),
        "4 and more": max(run, reading, checking / 2),
    }


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 8000
    print(describe(), "\n")
    taken = measure(count)
    table(["process", "us a chunk"], [[kind, f"{us:.0f}"] for kind, us in taken.items()])
    print()
    rows = [[n, f"{us:.0f}", f"{60e6 / us * PAIRS:,.0f}"] for n, us in by_cores(taken).items()]
    table(["cores", "us a chunk on the busiest", "pairs a minute at most"], rows)
    save("cores", taken)


if __name__ == "__main__":
    main()
