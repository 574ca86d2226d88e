"""The canary in whole runs: it stops a model that ignores its text, and never one that reads it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.support.cli import KEY, pairmill, rejects, rows
from tests.support.corpus import write_corpus

from pairmill import generate
from pairmill.simulator import Simulator, SimulatorSettings

if TYPE_CHECKING:
    from pathlib import Path


pytestmark = pytest.mark.slow


@pytest.mark.parametrize("concurrency", ["1", "64", "500"])
def test_a_model_that_ignores_its_chunks_is_stopped_within_100_of_them(
    tmp_path: Path, concurrency: str
) -> None:
    corpus, out = write_corpus(tmp_path / "articles", 200, 12), tmp_path / "out"
    with Simulator(SimulatorSettings(ignore_chunk=True)) as endpoint:
        given = ("--concurrency", concurrency)
        run = pairmill("run", corpus, "-o", out, *given, url=endpoint.url)
        asked = endpoint.report()["billed"]
    assert run.returncode == 1, run.stderr
    assert "the answers are no closer to their chunk than to any other" in run.stderr
    assert "is the text in the prompt?" in run.stderr
    assert 50 <= asked <= 101  # one call tries the key and the address
    assert len(run.stderr.strip().splitlines()) <= 8


def test_what_it_wrote_until_then_did_not_pass_the_checks_either(tmp_path: Path) -> None:
    corpus, out = write_corpus(tmp_path / "articles", 60, 12), tmp_path / "out"
    with Simulator(SimulatorSettings(ignore_chunk=True)) as endpoint:
        pairmill("run", corpus, "-o", out, url=endpoint.url)
    assert rows(out) == []
    assert {row["reason"] for row in rejects(out)} <= {"ungrounded", "no_pair_passed", "twin"}


@pytest.mark.parametrize("seed", range(20))
def test_a_model_that_reads_its_chunks_is_never_stopped(
    tmp_path: Path, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    corpus = write_corpus(tmp_path / "articles", 70, 12)
    with Simulator(SimulatorSettings(seed=seed)) as endpoint:
        ended = generate(
            corpus, output=tmp_path / "out", base_url=endpoint.url, seed=seed, concurrency=8
        )
    assert (ended.exit_code, ended.reason) == (0, "")
    assert ended.pairs >= 70
