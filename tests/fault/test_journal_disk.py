"""The disk refuses, or the process dies, at the n-th operation, for every n until none is left.

SQLite tests itself this way (its ``ioerr`` and ``full`` suites).
"""

from __future__ import annotations

import errno
import itertools
import os
import shutil
import tempfile
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pairmill.errors import PairmillError, StorageError
from pairmill.records import Completion, Outcome, Usage, digest
from pairmill.store.entries import Batch, PaidAnswer, UnitOutcome
from pairmill.store.files import DISK, Disk, Files
from pairmill.store.folder import RunFolder, open_folder
from pairmill.store.journal import Journal
from pairmill.store.reading import read_lines

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.fault

BATCHES = [[0, 1], [2], [3, 4], [5]]
EVERY = {number for batch in BATCHES for number in batch}


@pytest.fixture
def quick_path() -> Iterator[Path]:
    """A folder in memory where there is one: nothing here depends on what a sync does."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if os.access(memory, os.W_OK) else None) as name:
        yield Path(name)


class Killed(BaseException):
    """The process dies here."""


class FaultyDisk(Disk):
    """Counts operations and spoils the n-th, or all from the n-th on."""

    def __init__(self, n: int, fault: OSError | Killed, *, persistent: bool = False) -> None:
        self.left = n
        self.fault = fault
        self.persistent = persistent
        self.has_struck = False

    def strike(self) -> bool:
        self.left -= 1
        hit = self.left < 0 if self.persistent else self.left == -1
        self.has_struck |= hit
        return hit

    def step(self) -> None:
        if self.strike():
            raise self.fault

    def open(self, path: Path, flags: int) -> int:
        self.step()
        return super().open(path, flags)

    def write(self, fd: int, data: bytes | memoryview) -> int:
        if self.strike():  # a full disk takes what fits, and refuses the rest
            super().write(fd, data[: len(data) // 2])
            raise self.fault
        return super().write(fd, data)

    def sync(self, fd: int) -> None:
        self.step()  # what works is not waited for: nothing here cuts the power

    def truncate(self, fd: int, length: int) -> None:
        self.step()
        super().truncate(fd, length)

    def rename(self, old: Path, new: Path) -> None:
        self.step()
        super().rename(old, new)

    def unlink(self, path: Path) -> None:
        self.step()
        super().unlink(path)

    def sync_folder(self, path: Path) -> None:
        self.step()


class DyingDisk(FaultyDisk):
    """Keeps a copy of the folder as it stands when the process dies, before anything tidies up."""

    def __init__(self, n: int, path: Path, left: Path) -> None:
        super().__init__(n, Killed())
        self.path = path
        self.left_behind = left

    def strike(self) -> bool:
        hit = super().strike()
        if hit:
            ignore = shutil.ignore_patterns("*-shm")
            shutil.copytree(self.path, self.left_behind, ignore=ignore)
        return hit


def batch(numbers: list[int]) -> Batch:
    completion = Completion("text", "stop", "m", Usage(1, 1), 1.0)
    answers, outcomes = [], []
    for n in numbers:
        call, unit, chunk = (digest(word, str(n)) for word in ("call", "unit", "chunk"))
        answers.append(PaidAnswer(call, unit, chunk, completion))
        rows = [b'{"unit":%d,"row":%d}\n' % (n, row) for row in range(2)]
        outcomes.append(UnitOutcome(unit, Outcome.WRITTEN, rows, [b'{"unit":%d}\n' % n]))
    return Batch(answers, outcomes)


def commit_all(path: Path, files: Files, acknowledged: set[int], tries: int = 1) -> None:
    """Do a whole run: four commits with rotations between them, and a clean end."""
    with open_folder(
        path, settings_fingerprint={"a": 1}, accept_change=False, version="1", files=files
    ) as folder:
        journal = Journal.open(folder, clock=lambda: 0.0, shard_bytes=50, files=files)
        try:
            for numbers in BATCHES:
                commit_patiently(journal, batch(numbers), tries)
                acknowledged |= set(numbers)
        except StorageError as error:
            if not error.transient:
                with pytest.raises(StorageError, match="nothing more is written"):
                    journal.commit(batch([99]))
            raise
        finally:
            journal.close()


def commit_patiently(journal: Journal, work: Batch, tries: int) -> None:
    for left in reversed(range(tries)):
        try:
            journal.commit(work)
        except StorageError as error:
            if not error.transient or not left:
                raise
        else:
            return


def check_and_finish(path: Path, acknowledged: set[int]) -> None:
    """Open with a healthy disk: whatever was acknowledged is there, once. Then do the rest."""
    with open_folder(
        path, settings_fingerprint={"a": 1}, accept_change=False, version="1"
    ) as folder:
        with Journal.open(folder, clock=lambda: 0.0, shard_bytes=50) as journal:
            there = units_of(folder, journal)
            assert acknowledged <= there <= EVERY
            for numbers in BATCHES:
                journal.commit(batch(numbers))
            assert units_of(folder, journal) == EVERY
        for shard in (*folder.data.iterdir(), *folder.rejected.iterdir()):
            assert shard.read_bytes().endswith(b"}\n")
        assert list(folder.open_shards.iterdir()) == []


def units_of(folder: RunFolder, journal: Journal) -> set[int]:
    """Return the units whose lines are there, having checked that each is whole and single."""
    with journal.lookup() as lookup:
        records = lookup.shards()
        count = sum(lookup.totals().units.values())
    rows = Counter(read_lines(folder, records, "train"))
    rejects = Counter(read_lines(folder, records, "rejected"))
    units = {int(line[8:-2]) for line in rejects}
    assert rejects == Counter(b'{"unit":%d}\n' % n for n in units)
    assert rows == Counter(b'{"unit":%d,"row":%d}\n' % (n, r) for n in units for r in range(2))
    assert count == len(units)
    return units


@pytest.mark.parametrize("persistent", [False, True], ids=["once", "from_then_on"])
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO], ids=["ENOSPC", "EIO"])
def test_no_refusal_of_the_disk_loses_or_doubles_anything(
    quick_path: Path, code: int, persistent: bool
) -> None:
    told: set[str] = set()
    acknowledged: set[int] = set()
    n = 0
    while True:
        path = quick_path / str(n)
        disk = FaultyDisk(n, OSError(code, "not for users"), persistent=persistent)
        acknowledged.clear()
        try:
            commit_all(path, disk, acknowledged, tries=2)
        except PairmillError as error:
            told.add(str(error))
        if not disk.has_struck:
            break
        check_and_finish(path, acknowledged)
        shutil.rmtree(path)
        n += 1
    assert acknowledged == EVERY
    assert n > 30  # the loop really went through a run
    assert told
    assert not any("\n" in text or "not for users" in text for text in told)


def test_a_disk_that_is_full_once_only_delays(quick_path: Path) -> None:
    """A write or a rename that is refused for lack of room succeeds when tried again."""
    survived = 0
    for n in itertools.count():
        disk = FaultyDisk(n, OSError(errno.EMFILE, ""))
        acknowledged: set[int] = set()
        try:
            commit_all(quick_path / str(n), disk, acknowledged, tries=2)
        except PairmillError:
            # Refused while starting or ending, where there is nothing to try again with.
            assert acknowledged in (set(), EVERY)
        else:
            survived += disk.has_struck
        shutil.rmtree(quick_path / str(n))
        if not disk.has_struck:
            break
    assert survived > 20


def test_a_kill_at_any_operation_loses_and_doubles_nothing(quick_path: Path) -> None:
    n = 0
    while True:
        path, left = quick_path / str(n), quick_path / f"{n}-left"
        acknowledged: set[int] = set()
        disk = DyingDisk(n, path, left)
        with suppress(Killed):
            commit_all(path, disk, acknowledged)
        if not disk.has_struck:
            break
        check_and_finish(left, acknowledged)
        shutil.rmtree(path)
        shutil.rmtree(left)
        n += 1
    assert n > 30


def test_a_failed_sync_is_never_repeated(tmp_path: Path) -> None:
    class UnsyncedDisk(Disk):
        syncs = 0

        def sync(self, fd: int) -> None:
            self.syncs += 1
            raise OSError(errno.ENOSPC, "")  # even for want of room: its bytes may be gone

    disk = UnsyncedDisk()
    with open_folder(tmp_path, settings_fingerprint={}, accept_change=False, version="1") as folder:
        journal = Journal.open(folder, clock=lambda: 0.0, files=disk)
        for _ in range(3):
            with pytest.raises(StorageError) as caught:
                journal.commit(batch([1]))
            assert not caught.value.transient
        assert disk.syncs == 1
        journal.close()
        assert disk.syncs == 1
        assert list(folder.data.iterdir()) == []
        with Journal.open(folder, clock=lambda: 0.0, files=DISK) as journal:
            assert units_of(folder, journal) == set()
            journal.commit(batch([1]))
