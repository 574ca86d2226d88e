from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING

from tests.unit.output.conftest import make_row

from pairmill.config import load
from pairmill.output.qc.read import documents_for, pairs_in, read_pairs
from pairmill.output.qc.report import check, verdict_line
from pairmill.quality.trust import Status

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def make_run(place: Path) -> Path:
    """A run folder ``set`` beside its inputs ``txt``, begun in their folder with relative paths."""
    (place / "txt").mkdir(parents=True)
    (place / "txt" / "a.txt").write_text("Copper spreads heat evenly. " * 40, "utf-8")
    folder = place / "set"
    (folder / "data").mkdir(parents=True)
    (folder / ".run").mkdir()
    settings = load(given={"inputs": ("txt",), "output": folder})
    (folder / ".run" / "config.json").write_text(settings.model_dump_json(), "utf-8")
    (folder / ".run" / "settings.json").write_text("{}", "utf-8")
    rows = [make_row(at, answer="Copper spreads heat evenly.") for at in range(3)]
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    (folder / "data" / "train-00000.jsonl").write_text(lines, "utf-8")
    return folder


def test_a_run_that_was_moved_with_its_inputs_still_knows_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_run(tmp_path / "here")
    moved = tmp_path / "there"
    shutil.move(tmp_path / "here", moved)
    monkeypatch.chdir(tmp_path)
    documents, reason = documents_for(moved / "set", [], None)
    assert documents is not None
    assert [document.text[:6] for document in documents] == ["Copper"]
    assert reason == ""


def test_a_run_whose_inputs_are_gone_is_not_called_ok(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "here")
    shutil.rmtree(tmp_path / "here" / "txt")
    documents, reason = documents_for(folder, [], None)
    assert documents is None
    assert "the run's documents are not there any more: txt; name them with --documents" in reason
    report = check(read_pairs(pairs_in(folder)), no_documents=reason)
    assert {"ungrounded", "copied", "grounding_lift"} <= report.unchecked.keys()
    assert "whether the answers rest on their texts was not" in verdict_line(report)
    assert report.status is Status.WARN
