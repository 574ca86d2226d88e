"""Any sequence of commits, cut at any point, opens to exactly what was committed."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING
from unittest.mock import patch

from hypothesis import given, settings
from hypothesis import strategies as st

from pairmill.records import Completion, Outcome, Usage, digest
from pairmill.store.entries import Batch, PaidAnswer, UnitKey, UnitOutcome
from pairmill.store.files import Disk
from pairmill.store.folder import RunFolder, open_folder
from pairmill.store.journal import Journal
from pairmill.store.shards import read_lines
from pairmill.store.sqlite import ledger

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

MEMORY = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
OUTCOMES = list(Outcome)
UNITS = st.integers(0, 30)


class UnsyncedDisk(Disk):
    """A kill keeps what the system took, synced or not; so these tests need not wait for disks."""

    def sync(self, fd: int) -> None:
        pass

    def sync_folder(self, path: Path) -> None:
        pass


FILES = UnsyncedDisk()


def outcome(number: int) -> UnitOutcome:
    kind = OUTCOMES[number % 3]
    rows = [b'{"unit":%d,"row":%d}\n' % (number, row) for row in range(number % 4 + 1)]
    rejects = [b'{"unit":%d}\n' % number]
    return UnitOutcome(
        digest("unit", str(number)),
        kind,
        rows if kind is Outcome.WRITTEN else (),
        rejects if kind is Outcome.REJECTED else (),
        "refusal" if kind is Outcome.REJECTED else None,
    )


def batch(numbers: list[int]) -> Batch:
    completion = Completion("text", "stop", "m", Usage(1, 1), 1.0)
    answers = []
    for n in numbers:
        call, unit, chunk = (digest(word, str(n)) for word in ("call", "unit", "chunk"))
        answers.append(PaidAnswer(call, unit, chunk, completion))
    return Batch(answers, [outcome(n) for n in numbers])


def opened(path: Path) -> AbstractContextManager[RunFolder]:
    return open_folder(path, settings_fingerprint={}, accept_change=False, version="1")


def expected(units: set[int]) -> tuple[Counter[bytes], Counter[bytes]]:
    outcomes = [outcome(n) for n in units]
    rows = Counter(line for unit in outcomes for line in unit.rows)
    return rows, Counter(line for unit in outcomes for line in unit.rejected)


def check(folder: RunFolder, journal: Journal, units: set[int]) -> None:
    with journal.lookup() as lookup:
        records = lookup.shards()
        rows, rejected = expected(units)
        assert Counter(read_lines(folder, records, "train")) == rows
        assert Counter(read_lines(folder, records, "rejected")) == rejected
        keys = [UnitKey(digest("unit", str(n)), digest("chunk", str(n))) for n in range(31)]
        known = lookup.known(keys)
        assert known.finished == {digest("unit", str(n)) for n in units}
        totals = lookup.totals()
        assert sum(totals.units.values()) == len(units)
        assert totals.pairs == rows.total()
    for record in records:
        if record.closed:
            content = (folder.published(record.kind) / record.name).read_bytes()
            assert hashlib.sha256(content).hexdigest() == record.sha256
            assert content.count(b"\n") == record.rows
            assert content.endswith(b"\n")


def harm(folder: RunFolder, tail: bytes, *, unrename: bool, stray: bool) -> None:
    """Leave the folder as a kill may: bytes too many, a rename not done, a shard nobody knows."""
    for path in folder.open_shards.iterdir():
        with path.open("ab") as file:
            file.write(tail)
    published = sorted(folder.data.iterdir())
    if unrename and published:
        published[-1].rename(folder.open_shards / published[-1].name)
    if stray:
        names = [path.name for path in (*folder.open_shards.iterdir(), *published)]
        number = max((int(name[-10:-6]) for name in names if name.startswith("train")), default=-1)
        (folder.open_shards / f"train-{number + 1:05d}.jsonl").write_bytes(tail)


@settings(max_examples=150, deadline=None)
@given(
    commits=st.lists(st.lists(UNITS, max_size=8), min_size=1, max_size=6),
    more=st.lists(UNITS, max_size=8),
    shard_bytes=st.sampled_from([1, 60, 200, 10**6]),
    tail=st.sampled_from([b"", b"\x00" * 4096, b'{"unit":3,"r', b'{"unit":99,"row":0}\n']),
    unrename=st.booleans(),
    stray=st.booleans(),
    fold_at=st.sampled_from([(1, 1), (5, 12), (10**6, 10**6)]),
)
def test_a_cut_folder_opens_to_what_was_committed(
    commits: list[list[int]],
    more: list[int],
    shard_bytes: int,
    tail: bytes,
    unrename: bool,
    stray: bool,
    fold_at: tuple[int, int],
) -> None:
    with tempfile.TemporaryDirectory(dir=MEMORY) as name, patch.object(ledger, "FOLD_AT", fold_at):
        home = Path(name)
        done: set[int] = set()
        with opened(home / "a") as folder:
            journal = Journal.open(folder, clock=lambda: 0.0, shard_bytes=shard_bytes, files=FILES)
            for numbers in commits:
                journal.commit(batch(numbers))
                done |= set(numbers)
            # What a kill leaves: every file as it stands; SQLite's shared memory dies.
            shutil.copytree(home / "a", home / "b", ignore=shutil.ignore_patterns("*-shm"))
            journal.close()
        with opened(home / "b") as folder:
            harm(folder, tail, unrename=unrename, stray=stray)
            journal = Journal.open(folder, clock=lambda: 0.0, shard_bytes=shard_bytes, files=FILES)
            check(folder, journal, done)
            assert journal.notices == ()
            for numbers in [*commits, more]:  # replay: what is done stays as it is
                journal.commit(batch(numbers))
            done |= set(more)
            check(folder, journal, done)
            journal.close()
            journal = Journal.open(folder, clock=lambda: 0.0, files=FILES)
            check(folder, journal, done)
            journal.close()
