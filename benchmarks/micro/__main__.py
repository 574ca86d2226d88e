"""Processor time of the pieces that each request pays for, in microseconds; medians of rounds.

python -m benchmarks.micro
"""

from __future__ import annotations

import asyncio
import io
import statistics
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import orjson
from benchmarks import corpus
from benchmarks.machine import describe, save, table
from msgspec.structs import replace

from pairmill import __version__
from pairmill.chunking.reader import read_chunks
from pairmill.config import fingerprint, load
from pairmill.llm.limits.gate import Gate
from pairmill.llm.limits.quota import Cost, Limits
from pairmill.llm.providers.provider import Mode
from pairmill.llm.providers.replies import decode
from pairmill.llm.providers.requests import RequestEncoder
from pairmill.recipes.answers import json_schema, read
from pairmill.recipes.backtranslate import WrittenAnswer
from pairmill.recipes.prompts import PromptTemplate, fence
from pairmill.records import (
    Completion,
    Message,
    Outcome,
    Pair,
    Request,
    Sampling,
    Template,
    Usage,
    digest,
)
from pairmill.simulator.content import UNRELATED
from pairmill.store.columns import RowOrigin
from pairmill.store.entries import Batch, PaidAnswer, UnitOutcome
from pairmill.store.folder import open_folder
from pairmill.store.journal import Journal
from pairmill.store.row_encoding import UnitResult, encode_unit

if TYPE_CHECKING:
    from collections.abc import Callable

    from pairmill.records import Chunk

ROUNDS = 7
ANSWER = {
    "skip": None,
    "pairs": [
        {
            "type": "why",
            "evidence": UNRELATED[60:120],
            "instruction": f"What should one know about the lighthouse, part {number}?",
            "answer": UNRELATED[number * 300 : number * 300 + 500],
        }
        for number in range(3)
    ],
}
GOOD = orjson.dumps(ANSWER).decode()
BROKEN = f"Here you are:\n```json\n{GOOD[:-2]},]}}\n```\nAnything else?"
ENVELOPE = orjson.dumps(
    {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1700000000,
        "model": "m",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": GOOD},
                "finish_reason": "stop",
            }
        ],
        "usage": {"prompt_tokens": 700, "completion_tokens": 400, "total_tokens": 1100},
    }
)


def us(call: Callable[[], object], each: int) -> float:
    """Median microseconds of processor time for one of ``each`` things that a call does."""
    call()
    taken = []
    for _ in range(ROUNDS):
        started = time.process_time()
        call()
        taken.append((time.process_time() - started) / each * 1e6)
    return round(statistics.median(taken), 2)


def times(count: int, call: Callable[[], object]) -> float:
    def run() -> None:
        for _ in range(count):
            call()

    return us(run, count)


def intake(folder: Path) -> tuple[float, list[Chunk]]:
    """Read, clean and chunk JSON Lines of one chunk each."""
    path = folder / "articles.jsonl"
    buffer = io.BytesIO()
    corpus.write(buffer, 2000)
    path.write_bytes(buffer.getvalue())
    settings = load(given={"inputs": (str(path),), "output": str(folder / "none")})

    def run() -> list[Chunk]:
        return list(read_chunks(settings, lambda _: None))

    return us(run, 2000), run()


def asking(chunk: Chunk) -> dict[str, float]:
    template = Template("bench", "1", (Message("system", corpus.PROMPT),))
    form, encoder = (
        PromptTemplate(template, "N={{count}}\n{{title}}\n{{passage}}"),
        RequestEncoder(),
    )
    schema, sampling = json_schema(WrittenAnswer), Sampling(0.8, 1380, 0)

    def question() -> Request:
        values = {"count": "3", "title": "t", "passage": fence(chunk.text)}
        return Request(form.fill(values, sampling), "m", schema)

    request = question()
    return {
        "question and its id": times(5000, question),
        "request as bytes": times(5000, lambda: encoder.encode(request, Mode.JSON_SCHEMA)),
        "envelope read": times(5000, lambda: decode(200, {}, ENVELOPE, 0.0)),
        "answer parsed": times(5000, lambda: read(GOOD, WrittenAnswer)),
        "answer healed": times(500, lambda: read(BROKEN, WrittenAnswer)),
    }


def rows(chunk: Chunk) -> tuple[float, UnitOutcome]:
    pairs = [
        Pair(str(it["instruction"]), str(it["answer"]), index, "why", str(it["evidence"]))
        for index, it in enumerate(ANSWER["pairs"] or ())
    ]
    origin = RowOrigin("0" * 32, "backtranslate", "1", "m", 1, Usage(700, 400, 0), 1700000000.0)
    result = UnitResult(chunk, origin, Outcome.WRITTEN, pairs)
    return times(5000, lambda: encode_unit(result)), encode_unit(result)


def gate() -> float:
    async def run(count: int) -> float:
        loop = asyncio.get_running_loop()
        limit = Gate(Limits(requests_per_min=1e9), clock=loop.time, width=64)
        cost, usage = Cost(750.0, 400.0, 1380.0), Usage(750, 400, 0)
        started = time.process_time()
        for _ in range(count):
            (await limit.admit(cost)).release(usage=usage)
        return (time.process_time() - started) / count * 1e6

    return round(statistics.median(asyncio.run(run(5000)) for _ in range(ROUNDS)), 2)


def commit(folder: Path, unit: UnitOutcome) -> float:
    """A unit's answer, outcome and rows in the journal, in commits of 400 units."""
    settings = load(given={"inputs": ("x",)})
    completion = Completion(GOOD, "stop", "m", Usage(700, 400, 0), 1700000000.0)
    taken = []
    with open_folder(
        folder / "run",
        settings_fingerprint=fingerprint(settings),
        accept_change=False,
        version=__version__,
    ) as run_folder:
        journal = Journal.open(run_folder, clock=time.monotonic)
        for number in range(20):
            names = [digest(f"{number}.{index}") for index in range(400)]
            batch = Batch(
                [PaidAnswer(digest(name), name, digest("c", name), completion) for name in names],
                [replace(unit, unit_id=name) for name in names],
            )
            started = time.process_time()
            journal.commit(batch)
            taken.append((time.process_time() - started) / 400 * 1e6)
        journal.close()
    return round(statistics.median(taken), 2)


def main() -> None:
    print(describe(), "\n")
    with tempfile.TemporaryDirectory(prefix="pairmill-bench-") as name:
        folder = Path(name)
        reading, chunks = intake(folder)
        encoding, unit = rows(chunks[0])
        found = {
            "chunk read, cleaned and cut": reading,
            **asking(chunks[0]),
            "gate grant and release": gate(),
            "three rows written as JSON": encoding,
            "unit committed": commit(folder, unit),
        }
    table(["piece", "CPU us"], [[piece, f"{value:.1f}"] for piece, value in found.items()])
    save("micro", found)


if __name__ == "__main__":
    main()
