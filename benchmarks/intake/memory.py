"""Whether memory stays flat while the input grows.

python -m benchmarks.intake.memory [MEGABYTES ...]     100 and 2,000 where none are given

Each size is written as JSON Lines of different articles and read in a process of its own, with
duplicates and shared lines looked for.
"""

from __future__ import annotations

import json
import random
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from pairmill.chunking.reader import spans_of
from pairmill.chunking.reader_job import ReaderJob
from pairmill.config import load

ARTICLES = sorted((Path(__file__).parents[2] / "examples/articles").glob("*.md"))
WORDS = 600


def main() -> int:
    if sys.argv[1:2] == ["--read"]:
        return read(sys.argv[2], sys.argv[3])
    sizes = [int(size) for size in sys.argv[1:]] or [100, 2_000]
    for size in sizes:
        with tempfile.TemporaryDirectory() as place:
            path = Path(place) / "a.jsonl"
            write(path, size * 2**20)
            for duplicates in ("exact", "near"):
                command = [sys.executable, "-m", "benchmarks.intake.memory", "--read"]
                subprocess.run([*command, str(path), duplicates], check=True)
    return 0


def write(path: Path, size: int) -> None:
    draw = random.Random(1)
    vocabulary = " ".join(article.read_text("utf-8") for article in ARTICLES).split()
    written = number = 0
    with path.open("w") as file:
        while written < size:
            paragraphs = [" ".join(draw.choices(vocabulary, k=WORDS // 6)) for _ in range(6)]
            text = "\n\n".join(paragraphs)
            line = {"text": text, "url": f"https://site-{number % 50}.example/{number}"}
            written += file.write(json.dumps(line) + "\n")
            number += 1


def read(path: str, duplicates: str) -> int:
    given = {"inputs": (path,), "output": Path(path).parent / "out", "duplicates": duplicates}
    started = time.process_time()
    documents = chunks = 0
    for _, spans in spans_of(ReaderJob.of(load(given=given)), lambda _: None):
        documents += 1
        chunks += len(spans)
    spent = time.process_time() - started
    size = Path(path).stat().st_size / 2**20
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"{size:,.0f} MB, duplicates {duplicates}: {most:.0f} MB of memory,"
        f" {size / spent:.1f} MB/s, {documents / spent:,.0f} documents/s, {chunks / spent:,.0f}"
        " chunks/s",
        flush=True,
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
