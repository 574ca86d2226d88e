from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from pairmill.errors import FolderError
from pairmill.output.rows import OrderedRows, published_shards

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def test_rows_come_by_chunk_from_more_shards_than_files_stay_open(
    row: Callable[..., Any], run_folder: Callable[..., Path], tmp_path: Path
) -> None:
    rows = [row(number) for number in range(400)]
    folder = run_folder(*[[item] for item in reversed(rows)])
    with OrderedRows(tmp_path / "scratch.db") as ordered:
        for shard in published_shards(folder):
            assert ordered.add(shard) == (1, 1)
        chunks = [[item for item, _ in chunk] for chunk in ordered.chunks()]
    assert all(len({item["chunk_id"] for item in chunk}) == 1 for chunk in chunks)
    wanted = sorted(rows, key=lambda item: (item["document_id"], item["chunk_id"], item["id"]))
    assert [item for chunk in chunks for item in chunk] == wanted


def test_a_torn_tail_is_left_out_and_an_id_comes_once(
    row: Callable[..., Any], run_folder: Callable[..., Path], tmp_path: Path
) -> None:
    folder = run_folder([row(1), row(1), row(2)])
    [shard] = published_shards(folder)
    with shard.open("ab") as file:
        file.write(b'{"id": "torn')
    with OrderedRows(tmp_path / "scratch.db") as ordered:
        assert ordered.add(shard) == (3, 2)


def test_what_was_kept_comes_back_by_split(
    row: Callable[..., Any], run_folder: Callable[..., Path], tmp_path: Path
) -> None:
    folder = run_folder([row(number) for number in range(6)])
    with OrderedRows(tmp_path / "scratch.db") as ordered:
        ordered.add(published_shards(folder)[0])
        for chunk in ordered.chunks():
            for item, place in chunk:
                ordered.keep("test" if item["id"].endswith("3") else "train", place)
        assert [item["id"][-1] for item in ordered.kept(("test",))] == ["3"]
        assert [item["id"][-1] for item in ordered.kept(("train",))] == list("01245")
        assert len(list(ordered.kept(("train", "test")))) == 6


def test_a_name_is_new_once(tmp_path: Path) -> None:
    with OrderedRows(tmp_path / "scratch.db") as ordered:
        assert [ordered.first_time(name) for name in "abab"] == [True, True, False, False]


@pytest.mark.parametrize("line", ["[1]", "null", "{", '{"id": "x"}'])
def test_a_line_that_is_no_row_is_named(
    line: str, row: Callable[..., Any], run_folder: Callable[..., Path], tmp_path: Path
) -> None:
    folder = run_folder([row(0)])
    [shard] = published_shards(folder)
    with shard.open("a") as file:
        file.write(f"{line}\n")
    with (
        OrderedRows(tmp_path / "scratch.db") as ordered,
        pytest.raises(FolderError, match="at byte"),
    ):
        ordered.add(shard)
