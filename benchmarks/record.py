"""Put the figures in ``results/`` into the README's table."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import orjson

HERE = Path(__file__).parent
BEGIN, END = "<!-- recorded: begin -->", "<!-- recorded: end -->"


def load(name: str) -> dict[str, Any] | None:
    path = HERE / "results" / f"{name}.json"
    return dict(orjson.loads(path.read_bytes())) if path.exists() else None


def machine(found: dict[str, Any]) -> str:
    it = found["machine"]
    packages = ", ".join(f"{name} {version}" for name, version in it["packages"].items() if version)
    return (
        f"{it['cpu']}, {it['cores']} cores, Python {it['python']} (an empty call takes "
        f"{it['call_ns']} ns), {packages}; {it['when']}, "
        f"load average at the end {it['load_1m']}"
    )


def table(head: list[str], rows: list[list[object]]) -> list[str]:
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return [*lines, *("| " + " | ".join(map(str, row)) + " |" for row in rows), ""]


def throughput(found: dict[str, Any]) -> list[str]:
    results = found["results"]
    head = ["client", "in flight", "latency", "pairs/min", "calls/s", "CPU us", "peak MB", "failed"]
    rows: list[list[object]] = [
        [r["client"], r["concurrency"], r["latency"], f"{r['pairs_per_min']:,.0f}",
         f"{r['per_s']:,.0f}", f"{r['cpu_us']:,.0f}", f"{r['rss_mb']:.0f}", r["failed"]]
        for r in results["cells"]
    ]  # fmt: skip
    loads = [r["load"] for r in results["cells"]]
    added = results["added_latency"]
    return [
        "### Throughput",
        "",
        f"{machine(found)}; load average before the cells {min(loads)} to {max(loads)}.",
        "",
        *table(head, rows),
        *table(["ratio of calls/s", ""], [[k, f"{v:.2f}"] for k, v in results["ratios"].items()]),
        f"Own processor time beyond the wire, us a request: {results['own_cpu_us']}.",
        "",
        (
            f"1,024 in flight at 2 s: p50 {added['p50_ms']} ms and p99 {added['p99_ms']} ms added "
            f"(the middle run of {len(added['all_p99_ms'])}, p99 {added['all_p99_ms']}), "
            f"{len(added['failed'])} failed, event loop late by {added['loop_late_ms']} ms at "
            f"most; load average {added['load']}."
        ),
        "",
    ]


def micro(found: dict[str, Any]) -> list[str]:
    rows: list[list[object]] = [[name, f"{value:.1f}"] for name, value in found["results"].items()]
    return ["### Pieces", "", f"{machine(found)}.", "", *table(["piece", "CPU us"], rows)]


def memory(found: dict[str, Any]) -> list[str]:
    rows: list[list[object]] = [
        [f"{r['chunks']:,}", r["peak_mb"], r["seconds"], r["load"]] for r in found["results"]
    ]
    return [
        "### Memory, 64 in flight",
        "",
        f"{machine(found)}.",
        "",
        *table(["chunks", "peak MB", "seconds", "load"], rows),
    ]


def resume(found: dict[str, Any]) -> list[str]:
    it = found["results"]
    told = (
        f"{it['units']:,} finished units skipped in {it['seconds']:.1f} s before the first new "
        f"answer: {it['us_per_unit']} us each, peak {it['peak_mb']} MB, load {it['load']}."
    )
    return ["### Resume", "", told, ""]


def main() -> int:
    readme = HERE / "README.md"
    head, _, rest = readme.read_text("utf-8").partition(BEGIN)
    _, _, tail = rest.partition(END)
    parts = {"throughput": throughput, "micro": micro, "memory": memory, "resume": resume}
    lines = [line for name, render in parts.items() if (it := load(name)) for line in render(it)]
    readme.write_text(f"{head}{BEGIN}\n\n" + "\n".join(lines) + f"{END}{tail}", "utf-8")
    print(f"{readme.name}: {len(lines)} lines")
    return 0


if __name__ == "__main__":
    sys.exit(main())
