"""What 1,000 accepted pairs cost: python benchmarks/cost/measure.py

Measured by the wallet of the simulated endpoint.

Tokens are counted as four characters each, prices are those of gpt-4o-mini (0.15 and 0.60 dollars
per million tokens), cached prefixes are billed in full. The articles are this project's own, cut
into chunks of about 450 tokens. The simulated model writes answers of the passage's own sentences,
turned round; a real one writes longer or shorter. So compare the rows with each other.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pairmill import generate
from pairmill.chunking.reader import read_chunks
from pairmill.config import load
from pairmill.simulator import Simulator, SimulatorSettings
from pairmill.simulator.settings import Faults

ARTICLES = Path(__file__).parents[2] / "examples" / "articles"
MALFORMED = ("wrong_types", "one_broken", "truncated", "two_of_three")


@dataclass(frozen=True)
class Case:
    name: str
    settings: dict[str, Any] = field(default_factory=dict)
    malformed: float = 0.0


CASES = (
    Case("one step"),
    Case("two steps", {"mode": "two_step"}),
    Case("verbatim", {"mode": "verbatim"}),
    Case("one step, style card", {"style_card": "measured"}),
    Case("one step, judge: sample", {"judge": "sample", "judge_trust": 0}),
    Case("one step, judge: all", {"judge": "all", "judge_trust": 0}),
    Case("one step, verify: sample", {"verify": "sample", "verify_trust": 0}),
    Case("one step, verify: all", {"verify": "all", "verify_trust": 0, "unsupported": "flag"}),
    Case("one step, verify: all, cut", {"verify": "all", "verify_trust": 0}),
    Case("one step, evolve", {"evolve": "on"}),
    Case(
        "one step, preference: samples, judge: all",
        {"preference": "samples", "judge": "all", "judge_trust": 0},
    ),
    Case("one step, preference: closed_book", {"preference": "closed_book"}),
    Case("one step, 5 % malformed", malformed=0.05),
    Case("one step, 20 % malformed", malformed=0.20),
)


def measure(case: Case, folder: Path, corpus: Path) -> dict[str, Any]:
    faults = Faults(rates={name: case.malformed / len(MALFORMED) for name in MALFORMED}, attempts=1)
    with Simulator(SimulatorSettings(faults=faults)) as endpoint:
        given = {"style_card": "off", **case.settings}
        ended = generate(corpus, output=folder, base_url=endpoint.url, concurrency=16, **given)
        report = endpoint.report()
    if ended.exit_code:
        raise SystemExit(f"{case.name}: {ended.reason}")
    per_1000 = 1000 / ended.pairs
    return {
        "case": case.name,
        "chunks": ended.chunks,
        "pairs": ended.pairs,
        "calls": report["billed"],
        "calls_per_chunk": report["billed"] / ended.chunks,
        "prompt_tokens_per_1000": report["prompt_tokens"] * per_1000,
        "completion_tokens_per_1000": report["completion_tokens"] * per_1000,
        "usd_per_1000": float(report["spent_usd"]) * per_1000,
    }


def write_corpus(folder: Path) -> Path:
    """The chunks of the articles as documents of their own, each with an author."""
    settings = load(given={"inputs": (str(ARTICLES),)})
    path = folder / "chunks.jsonl"
    with path.open("w", encoding="utf-8") as file:
        for chunk in read_chunks(settings, lambda _: None):
            author = Path(chunk.source).stem
            file.write(json.dumps({"text": chunk.text, "title": chunk.title, "author": author}))
            file.write("\n")
    return path


def main() -> None:
    parser = argparse.ArgumentParser(description="cost of 1,000 accepted pairs")
    parser.add_argument("--json", action="store_true", help="one JSON array")
    as_json = parser.parse_args().json
    os.environ["OPENAI_API_KEY"] = "sk-simulated"
    with tempfile.TemporaryDirectory() as name:
        corpus = write_corpus(Path(name))
        rows = [measure(case, Path(name) / str(at), corpus) for at, case in enumerate(CASES)]
    if as_json:
        print(json.dumps(rows))
        return
    print("| | calls a chunk | prompt tokens | answer tokens | dollars | beside one step |")
    print("|---|---|---|---|---|---|")
    base = rows[0]["usd_per_1000"]
    for row in rows:
        prompt, answer = row["prompt_tokens_per_1000"], row["completion_tokens_per_1000"]
        cost = f"{row['usd_per_1000']:.3f} | {row['usd_per_1000'] / base:.2f}"
        calls = f"{row['calls_per_chunk']:.2f}"
        print(f"| {row['case']} | {calls} | {prompt:,.0f} | {answer:,.0f} | {cost} |")
    print(f"\n{rows[0]['chunks']} chunks; {rows[0]['pairs']} pairs of them in one step.")


if __name__ == "__main__":
    main()
