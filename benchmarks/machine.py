"""What a figure was measured on, and how figures are printed and kept."""

from __future__ import annotations

import os
import platform
import statistics
import sys
import time
from importlib import metadata
from pathlib import Path
from typing import Any

import orjson

from pairmill.quality.speedups import are_used

__all__ = ["cpus", "describe", "median", "save", "table"]

PACKAGES = ("pairmill", "openai", "pyreqwest", "aiohttp", "httpx2", "uvloop", "orjson", "pydantic")
RESULTS = Path(__file__).parent / "results"


def cpus() -> tuple[int | None, int | None]:
    """The processors for the endpoint and for the client; no choice where there is only one."""
    allowed = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    return (allowed[0], allowed[1]) if len(allowed) > 1 else (None, None)


def describe() -> dict[str, Any]:
    """The machine, the versions, and how busy it is now."""
    return {
        "cpu": _cpu_model(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "compiled_loops": are_used(),  # without them checks cost three times as much
        "call_ns": _call_ns(),
        "system": f"{platform.system()} {platform.release()}",
        "load_1m": round(os.getloadavg()[0], 2),
        "packages": {name: _version(name) for name in PACKAGES},
        "when": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
    }


def median(values: list[float]) -> float:
    """The median; 0.0 of nothing."""
    return statistics.median(values) if values else 0.0


def save(name: str, results: Any) -> Path:
    """Write results and the machine's description as JSON; print where."""
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.json"
    data = {"machine": describe(), "results": results}
    path.write_bytes(orjson.dumps(data, option=orjson.OPT_INDENT_2))
    print(f"\n{path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path}")
    return path


def table(head: list[str], rows: list[list[str]]) -> None:
    """Print rows as a Markdown table."""
    widths = [max(len(row[i]) for row in [head, *rows]) for i in range(len(head))]

    def line(cells: list[str]) -> str:
        return "| " + " | ".join(c.ljust(w) for c, w in zip(cells, widths, strict=True)) + " |"

    print(line(head))
    print("|" + "|".join("-" * (width + 2) for width in widths) + "|")
    for row in rows:
        print(line(row))
    sys.stdout.flush()


def _call_ns() -> float:
    """What an empty call takes, the best of ten: it tells machines and interpreters apart.

    An interpreter that was compiled with its profile is faster by a quarter than one that was not.
    """
    calls = range(100_000)

    def empty() -> None:
        pass

    taken = []
    for _ in range(10):
        started = time.perf_counter_ns()
        for _ in calls:
            empty()
        taken.append(time.perf_counter_ns() - started)
    return round(min(taken) / len(calls), 1)


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
