"""Real processes: killed at random moments, refused by a real limit, locked out by each other."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from pairmill.errors import LockedError
from pairmill.store.folder import open_folder
from pairmill.store.journal import Journal
from pairmill.store.shards import read_lines

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.fault

ROUNDS = 10

# Commits batch after batch, and says so after each one: "done FIRST LAST".
WORKER = """
import os, resource, sys, time
from pathlib import Path
from pairmill.errors import PairmillError
from pairmill.records import Completion, Outcome, Usage, digest
from pairmill.store.sqlite import ledger
from pairmill.store.entries import Batch, PaidAnswer, UnitKey, UnitOutcome
from pairmill.store.folder import open_folder
from pairmill.store.journal import Journal

path, count, most_bytes = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
ledger.FOLD_AT = (50, 150)
say = lambda *words: os.write(1, (" ".join(map(str, words)) + "\\n").encode())

def batch(numbers):
    completion = Completion("x" * 300, "stop", "m", Usage(), 1.0)
    answers, outcomes = [], []
    for n in numbers:
        call, unit, chunk = (digest(word, str(n)) for word in ("call", "unit", "chunk"))
        answers.append(PaidAnswer(call, unit, chunk, completion))
        rows = [b'{"unit":%d,"row":%d}\\n' % (n, row) for row in range(3)]
        outcomes.append(UnitOutcome(unit, Outcome.WRITTEN, rows, [b'{"unit":%d}\\n' % n]))
    return Batch(answers, outcomes)

with open_folder(path, settings_fingerprint={}, accept_change=False, version="1") as folder:
    say("ready", os.getpid())
    if most_bytes:
        resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes, resource.RLIM_INFINITY))
    try:
        with Journal.open(folder, clock=time.monotonic, shard_bytes=2000) as journal:
            for first in range(0, count, 7):
                work = batch(range(first, first + 7))
                journal.commit(work)
                say("done", first, first + 7)
    except PairmillError as error:
        say("refused", type(error).__name__, error)
"""


def start(path: Path, count: int = 10**6, most_bytes: int = 0) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", WORKER, str(path), str(count), str(most_bytes)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def acknowledged(output: str) -> int:
    """Return how many units the worker was told are durable, from its whole lines."""
    done = [line.split() for line in output.split("\n")[:-1] if line.startswith("done")]
    return max((int(last) for _, _, last in done), default=0)


def check(path: Path, at_least: int) -> int:
    """Reopen: units 0 to some n are there, whole, once each, and none beyond. Return n."""
    with (
        open_folder(path, settings_fingerprint={}, accept_change=False, version="1") as folder,
        Journal.open(folder, clock=lambda: 0.0) as journal,
        journal.lookup() as lookup,
    ):
        records = lookup.shards()
        count = sum(lookup.totals().units.values())
        assert count >= at_least
        rows = Counter(read_lines(folder, records, "train"))
        assert rows == Counter(
            b'{"unit":%d,"row":%d}\n' % (n, row) for n in range(count) for row in range(3)
        )
        rejects = Counter(read_lines(folder, records, "rejected"))
        assert rejects == Counter(b'{"unit":%d}\n' % n for n in range(count))
        return count


def test_killed_at_random_moments_it_keeps_all_that_it_acknowledged(tmp_path: Path) -> None:
    seed = random.randrange(10**6)
    print(f"seed {seed}")  # noqa: T201 (pytest shows it when the test fails)
    moments = random.Random(seed)
    path = tmp_path / "out"
    reached = 0
    for _ in range(ROUNDS):
        worker = start(path)
        assert worker.stdout is not None
        assert worker.stdout.readline().startswith("ready")
        time.sleep(moments.uniform(0.0, 0.25))
        worker.kill()
        output, _ = worker.communicate()
        assert worker.returncode == -9
        reached = check(path, max(reached, acknowledged(output)))
    assert reached > 0


@pytest.mark.parametrize("most_bytes", [1500, 30_000, 60_000, 100_000])
def test_a_file_that_may_not_grow_stops_the_run_and_spoils_nothing(
    tmp_path: Path, most_bytes: int
) -> None:
    """A real refusal in the middle of a real write, in the shards and inside SQLite."""
    path = tmp_path / "out"
    output, _ = start(path, 7 * 60, most_bytes).communicate()
    assert "refused StorageError" in output
    assert check(path, acknowledged(output)) < 7 * 60
    output, _ = start(path, 7 * 60).communicate()
    assert "refused" not in output
    assert check(path, 7 * 60) == 7 * 60


def test_the_second_process_is_refused_and_the_third_is_welcome(tmp_path: Path) -> None:
    worker = start(tmp_path)
    assert worker.stdout is not None
    pid = worker.stdout.readline().split()[1]
    try:
        with (
            pytest.raises(LockedError, match=f"process {pid} .*works in this folder"),
            open_folder(tmp_path, settings_fingerprint={}, accept_change=False, version="1"),
        ):
            pass
    finally:
        worker.kill()
        worker.communicate()
    check(tmp_path, 0)
