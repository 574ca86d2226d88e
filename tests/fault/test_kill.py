"""``kill -9`` on real runs, at random moments and at chosen ones (fault 01)."""

from __future__ import annotations

import signal
import time
from typing import TYPE_CHECKING

import pytest
from tests.support.endurance import kill_at_operations, kill_at_random, lay_course
from tests.support.forge import Strike
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    import random
    from pathlib import Path

    from tests.support.endurance import Course
    from tests.support.forge import Forge

pytestmark = pytest.mark.fault

ROUNDS = 8


def test_killed_at_random_moments_it_ends_like_one_that_was_not(
    long_course: Course, forge: Forge, fast_path: Path, dice: random.Random
) -> None:
    """Fault 01: no pair lost, none twice, and no more bought twice than one commit and the wire."""
    toll = kill_at_random(long_course, forge, fast_path, ROUNDS, dice)
    assert toll.kills == ROUNDS
    assert toll.at_work > ROUNDS // 3


def test_killed_at_each_operation_on_its_files_it_ends_like_one_that_was_not(
    short_course: Course, forge: Forge, fast_path: Path, dice: random.Random
) -> None:
    """Fault 01: among them those of the start-up, of its recovery, and of each rotation."""
    start_up = range(dice.randrange(3), 24, 3)
    later = range(24, 1000, dice.randint(20, 30))
    toll = kill_at_operations(short_course, forge, fast_path / "out", [*start_up, *later])
    assert toll.kills > len(start_up)


def test_killed_while_it_publishes_it_ends_like_one_that_was_not(
    short_course: Course, forge: Forge, fast_path: Path
) -> None:
    """Fault 01: at each renaming, of a shard, a card or a manifest, again and again."""
    steps = [0, 1, 2, 2, 3, 3, 4, 5, 6, 8, 10]
    toll = kill_at_operations(short_course, forge, fast_path / "out", steps, at="rename")
    assert toll.kills >= 5


def test_a_lock_that_was_left_behind_is_taken(
    short_course: Course, forge: Forge, fast_path: Path
) -> None:
    """Fault 17: the kernel freed it, though its file still names a process."""
    child = short_course.start(forge, fast_path / "out", Strike(30))
    assert child.wait() == -signal.SIGKILL
    assert (fast_path / "out/.run/lock").read_text().startswith(f"{child.pid} ")
    short_course.finish(forge, fast_path / "out")


def test_a_second_run_is_refused_while_the_first_goes_on_untouched(
    long_course: Course, forge: Forge, fast_path: Path
) -> None:
    """Fault 16."""
    long_course.endpoint.reset()
    first = long_course.start(forge, fast_path / "out")
    wait_until((fast_path / "out/.run/config.json").exists, first)
    second = long_course.start(forge, fast_path / "out")
    assert second.wait() == 1
    assert f"process {first.pid} " in second.stderr
    assert len(second.stderr.splitlines()) == 1
    assert first.wait() == 0, first.stderr
    long_course.finish(forge, fast_path / "out")
    assert long_course.endpoint.report()["bought_again"] == 0


def test_two_runs_in_two_folders_share_nothing(
    short_course: Course, forge: Forge, fast_path: Path
) -> None:
    """Fault 18."""
    children = [short_course.start(forge, fast_path / name) for name in ("one", "two")]
    assert [child.wait() for child in children] == [0, 0]
    for name in ("one", "two"):
        short_course.finish(forge, fast_path / name)


def test_an_export_that_was_killed_leaves_a_whole_one_or_none(
    short_course: Course, forge: Forge, fast_path: Path, dice: random.Random
) -> None:
    """Fault 01: at random moments of an export; the run folder is only read."""
    out, to = fast_path / "out", fast_path / "exported"
    short_course.finish(forge, out)
    before = {path: path.stat().st_mtime_ns for path in (out / "data").iterdir()}
    killed = 0
    for _ in range(8):
        child = forge.start("export", out, "-o", to, url="")
        time.sleep(dice.uniform(0.02, 0.3))
        child.kill()
        killed += child.wait() == -signal.SIGKILL
        if to.exists():
            assert (to / "README.md").exists()
            assert all(path.read_bytes().endswith(b"\n") for path in to.rglob("*.jsonl"))
    assert killed
    assert forge.start("export", out, "-o", to, url="").wait() == 0
    assert {path: path.stat().st_mtime_ns for path in (out / "data").iterdir()} == before
    assert (to / "README.md").exists()


@pytest.mark.timeout(180)
def test_killed_while_it_verifies_it_ends_like_one_that_was_not(
    forge: Forge, fast_path: Path
) -> None:
    """Fault 01: what a verifier said is in the ledger like every other answer."""
    verify = {"chunks": "all", "trust": 0, "unsupported": "cut"}
    with lay_course(
        forge, fast_path / "course", articles=16, latency_s=0.02, verify=verify
    ) as course:
        assert any(row["verification"] for row in course.told.values())
        toll = kill_at_operations(course, forge, fast_path / "out", [8, 20, 45, 70, 95])
        assert toll.kills >= 3
