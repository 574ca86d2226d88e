"""CPU time of each check, in microseconds a pair: python benchmarks/micro/bench_quality.py [--json]

A pair as a run makes it: a chunk of about 300 words, three pairs each, answers of about 105 words.
Process time, the best of seven repeats, so that a busy machine counts little.
"""

from __future__ import annotations

import argparse
import json
import time
from timeit import Timer
from typing import TYPE_CHECKING

from pairmill.quality.canary import Canary
from pairmill.quality.contamination import is_contaminated, read_benchmark
from pairmill.quality.duplicates import Item, find_duplicates
from pairmill.quality.filters import CHECKS, Case, inspect, prompt_terms
from pairmill.quality.grounding import evidence_match, prepare_chunk, prepare_pair, score
from pairmill.quality.privacy import redact
from pairmill.quality.text import key
from pairmill.quality.thresholds import DEFAULT

if TYPE_CHECKING:
    from collections.abc import Callable

PAIRS_PER_CHUNK = 3
BUDGET_US = 100.0
CHUNK = (
    "The copper kettle was first used by the brewers of the northern valley, because its broad "
    "base spread the heat evenly across the mash. In 1874 the town of Hallstein passed a law that "
    "every brewery with more than 12 workers keep a second kettle filled with clean water. Fires "
    "were common, and the wooden roofs stood so close that sparks jumped from one to the next. "
    "After the law, losses fell by a third within five years. "
) * 4  # fmt: skip
ANSWER = (
    "Brewers in the northern valley chose a copper kettle since its wide base spreads heat evenly "
    "through the mash. A law from 1874 in Hallstein later required breweries with more than 12 "
    "workers to hold a second one full of clean water, which mattered because fires often leapt "
    "between wooden roofs. Once the rule took effect the damage dropped by about a third over five "
    "years. For a beginner, the lesson is that material and shape decide how heat moves, and that "
    "a cheap reserve of water is the most useful safety measure a workshop can own. Take both into "
    "account when you plan."
)
ASKED = "Why did brewers in the northern valley prefer copper kettles, and what changed it?"
EVIDENCE = "its broad base spread the heat evenly"


def microseconds(run: Callable[[], object], number: int = 1000) -> float:
    return min(Timer(run, timer=time.process_time).repeat(7, number)) / number * 1e6


def measure() -> dict[str, float]:
    chunk = prepare_chunk(CHUNK, context=["Kettles"])
    pair = prepare_pair(ASKED, ANSWER, EVIDENCE)
    earlier = [
        prepare_pair("What did the law of Hallstein demand of larger breweries?", ANSWER[40:300]),
        prepare_pair("Describe how sparks spread in a town of wooden roofs.", ANSWER[300:]),
    ]
    terms = prompt_terms(["sourdough starter", "rye loaf", "sicilian defence", "castling"], "k3j4")
    case = Case(pair, chunk, earlier, DEFAULT, terms, score(pair, chunk))
    canary = Canary()
    found = {
        "prepare the chunk, a third": microseconds(
            lambda: prepare_chunk(CHUNK, context=["Kettles"])
        )
        / PAIRS_PER_CHUNK,
        "prepare the pair": microseconds(lambda: prepare_pair(ASKED, ANSWER, EVIDENCE)),
        "score": microseconds(lambda: score(pair, chunk)),
        "canary, a third": microseconds(lambda: canary.watch(chunk, [pair] * PAIRS_PER_CHUNK))
        / PAIRS_PER_CHUNK,
    }
    for name, check in CHECKS.items():
        found[f"check {name}"] = microseconds(lambda check=check: check(case))  # type: ignore[misc]
    whole = microseconds(lambda: inspect(pair, chunk, earlier, terms=terms))
    found["inspect, all checks"] = whole
    parts = ("prepare the chunk, a third", "prepare the pair", "canary, a third")
    found["TOTAL while generating"] = whole + sum(found[part] for part in parts)
    return found | elsewhere()


def elsewhere() -> dict[str, float]:
    """What runs only on demand, on a fault, or in the pass at the end."""
    chunk = prepare_chunk(CHUNK)
    benchmark = read_benchmark([CHUNK[::-1]])
    items = [Item(f"{at:06}", f"{ASKED} {at // 2} {at % 7}") for at in range(5000)]
    started = time.process_time()
    find_duplicates(items)
    return {
        "extra: evidence by fuzzy match": microseconds(
            lambda: evidence_match("the wide base spread heat evenly", chunk)
        ),
        "extra: redact": microseconds(lambda: redact(ANSWER)),
        "extra: key of an instruction": microseconds(lambda: key(ASKED)),
        "extra: contamination": microseconds(lambda: is_contaminated(ANSWER, benchmark), 100),
        "extra: duplicates, final pass": (time.process_time() - started) / len(items) * 1e6,
    }


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--json", action="store_true", help="one JSON array, lower is better")
    found = measure()
    if parser.parse_args().json:
        rows = [{"name": name, "unit": "us/pair", "value": value} for name, value in found.items()]
        print(json.dumps(rows))
        return
    for name, value in found.items():
        print(f"{name:<34}{value:8.2f}")
    total = found["TOTAL while generating"]
    print(f"budget {BUDGET_US:.0f}: {'kept' if total <= BUDGET_US else 'EXCEEDED'}")


if __name__ == "__main__":
    main()
