"""The power fails at every operation, and any part of what was not synced comes through."""

from __future__ import annotations

import errno
import os
import shutil
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

import pytest
from tests.support.endurance import fast_folder
from tests.support.journals import EVERY, Killed, batch, check_and_finish, commit_all
from tests.support.power import PowerDisk

from pairmill.errors import StorageError
from pairmill.store.folder import open_folder
from pairmill.store.journal import Journal

if TYPE_CHECKING:
    import random
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.fault

DRAWS = 4


@pytest.fixture
def place() -> Iterator[Path]:
    with fast_folder() as path:
        yield path


def test_what_was_acknowledged_survives_a_power_loss(place: Path, dice: random.Random) -> None:
    """Faults 05, 06, 08: torn, garbled and zero-filled ends, and names that never came to be."""
    n, acknowledged = 0, set[int]()
    while True:
        survived = False
        for draw in range(DRAWS):
            path = place / f"{n}-{draw}"
            disk = PowerDisk(path, n, place / f"{n}-{draw}-crashed", dice)
            acknowledged.clear()
            with suppress(Killed):
                commit_all(path, disk, acknowledged)
            if disk.crashed is None:
                survived = True
                break
            check_and_finish(disk.crashed, acknowledged)
            shutil.rmtree(path)
            shutil.rmtree(disk.crashed)
        if survived:
            break
        n += 1
    assert acknowledged == EVERY
    assert n > 30


def test_the_power_may_fail_again_while_the_folder_is_mended(
    place: Path, dice: random.Random
) -> None:
    """Fault 05: crash after crash, at ever later operations."""
    for start in range(0, 60, 7):
        path = place / f"{start}"
        acknowledged: set[int] = set()
        for turn in range(6):
            disk = PowerDisk(path, start + 3 * turn, place / f"{start}-{turn}", dice)
            with suppress(Killed):
                commit_all(path, disk, acknowledged)
            if disk.crashed is None:
                break
            path = disk.crashed
        check_and_finish(path, acknowledged)


def test_a_cut_tail_does_not_come_back_under_a_public_name(
    place: Path, dice: random.Random
) -> None:
    """Fault 06: the cut must be synced before the renaming can be."""
    begun = place / "begun"
    with open_folder(
        begun, settings_fingerprint={"a": 1}, accept_change=False, version="1"
    ) as folder:
        journal = Journal.open(folder, clock=lambda: 0.0)
        journal.commit(batch([0, 1]))
        journal.close(publish=False)
        with (folder.open_shards / "train-00000.jsonl").open("ab") as shard:
            shard.write(b'{"unit":2,"ro')
    for draw in range(20):
        path, crashed = place / f"{draw}", place / f"{draw}-crashed"
        shutil.copytree(begun, path)
        disk = PowerDisk(path, 10**6, crashed, dice)
        with open_folder(
            path, settings_fingerprint={"a": 1}, accept_change=False, version="1"
        ) as folder:
            journal = Journal.open(folder, clock=lambda: 0.0, shard_bytes=1, files=disk)
            journal.rotate()
            disk.cut()
            journal.close()
        check_and_finish(crashed, {0, 1})


class FullOnce(PowerDisk):
    """Takes half of one write, and has no room for the rest."""

    is_full = False

    def write(self, fd: int, data: bytes | memoryview) -> int:
        if self.is_full:
            self.is_full = False
            os.write(fd, data[: len(data) // 2])
            raise OSError(errno.ENOSPC, "")
        return super().write(fd, data)


def test_nor_does_one_that_was_cut_on_a_full_disk(place: Path, dice: random.Random) -> None:
    """Faults 06 and 11."""
    for draw in range(20):
        path, crashed = place / f"{draw}", place / f"{draw}-crashed"
        disk = FullOnce(path, 10**6, crashed, dice)
        with open_folder(
            path, settings_fingerprint={"a": 1}, accept_change=False, version="1"
        ) as folder:
            now = [0.0]
            journal = Journal.open(folder, clock=partial(now.__getitem__, 0), files=disk)
            journal.commit(batch([0, 1]))
            disk.is_full = True
            with pytest.raises(StorageError):
                journal.commit(batch([2]))
            now[0] = 1e6
            journal.rotate()
            disk.cut()
            journal.close()
        check_and_finish(crashed, {0, 1})
