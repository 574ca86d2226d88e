from __future__ import annotations

from typing import TYPE_CHECKING

import orjson

from pairmill.config import load
from pairmill.output.source_texts import read_source_texts

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

TEXT = "The copper kettle spreads heat evenly across the whole mash, as brewers know. " * 30


def make_run(place: Path, inputs: str) -> Path:
    folder = place / "run"
    (folder / ".run").mkdir(parents=True)
    settings = load(given={"inputs": (inputs,), "output": str(folder)})
    (folder / ".run" / "config.json").write_text(settings.model_dump_json())
    (folder / ".run" / "settings.json").write_text("{}")
    (folder / ".run" / "origin.json").write_bytes(orjson.dumps({"place": str(place)}))
    return folder


def test_texts_come_from_where_the_run_was_started_until_all_have_come(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "texts").mkdir()
    for name in ("a", "b"):
        (tmp_path / "texts" / f"{name}.txt").write_text(f"{name} {TEXT}")
    folder = make_run(tmp_path, "texts")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    every = list(read_source_texts(folder, {"not there"}))
    assert len({chunk.document_id for chunk in every}) == 2
    wanted = {every[0].id}
    assert [chunk.id for chunk in read_source_texts(folder, wanted)] == [every[0].id]
    assert wanted == set()


def test_where_the_inputs_are_gone_or_were_piped_nothing_comes(tmp_path: Path) -> None:
    assert list(read_source_texts(make_run(tmp_path / "one", "gone"), {"x"})) == []
    assert list(read_source_texts(make_run(tmp_path / "two", "-"), {"x"})) == []
    assert list(read_source_texts(tmp_path / "no run", {"x"})) == []
