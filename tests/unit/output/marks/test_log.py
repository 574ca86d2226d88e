from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from pairmill.errors import FolderError, StorageError
from pairmill.output.marks.log import MarksFile, marks_beside, new_action
from pairmill.output.marks.overlay import effective, fold
from pairmill.store.files import Disk

if TYPE_CHECKING:
    from pathlib import Path


def test_what_is_appended_is_read(tmp_path: Path) -> None:
    path = tmp_path / "marks.jsonl"
    actions = [
        new_action("accept", ["a", "b"], now=0),
        new_action("edit", ["a"], edits=[(["messages", 0, "content"], "new")], flags=["x"]),
        new_action("note", ["b"], note="\u202e\x1b[31m"),
    ]
    for action in actions:
        MarksFile(path).append(action)
    file = MarksFile(path)
    assert not file.refresh()
    assert file.actions == actions
    assert file.actions[0].at == "1970-01-01T00:00:00Z"
    assert file.unreadable == 0
    assert b"note" not in path.read_bytes().splitlines()[0]  # what an action lacks is not written


def test_a_reader_goes_on_where_it_was(tmp_path: Path) -> None:
    path = tmp_path / "m"
    file = MarksFile(path)
    assert not file.refresh()
    for count in (1, 2, 3):
        MarksFile(path).append(new_action("accept", [str(count)]))
        assert not file.refresh()
        assert len(file.actions) == count


def test_a_file_that_was_put_in_its_place_is_read_afresh(tmp_path: Path) -> None:
    path, other = tmp_path / "m", tmp_path / "n"
    MarksFile(path).append(new_action("accept", ["a"]))
    file = MarksFile(path)
    file.refresh()
    MarksFile(other).append(new_action("reject", ["b"]))
    other.replace(path)
    assert file.refresh()
    assert [action.pairs for action in file.actions] == [["b"]]
    path.unlink()
    assert file.refresh()
    assert file.actions == []


def test_damaged_lines_cost_themselves_alone(tmp_path: Path) -> None:
    path = tmp_path / "m"
    MarksFile(path).append(new_action("accept", ["a"]))
    with path.open("ab") as file:
        file.write(b'nothing\n[]\n{"format":1}\n\n{"format":1,"id":"1","at":"","action":"dance"}\n')
        file.write(b"\xff\xfe\n" + b"[" * 100_000 + b"\n")
    MarksFile(path).append(new_action("accept", ["b"]))
    read = MarksFile(path)
    read.refresh()
    assert [action.pairs for action in read.actions] == [["a"], ["b"]]
    assert read.unreadable == 6
    assert "6 lines hold no mark" in fold([], path, read.unreadable).notices()[0]


def test_a_newer_format_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "m"
    path.write_text('{"format": 2, "id": "1"}\n')
    with pytest.raises(FolderError, match="newer pairmill"):
        MarksFile(path).refresh()


def test_nothing_but_a_plain_file_is_taken(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("mine")
    link = tmp_path / "link"
    link.symlink_to(victim)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(StorageError):
        MarksFile(link).append(new_action("accept", ["a"]))
    with pytest.raises(FolderError):
        MarksFile(link).refresh()
    for name in ("pipe",):
        with pytest.raises(FolderError, match="not a regular file"):
            MarksFile(tmp_path / name).refresh()
        with pytest.raises(FolderError, match="not a regular file"):
            MarksFile(tmp_path / name).append(new_action("accept", ["a"]))
    assert victim.read_text() == "mine"


class FullDisk(Disk):
    def write(self, fd: int, data: bytes | memoryview) -> int:
        os.write(fd, data[:5])
        raise OSError(28, "No space left on device")


def test_what_can_only_be_written_in_part_is_taken_back(tmp_path: Path) -> None:
    path = tmp_path / "m"
    MarksFile(path).append(new_action("accept", ["a"]))
    before = path.read_bytes()
    with pytest.raises(StorageError):
        MarksFile(path, FullDisk()).append(new_action("accept", ["b"]))
    assert path.read_bytes() == before


def test_many_writers_tear_nothing(tmp_path: Path) -> None:
    path = tmp_path / "m"

    def write(number: int) -> None:
        MarksFile(path).append(new_action("note", [str(number)], note="x" * 20_000))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write, range(80)))
    file = MarksFile(path)
    file.refresh()
    assert file.unreadable == 0
    assert sorted(int(action.pairs[0]) for action in file.actions) == list(range(80))


def test_marks_lie_in_a_run_folder_and_beside_anything_else(tmp_path: Path) -> None:
    assert marks_beside(tmp_path, is_run=True) == tmp_path / "marks.jsonl"
    assert marks_beside(tmp_path / "a.jsonl", is_run=False) == tmp_path / "a.jsonl.marks"


def test_an_undo_can_be_undone() -> None:
    first, second = new_action("accept", ["a"]), new_action("reject", ["a"])
    undo = new_action("undo", of=second.id)
    redo = new_action("undo", of=undo.id)
    assert fold(effective([first, second])).of("a").decision == "rejected"
    assert fold(effective([first, second, undo])).of("a").decision == "accepted"
    assert fold(effective([first, second, undo, redo])).of("a").decision == "rejected"
    assert effective([new_action("undo", of="unknown"), first]) == [first]
