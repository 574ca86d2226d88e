"""A store that cannot be reached: what a run may do meanwhile, and what becomes of it after."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.support.replicas import LEASE_S, AwayStore, Machine, MemoryStore, ReplicaClock

from pairmill.events import Bus, Notice, RunWaits
from pairmill.run import replication as tested
from pairmill.run.replication import Replication
from pairmill.run.stop import Stop

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

WAIT_S = 600.0


class Scene:
    """A run with a replica in a store, by a clock that stands still until it is moved."""

    def __init__(self, folder: Path) -> None:
        self.inner = MemoryStore()
        self.store = AwayStore(self.inner)
        self.machine = Machine(folder / "one", self.store, ReplicaClock())
        self.machine.start()
        self.other = Machine(folder / "other", self.inner, ReplicaClock())
        self.stop, self.said, self.waits = Stop(), list[str](), list[str]()
        bus = Bus()
        bus.subscribe(lambda event: self.said.append(event.text), Notice)
        bus.subscribe(lambda event: self.waits.append(event.reason), RunWaits)
        clock = self.machine.clock
        self.replication = Replication(self.machine.holding, 10.0, WAIT_S, bus, clock)
        self._is_held = False

    def hold(self) -> None:
        self._is_held = True

    def go_on(self) -> None:
        self._is_held = False

    def is_held(self) -> bool:
        return self._is_held

    async def until(self, seconds: float) -> None:
        """Live on second by second, as a run does."""
        while self.machine.clock.now < seconds:
            self.machine.clock.now += 1.0
            self.replication.look(self.stop, self)
            if self.machine.replica.lease.is_due(self.machine.clock.now):
                await self.replication._attempt(self.machine.replica.renew, self.stop)
            await self.replication._attempt(self.machine.replica.push, self.stop)


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    found = Scene(tmp_path)
    yield found
    found.machine.kill()
    if found.other.is_up:
        found.other.kill()


async def test_a_store_that_is_away_for_a_while_is_waited_for(scene: Scene) -> None:
    await scene.until(100)
    scene.store.is_away = True
    await scene.until(115)
    assert scene.said == ["mem://store: cannot be reached; uploads wait, answers are kept here"]
    await scene.until(130)
    assert not scene.is_held()  # nobody else may have taken over yet
    await scene.until(100 + LEASE_S * 2 / 3 + 1)
    assert scene.is_held()
    scene.machine.commit([1])  # what was in flight is kept all the same
    await scene.until(400)
    assert scene.is_held()
    assert "another process may take over by now; nothing new is asked" in scene.said[-1]
    assert scene.waits == ["mem://store cannot be reached"]
    scene.store.is_away = False
    await scene.until(402)
    assert not scene.is_held()
    assert scene.said[2:] == ["mem://store answers again: going on"]
    assert scene.waits[-1] == ""
    assert not scene.stop.is_requested
    assert scene.machine.replica.manifest.generation > 0  # and it has gone up


async def test_who_was_away_while_another_took_over_asks_nothing_more(scene: Scene) -> None:
    await scene.until(100)
    scene.store.is_away = True
    await scene.until(142)
    assert scene.is_held()
    scene.other.start()
    scene.other.commit([1])
    scene.other.replica.push()
    held = dict(scene.inner.objects)
    scene.store.is_away = False
    await scene.until(145)
    assert scene.is_held()
    assert scene.stop.exit_code == 75
    assert "process on other has taken it over" in scene.stop.reason
    assert scene.inner.objects == held


async def test_a_store_that_stays_away_ends_the_run_as_resumable(scene: Scene) -> None:
    scene.store.is_away = True
    await scene.until(LEASE_S * 2 / 3 + WAIT_S - 2)
    assert not scene.stop.is_requested
    await scene.until(LEASE_S * 2 / 3 + WAIT_S + 2)
    assert scene.stop.exit_code == 75
    assert "could not be written to for so long" in scene.stop.reason
    assert scene.replication.finish() == ""  # nothing more goes up


async def test_after_a_sleep_of_the_machine_nothing_is_asked_until_a_write_has_succeeded(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    await scene.until(20)
    monkeypatch.setattr(tested, "slept_s", lambda: 1e6)
    scene.replication.look(scene.stop, scene)
    assert scene.is_held()
    await scene.replication._attempt(scene.machine.replica.push, scene.stop)
    scene.replication.look(scene.stop, scene)
    assert scene.is_held()  # there was nothing to write
    await scene.replication._attempt(scene.machine.replica.renew, scene.stop)
    scene.replication.look(scene.stop, scene)
    assert not scene.is_held()
    assert scene.said == []  # that took a moment


def test_the_last_uploads_wait_for_a_store_that_is_away(scene: Scene) -> None:
    scene.machine.commit([1])
    scene.store.is_away = True
    clock = scene.machine.clock

    def sleep(seconds: float) -> None:
        clock.now += seconds
        scene.store.is_away = clock.now < 200

    assert scene.replication.finish(sleep=sleep) == "mem://store: cannot be reached"
    assert clock.now < 10
    assert scene.replication.finish(patient=True, sleep=sleep) == ""
    assert clock.now >= 200
    assert len(scene.said) == 1
    assert "the last uploads wait for it, for 600 s at most" in scene.said[0]
    assert scene.machine.replica.manifest.released
