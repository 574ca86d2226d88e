"""Made-up articles of one chunk each, all different, as JSON Lines: to a file, or to a pipe.

python -m benchmarks.corpus 1000 > articles.jsonl
"""

from __future__ import annotations

import random
import sys
from pathlib import Path
from typing import IO

import orjson

__all__ = ["PROMPT", "write"]

CHARS = 1750
ARTICLES = Path(__file__).parents[1] / "examples" / "articles"
PROMPT = (
    "You write training data. From the passage between the marks write N pairs of an instruction "
    "and its answer, as one JSON object with the keys skip and pairs; each pair has type, evidence,"
    " instruction and answer. Use nothing that the passage does not say. " * 20
)
"""A system message for the reference clients, about as long as that of the default recipe."""


def speech_words() -> list[str]:
    """The words of the bundled speeches, in order."""
    texts = [path.read_text("utf-8") for path in sorted(ARTICLES.glob("*.txt"))]
    return [word.lower() for word in " ".join(texts).split() if word.isalpha()]


def _clause(words: list[str], draw: random.Random) -> str:
    return " ".join(draw.choices(words, k=draw.randint(6, 9)))


def write(out: IO[bytes], count: int, seed: int = 1) -> None:
    """Write ``count`` records of one chunk each. Sentences come from a pool, in a new order.

    Their words are drawn from the bundled speeches, each as often as it stands there, so that two
    texts share as many words as texts do.
    """
    draw = random.Random(seed)
    words = speech_words()
    pool = [f"{_clause(words, draw)}, {_clause(words, draw)}".capitalize() for _ in range(4000)]
    for index in range(count):
        parts = [f"This is number {seed * 10_000_000 + index} of the series."]
        size = len(parts[0])
        while size < CHARS:
            parts.append(f"{draw.choice(pool)} {draw.randint(2, 9999)}.")
            size += len(parts[-1]) + 1
        record = {"id": f"{seed}-{index}", "title": f"Report {index}", "text": " ".join(parts)}
        out.write(orjson.dumps(record, option=orjson.OPT_APPEND_NEWLINE))


if __name__ == "__main__":
    try:
        write(sys.stdout.buffer, int(sys.argv[1]))
    except BrokenPipeError:
        sys.stderr.close()
