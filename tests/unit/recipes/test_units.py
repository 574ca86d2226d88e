from __future__ import annotations

import json
from typing import TYPE_CHECKING

from pairmill.chunking.reader import read_chunks
from pairmill.config import load
from pairmill.recipes.make import for_unit, make_recipe

if TYPE_CHECKING:
    from pathlib import Path

    from pairmill.config import Settings

RECIPE = """
name: whole
version: 1
unit: {of: document, max_chars: MOST}
steps:
  - name: write
    system: Write one question.
    user: "{{ passage }}"
    answer: {question: complete in itself, answer: text}
rows: {instruction: "{{ write.question }}", answer: "{{ write.answer }}"}
"""
WORDS = "The miller opens the sluice before dawn and listens to the stones turn. "


def _settings(folder: Path, *, most: int = 6000, sections: int = 4, **given: object) -> Settings:
    recipe = folder / "whole.yaml"
    recipe.write_text(RECIPE.replace("MOST", str(most)), "utf-8")
    parts = [f"## Part {n}\n\n{WORDS * 14}" for n in range(sections)]
    (folder / "mill.md").write_text("# The mill\n\n" + "\n\n".join(parts), "utf-8")
    inputs = (str(folder / "mill.md"),)
    return load(None, {"recipe": str(recipe), "inputs": inputs, "output": folder / "out", **given})


def _units(settings: Settings) -> list[str]:
    settings = for_unit(settings, make_recipe(settings))
    return [chunk.text for chunk in read_chunks(settings, lambda _note: None)]


def _begin(settings: Settings, least: int) -> None:
    state = settings.output / ".run"
    state.mkdir(parents=True)
    noted = {"format": 1, "version": "1.0", "settings": {"chunk_min_chars": least}}
    (state / "settings.json").write_text(json.dumps(noted), "utf-8")


def test_a_document_with_headings_is_one_unit(tmp_path: Path) -> None:
    [unit] = _units(_settings(tmp_path))
    assert all(f"## Part {number}" in unit for number in range(4))


def test_a_document_that_is_too_long_is_cut_into_as_few_units_as_its_length_needs(
    tmp_path: Path,
) -> None:
    units = _units(_settings(tmp_path, most=2500))
    assert [len(unit) > 800 for unit in units] == [True, True]
    assert max(map(len, units)) <= 2500


def test_a_folder_whose_documents_were_cut_at_headings_goes_on_so(tmp_path: Path) -> None:
    settings = _settings(tmp_path)
    _begin(settings, 800)
    assert len(_units(settings)) == 4
    assert len(_units(settings.model_copy(update={"accept_change": True}))) == 1


def test_a_folder_begun_with_whole_documents_keeps_them(tmp_path: Path) -> None:
    settings = _settings(tmp_path)
    _begin(settings, 6000)
    assert len(_units(settings)) == 1
