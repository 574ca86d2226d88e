"""Marks are settled in order, once every unit before them has ended."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pairmill.chunking.follow_state import read_mark
from pairmill.run.follow_marks import FollowMarks

if TYPE_CHECKING:
    from pathlib import Path


def test_a_mark_waits_for_all_units_before_it(tmp_path: Path) -> None:
    marks = FollowMarks(path := tmp_path / "mark")
    marks.add(["a", "b"])
    marks.add(["c"], 1)
    marks.add(["d"], 2)
    marks.end("d")
    marks.end("a")
    marks.end("c")
    assert read_mark(path) == 0
    marks.end("b")
    assert read_mark(path) == 2


def test_a_mark_without_units_is_settled_with_what_stands_before_it(tmp_path: Path) -> None:
    marks = FollowMarks(path := tmp_path / "mark")
    marks.add([], 4)
    assert read_mark(path) == 4
    marks.add(["a"], 5)
    marks.add([], 6)
    assert read_mark(path) == 4
    marks.end("a")
    marks.end("never read")
    assert read_mark(path) == 6


def test_what_shows_no_progress_is_no_mark(tmp_path: Path) -> None:
    marks = FollowMarks(path := tmp_path / "mark")
    marks.add(["a"])
    marks.add([], -1)
    assert not path.exists()
    marks.add([], 7)
    assert read_mark(path) == 0
    marks.end("a")
    assert read_mark(path) == 7


def test_a_mark_that_cannot_be_read_is_none(tmp_path: Path) -> None:
    path = tmp_path / "mark"
    path.write_text("x")
    assert read_mark(path) == 0
