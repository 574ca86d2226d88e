from __future__ import annotations

import json
import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
from tests.support.cli import pairmill, rows, start
from tests.support.corpus import write_corpus

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextmanager
def simulated(*flags: str | Path) -> Iterator[str]:
    child = start("simulate", "--port", "0", *flags)
    try:
        assert child.stdout
        yield str(json.loads(child.stdout.readline())["url"])
    finally:
        child.send_signal(signal.SIGINT)
        child.communicate(timeout=20)
    assert child.returncode == 0


@pytest.mark.slow
def test_a_run_works_against_it(tmp_path: Path) -> None:
    corpus, out = write_corpus(tmp_path / "articles", 4), tmp_path / "out"
    with simulated("--fault", "overloaded=0.2", "--latency-s", "0.01", "--seed", "3") as url:
        done = pairmill("run", corpus, "-o", out, url=url)
    assert done.returncode == 0, done.stderr
    assert rows(out)


def test_flags_win_over_the_file(tmp_path: Path) -> None:
    config = tmp_path / "sim.yaml"
    config.write_text("dialect: groq\nresponse_format: none\nquota: {rpm: 5, tpm: 9}\n")
    with simulated("--config", config, "--rpm", "1200", "--dialect", "openai") as url:
        found = json.loads(pairmill("doctor", "--json", url=url).stdout)
    assert found["limits"]["requests_per_min"] == 1200


def test_a_mistake_is_told_in_one_line(tmp_path: Path) -> None:
    for flags, said in (
        (("--fault", "nope=0.1"), "no fault is called 'nope'"),
        (("--fault", "reset=often"), "often"),
        (("--dialect", "klingon"), "dialect"),
        (("--config", tmp_path / "nowhere.yaml"), "cannot read"),
    ):
        told = pairmill("simulate", *flags)
        assert told.returncode == 78
        assert said in told.stderr or "reset" in told.stderr
        assert len(told.stderr.strip().splitlines()) == 1
