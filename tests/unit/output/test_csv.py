from __future__ import annotations

import csv
import json
from typing import TYPE_CHECKING, Any

import pytest

from pairmill.errors import FolderError, UsageError
from pairmill.output.export import export
from pairmill.output.export_options import ExportOptions
from pairmill.output.split import Shares

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

ALL_TRAIN = Shares(100, 0, 0)
ODD = (
    "NA",
    "null",
    "None",
    'says "yes", twice',
    "two\nlines",
    "a\r\nreturn",
    "=1+1",
    "-5",
    "007",
    "1e5",
    " spaced ",
    "日本語 \u2028 🦜",
    "True",
)


def test_csv_holds_every_text_as_it_was(
    row: Callable[..., Any], run_folder: Callable[..., Path], tmp_path: Path
) -> None:
    rows = [
        row(n, instruction=f"Number {n}?", answer=text, title=None if n % 2 else "NA")
        for n, text in enumerate(ODD)
    ]
    columns = ("title", "flags", "attempts", "grounding", "created")
    options = ExportOptions("alpaca", "csv", ALL_TRAIN, columns=columns)
    out = tmp_path / "out"
    export(run_folder(rows), out, options)
    (file,) = (out / "data").iterdir()
    assert file.name == "train-00000-of-00001.csv"
    with file.open(encoding="utf-8", newline="") as opened:
        found = list(csv.DictReader(opened))
    assert sorted(record["output"] for record in found) == sorted(ODD)
    assert {record["flags"] for record in found} == {"[]"}
    assert tuple(found[0]) == ("instruction", "input", "output", *columns)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_datasets_reads_the_csv_by_its_card_without_taking_a_word_for_null(
    row: Callable[..., Any],
    run_folder: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    import datasets

    rows = [
        row(n, instruction=f"Number {n}?", answer=text, title=None if n % 2 else "NA",
            grounding=None if n % 3 else 0.5, flags=["a", "b"])
        for n, text in enumerate(ODD)
    ]  # fmt: skip
    columns = ("title", "flags", "attempts", "grounding", "created")
    export(
        run_folder(rows),
        tmp_path / "out",
        ExportOptions("alpaca", "csv", ALL_TRAIN, columns=columns),
    )
    found = list(
        datasets.load_dataset(str(tmp_path / "out"), cache_dir=str(tmp_path / "cache"))["train"]
    )
    by_question = {record["instruction"]: record for record in found}
    for n, text in enumerate(ODD):
        record = by_question[f"Number {n}?"]
        assert record["output"] == text
        assert record["input"] == ""
        assert record["title"] == (None if n % 2 else "NA")
        assert record["grounding"] == (None if n % 3 else 0.5)
        assert record["attempts"] == 1
        assert json.loads(record["flags"]) == ["a", "b"]


def test_csv_of_turns_is_refused_with_what_to_do(
    row: Callable[..., Any], run_folder: Callable[..., Path], tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match="'messages' is a list, which CSV cannot hold; use jsonl"):
        export(run_folder([row(0)]), tmp_path / "out", ExportOptions(file_type="csv"))
    assert not (tmp_path / "out").exists()


def test_an_export_that_somebody_changed_is_only_replaced_when_told(
    row: Callable[..., Any], run_folder: Callable[..., Path], tmp_path: Path
) -> None:
    folder, out = run_folder([row(0), row(1)]), tmp_path / "out"
    export(folder, out, ExportOptions(shares=ALL_TRAIN))
    export(folder, out, ExportOptions(shares=ALL_TRAIN))  # unchanged: replaced
    (file,) = (out / "data").iterdir()
    mended = file.read_text().replace("Number 0", "Number nought")
    file.write_text(mended)
    with pytest.raises(FolderError, match=rf"was changed since .* \(data/{file.name}\)"):
        export(folder, out, ExportOptions(shares=ALL_TRAIN))
    assert file.read_text() == mended
    dry = export(folder, out, ExportOptions(shares=ALL_TRAIN, dry_run=True))
    assert dry.replaced
    export(folder, out, ExportOptions(shares=ALL_TRAIN, replace_changed=True))
    assert "nought" not in file.read_text()
