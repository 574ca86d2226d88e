"""How well near duplicates are found beside brute force, and what an index of many texts takes.

python -m benchmarks.intake.duplicates [ORIGINALS] [CHUNKS]     400 and 1,000,000 where not given

Originals are drawn from the words of the articles that come along, by their frequency; of each a
copy is planted with 5, 10 and 20 % of its words changed. Brute force compares every text with every
one that it kept, by the Jaccard index of all three-word runs.
"""

from __future__ import annotations

import random
import resource
import sys
import tempfile
import time
from itertools import accumulate
from pathlib import Path

from pairmill.chunking.intake_file import IntakeFile
from pairmill.chunking.repeats import RepeatIndex, sketch
from pairmill.quality.text import words
from pairmill.records import digest

ARTICLES = sorted((Path(__file__).parents[2] / "examples/articles").glob("*.md"))
SHARES = (0.05, 0.1, 0.2)
WORDS = 300
Runs = frozenset[tuple[str, ...]]


def main() -> int:
    originals = int(sys.argv[1]) if len(sys.argv) > 1 else 400
    chunks = int(sys.argv[2]) if len(sys.argv) > 2 else 1_000_000
    draw = random.Random(1)
    vocabulary = " ".join(path.read_text("utf-8") for path in ARTICLES).split()
    texts = [text_of(draw, vocabulary) for _ in range(originals)]
    planted = {
        share: [changed(draw, vocabulary, text, share) for text in texts] for share in SHARES
    }
    for least in (0.95, 0.9, 0.85, 0.75):
        beside_brute_force(texts, planted, least)
    grow(draw, vocabulary, chunks)
    return 0


def text_of(draw: random.Random, vocabulary: list[str]) -> str:
    return " ".join(draw.choices(vocabulary, k=WORDS))


def changed(draw: random.Random, vocabulary: list[str], text: str, share: float) -> str:
    found = text.split(" ")
    for at in draw.sample(range(len(found)), round(share * len(found))):
        found[at] = draw.choice(vocabulary)
    return " ".join(found)


def beside_brute_force(texts: list[str], planted: dict[float, list[str]], least: float) -> None:
    every = [(text, "original") for text in texts]
    every += [(text, f"{share:.0%}") for share, copies in planted.items() for text in copies]
    runs = [runs_of(text) for text, _ in every]
    kept: list[Runs] = []
    true = []
    for one in runs:
        is_copy = any(alike(one, other) >= least for other in kept)
        true.append(is_copy)
        if not is_copy:
            kept.append(one)
    with (
        tempfile.TemporaryDirectory() as place,
        IntakeFile(Path(place) / "intake.db", is_own=True) as file,
    ):
        index = RepeatIndex(file, "chunk", least)
        found = [
            index.check(digest(text), lambda text=text: sketch(text), str(at)) is not None
            for at, (text, _) in enumerate(every)
        ]
    both = sum(map(bool.__and__, true, found))
    print(
        f"similarity {least}: precision {both / max(1, sum(found)):.4f},"
        f" recall {both / max(1, sum(true)):.4f} of {sum(true)};",
        *(
            f"{kind} changed: {share_of(found, every, kind):.0%} (brute force"
            f" {share_of(true, every, kind):.0%});"
            for kind in (f"{share:.0%}" for share in SHARES)
        ),
    )


def share_of(found: list[bool], every: list[tuple[str, str]], kind: str) -> float:
    of_kind = [is_copy for is_copy, (_, its) in zip(found, every, strict=True) if its == kind]
    return sum(of_kind) / len(of_kind)


def runs_of(text: str) -> Runs:
    tokens = words(text)
    return frozenset(zip(tokens, tokens[1:], tokens[2:], strict=False))


def alike(one: Runs, other: Runs) -> float:
    shared = len(one & other)
    jaccard = shared / (len(one) + len(other) - shared)
    return float((2 * jaccard / (1 + jaccard)) ** (1 / 3))


def grow(draw: random.Random, vocabulary: list[str], chunks: int) -> None:
    """Index many texts, one in fifty a copy of an earlier one with 5 % of its words changed."""
    cumulated = list(accumulate([1] * len(vocabulary)))
    earlier: list[str] = []
    spent = found = planted = 0.0
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / "intake.db"
        with IntakeFile(path, is_own=True) as file:
            index = RepeatIndex(file, "chunk", 0.85)
            for number in range(chunks):
                if number % 50 == 49 and earlier:
                    text = changed(draw, vocabulary, earlier[number % len(earlier)], 0.05)
                    planted += 1
                else:
                    text = " ".join(draw.choices(vocabulary, cum_weights=cumulated, k=WORDS))
                    if len(earlier) < 2_000:
                        earlier.append(text)
                started = time.process_time()
                found += index.check(digest(text), lambda text=text: sketch(text), "") is not None
                if number % 256 == 0:
                    file.commit()
                spent += time.process_time() - started
                if (number + 1) % max(1, chunks // 4) == 0:
                    print(
                        f"{number + 1:,} chunks: {(number + 1) / spent:,.0f} a second,"
                        f" {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB of"
                        f" memory, {path.stat().st_size / 2**20:,.0f} MB on disk,"
                        f" {found:,.0f} of {planted:,.0f} copies found",
                        flush=True,
                    )


if __name__ == "__main__":
    sys.exit(main())
