from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pairmill.errors import StorageError
from pairmill.run.run_memory import RunMemory

if TYPE_CHECKING:
    from pathlib import Path


def test_a_value_is_kept_and_the_first_one_stays(tmp_path: Path) -> None:
    for value in ("first", "second"):
        with RunMemory(tmp_path / "memory.db") as memory:
            memory.set("name", value)
            assert memory.get("name") == "first"
            assert memory.get("other") is None


@pytest.mark.parametrize("harm", [b"\xff\0junk{", b"SQLite format 3\0" + b"\xff" * 8000])
def test_a_file_that_cannot_be_read_is_made_anew(tmp_path: Path, harm: bytes) -> None:
    path = tmp_path / "memory.db"
    path.write_bytes(harm)
    with RunMemory(path) as memory:
        memory.set("name", "value")
    with RunMemory(path) as memory:
        assert memory.get("name") == "value"


def test_a_folder_in_its_place_is_said(tmp_path: Path) -> None:
    (tmp_path / "memory.db").mkdir()
    with pytest.raises(StorageError, match=r"cannot open .*memory\.db"):
        RunMemory(tmp_path / "memory.db")
