"""A start that finds its input read and finished passes over it, and ends as one that does not."""

from __future__ import annotations

import json
import shutil
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any

from tests.support.cli import KEY, rows
from tests.support.corpus import article

import pairmill
from pairmill import Ask, Chunk, Pair
from pairmill.events import DocumentsRead, InputSkipped, UnitsKnown
from pairmill.simulator import Simulator

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

COUNT = 1100  # more than are decided together at the beginning


async def first_sentence(chunk: Chunk, ask: Ask) -> list[Pair]:
    """A recipe that asks nobody."""
    return [Pair("What does the text begin with?", chunk.text.partition(".")[0], 0)]


def line(number: int) -> str:
    if number % 50 == 7:
        return '{"text": "broken\n'
    text = article(number if number % 50 != 8 else 0, sentences=6)
    return json.dumps({"id": str(number), "text": text}) + "\n"


def test_a_start_passes_over_what_is_finished_and_counts_it_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    lines = tmp_path / "lines.jsonl"
    lines.write_text("".join(map(line, range(COUNT))), "utf-8")

    def run(out: Path) -> tuple[pairmill.Summary, list[Any]]:
        told: list[Any] = []
        bus = pairmill.Bus()
        bus.subscribe(told.append, UnitsKnown, DocumentsRead, InputSkipped)
        given: dict[str, Any] = {"recipe": first_sentence, "checks": "off", "min_words": 10}
        with Simulator() as endpoint:
            summary = pairmill.generate(lines, output=out, base_url=endpoint.url, bus=bus, **given)
        assert summary.exit_code == 0, summary.reason
        return summary, told

    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    run(ours)
    shutil.copytree(ours, theirs)
    with closing(sqlite3.connect(theirs / ".run" / "intake.db")) as connection:
        connection.execute("DELETE FROM record_of")
        connection.commit()
    with lines.open("a", encoding="utf-8") as file:
        file.write("".join(map(line, (5000, 5007, 5008, 5009))))
    (one, told), (other, told_there) = run(ours), run(theirs)
    assert max(it.count for it in told if isinstance(it, UnitsKnown)) > 1000  # of one stretch
    assert max(it.count for it in told_there if isinstance(it, UnitsKnown)) <= 256

    def sums(summary: pairmill.Summary, events: list[Any]) -> list[Any]:
        documents = sum(it.count for it in events if isinstance(it, DocumentsRead))
        skipped = sorted(str(it) for it in events if isinstance(it, InputSkipped))
        return [summary.chunks, summary.pairs, summary.counts, documents, skipped]

    assert sums(one, told) == sums(other, told_there)
    assert _lines(ours / "skipped.jsonl") == _lines(theirs / "skipped.jsonl")
    assert sorted(row["id"] for row in rows(ours)) == sorted(row["id"] for row in rows(theirs))
    assert one.pairs > COUNT * 0.9


def _lines(path: Path) -> list[str]:
    return sorted(path.read_text("utf-8").splitlines())
