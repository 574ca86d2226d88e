"""A format of a user's own, and the example of one."""

from __future__ import annotations

import json
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pairmill.errors import ConfigError, UsageError
from pairmill.output.export import export
from pairmill.output.export_options import ExportOptions
from pairmill.output.export_place import default_place
from pairmill.output.formats.registry import find_format
from pairmill.output.split import Shares

if TYPE_CHECKING:
    from collections.abc import Callable

EXAMPLE = f"{Path(__file__).parents[4] / 'examples/formats/chatml.py'}:CHATML"


def test_the_example_exports_a_run(
    row: Callable[..., Any], run_folder: Callable[..., Path], tmp_path: Path
) -> None:
    folder = run_folder([row(0, instruction="Why a kettle?", answer="Because of fires.")])
    out = default_place(folder, EXAMPLE)
    assert out.name.endswith("-chatml")
    options = ExportOptions(shape=EXAMPLE, shares=Shares(100, 0, 0))
    assert export(folder, tmp_path / "out", options).kept
    (file,) = (tmp_path / "out" / "data").glob("train-*.jsonl")
    (line,) = file.read_text("utf-8").splitlines()
    assert json.loads(line) == {
        "text": "<|im_start|>user\nWhy a kettle?<|im_end|>\n"
        "<|im_start|>assistant\nBecause of fires.<|im_end|>\n"
    }


def test_an_installed_format_has_the_name_of_its_entry_point(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    point = metadata.EntryPoint("chatml", EXAMPLE, "pairmill.formats")
    monkeypatch.setattr(
        metadata, "entry_points", lambda *, group, name: [point] * (name == point.name)
    )
    assert find_format("chatml").name == "chatml"
    with pytest.raises(UsageError, match="unknown format 'chat_ml'"):
        find_format("chat_ml")


def test_what_is_no_format_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text("THING = 3\n")
    with pytest.raises(ConfigError, match=r"mine\.py:THING: needs a .*Format"):
        find_format(f"{file}:THING")
    with pytest.raises(ConfigError, match="there is no such file"):
        find_format(f"{tmp_path / 'other.py'}:THING")
    text = Path(EXAMPLE.rpartition(":")[0]).read_text("utf-8")
    file.write_text(text.replace('name="chatml"', 'name="../chatml"'))
    with pytest.raises(ConfigError, match="the format's name needs"):
        find_format(f"{file}:CHATML")
