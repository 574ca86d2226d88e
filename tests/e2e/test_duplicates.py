"""Copies are not paid for: what a run, its folder and its commands say of them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import orjson
import pytest
from tests.support.cli import pairmill, rows
from tests.support.corpus import article

from pairmill.simulator import Simulator

if TYPE_CHECKING:
    from pathlib import Path


def _write(folder: Path, first: int, count: int) -> None:
    """Articles, each with a copy, and one with a few other words."""
    folder.mkdir(exist_ok=True)
    for number in range(first, first + count):
        text = article(number, 60)
        words = text.split(" ")
        words[20::60] = ["elsewhere"] * len(words[20::60])
        for kind, copy in (("a", text), ("b", text), ("c", " ".join(words))):
            (folder / f"{number}-{kind}.md").write_text(f"# Article {number}\n\n{copy}\n")


@pytest.mark.slow
def test_copies_are_not_paid_for_and_all_say_so(tmp_path: Path) -> None:
    folder, out = tmp_path / "in", tmp_path / "out"
    _write(folder, 0, 3)
    config = tmp_path / "near.yaml"
    config.write_text("input:\n  duplicates: near\n  shared_lines: keep\n")
    expected = pairmill("estimate", folder, "-o", out, "--config", config, "--json")
    found = json.loads(expected.stdout)
    assert found["repeated_chunks"] > 0
    assert found["saved_tokens"] > 0
    assert found["skipped_by_reason"] == {"duplicate": 3, "near duplicate": 3}
    with Simulator() as endpoint:
        done = pairmill("run", folder, "-o", out, "--config", config, "--strict", url=endpoint.url)
        assert done.returncode == 0, done.stderr  # a copy is nothing lost
        calls = endpoint.report()["calls"]
        kept = len({row["chunk_id"] for row in rows(out)})
        assert kept == found["chunks"]
        assert (
            f"duplicates {found['repeated_chunks']:,} chunks not asked about: about " in done.stderr
        )
        assert "3 duplicate, 3 near duplicate" in done.stderr
        named = [orjson.loads(line) for line in (out / "skipped.jsonl").read_bytes().splitlines()]
        assert {(one["fate"], one["reason"]) for one in named} == {
            ("dropped", "duplicate"), ("dropped", "near duplicate"),
        }  # fmt: skip
        status = json.loads(pairmill("status", out, "--json").stdout)
        assert status["counts"]["duplicates"]["chunks"] == found["repeated_chunks"]
        assert status["saved_tokens"] > 0
        # More copies, which would be preferred if they were not too late: nothing is paid again.
        for path in list(folder.glob("*-c.md")):
            path.with_name(f"0{path.name}").write_text(path.read_text() + "\nOne word more.\n")
        again = pairmill("run", folder, "-o", out, "--config", config, url=endpoint.url)
        assert again.returncode == 0, again.stderr
        assert endpoint.report()["calls"] == calls


@pytest.mark.slow
def test_a_folder_goes_on_with_more_input_as_if_it_had_been_there(tmp_path: Path) -> None:
    config = tmp_path / "near.yaml"
    config.write_text("input:\n  duplicates: near\n")
    ids = []
    for name, steps in (("whole", [(0, 6)]), ("parts", [(0, 2), (2, 4)])):
        folder, out = tmp_path / name, tmp_path / f"{name}-out"
        with Simulator() as endpoint:
            for first, count in steps:
                _write(folder, first, count)
                done = pairmill("run", folder, "-o", out, "--config", config, url=endpoint.url)
                assert done.returncode == 0, done.stderr
        ids.append({row["chunk_id"] for row in rows(out)})
    assert ids[0] == ids[1]
