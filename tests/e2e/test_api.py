"""The Python API on a whole run: the same as the commands, as values."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.support.cli import KEY, rows
from tests.support.corpus import write_corpus

import pairmill
from pairmill import Ask, Chunk, Pair
from pairmill.errors import EXIT_RESUMABLE, PendingError
from pairmill.events import Event, UnitSuspended
from pairmill.simulator import Simulator

if TYPE_CHECKING:
    import pytest


async def first_sentence(chunk: Chunk, ask: Ask) -> list[Pair]:
    """A recipe of a user's own, in this module."""
    return [Pair("What does the text begin with?", chunk.text.partition(".")[0], 0)]


def test_a_run_is_estimated_made_measured_shown_and_exported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    corpus, out = write_corpus(tmp_path / "articles", 4), tmp_path / "run"
    planned = pairmill.estimate(corpus, output=out)
    assert planned.calls.likely >= 4
    assert planned.usd is not None
    with Simulator() as endpoint:
        summary = pairmill.generate(corpus, output=out, base_url=endpoint.url)
    assert summary.exit_code == 0
    assert summary.pairs == len(rows(out)) > 0
    assert summary.calls >= 4
    assert summary.prompt_tokens > summary.calls
    assert list(summary.data.glob("train-*.jsonl"))
    assert summary.rejected == 0
    assert pairmill.report(out).read_bytes().startswith(b"<!doctype html>")
    found = {metric.key for metric in pairmill.qc(out).metrics}
    assert {"exact_repeats", "ungrounded"} <= found
    exported = pairmill.export(out, "alpaca")
    assert exported.folder == tmp_path / "run-alpaca"
    assert sum(exported.kept.values()) + sum(exported.dropped.values()) == exported.rows


async def first_sentence_later(chunk: Chunk, ask: Ask) -> list[Pair]:
    """A recipe whose answers take until the file ``there`` exists beside the input."""
    if "1" in Path(chunk.source).stem and not (Path(chunk.source).parent / "there").exists():
        raise PendingError
    return await first_sentence(chunk, ask)


def test_a_unit_whose_answer_comes_later_is_left_open_and_taken_up_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    corpus, out, told = write_corpus(tmp_path / "articles", 3), tmp_path / "run", list[Event]()
    bus = pairmill.Bus()
    bus.subscribe(told.append, UnitSuspended)
    given: dict[str, Any] = {
        "recipe": first_sentence_later,
        "checks": "off",
        "structured_output": "json_schema",
    }
    with Simulator() as endpoint:
        first = pairmill.generate(corpus, output=out, base_url=endpoint.url, bus=bus, **given)
        assert first.exit_code == EXIT_RESUMABLE
        assert first.reason == f"{len(told)} chunks have no answer yet"
        before = {row["id"] for row in rows(out)}
        (corpus / "there").touch()
        second = pairmill.generate(corpus, output=out, base_url=endpoint.url, **given)
    assert second.exit_code == 0, second.reason
    after = {row["id"] for row in rows(out)}
    assert before < after
    assert len(after) - len(before) == len(told) > 0


def test_a_function_of_a_module_is_a_recipe(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    corpus, out = write_corpus(tmp_path / "articles", 2), tmp_path / "run"
    with Simulator() as endpoint:
        summary = pairmill.generate(
            corpus,
            output=out,
            base_url=endpoint.url,
            recipe=first_sentence,
            checks="off",
            structured_output="json_schema",
        )
    assert summary.exit_code == 0, summary.reason
    assert {row["recipe"] for row in rows(out)} == {"first_sentence"}
