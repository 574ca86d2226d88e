"""A part's end as it is told to the process that began it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pairmill.config import load
from pairmill.errors import EXIT_CONFIG, EXIT_FAILED, LockedError, StorageError
from pairmill.run.ray import part
from pairmill.run.ray.part import SEEN, PartTask, work_on_part

if TYPE_CHECKING:
    from pathlib import Path


def task(folder: Path, **more: str) -> PartTask:
    (folder / "parts").mkdir()
    (folder / "parts" / SEEN).write_text("this one", "utf-8")
    given = {"folder": str(folder), "place": "parts", "seen": "this one", **more}
    settings = load(given={"output": str(folder / "out")})
    return PartTask(settings=settings, index=3, attempt=1, environment={"KEY": "secret"}, **given)


def test_what_a_worker_may_know_is_not_shown(tmp_path: Path) -> None:
    assert "secret" not in repr(task(tmp_path))


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"seen": "another"}, "inputs and output must be on a file system that all nodes share"),
        ({"place": "not-there"}, "does not see"),
        ({"version": "0.0.1"}, "and this is 0.0.1"),
    ],
)
def test_a_node_that_cannot_work_on_it_says_so(
    tmp_path: Path, given: dict[str, str], told: str
) -> None:
    end = work_on_part(task(tmp_path, **given), None)
    assert end.exit_code == EXIT_CONFIG
    assert told in end.reason
    assert "\n" not in end.reason


@pytest.mark.parametrize(
    ("error", "code", "told", "is_locked"),
    [
        (LockedError("process 7 works there"), 1, "process 7 works there", True),
        (StorageError("the disk is full"), 75, "the disk is full", False),
        (ExceptionGroup("", [StorageError("the disk is full")]), 75, "the disk is full", False),
        (ValueError("no such thing"), EXIT_FAILED, "part 3 failed: ValueError: no such", False),
        (ExceptionGroup("", [ValueError("odd")]), EXIT_FAILED, "failed: ValueError: odd", False),
    ],
)
def test_an_error_becomes_one_line_and_an_exit_code(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
    code: int,
    told: str,
    is_locked: bool,
) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(part, "_work", fail)
    end = work_on_part(task(tmp_path), None)
    assert (end.exit_code, end.is_locked) == (code, is_locked)
    assert told in end.reason
    assert "\n" not in end.reason
