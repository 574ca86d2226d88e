"""Peak memory of a run, by the number of chunks: it must not grow with them.

python -m benchmarks.memory [--checks off] [COUNT ...]

10,000 and 100,000 where none is given, with the checks of a run; 1,000,000 takes a quarter of an
hour to half an hour and 7 GB of disk. Told is the peak of the process that had the highest one.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.cells import endpoint
from benchmarks.machine import cpus, describe, save, table

CONCURRENCY = 64


def peak(count: int, url: str, folder: str, checks: str) -> dict[str, Any]:
    """Run pairmill over ``count`` chunks from a pipe; peak resident memory and time."""
    writer = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.corpus", str(count)], stdout=subprocess.PIPE
    )
    command = [sys.executable, "-m", "pairmill", "run", "-", "-o", f"{folder}/{count}"]
    config = Path(folder) / "run.yaml"
    config.write_text(f'checks: "{checks}"\n', "utf-8")
    command += [
        "--config",
        str(config),
        "--model",
        "m",
        "--base-url",
        url,
        "--concurrency",
        str(CONCURRENCY),
    ]
    started = time.perf_counter()
    child = subprocess.Popen(
        command,
        stdin=writer.stdout,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "OPENAI_API_KEY": "none"},
    )
    for pid, cpu in ((writer.pid, cpus()[0]), (child.pid, cpus()[1])):
        if cpu is not None:
            os.sched_setaffinity(pid, {cpu})
    assert writer.stdout is not None
    writer.stdout.close()
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    seconds = time.perf_counter() - started
    writer.wait()
    if child.returncode:
        raise SystemExit(f"pairmill run ended with {child.returncode}")
    return {
        "chunks": count,
        "checks": checks,
        "peak_mb": round(usage.ru_maxrss / 1024, 1),
        "seconds": round(seconds, 1),
        "pairs_per_min": round(count * 180 / seconds),
        "load": round(os.getloadavg()[0], 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.memory")
    parser.add_argument("counts", type=int, nargs="*", default=[10_000, 100_000])
    parser.add_argument("--checks", default="default")
    given = parser.parse_args()
    counts, checks = given.counts, given.checks
    name = "zero" if checks == "off" else "derived"  # canned answers would not pass
    print(describe(), "\n")
    with tempfile.TemporaryDirectory(prefix="pairmill-bench-") as folder, endpoint(name) as it:
        found = [peak(count, it.url, folder, checks) for count in counts]
    table(
        ["chunks", "peak MB", "x the first", "seconds", "load"],
        [
            [f"{r['chunks']:,}", str(r["peak_mb"]), f"{r['peak_mb'] / found[0]['peak_mb']:.2f}",
             str(r["seconds"]), str(r["load"])]
            for r in found
        ],
    )  # fmt: skip
    save("memory", found)


if __name__ == "__main__":
    main()
