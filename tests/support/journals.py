"""A small run of a journal, disks that spoil it, and what must be true of its folder afterwards."""

from __future__ import annotations

import shutil
from collections import Counter
from typing import TYPE_CHECKING
from unittest.mock import patch

import pytest

from pairmill.errors import StorageError
from pairmill.records import Completion, Outcome, Usage, digest
from pairmill.store.entries import Batch, PaidAnswer, UnitOutcome
from pairmill.store.files import Disk, Files
from pairmill.store.folder import RunFolder, open_folder
from pairmill.store.journal import Journal
from pairmill.store.shards import read_lines
from pairmill.store.sqlite import ledger

if TYPE_CHECKING:
    from pathlib import Path

__all__ = [
    "BATCHES",
    "EVERY",
    "DyingDisk",
    "FaultyDisk",
    "Killed",
    "batch",
    "check_and_finish",
    "commit_all",
    "units_of",
]

BATCHES = [[0, 1], [2], [3, 4], [5]]
EVERY = {number for batch in BATCHES for number in batch}


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
    with (
        patch.object(ledger, "FOLD_AT", (3, 5)),
        open_folder(
            path, settings_fingerprint={"a": 1}, accept_change=False, version="1", files=files
        ) as folder,
    ):
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
