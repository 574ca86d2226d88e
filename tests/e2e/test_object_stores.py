"""Runs whose dataset lives in an object store, as real processes."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING

import pytest
from tests.support.cli import pairmill, rows
from tests.support.corpus import article
from tests.support.exports import exported, same_files

from pairmill.simulator import Simulator, SimulatorSettings

if TYPE_CHECKING:
    from pathlib import Path


def write(folder: Path, articles: int) -> Path:
    lines = (json.dumps({"text": article(number, 8)}) + "\n" for number in range(articles))
    (folder / "in.jsonl").write_text("".join(lines), "utf-8")
    return folder / "in.jsonl"


def given(folder: Path, url: str, machine: str) -> tuple[str | Path, ...]:
    place = f"work_dir={folder / machine}"
    return ("run", folder / "in.jsonl", "-o", url, "--model", "m", "--set", place)


def test_a_run_goes_on_on_another_machine_and_asks_nothing_again(tmp_path: Path) -> None:
    write(tmp_path, 12)
    url = f"file://{tmp_path}/bucket/run"
    with Simulator(SimulatorSettings()) as endpoint:
        first = pairmill(*given(tmp_path, url, "one"), "--limit", "6", url=endpoint.url)
        asked = endpoint.report()["answered"]
        shutil.rmtree(tmp_path / "one")
        second = pairmill(*given(tmp_path, url, "two"), url=endpoint.url)
        answered = endpoint.report()["answered"]
    assert (first.returncode, second.returncode) == (0, 0), first.stderr + second.stderr
    assert "restored from file:///" in second.stderr
    assert asked >= 6
    assert answered - asked < 12
    found = rows(tmp_path / "two" / "dataset")
    assert len({row["chunk_id"] for row in found}) >= 11
    published = [
        json.loads(line)
        for shard in sorted((tmp_path / "bucket" / "run" / "data").iterdir())
        for line in shard.read_text("utf-8").splitlines()
    ]
    assert published == found


def test_parts_are_merged_into_a_store_that_a_run_goes_on_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    write(tmp_path, 12)
    url = f"file://{tmp_path}/bucket/run"
    with Simulator(SimulatorSettings()) as endpoint:
        for index in range(2):
            part = ("run", tmp_path / "in.jsonl", "-o", tmp_path / "parts", "--model", "m")
            assert pairmill(*part, "--partition", f"{index}/2", url=endpoint.url).returncode == 0
        merged = pairmill("merge", tmp_path / "parts", "-o", url)
        assert merged.returncode == 0, merged.stderr
        assert f"merged 2 parts into {url}: " in merged.stdout
        assert not list((tmp_path / "state").rglob("*.jsonl"))  # nothing stays on this machine
        again = pairmill("merge", tmp_path / "parts", "-o", url)
        assert (again.returncode, again.stderr) == (
            2,
            f"pairmill: {url}: already exists; give a new place with -o\n",
        )
        asked = endpoint.report()["answered"]
        goes_on = pairmill(*given(tmp_path, url, "one"), url=endpoint.url)
        assert goes_on.returncode == 0, goes_on.stderr
        assert endpoint.report()["answered"] == asked
    assert pairmill("merge", tmp_path / "parts", "-o", tmp_path / "plain").returncode == 0
    assert same_files(exported(tmp_path / "plain"), exported(tmp_path / "one" / "dataset"))


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("ftp://host/x", "output: ftp://host/x is none of s3://"),
        ("s3:///", "names no bucket"),
        ("file://{file}/x", "output: file:///"),
    ],
)
def test_places_that_cannot_be_used_are_told_in_one_line(
    tmp_path: Path, url: str, told: str
) -> None:
    write(tmp_path, 1)
    (tmp_path / "file").write_text("")
    place = url.format(file=tmp_path / "file")
    found = pairmill(*given(tmp_path, place, "one"), url="http://127.0.0.1:9/v1")
    assert found.returncode == 78, found.stderr
    assert told in found.stderr
    assert len(found.stderr.strip().splitlines()) == 1
