"""The power fails at every operation, and any part of what was not synced comes through."""

from __future__ import annotations

import shutil
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest
from tests.support.endurance import fast_folder
from tests.support.journals import EVERY, Killed, check_and_finish, commit_all
from tests.support.power import PowerDisk

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
