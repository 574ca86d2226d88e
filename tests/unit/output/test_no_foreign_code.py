"""Commands that only read a run folder run none of the Python code that it names."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

import pytest
from tests.unit.output.conftest import make_row
from typer.testing import CliRunner

from pairmill.cli import app
from pairmill.config import load

if TYPE_CHECKING:
    from pathlib import Path

HARM = """
from pathlib import Path
Path({marker!r}).write_text("ran")
EXTENSIONS = (".txt",)
async def recipe(chunk, ask):
    return []
def cut(text):
    return []
class Reader:
    name = "evil"
"""
COMMANDS = (["qc", "set"], ["report", "set"], ["explain", "0" * 32, "set"], ["show", "set"],
            ["export", "set", "-o", "out"], ["status", "set"])  # fmt: skip


@pytest.fixture
def there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "evil_code.py").write_text(HARM.format(marker=str(tmp_path / "harm")), "utf-8")
    (tmp_path / "a.txt").write_text("Copper spreads heat evenly. " * 40, "utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "evil_code", raising=False)
    return tmp_path


def make_run(place: Path, **settings: Any) -> None:
    folder = place / "set"
    (folder / "data").mkdir(parents=True)
    (folder / ".run").mkdir()
    given = load(given={"inputs": ("a.txt",), "output": folder} | settings)
    (folder / ".run" / "config.json").write_text(given.model_dump_json(), "utf-8")
    (folder / ".run" / "settings.json").write_text("{}", "utf-8")
    rows = [make_row(at, answer="Copper spreads heat evenly.") for at in range(3)]
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    (folder / "data" / "train-00000.jsonl").write_text(lines, "utf-8")


@pytest.mark.parametrize(
    ("named", "is_reading"),
    [
        ({"recipe": "evil_code:recipe"}, False),
        ({"recipe": "evil_code.py"}, False),
        ({"recipe": "evil_code.py:recipe"}, False),
        ({"sources": ("evil_code:Reader",)}, True),
        ({"splitter": "evil_code:cut"}, True),
    ],
)
def test_no_command_that_reads_runs_the_folders_code(
    there: Path, named: dict[str, Any], is_reading: bool
) -> None:
    make_run(there, **named)
    said = {}
    for command in COMMANDS:
        found = CliRunner().invoke(app, command)
        assert found.exit_code in {0, 1}, (command, found.output, found.exception)
        said[command[0]] = found.output
        assert not (there / "harm").exists(), command
    assert "evil_code" not in sys.modules
    for name in ("qc", "report", "explain", "export", "show"):
        assert ("--run-code" in said[name]) is is_reading, (name, said[name])


def test_who_made_the_folder_can_let_it_run(there: Path) -> None:
    make_run(there, sources=("evil_code:Reader",))
    CliRunner().invoke(app, ["qc", "set", "--run-code"])
    assert (there / "harm").exists()
