"""What a request costs beside another version of pairmill, in turn on one machine.

git worktree add --detach ../before COMMIT
python -m benchmarks.throughput.versions ../before            the ratio of processor times
python -m benchmarks.throughput.versions ../before --rounds 3 --count 2000

Both run in the same environment, the other one by ``PYTHONPATH``. A round is one run of each, the
first of them by turns; the ratio is the median of the rounds' ratios, so that other work on the
machine, which slows both runs of a round, is left out of it as far as it can be.
"""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.cells import Cell, Workbench, endpoint
from benchmarks.machine import describe, median, save, table

IN_FLIGHT = 64
CELLS = {
    "engine": Cell("pairmill", IN_FLIGHT, "zero", 0),
    "checks off": Cell("pairmill", IN_FLIGHT, "zero", 0),
    "as users run it": Cell("pairmill_checked", IN_FLIGHT, "derived", 0),
}
"""Checks off against canned answers, twice; then with checks, against derived answers.

``engine`` is the cost of the same work: what reading and planning have learned since the first
benchmarks were written (`LEARNED`) is switched off in this version; the other may not know it.
"""
LEARNED = {"shared_lines": "keep", "duplicates": "off", "prompts": "'1'"}
HERE = Path(__file__).parents[2] / "src"


def main() -> None:
    """Measure, print and keep the ratios."""
    parser = argparse.ArgumentParser()
    parser.add_argument("before", type=Path, help="a working tree of another version")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--count", type=int, default=6_000, help="requests of a run")
    given = parser.parse_args()
    sources = {"before": given.before / "src", "now": HERE}
    machine = describe()
    with tempfile.TemporaryDirectory() as folder:
        results = []
        for label, cell in CELLS.items():
            benches = {}
            for name, source in sources.items():
                place = Path(folder) / label / name
                place.mkdir(parents=True)
                settings = LEARNED if label == "engine" and name == "now" else {}
                benches[name] = Workbench(place, given.count, source, settings)
            measured = _compare(replace(cell, count=given.count), benches, given.rounds)
            results.append({"what": label, **measured})
    print(f"{machine['cpu']}, {machine['cores']} cores, load {machine['load_1m']}\n")
    table(
        ["what", "CPU us a request, before", "now", "ratio", "of rounds"],
        [
            [
                it["what"],
                f"{it['before']:.0f}",
                f"{it['now']:.0f}",
                f"{it['ratio']:.3f}",
                f"{min(it['ratios']):.3f} to {max(it['ratios']):.3f}",
            ]
            for it in results
        ],
    )
    save("versions", results)


def _compare(cell: Cell, benches: dict[str, Workbench], rounds: int) -> dict[str, Any]:
    taken: dict[str, list[float]] = {name: [] for name in benches}
    with endpoint(cell.latency) as server:
        for number in range(rounds):
            for name in sorted(benches, reverse=number % 2 == 1):
                taken[name].append(benches[name].measure(cell, server).cpu_us)
    ratios = [now / before for before, now in zip(taken["before"], taken["now"], strict=True)]
    return {
        "client": cell.client,
        **{name: median(values) for name, values in taken.items()},
        "ratio": median(ratios),
        "ratios": ratios,
    }


if __name__ == "__main__":
    main()
