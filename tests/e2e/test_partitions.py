"""A run in parts, by real processes, and what it is merged to."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from random import Random
from typing import TYPE_CHECKING, Any

import pytest
from tests.support.cli import environment, pairmill, rows
from tests.support.corpus import write_corpus
from tests.support.exports import exported, same_files

from pairmill.simulator import Latency, Simulator, SimulatorSettings
from pairmill.store.timeline import read_timeline

if TYPE_CHECKING:
    from pathlib import Path


def run_part(corpus: Path, out: Path, url: str, index: int, count: int) -> subprocess.Popen[str]:
    """Start a part as an indexed job would: its number stands in the environment."""
    command = ["run", str(corpus), "-o", str(out), "--partition", f"auto/{count}"]
    return subprocess.Popen(
        [sys.executable, "-m", "pairmill", *command],
        env={**environment(url), "JOB_COMPLETION_INDEX": str(index)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish_part(corpus: Path, out: Path, url: str, index: int, count: int) -> None:
    process = run_part(corpus, out, url, index, count)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors


def manifest(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "manifest.json").read_text("utf-8"))
    return found


@pytest.mark.slow
def test_parts_are_merged_to_what_one_process_makes(tmp_path: Path) -> None:
    corpus = write_corpus(tmp_path / "articles", 2)
    (tmp_path / "articles" / "short.md").write_text("Too short.", "utf-8")
    with Simulator() as endpoint:
        alone = pairmill("run", corpus, "-o", tmp_path / "alone", url=endpoint.url)
        assert alone.returncode == 0, alone.stderr
        for index in range(2):
            finish_part(corpus, tmp_path / "parts", endpoint.url, index, 2)
        merged = pairmill("merge", tmp_path / "parts", "-o", tmp_path / "merged")
        assert merged.returncode == 0, merged.stderr
        billed = endpoint.report()["requests"]
        again = pairmill("run", corpus, "-o", tmp_path / "merged", url=endpoint.url)
        assert again.returncode == 0, again.stderr
        assert endpoint.report()["requests"] == billed
    assert same_files(exported(tmp_path / "alone"), exported(tmp_path / "merged"))
    assert len(rows(tmp_path / "merged")) == manifest(tmp_path / "merged")["pairs"] > 0
    counts = [manifest(tmp_path / name)["counts"] for name in ("alone", "merged")]
    assert counts[0] == counts[1]
    parts = sorted((tmp_path / "parts").iterdir())
    lines = [
        read_timeline(folder / ".run" / "timeline.json") for folder in (*parts, tmp_path / "merged")
    ]
    written = [sum(sum(start.pairs) for start in line.starts) for line in lines]
    assert written[-1] == sum(written[:-1]) == len(rows(tmp_path / "merged"))
    calls = [sum(stage.calls for stage in line.stages) for line in lines]
    assert calls[-1] == sum(calls[:-1]) > 0
    assert "## Sources" in (tmp_path / "merged" / "README.md").read_text("utf-8")
    tokens = [manifest(part)["tokens"]["prompt"] for part in (tmp_path / "parts").iterdir()]
    assert manifest(tmp_path / "merged")["tokens"]["prompt"] == sum(tokens)


@pytest.mark.slow
@pytest.mark.timeout(200)
def test_a_part_to_which_nothing_falls_has_ended_well(tmp_path: Path) -> None:
    corpus = write_corpus(tmp_path / "articles", 1, sentences=8)
    with Simulator() as endpoint:
        for index in range(3):
            finish_part(corpus, tmp_path / "parts", endpoint.url, index, 3)
    merged = pairmill("merge", tmp_path / "parts", "-o", tmp_path / "merged")
    assert merged.returncode == 0, merged.stderr
    assert len(rows(tmp_path / "merged")) == 1


@pytest.mark.slow
def test_parts_that_do_not_make_one_run_are_refused(tmp_path: Path) -> None:
    corpus, parts, out = write_corpus(tmp_path / "articles", 2), tmp_path / "parts", tmp_path / "m"
    with Simulator() as endpoint:
        finish_part(corpus, parts, endpoint.url, 0, 2)

        def refused(*arguments: str | Path, code: int = 1) -> str:
            found = pairmill(*arguments, url=endpoint.url)
            assert found.returncode == code, found.stderr
            assert not out.exists()
            assert len(found.stderr.splitlines()) == 1
            return found.stderr

        assert "1 of 2 parts are missing: 1/2" in refused("merge", parts, "-o", out)
        other = ("run", corpus, "-o", parts, "--partition", "0/3")
        assert "holds parts of 2" in refused(*other, code=78)
        else_ = ("run", corpus, "-o", tmp_path / "else", "--partition", "1/2", "--seed", "5")
        assert pairmill(*else_, url=endpoint.url).returncode == 0
        mixed = ("merge", parts, tmp_path / "else", "-o", out)
        assert "made with another 'seed'" in refused(*mixed)
        twice = ("merge", parts, parts / "part-0-of-2", "-o", out, "--unfinished")
        found = pairmill(*twice)
        assert found.returncode == 0, found.stderr  # the same folder, named in two ways
        assert "merged 1 parts" in found.stdout
        shard = parts / "part-0-of-2" / "data" / "train-00000.jsonl"
        shard.write_bytes(shard.read_bytes()[:-40])
        damaged = pairmill("merge", parts, "-o", tmp_path / "n", "--unfinished")
        assert damaged.returncode != 0
        assert "does not match its ledger" in damaged.stderr
        assert not (tmp_path / "n").exists()
        assert [path.name for path in tmp_path.iterdir() if "merging" in path.name] == []


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_four_parts_that_are_stopped_and_killed_make_what_one_process_makes(
    tmp_path: Path,
) -> None:
    corpus, chance = write_corpus(tmp_path / "articles", 24), Random(5)
    with Simulator(SimulatorSettings(latency=Latency("fixed", 0.3), slots=8)) as endpoint:
        alone = pairmill("run", corpus, "-o", tmp_path / "alone", url=endpoint.url)
        assert alone.returncode == 0, alone.stderr
        kills = 0
        for sent in (signal.SIGKILL, signal.SIGTERM, signal.SIGKILL, signal.SIGTERM):
            started = [run_part(corpus, tmp_path / "p", endpoint.url, i, 4) for i in range(4)]
            time.sleep(chance.uniform(2.0, 4.0))
            for process in started:
                os.kill(process.pid, sent)
            for process in started:
                process.communicate(timeout=60)
                kills += process.returncode in {75, -signal.SIGKILL}
        assert kills >= 4  # signals did meet runs at work
        for index in range(4):
            finish_part(corpus, tmp_path / "p", endpoint.url, index, 4)
    merged = pairmill("merge", tmp_path / "p", "-o", tmp_path / "merged")
    assert merged.returncode == 0, merged.stderr
    assert same_files(exported(tmp_path / "alone"), exported(tmp_path / "merged"))
