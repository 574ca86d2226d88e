"""What it costs in time to pay for a repeated fact once: units wait for those read before them.

python -m benchmarks.throughput.distinct [--rounds 3] [--count 600]

The recipe ``facts`` with and without ``distinct``, in turn, against an endpoint whose answers take
a lognormal time (median 0.3 s, sigma 1.0: one in a hundred takes ten times as long). The articles
are all different, so that both make the same calls and the difference is the waiting alone.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

from benchmarks import corpus
from benchmarks.machine import median, save, table

from pairmill import generate
from pairmill.recipes.load import library_text
from pairmill.simulator import SimulatorProcess, SimulatorSettings
from pairmill.simulator.settings import Latency

WAITING = "    distinct: fact\n"


def main() -> None:
    """Measure, print and keep the ratio of times."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--count", type=int, default=600, help="chunks")
    parser.add_argument("--concurrency", type=int, default=64)
    given = parser.parse_args()
    text = library_text("facts")
    assert WAITING in text
    slow = SimulatorSettings(latency=Latency("lognormal", 0.3, 1.0), track_requests=False)
    taken: dict[str, list[float]] = {"with": [], "without": []}
    with tempfile.TemporaryDirectory() as name, SimulatorProcess(slow) as endpoint:
        folder = Path(name)
        with (folder / "articles.jsonl").open("wb") as file:
            corpus.write(file, given.count)
        for number in range(given.rounds):
            for kind in sorted(taken, reverse=number % 2 == 1):
                recipe = folder / f"{kind}.yaml"
                recipe.write_text(text if kind == "with" else text.replace(WAITING, ""), "utf-8")
                began = time.monotonic()
                ended = generate(
                    folder / "articles.jsonl",
                    output=folder / f"{kind}-{number}",
                    recipe=str(recipe),
                    base_url=endpoint.url,
                    concurrency=given.concurrency,
                    checks="off",
                )
                taken[kind].append((time.monotonic() - began) / ended.calls)
    ratios = [one / other for one, other in zip(taken["with"], taken["without"], strict=True)]
    table(
        ["", "ms a call"],
        [[f"{kind} distinct", f"{1000 * median(values):.1f}"] for kind, values in taken.items()],
    )
    print(f"\ntime with / without: {median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})")
    save("distinct", {"ratio": median(ratios), "ratios": ratios})


if __name__ == "__main__":
    main()
