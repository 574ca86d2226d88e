from __future__ import annotations

import inspect
import json
from typing import TYPE_CHECKING, Any

import pytest
from tests.support.cli import pairmill, rows
from tests.support.corpus import write_corpus

from pairmill import cli
from pairmill.commands.estimate import estimate_like
from pairmill.config import Settings
from pairmill.simulator import Simulator, SimulatorSettings

if TYPE_CHECKING:
    from pathlib import Path


def estimated(*arguments: str | Path, url: str | None = None) -> dict[str, Any]:
    done = pairmill("estimate", *arguments, "--json", url=url)
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


def test_it_takes_the_flags_of_a_run() -> None:
    own = {"config", "as_json", "pilot", "assignments", "max_tokens"}  # the last: an old name
    flags = set(inspect.signature(estimate_like(cli.run, cli._pilot)).parameters) - own
    assert flags <= set(Settings.model_fields)
    assert {"inputs", "output", "model", "limit", "pairs_per_chunk"} <= flags


@pytest.mark.slow
def test_no_call_is_needed_and_finished_chunks_are_not_counted_again(tmp_path: Path) -> None:
    corpus, out = write_corpus(tmp_path / "articles", 20), tmp_path / "out"
    (corpus / "zzz-again.md").write_text((corpus / "article-003.md").read_text("utf-8"))
    before = estimated(corpus, "-o", out)  # without a key, without an endpoint
    assert (before["documents"], before["chunks"], before["to_ask"]) == (21, 20, 20)
    assert before["calls"][0] == 20
    assert before["usd"][0] < before["usd"][1] < before["usd"][2]
    assert before["hours"] is None
    assert not out.exists()
    with Simulator() as endpoint:
        pairmill("run", corpus, "-o", out, "--limit", "8", url=endpoint.url)
        asked = endpoint.report()["calls"]
        after = estimated(corpus, "-o", out, url=endpoint.url)
        assert endpoint.report()["calls"] == asked
        pairmill("run", corpus, "-o", out, url=endpoint.url)
        bill = endpoint.report()
    assert (after["finished"], after["to_ask"], after["measured_units"]) == (8, 12, 8)
    share = 12 / 20
    assert after["prompt_tokens"][0] < bill["prompt_tokens"] * share < after["prompt_tokens"][2]
    assert after["pairs"][0] <= len(rows(out)) * share <= after["pairs"][2]
    assert estimated(corpus, "-o", out)["to_ask"] == 0


@pytest.mark.slow
def test_a_pilot_is_kept_and_sharpens_the_figures(tmp_path: Path) -> None:
    corpus, out = write_corpus(tmp_path / "articles", 30), tmp_path / "out"
    blurry = estimated(corpus, "-o", out)
    with Simulator() as endpoint:
        sharp = estimated(corpus, "-o", out, "--pilot", "12", url=endpoint.url)
        piloted = endpoint.report()["answered"]
        run = pairmill("run", corpus, "-o", out, url=endpoint.url)
        assert run.returncode == 0, run.stderr
        bill = endpoint.report()
    assert 12 <= piloted <= 14
    assert bill["answered"] <= 30 + 2  # nothing twice but the look at the endpoint
    assert (sharp["finished"], sharp["to_ask"], sharp["measured_units"]) == (12, 18, 12)
    assert sharp["prompt_tokens"][0] < bill["prompt_tokens"] * 18 / 30 < sharp["prompt_tokens"][2]
    assert _spread(sharp["usd"]) < _spread(blurry["usd"]) / 2
    assert blurry["hours"] is None
    assert 0 < sharp["hours"][0] < sharp["hours"][1] < sharp["hours"][2] < 1
    assert any("pilot's" in note for note in sharp["notes"])


def _spread(values: list[float]) -> float:
    return values[2] / values[0]


def test_a_pilot_that_fails_ends_like_a_run(tmp_path: Path) -> None:
    corpus, out = write_corpus(tmp_path / "articles", 3), tmp_path / "out"
    with Simulator(SimulatorSettings(api_keys=("another",))) as endpoint:
        told = pairmill("estimate", corpus, "-o", out, "--pilot", "2", url=endpoint.url)
    assert told.returncode == 78
    assert not told.stdout
    piped = pairmill("estimate", "-", "-o", out, "--pilot", "2", input_text="{}")
    assert piped.returncode == 2
    assert "--pilot" in piped.stderr


@pytest.mark.slow
def test_other_settings_make_other_units(tmp_path: Path) -> None:
    corpus, out = write_corpus(tmp_path / "articles", 8), tmp_path / "out"
    with Simulator() as endpoint:
        pairmill("run", corpus, "-o", out, url=endpoint.url)
    changed = estimated(corpus, "-o", out, "--pairs-per-chunk", "2")
    assert (changed["finished"], changed["to_ask"], changed["measured_units"]) == (0, 8, 0)


@pytest.mark.slow
def test_people_get_a_table_and_mistakes_a_line(tmp_path: Path) -> None:
    corpus = write_corpus(tmp_path / "articles", 3)
    shown = pairmill("estimate", corpus, "--model", "my-own", "--limit", "2")
    assert shown.returncode == 0
    assert "2 to ask about" in shown.stdout
    assert "no price is known for 'my-own'" in shown.stdout
    for arguments, code in (((), 2), ((tmp_path / "nowhere",), 1)):
        told = pairmill("estimate", *arguments)
        assert told.returncode == code
        assert len(told.stderr.strip().splitlines()) == 1
