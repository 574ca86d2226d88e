"""One measurement: one client, one concurrency, one latency; the endpoint on another processor."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from benchmarks import corpus
from benchmarks.machine import cpus, median

from pairmill.simulator import SimulatorProcess, SimulatorSettings
from pairmill.simulator.settings import Latency

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["BESIDE", "CHECKED", "PAIRS", "Cell", "Sample", "Workbench", "summarise"]

PAIRS = 3
BESIDE = "pairmill_checked_beside"
CHECKED = frozenset({"pairmill_checked", BESIDE})
"""Clients with checks on: all on one processor; or reading and checking beside the endpoint."""
TIMEOUT_S = 240


@dataclass(frozen=True, slots=True)
class Cell:
    """What is measured: ``count`` calls, ``concurrency`` of them in flight."""

    client: str
    concurrency: int
    latency: str  # zero, 300ms, 1s
    count: int


@dataclass(frozen=True, slots=True)
class Sample:
    """What one run of a cell took.

    Attributes:
        per_s: Calls a second; for pairmill between the start-up and the end, all of it durable.
            A pair that is asked for again is a call of its own.
        cpu_us: Processor time of a call, all processes and threads, user and system.
        pairs_per_min: Of good answers, in steady state.
        whole_s: The whole process, start-up included.
        failed: Calls that came to nothing.
    """

    per_s: float
    cpu_us: float
    pairs_per_min: float
    whole_s: float
    rss_mb: float
    failed: int
    load: float


def latency(name: str) -> Latency:
    """No wait, or one that is fixed or lognormal (median 1 s, sigma 0.5), by its name."""
    return {
        "zero": Latency(),
        "derived": Latency(),
        "300ms": Latency("fixed", 0.3),
        "1s": Latency("lognormal", 1.0, 0.5),
        "2s": Latency("fixed", 2.0),
        "2s_derived": Latency("fixed", 2.0),
    }[name]


class Served(Protocol):
    """An endpoint that is served; ``url`` is a client's base URL."""

    url: str


class Workbench:
    """A folder with a corpus, in which clients are run.

    Args:
        folder: Empty.
        most: Chunks of the corpus.
        source: Where another pairmill than the installed one is imported from.
        settings: Added to the settings of every run of pairmill.
    """

    def __init__(
        self,
        folder: Path,
        most: int,
        source: Path | None = None,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        self._more = "".join(f"{name}: {value}\n" for name, value in (settings or {}).items())
        self.folder = folder
        self._paths = {} if source is None else {"PYTHONPATH": str(source)}
        self.corpus = folder / "articles.jsonl"
        self._startup: dict[tuple[str, int], tuple[float, float]] = {}
        with self.corpus.open("wb") as file:
            corpus.write(file, most)

    def measure(self, cell: Cell, endpoint: Served) -> Sample:
        """Run a cell once."""
        load = os.getloadavg()[0]
        if cell.client.startswith("pairmill"):
            return self._measure_pairmill(cell, endpoint, load)
        arguments = ("benchmarks.clients", cell.client, endpoint.url, str(cell.concurrency))
        whole_s, _, rss, out = self._run(
            ["-m", *arguments, str(self.corpus), str(cell.count), str(self._new("out.jsonl"))]
        )
        took = json.loads(out)
        calls = took["calls"]
        return Sample(
            calls / took["seconds"],
            took["cpu_s"] / cell.count * 1e6,
            calls / took["seconds"] * 60 * PAIRS,
            whole_s,
            rss,
            took["failed"],
            load,
        )

    def _measure_pairmill(self, cell: Cell, endpoint: Served, load: float) -> Sample:
        key = (cell.client, cell.concurrency)
        if key not in self._startup:
            repeats = 2 if cell.count > 1000 else 1
            runs = [self._pairmill(cell, endpoint, 1)[:2] for _ in range(repeats)]
            self._startup[key] = min(runs)
        whole_s, cpu_s, rss, _ = self._pairmill(cell, endpoint, cell.count)
        start_s, start_cpu_s = self._startup[key]
        status = json.loads(self._run(["-m", "pairmill", "status", str(self._out), "--json"])[3])
        calls, chunks = status["calls"], sum(status["units"].values())
        per_s = (calls - 1) / max(whole_s - start_s, whole_s / 50)
        return Sample(
            per_s,
            (cpu_s - start_cpu_s) / (calls - 1) * 1e6,
            per_s * 60 * status["pairs"] / calls,
            whole_s,
            rss,
            cell.count - chunks,
            load,
        )

    @property
    def _out(self) -> Path:
        return self.folder / "run"

    def _pairmill(
        self, cell: Cell, endpoint: Served, limit: int
    ) -> tuple[float, float, float, str]:
        shutil.rmtree(self._out, ignore_errors=True)
        wire = "sdk" if cell.client == "pairmill_sdk" else "direct"
        # The canned answers are about nothing in the corpus, which the checks would not let pass.
        checks = "default" if cell.client in CHECKED else "off"
        config = self._new("run.yaml")
        config.write_text(f"wire: {wire}\nchecks: {checks}\n{self._more}", "utf-8")
        spread = cell.client == BESIDE and cpus()[0] is not None
        if spread:
            config.write_text(f"wire: {wire}\ncheck_processes: 1\n", "utf-8")
        flags = {
            "--output": self._out,
            "--model": "m",
            "--base-url": endpoint.url,
            "--concurrency": cell.concurrency,
            "--limit": limit,
            "--config": config,
        }
        words = [str(word) for pair in flags.items() for word in pair]
        return self._run(["-m", "pairmill", "run", str(self.corpus), *words], spread=spread)

    def _new(self, name: str) -> Path:
        path = self.folder / name
        path.unlink(missing_ok=True)
        return path

    def _run(
        self, arguments: list[str], *, spread: bool = False
    ) -> tuple[float, float, float, str]:
        """Run Python on the client's processor: seconds, processor seconds, peak MB, output.

        With ``spread`` its children run on the endpoint's processor.
        """
        kept = {name: value for name, value in os.environ.items() if not name.startswith("OPENAI")}
        started = time.perf_counter()
        with (self.folder / "stderr.txt").open("w+b") as errors:
            child = subprocess.Popen(
                [sys.executable, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=errors,
                env={**kept, **self._paths, "OPENAI_API_KEY": "none"},
            )
            if cpus()[1] is not None:
                os.sched_setaffinity(child.pid, {cpus()[1] or 0})
            if spread:
                threading.Thread(target=_pin_children, args=(child.pid,), daemon=True).start()
            assert child.stdout is not None
            with child.stdout:
                out = child.stdout.read()
            _, status, usage = os.wait4(child.pid, 0)
            child.returncode = os.waitstatus_to_exitcode(status)
            seconds = time.perf_counter() - started
            if child.returncode:
                errors.seek(0)
                raise SystemExit(f"{arguments}: {errors.read().decode()[-2000:]}")
        cpu_s = usage.ru_utime + usage.ru_stime
        return seconds, cpu_s, usage.ru_maxrss / 1024, out.decode()


def _pin_children(pid: int) -> None:
    """Pin the children of a process to the endpoint's processor, as they come, up to its end."""
    children = Path(f"/proc/{pid}/task/{pid}/children")
    with suppress(OSError):
        while True:
            for child in map(int, children.read_text().split()):
                with suppress(ProcessLookupError):
                    os.sched_setaffinity(child, {cpus()[0] or 0})
            time.sleep(0.02)


def endpoint(name: str) -> SimulatorProcess:
    """An endpoint on its own processor: three pairs, canned, or ``derived`` from each chunk."""
    settings = SimulatorSettings(
        content="derived" if name.endswith("derived") else "canned",
        latency=latency(name),
        track_requests=False,
    )
    return SimulatorProcess(settings, cpu=cpus()[0])


def summarise(cell: Cell, samples: list[Sample]) -> dict[str, Any]:
    """A cell with the medians of its repeats."""
    names = ("per_s", "cpu_us", "pairs_per_min", "whole_s", "rss_mb", "load")
    medians = {name: round(median([getattr(it, name) for it in samples]), 1) for name in names}
    spread = [round(it.per_s, 1) for it in samples]
    failed = sum(it.failed for it in samples)
    return {**asdict(cell), **medians, "failed": failed, "all_per_s": spread}
