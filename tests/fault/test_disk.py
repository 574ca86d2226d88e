"""Disks that are full, failing, read-only or gone, under real runs."""

from __future__ import annotations

import errno
import shutil
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from tests.support.cli import environment, rows
from tests.support.corpus import write_corpus
from tests.support.forge import Forge, Strike
from tests.support.mounts import small_disk
from tests.support.waiting import wait_until

from pairmill.simulator import Latency, Simulator, SimulatorSettings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.endurance import Course
    from tests.support.forge import Child
    from tests.support.mounts import SmallDisk

pytestmark = pytest.mark.fault


@dataclass(frozen=True)
class Cramped:
    """A run whose folder is on a disk of two mebibytes."""

    disk: SmallDisk
    forge: Forge
    endpoint: Simulator
    command: tuple[str | Path, ...]

    def start(self) -> Child:
        return self.forge.start(*self.command, url=self.endpoint.url)

    def documents(self) -> int:
        """From how many documents there are pairs."""
        return len({row["document_id"] for row in rows(self.disk.path / "out")})


@contextmanager
def cramped(folder: Path, settings_file: Path, articles: int) -> Iterator[Cramped]:
    corpus = write_corpus(folder / "articles", articles, 10)
    with (
        small_disk(folder / "disk", mebibytes=3) as disk,
        Forge(folder / "logs", within=disk.enter) as forge,
        Simulator(SimulatorSettings(latency=Latency("fixed", 0.1))) as endpoint,
    ):
        command = ("run", corpus, "-o", disk.inside / "out", "--config", settings_file)
        yield Cramped(disk, forge, endpoint, command)


def test_a_full_disk_pauses_a_run_until_there_is_room(tmp_path: Path, settings_file: Path) -> None:
    """Fault 11: nothing new is asked, nothing that was bought is lost, nothing is asked again."""
    with cramped(tmp_path, settings_file, 80) as run:
        endpoint, child = run.endpoint, run.start()
        wait_until(lambda: endpoint.report()["answered"] >= 8, child)
        run.disk.fill(leave_bytes=0)
        wait_until(lambda: "the disk is full; waiting for room" in child.stderr, child)
        wait_until(lambda: endpoint.report()["in_flight"] == 0, child)
        calls = endpoint.report()["calls"]
        time.sleep(2.5)
        assert endpoint.report()["calls"] == calls < 80
        run.disk.empty()
        assert child.wait() == 0, child.stderr
        assert "there is room again" in child.stderr
        assert child.stderr.count("waiting for room") == 1
        assert endpoint.report()["bought_again"] == 0
        assert run.documents() == 80


def test_a_disk_that_stays_full_ends_the_run_as_resumable(
    tmp_path: Path, settings_file: Path
) -> None:
    """Fault 11."""
    with settings_file.open("a") as file:
        file.write("disk_wait_s: 0.5\n")
    with cramped(tmp_path, settings_file, 80) as run:
        child = run.start()
        wait_until(lambda: run.endpoint.report()["answered"] >= 8, child)
        run.disk.fill(leave_bytes=4096)
        assert child.wait() == 75, child.stderr
        assert "Traceback" not in child.stderr
        assert "the disk is full" in child.stderr.splitlines()[-1]
        full = run.start()
        assert full.wait() == 75, full.stderr
        assert "Traceback" not in full.stderr
        run.disk.empty()
        again = run.start()
        assert again.wait() == 0, again.stderr
        assert run.documents() == 80


def test_a_read_only_folder_is_named(tmp_path: Path, settings_file: Path) -> None:
    """Fault 14."""
    with cramped(tmp_path, settings_file, 2) as run:
        run.disk.run(f"mount -o remount,ro {run.disk.inside}")
        child = run.start()
        assert child.wait() in {1, 75}
        assert "read-only" in child.stderr
        assert len(child.stderr.splitlines()) == 1
        assert run.endpoint.report()["calls"] == 0


def test_a_folder_that_vanishes_ends_the_run(
    short_course: Course, forge: Forge, fast_path: Path
) -> None:
    """Fault 14."""
    short_course.endpoint.reset()
    child = short_course.start(forge, fast_path / "out")
    wait_until(lambda: short_course.endpoint.report()["answered"] >= 6, child)
    shutil.rmtree(fast_path / "out", ignore_errors=True)
    assert child.wait() in {1, 75}, child.stderr
    assert "Traceback" not in child.stderr
    assert "vanished" in child.stderr or "missing" in child.stderr, child.stderr


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS, errno.EMFILE])
def test_whatever_the_disk_refuses_once_the_next_start_mends(
    short_course: Course, forge: Forge, fast_path: Path, code: int
) -> None:
    """Faults 11 to 15, at a dozen of a run's operations each.

    ``test_no_refusal_of_the_disk_loses_or_doubles_anything`` goes through every one of them.
    """
    for first in (0, 4, 9, 15, 26, 61):
        child = short_course.start(forge, fast_path / "out", Strike(first, code=code))
        assert child.wait() in {0, 1, 75}, child.stderr
        assert "Traceback" not in child.stderr
        assert "not for users" not in child.stderr
        short_course.check(fast_path / "out")
        if first % 2:
            shutil.rmtree(fast_path / "out")
    short_course.finish(forge, fast_path / "out")


def test_a_failed_sync_ends_the_run_and_is_not_repeated(
    short_course: Course, forge: Forge, fast_path: Path
) -> None:
    """Fault 12."""
    for first in (3, 4, 5):  # a busy machine commits in few, large groups
        out = fast_path / f"out-{first}"
        strike = Strike(first, at="sync", code=errno.EIO)
        child = short_course.start(forge, out, strike)
        assert child.wait() == 75, child.stderr
        assert "the disk reported an error" in child.stderr
        short_course.finish(forge, out)


@pytest.mark.parametrize("files", [48, 90])
def test_too_few_open_files_are_survived(fast_path: Path, files: int) -> None:
    """Fault 13: fewer than the calls that are wanted in flight."""
    corpus = write_corpus(fast_path / "articles", 60, 10)
    out = fast_path / "out"
    run = ["-m", "pairmill", "run", str(corpus), "-o", str(out), "--concurrency", "100"]
    with Simulator(SimulatorSettings(latency=Latency("fixed", 0.05))) as endpoint:
        limited = ["sh", "-c", f'ulimit -n {files}; exec "$0" "$@"', sys.executable, *run]
        done = subprocess.run(
            limited,
            env=environment(endpoint.url),
            capture_output=True,
            text=True,
            timeout=50,
            check=False,
        )
        assert done.returncode in {0, 75}, done.stderr
        assert "Traceback" not in done.stderr
        again = subprocess.run(
            [sys.executable, *run],
            env=environment(endpoint.url),
            capture_output=True,
            timeout=50,
            check=False,
        )
        assert again.returncode == 0
    assert len({row["document_id"] for row in rows(out)}) == 60
