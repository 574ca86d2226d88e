"""What happens to a text before it is asked about, stage by stage: processor time of a chunk.

python -m benchmarks.throughput.stages [--chunks 4000] [--rounds 5] [INPUT ...]

All stages are measured in one run, one after the other, with the functions that a run calls; the
figure is the median of the rounds. Without an input, the made-up articles of one chunk each that
the other benchmarks use, and the bundled articles with a line of their own each, as documents of a
few sites. The last line is the whole of the reading, with the default settings, in one go: it also
has what lies between the stages.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
import time
from array import array
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, TypeVar

import orjson
from benchmarks import corpus
from benchmarks.machine import describe, save, table

from pairmill.chunking.chunk_batches import pack, packed_of, unpack
from pairmill.chunking.clean import READING_VERSION, clean, clean_body
from pairmill.chunking.document_filters import Dropped, FilterInput, judge
from pairmill.chunking.intake_file import IntakeFile
from pairmill.chunking.reader import read_documents
from pairmill.chunking.reader_job import ReaderJob
from pairmill.chunking.repeats import RepeatIndex
from pairmill.chunking.shared_lines import SharedLines
from pairmill.chunking.splitters import make_splitter
from pairmill.config import load
from pairmill.recipes.plan import plan_pairs, traits_of
from pairmill.recipes.prompts import FIRST
from pairmill.recipes.writing import load_backtranslate, passage_values
from pairmill.records import Sampling, digest, digest_with

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from pairmill.chunking.chunk import Span
    from pairmill.records import Document

T = TypeVar("T")
R = TypeVar("R")

ARTICLES = sorted(
    path
    for path in (Path(__file__).parents[2] / "examples/articles").iterdir()
    if path.suffix in {".md", ".txt"}
)
SITES = 7
PAIRS = 3


def main() -> None:
    """Measure, print and keep the tables."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.throughput.stages")
    parser.add_argument("inputs", nargs="*", type=Path)
    parser.add_argument("--chunks", type=int, default=4000, help="of the made-up articles")
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    machine = describe()
    print(f"{machine['cpu']}, {machine['cores']} cores, load {machine['load_1m']}\n")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        inputs = given.inputs or [_made_up(folder, given.chunks), _bundled(folder, given.chunks)]
        found = {path.name: _stages(path, folder, given.rounds) for path in inputs}
    names = [*dict.fromkeys(stage for stages in found.values() for stage in stages)]
    table(
        ["us a chunk", *found],
        [[stage, *(f"{stages[stage]:.1f}" for stages in found.values())] for stage in names],
    )
    save("stages", found)


def _made_up(folder: Path, count: int) -> Path:
    path = folder / "made-up.jsonl"
    with path.open("wb") as file:
        corpus.write(file, count)
    return path


def _bundled(folder: Path, chunks: int) -> Path:
    path = folder / "articles.jsonl"
    texts = [article.read_text("utf-8") for article in ARTICLES]
    size = number = 0
    with path.open("wb") as file:
        while size < 2000 * chunks:
            parts = texts[number % len(texts)].split("\n\n")
            text = "\n\n".join(f"{part} ({number})" for part in parts)  # so that none is a copy
            url = f"https://site{number % SITES}.example/{number}"
            file.write(orjson.dumps({"text": text, "url": url}) + b"\n")
            size, number = size + len(text), number + 1
    return path


def _stages(path: Path, folder: Path, rounds: int) -> dict[str, float]:
    taken = [_round(path, folder / f"round {number}") for number in range(rounds)]
    return {stage: median(it[stage] for it in taken) for stage in taken[0]}


def _round(path: Path, output: Path) -> dict[str, float]:
    """Put an input through all stages, each over all of it before the next begins."""
    settings = load(given={"inputs": (str(path),), "output": output})
    job = ReaderJob.of(settings, keeps_memory=True)
    job.memory.parent.mkdir(parents=True)
    clock = Stopwatch()
    read = clock.all("records to documents", read_documents(job, lambda _: None))
    tidied = clock.each(
        "cleaning: characters, notices, parts", lambda it: clean_body(it.text), read
    )
    inputs = [FilterInput(it.text, it.link_chars, job.min_words) for it in tidied]
    clock.each("cleaning: gates", lambda it: judge(it, READING_VERSION), inputs)
    cleaned = [clean(it, job.min_words) for it in read]
    documents = [it for it in cleaned if not isinstance(it, Dropped)]
    with IntakeFile(job.memory, is_own=True) as file:
        lines = SharedLines(file)
        counted = clock.each("shared lines: counting", lines.count, documents)
        named = [digest(it.text) for it in documents]
        pairs = list(zip(documents, named, counted, strict=True))
        clock.each("shared lines: taking out", lambda it: lines.strip(*it), pairs)
        clock.all("shared lines: keeping what was decided", _kept(lines, file))
        split = make_splitter(job)
        spans = clock.each("cutting", lambda it: split(it.text), documents)
        places = [
            (document, at, span)
            for document, own in zip(documents, spans, strict=True)
            for at, span in enumerate(own)
        ]
        index = RepeatIndex(file, "chunk", None)
        clock.each("exact duplicates", lambda it: _seen(index, it), places)
    packed = clock.each("packing", lambda it: pack(*it), places)
    unit_of = digest_with("recipe")
    chunks = clock.each("taking over", lambda it: (unit_of(it[0]), unpack(it))[1], packed)
    clock.each("plan: what fits a passage", lambda it: traits_of(it.text), chunks)
    first = "plan: all of it, of the first prompts"
    clock.each(first, lambda it: plan_pairs(it, PAIRS, 0, prompts=FIRST), chunks)
    plans = clock.each("plan: all of it", lambda it: plan_pairs(it, PAIRS, 0), chunks)
    form, sampling = load_backtranslate(""), Sampling(0.8, 1380, 0)
    clock.each(
        "question",
        lambda it: form.fill(
            {"count": str(PAIRS), "plan": it[1].lines(), **passage_values(it[0])}, sampling
        ),
        list(zip(chunks, plans, strict=True)),
    )
    shutil.rmtree(output)
    job.memory.parent.mkdir(parents=True)
    clock.all("the whole of the reading", packed_of(job, lambda _: None))
    shutil.rmtree(output)
    return {stage: 1e6 * seconds / len(chunks) for stage, seconds in clock.seconds.items()}


def _kept(lines: SharedLines, file: IntakeFile) -> Iterator[None]:
    lines.flush()
    file.commit()
    yield None


def _seen(index: RepeatIndex, place: tuple[Document, int, Span]) -> object:
    document, _, (start, end, *_) = place
    return index.check(digest(document.text[start:end]), lambda: array("I"), document.source)


class Stopwatch:
    """Takes the processor time of stages.

    Attributes:
        seconds: Stage to the time that it took.
    """

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    def each(self, stage: str, call: Callable[[T], R], items: Sequence[T]) -> list[R]:
        """Call a function with each item, and return what came of it."""
        return self.all(stage, map(call, items))

    def all(self, stage: str, items: Iterable[R]) -> list[R]:
        """Go through what makes its items while it is gone through."""
        began = time.process_time()
        found = list(items)
        self.seconds[stage] = time.process_time() - began
        return found


if __name__ == "__main__":
    main()
