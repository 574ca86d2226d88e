"""A part's end as it is told to the process that began it."""

from __future__ import annotations

from typing import (
    TYPE_CHECKING,
    Any,
)

import pytest

from pairmill.config import (
    load,
)
from pairmill.errors import (
    EXIT_CONFIG,
    EXIT_FAILED,
    LockedError,
    StorageError,
)
from pairmill.events import (
    Bus,
    PartsCounted,
    RunOpened,
)
from pairmill.run.ray import (
    part,
)
from pairmill.run.ray.part import (
    SEEN,
    PartNews,
    PartsProgress,
    PartTask,
    ProgressBoard,
    work_on_part,
)
from pairmill.service.tally import (
    RunTally,
)

if TYPE_CHECKING:
    from pathlib import (
        Path,
    )


def news(index: int, attempt: int = 1, *, is_open: bool = True, **counts: Any) -> PartNews:
    return PartNews(index, attempt, is_open, PartsCounted(**counts))


def test_counts_of_parts_are_added_up() -> None:
    progress = PartsProgress(2)
    first = news(0, planned=10, units=4, pairs=12, calls=5, documents=7, reading_done=True)
    progress.take([first, news(1, is_open=False)])
    assert not progress.total().reading_done  # the other one has not said what there is
    progress.take([news(1, planned=8, units=1, pairs=2, calls=2, documents=7, reading_done=True)])
    total = progress.total()
    assert (total.planned, total.units, total.pairs, total.calls) == (18, 5, 14, 7)
    assert total.documents == 7  # each part reads them all
    assert total.reading_done


def test_what_a_lost_worker_did_counts_once() -> None:
    progress = PartsProgress(1)
    begun = RunOpened(ended=5, pairs=15, usd=1.0)
    progress.take([news(0, before=begun, planned=20, known=5, units=6, pairs=18, calls=9)])
    progress.take([news(0, 2, is_open=False)])  # nothing of it is known yet
    assert progress.total().units == 6
    # of the six chunks and their pairs four were committed
    held = RunOpened(ended=9, pairs=27, usd=1.5)
    progress.take([news(0, 2, before=held, planned=16, known=9, units=1, pairs=3, calls=2)])
    total = progress.total()
    assert total.before == RunOpened(ended=5, pairs=15, usd=1.0)
    assert (total.units, total.pairs) == (5, 15)
    assert (total.known, total.planned) == (5, 20)
    assert total.calls == 11
    assert total.picodollars == 5 * 10**11
    assert progress.ended(0) == 10


def test_news_of_an_earlier_attempt_is_late() -> None:
    progress, board = PartsProgress(1), ProgressBoard()
    progress.take([news(0, 2, units=3), news(0, 1, units=9)])
    assert progress.total().units == 3
    board.post(news(0, 2, units=3))
    board.post(news(0, 1, units=9))
    found, _ = board.look("")
    assert [each.attempt for each in found] == [2]


def test_a_stop_reaches_parts_with_their_next_news() -> None:
    board = ProgressBoard()
    assert board.post(news(0)) == ""
    board.look("stopped by SIGTERM")
    assert (
        board.post(PartNews(0, 1, is_open=True, counts=PartsCounted(), notices=("late",)))
        == "stopped by SIGTERM"
    )
    assert board.look("")[1] == [(0, "late")]
    assert board.look("")[1] == []


def test_the_tally_of_all_parts_reads_like_that_of_one_process() -> None:
    bus, tally = Bus(), RunTally(lambda: 10.0)
    tally.listen(bus)
    bus.emit(
        PartsCounted(
            before=RunOpened(pairs=6, ended=2, usd=0.5),
            planned=4,
            known=2,
            units=3,
            pairs=9,
            picodollars=10**12,
            is_priced=True,
            failures={"rate": 2},
        )
    )
    found = tally.summary()
    assert (found["done"], found["total"], found["pairs"]) == (5, 6, 15)
    assert (found["usd"], found["failed_calls"]) == (1.5, 2)
    assert tally.as_part() == PartsCounted(
        before=RunOpened(pairs=6, ended=2, usd=0.5),
        planned=4,
        known=2,
        units=3,
        pairs=9,
        picodollars=10**12,
        is_priced=True,
        failures={"rate": 2},
    )


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
