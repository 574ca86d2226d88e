from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from pairmill.errors import UsageError
from pairmill.records import Document
from pairmill.sources.in_memory import as_paths

if TYPE_CHECKING:
    from pathlib import Path


def lines(place: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (place / "run-documents.jsonl").read_text().splitlines()]


def test_paths_stay_paths_alone_or_in_a_list(tmp_path: Path) -> None:
    assert as_paths(("a", tmp_path), "run") == ("a", str(tmp_path))
    assert as_paths((["a", tmp_path],), "run") == ("a", str(tmp_path))


def test_dicts_and_documents_are_written_beside_the_run_once(tmp_path: Path) -> None:
    given = [{"text": "One.", "title": "T"}, Document("7", "Two.", "memory", url="https://x.org")]
    out = tmp_path / "run"
    (path,) = as_paths((given,), out)
    assert path == str(tmp_path / "run-documents.jsonl")
    assert [line["text"] for line in lines(tmp_path)] == ["One.", "Two."]
    assert lines(tmp_path)[1] == {
        "id": "7", "text": "Two.", "title": None, "author": None,
        "url": "https://x.org", "language": None,
    }  # fmt: skip
    before = (tmp_path / "run-documents.jsonl").stat()
    as_paths((iter(given),), out)
    after = (tmp_path / "run-documents.jsonl").stat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)
    as_paths(({"text": "alone"},), out)
    assert [line["text"] for line in lines(tmp_path)] == ["alone"]
    assert [entry.name for entry in tmp_path.iterdir()] == ["run-documents.jsonl"]


def test_tables_are_read_by_their_rows(tmp_path: Path) -> None:
    pandas, pyarrow = pytest.importorskip("pandas"), pytest.importorskip("pyarrow")
    rows = {"text": ["One.", "Two."], "n": [1.5, None]}
    for table in (pandas.DataFrame(rows), pyarrow.table(rows)):
        as_paths((table,), tmp_path / "run")
        assert lines(tmp_path) == [{"text": "One.", "n": 1.5}, {"text": "Two.", "n": None}]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_a_dataset_is_read_and_a_set_of_splits_is_told_to_name_one(tmp_path: Path) -> None:
    import datasets

    rows = datasets.Dataset.from_dict({"text": ["One.", "Two."]})
    as_paths((rows,), tmp_path / "run")
    assert [line["text"] for line in lines(tmp_path)] == ["One.", "Two."]
    with pytest.raises(UsageError, match=r"give one of them, such as \['train'\]"):
        as_paths((datasets.DatasetDict({"train": rows}),), tmp_path / "run")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (7, "cannot read a value of type int: give paths, dicts with a 'text'"),
        (b"bytes", "cannot read a value of type bytes"),
        ([7], "document 1 is of type int; give dicts"),
        ([{"text": {1, 2}, "x": object}], None),
        (["a.txt", {"text": "One."}], "input 2 of a list of paths is of type dict"),
        ([], "the input holds no document"),
    ],
)
def test_what_holds_no_documents_is_told_in_a_line(
    tmp_path: Path, given: object, said: str | None
) -> None:
    if said is None:
        as_paths((given,), tmp_path / "run")  # type: ignore[arg-type]
        return
    with pytest.raises(UsageError, match=said):
        as_paths((given,), tmp_path / "run")  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []
