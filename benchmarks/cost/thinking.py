"""What is paid for models that always think, beside the least possible.

    python -m benchmarks.cost.thinking [--json]

The least possible is one call a chunk at the least effort that the model has: the answer tokens of
a model that does not think, and the mean of the thoughts (lognormal, so by its formula). What
pairmill pays on top are the calls that find this out, answers that thinking left no room for, and
efforts above the least. Tokens are counted by the simulated endpoint, four characters each.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.cost.measure import write_corpus

from pairmill import generate
from pairmill.simulator import Simulator, SimulatorSettings
from pairmill.simulator.scenarios import load_scenario

if TYPE_CHECKING:
    from pairmill.simulator.thinking import Thinking

SCENARIOS = ("thinking-always", "thinking-gemini-pro", "thinking-o-series", "thinking-no-words")
COPIES = 8  # of the articles' chunks, so that what is learned once counts for what it is


def play(scenario: str | None, folder: Path, corpus: Path) -> dict[str, Any]:
    """Run once; paid answer tokens a chunk, and how often a reply was empty."""
    with Simulator(SimulatorSettings(scenario=scenario)) as endpoint:
        ended = generate(corpus, output=folder, base_url=endpoint.url, concurrency=16)
        report = endpoint.report()
    if ended.exit_code or ended.counts is None:
        raise SystemExit(f"{scenario}: {ended.reason}")
    return {
        "chunks": ended.counts.chunks,
        "lost": ended.counts.rejected_chunks,
        "tokens": report["completion_tokens"] / ended.counts.chunks,
        "empty": report["empty_billed"],
    }


def least_thoughts(thinking: Thinking) -> float:
    """Mean tokens of a thought at the least effort."""
    return thinking.tokens * thinking.scales[thinking.least] * math.exp(thinking.sigma**2 / 2)


def main() -> None:
    parser = argparse.ArgumentParser(description="paid tokens of models that always think")
    parser.add_argument("--json", action="store_true", help="one JSON array")
    as_json = parser.parse_args().json
    os.environ["OPENAI_API_KEY"] = "sk-simulated"
    rows = []
    with tempfile.TemporaryDirectory() as name:
        corpus = copies(write_corpus(Path(name)))
        plain = play(None, Path(name) / "plain", corpus)
        for scenario in SCENARIOS:
            thinking = load_scenario(scenario).settings.thinking
            row = play(scenario, Path(name) / scenario, corpus)
            least = plain["tokens"] + least_thoughts(thinking)
            rows.append(
                {"scenario": scenario, **row, "least": least, "ratio": row["tokens"] / least}
            )
    if as_json:
        print(json.dumps(rows))
        return
    print("| model | tokens a chunk | least possible | ratio | empty replies | chunks lost |")
    print("|---|---|---|---|---|---|")
    for row in rows:
        ratio = f"{row['tokens']:,.0f} | {row['least']:,.0f} | {row['ratio']:.2f}"
        print(
            f"| {row['scenario']} | {ratio} | {row['empty']} | {row['lost']} of {row['chunks']} |"
        )


def copies(corpus: Path) -> Path:
    """The corpus several times over, each chunk with a sentence that makes it another one."""
    lines = corpus.read_text("utf-8").splitlines()
    with corpus.open("w", encoding="utf-8") as file:
        for number in range(COPIES):
            for line in lines:
                document = json.loads(line)
                document["text"] += f" This was noted in volume {number} of the collection."
                file.write(json.dumps(document) + "\n")
    return corpus


if __name__ == "__main__":
    main()
