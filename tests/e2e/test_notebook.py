"""The notebook of the documentation, cell by cell, as a kernel would run it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.support.cli import KEY

NOTEBOOK = Path(__file__).parents[2] / "docs" / "library.ipynb"


@pytest.mark.slow
def test_every_cell_of_the_notebook_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.chdir(tmp_path)
    cells = json.loads(NOTEBOOK.read_text("utf-8"))["cells"]
    codes = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    assert len(codes) >= 10
    names: dict[str, object] = {"__name__": "__main__"}
    for number, code in enumerate(codes, start=1):
        exec(compile(code, f"cell {number}", "exec"), names)
    assert (tmp_path / "dataset-messages" / "README.md").is_file()


def test_the_notebook_is_kept_without_outputs() -> None:
    for cell in json.loads(NOTEBOOK.read_text("utf-8"))["cells"]:
        assert not cell.get("outputs")
