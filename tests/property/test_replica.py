"""Processes die between any two steps of a replica: nothing that was uploaded is lost."""

from __future__ import annotations

import os
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING
from unittest.mock import patch

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tests.support.journals import BATCHES, EVERY, Killed
from tests.support.replicas import DyingStore, Machine, MemoryStore, ReplicaClock, lost_reply

from pairmill.errors import ConfigError, StoppedError, StorageError
from pairmill.replica import replica as tested
from pairmill.replica.ownership import OwnershipLostError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

MEMORY = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None


@pytest.fixture
def root() -> Iterator[Path]:
    path = Path(tempfile.mkdtemp(dir=MEMORY))
    yield path
    shutil.rmtree(path)


def work(machine: Machine, store: DyingStore, seen: dict[str, set[int]]) -> None:
    """Do a whole run, noting what is committed and what is uploaded."""
    machine.start(store)
    machine.replica.sweep()
    for numbers in BATCHES:
        machine.commit(numbers)
        seen["committed"] |= set(numbers)
        machine.replica.push()
        seen["uploaded"] |= seen["committed"]
        machine.replica.renew()
    machine.end()


def go_on(machine: Machine, committed: set[int]) -> None:
    """Start again, find at least what was committed, and finish."""
    machine.start()
    there = machine.units()
    assert committed <= there <= EVERY
    for numbers in BATCHES:
        machine.commit(numbers)
    assert machine.units() == EVERY
    machine.end()


@pytest.mark.slow
@pytest.mark.parametrize("happens", [False, True])
@pytest.mark.parametrize("machine_is_lost", [False, True])
@pytest.mark.timeout(300)
def test_kills_between_any_two_steps(root: Path, *, happens: bool, machine_is_lost: bool) -> None:
    deaths = 0
    for left in range(1000):
        store = MemoryStore()
        one = Machine(root / "one", store, ReplicaClock())
        dying = DyingStore(store, left, happens=happens)
        seen: dict[str, set[int]] = {"committed": set(), "uploaded": set()}
        with patch.object(tested, "_MOST_SEGMENTS", 2):
            try:
                work(one, dying, seen)
            except Killed:
                deaths += 1
            if machine_is_lost:
                one.lose()
                other = Machine(root / "other", store, ReplicaClock(1e6))
                go_on(other, seen["uploaded"])
                other.lose()
            else:
                one.kill()
                go_on(one, seen["committed"])
                assert not one.told  # it knows its own lease: nothing is waited for
        last = Machine(root / "last", store, ReplicaClock())
        last.start()
        assert last.units() == EVERY
        last.lose()
        one.lose()
        if not dying.has_struck:
            break
    assert deaths > 25


@pytest.mark.slow
@pytest.mark.parametrize("happens", [False, True])
@pytest.mark.timeout(300)
def test_any_one_reply_may_be_lost(root: Path, *, happens: bool) -> None:
    faults = 0
    for left in range(1000):
        store = MemoryStore()
        dying = DyingStore(store, left, happens=happens, fault=lost_reply())
        one = Machine(root / "one", dying, ReplicaClock())
        faults += work_patiently(one)
        last = Machine(root / "last", store, ReplicaClock())
        last.start()
        assert not last.told
        assert last.units() == EVERY
        last.lose()
        one.lose()
        if not dying.has_struck:
            break
    assert faults > 25


def work_patiently(machine: Machine) -> int:
    """Do a whole run, each step again if the store did not answer; returns how often that was."""
    faults = again(machine.start, machine.kill)
    for numbers in BATCHES:
        machine.commit(numbers)
        faults += again(machine.replica.push)
        faults += again(machine.replica.renew)
    machine.close()
    return faults + again(machine.replica.push) + again(machine.replica.release)


def again(step: Callable[[], object], after: Callable[[], object] = lambda: None) -> int:
    try:
        step()
    except (StorageError, ConfigError) as error:
        assert "timed out" in str(error)  # noqa: PT017
        after()
        step()
        return 1
    return 0


class Story:
    """Two machines with one replica; each knows what it committed."""

    def __init__(self, place: Path) -> None:
        self.store = MemoryStore()
        self.machines = [
            Machine(place / str(at), self.store, ReplicaClock(at * 12345.0)) for at in range(2)
        ]
        self.committed: list[set[int]] = [set(), set()]
        self.uploaded: set[int] = set()
        self.number = 0

    def tell(self, at: int, step: str) -> None:
        machine = self.machines[at]
        if step == "later":  # the other one's clock does not know
            machine.clock.now += 45.0
        elif step == "start" and not machine.is_up:
            self.start(at)
        elif machine.is_up and step == "commit":
            self.number += 1
            machine.commit([self.number])
            self.committed[at].add(self.number)
        elif machine.is_up and step in {"lose", "kill"}:
            (machine.lose if step == "lose" else machine.kill)()
        elif machine.is_up and step in {"renew", "push", "end"}:
            self.call(at, step)

    def start(self, at: int) -> None:
        machine = self.machines[at]
        with suppress(StoppedError):
            machine.start()
            self.committed[at] = machine.units()
            assert self.uploaded <= self.committed[at]

    def call(self, at: int, step: str) -> None:
        machine = self.machines[at]
        steps: dict[str, Callable[[], object]] = {
            "renew": machine.replica.renew,
            "push": machine.replica.push,
            "end": machine.end,
        }
        try:
            steps[step]()
        except OwnershipLostError:
            machine.kill()
        else:
            self.uploaded |= self.committed[at] if step != "renew" else set()


STEPS = st.sampled_from(["commit", "push", "renew", "kill", "lose", "end", "start", "later"])
LATE = [(0, "start"), (0, "commit"), (0, "push"), (1, "start"), (1, "commit"), (0, "commit")]


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 1), STEPS), min_size=5, max_size=40))
@example([*LATE, (0, "push"), (1, "push")])
@example([*LATE, (1, "push"), (0, "commit"), (0, "push"), (0, "start"), (1, "end"), (0, "start")])
def test_two_machines_never_both_go_on(script: list[tuple[int, str]]) -> None:
    place = Path(tempfile.mkdtemp(dir=MEMORY))
    story = Story(place)
    try:
        for at, step in script:
            story.tell(at, step)
        for machine in story.machines:
            machine.lose()
        last = Machine(place / "last", story.store, ReplicaClock())
        last.start()
        assert last.units() == story.uploaded
        last.kill()
    finally:
        for machine in story.machines:
            machine.lose()
        shutil.rmtree(place)
