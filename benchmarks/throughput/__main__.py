"""Pairs per minute, end to end, beside the reference clients in the same run.

python -m benchmarks.throughput             the whole table (about 10 minutes)
python -m benchmarks.throughput --headline  checks on, beside the peers (about 3 minutes)
python -m benchmarks.throughput --latency   added latency at 1,024 in flight (about 4 minutes)
python -m benchmarks.throughput --ci        the cells of the gate (under 4 minutes)
python -m benchmarks.throughput --smoke     seconds; that everything runs, no figure worth keeping
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks import datatrove_pool
from benchmarks.cells import CHECKED, Cell, Sample, Workbench, endpoint, summarise
from benchmarks.derived import DerivedEndpoint
from benchmarks.machine import cpus, describe, save, table
from benchmarks.throughput import gate
from benchmarks.throughput.latency import added_latency

# What each client does in a second at most, to give each run about three seconds.
FULL = {
    "pairmill": 4500,
    "pairmill_sdk": 700,
    "pairmill_checked": 4500,  # as many calls as without: what checks load once is paid once
    "pairmill_checked_beside": 4500,
    "bare_direct": 20_000,
    "bare_sdk": 800,
    "aiohttp": 8000,
    "script": 250,
    "handbook": 250,
}
PEERS = {"datatrove": 600} if datatrove_pool.is_installed() else {}
REFERENCES = tuple(client for client in FULL if client not in CHECKED)
HEADLINE = (*sorted(CHECKED), "pairmill", "bare_direct", "aiohttp", "script", *PEERS)
FULL |= PEERS
GATED = ("pairmill_checked", "pairmill", "bare_direct")
QUICK = ("pairmill", "bare_direct", "aiohttp")
MAIN = ((64, "zero"), (1024, "zero"))
OTHERS = tuple(
    (concurrency, latency)
    for latency in ("zero", "300ms", "1s")
    for concurrency in (1, 64, 256, 1024, 4096)
    if (concurrency, latency) not in MAIN
)
SECONDS = 3.0
MOST = 40_000
DELAYS = {"zero": 0.0, "derived": 0.0, "300ms": 0.3, "1s": 1.13}  # the mean of the lognormal


def cell(client: str, concurrency: int, latency: str, scale: float = 1.0) -> Cell:
    """A cell that takes about three seconds, and at least four rounds of what is in flight."""
    rate: float = FULL[client]
    if client == "handbook":
        concurrency = 4
    if DELAYS[latency]:
        rate = min(rate, concurrency / DELAYS[latency])
    slow = FULL[client] < 1000 and concurrency > 512
    least = concurrency * (1 if slow else 4)
    count = max(int(rate * SECONDS * scale), least if scale >= 1 else 8)
    return Cell(client, concurrency, latency, min(count, MOST))


def interleaved(bench: Workbench, cells: list[Cell], repeats: int) -> list[dict[str, Any]]:
    """Measure the cells in turn, all of them ``repeats`` times; medians.

    Where answers are derived, each client runs once before that, for the endpoint to have them.
    """
    samples: dict[Cell, list[Sample]] = {it: [] for it in cells}
    is_derived = cells[0].latency == "derived"
    with DerivedEndpoint(cpus()[0]) if is_derived else endpoint(cells[0].latency) as server:
        for it in cells if is_derived else ():
            bench.measure(it, server)
        for _ in range(repeats):
            for it in cells:
                samples[it].append(bench.measure(it, server))
    found = [summarise(it, taken) for it, taken in samples.items()]
    table(
        ["client", "in flight", "latency", "calls", "calls/s", "pairs/min", "CPU us/call",
         "peak MB", "failed", "load"],
        [
            [r["client"], str(r["concurrency"]), r["latency"], str(r["count"]),
             f"{r['per_s']:,.0f}", f"{r['pairs_per_min']:,.0f}", f"{r['cpu_us']:,.0f}",
             f"{r['rss_mb']:.0f}", str(r["failed"]), f"{r['load']:.1f}"]
            for r in found
        ],
    )  # fmt: skip
    print()
    return found


def ratios(found: list[dict[str, Any]], *, best: bool = False) -> dict[str, float]:
    """pairmill beside each reference client, at the same concurrency and latency.

    Of medians; or of each one's best run, which other work on the machine moves least.
    """
    rates = {
        (r["client"], r["concurrency"], r["latency"]): max(r["all_per_s"]) if best else r["per_s"]
        for r in found
    }
    result = {}
    for (client, concurrency, latency), rate in rates.items():
        if client in CHECKED or client == "pairmill_sdk" or not rate:
            continue
        for ours in ("pairmill_sdk" if client == "bare_sdk" else "pairmill", *sorted(CHECKED)):
            own = rates.get((ours, 64 if client == "handbook" else concurrency, latency))
            if own and ours != client:
                result[f"{ours} / {client} at {concurrency}, {latency}"] = round(own / rate, 3)
    return result


def whole(bench: Workbench, repeats: int) -> None:
    """The table of the README."""
    found: list[dict[str, Any]] = []
    for concurrency, latency in MAIN:
        found += headline(bench, repeats, concurrency)
        clients = [it for it in REFERENCES if it != "handbook" or concurrency == 64]
        found += interleaved(bench, [cell(it, concurrency, latency) for it in clients], repeats)
    for concurrency, latency in OTHERS:
        found += interleaved(bench, [cell(it, concurrency, latency) for it in QUICK], 1)
    own = {
        f"at {c}": round(
            _of(found, "pairmill", c)["cpu_us"] - _of(found, "bare_direct", c)["cpu_us"]
        )
        for c in (64, 1024)
    }
    added = latencies(bench)
    results = {"cells": found, "ratios": ratios(found), "own_cpu_us": own, "added_latency": added}
    _show(results)
    save("throughput", results)


def headline(bench: Workbench, repeats: int, concurrency: int) -> list[dict[str, Any]]:
    """Measure with checks on, beside the same without and the peers; answers are derived."""
    return interleaved(bench, [cell(it, concurrency, "derived") for it in HEADLINE], repeats)


def latencies(bench: Workbench) -> dict[str, Any]:
    """What a call waits beyond the endpoint's own time: a bare loop's, with checks off, and on."""
    return {
        name: added_latency(bench.corpus, concurrency=1024, count=8192, checks=name)
        for name in ("bare", "off", "default")
    }


def _of(found: list[dict[str, Any]], client: str, concurrency: int) -> dict[str, Any]:
    wanted = (client, concurrency, "zero")
    return next(r for r in found if (r["client"], r["concurrency"], r["latency"]) == wanted)


def _show(results: dict[str, Any]) -> None:
    rows = [[name, f"{it:.2f}"] for name, it in results.get("ratios", {}).items()]
    table(["ratio", "value"], rows)
    if "own_cpu_us" in results:
        print(f"\nown CPU beyond the wire, us a request: {results['own_cpu_us']}")
    for name, added in results.get("added_latency", {}).items():
        print(f"1,024 in flight at 2 s, {name}: {added}")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.throughput")
    parser.add_argument("--ci", action="store_true")
    parser.add_argument("--headline", action="store_true")
    parser.add_argument("--latency", action="store_true")
    parser.add_argument("--smoke", action="store_true")
    parser.add_argument("--record", action="store_true", help="with --ci: write the baseline")
    parser.add_argument("--repeats", type=int, default=3)
    given = parser.parse_args()
    print(describe(), "\n")
    with tempfile.TemporaryDirectory(prefix="pairmill-bench-") as folder:
        if given.smoke:
            bench = Workbench(Path(folder), 64)
            found = interleaved(bench, [cell(it, 4, "zero", 0.002) for it in REFERENCES], 1)
            found += interleaved(bench, [cell("pairmill_checked", 4, "derived", 0.002)], 1)
            return int(any(r["failed"] for r in found))
        bench = Workbench(Path(folder), MOST)
        if given.ci:
            found = []
            for concurrency, latency in MAIN:
                cells = [cell(it, concurrency, latency) for it in QUICK]
                found += interleaved(bench, cells, 5)
            found += interleaved(bench, [cell(it, 64, "derived") for it in GATED], 5)
            return gate.judge(found, ratios(found, best=True), record=given.record)
        if given.headline:
            _show({"ratios": ratios(headline(bench, given.repeats, 64))})
        elif given.latency:
            _show({"added_latency": latencies(bench)})
        else:
            whole(bench, given.repeats)
    return 0


if __name__ == "__main__":
    sys.exit(main())
