"""The disk refuses, or the process dies, at the n-th operation, for every n until none is left.

SQLite tests itself this way (its ``ioerr`` and ``full`` suites).
"""

from __future__ import annotations

import errno
import itertools
import os
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.support.journals import (
    EVERY,
    DyingDisk,
    FaultyDisk,
    Killed,
    batch,
    check_and_finish,
    commit_all,
    units_of,
)

from pairmill.errors import PairmillError, StorageError
from pairmill.store.files import DISK, Disk
from pairmill.store.folder import open_folder
from pairmill.store.journal import Journal

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.fault


@pytest.fixture
def quick_path() -> Iterator[Path]:
    """A folder in memory where there is one: nothing here depends on what a sync does."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if os.access(memory, os.W_OK) else None) as name:
        yield Path(name)


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
        is_broken = False

        def sync(self, fd: int) -> None:
            if not self.is_broken:
                return
            self.syncs += 1
            raise OSError(errno.ENOSPC, "")  # even for want of room: its bytes may be gone

    disk = UnsyncedDisk()
    with open_folder(tmp_path, settings_fingerprint={}, accept_change=False, version="1") as folder:
        journal = Journal.open(folder, clock=lambda: 0.0, files=disk)
        disk.is_broken = True
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
