"""Who may work on a replica, and what becomes of the local folder."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.support.journals import batch
from tests.support.replicas import LEASE_S, Machine, MemoryStore, ReplicaClock

from pairmill.errors import ConfigError, FolderError, StoppedError
from pairmill.replica.manifest import MANIFEST
from pairmill.replica.ownership import OwnershipLostError
from pairmill.replica.takeover import spool_of
from pairmill.store.folder import RunFolder

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


def machine(root: Path, name: str, store: MemoryStore, now: float = 0.0) -> Machine:
    return Machine(root / name, store, ReplicaClock(now))


def test_a_second_process_is_told_who_works_there(tmp_path: Path, store: MemoryStore) -> None:
    one = machine(tmp_path, "one", store)
    one.start()
    other = machine(tmp_path, "other", store, now=5000.0)
    before = dict(store.objects)

    def look(seconds: float) -> None:
        other.clock.now += seconds
        one.replica.renew()

    other.clock.sleep = look  # type: ignore[method-assign]
    with pytest.raises(StoppedError, match="process on one works on it") as told:
        other.start()
    assert told.value.exit_code == 75
    assert store.objects.keys() == before.keys()
    one.commit([1])
    one.end()


def test_on_one_machine_the_folder_is_locked(tmp_path: Path, store: MemoryStore) -> None:
    one = machine(tmp_path, "one", store)
    one.start()
    with pytest.raises(StoppedError, match="another process on this machine"):
        machine(tmp_path, "one", store).start()
    one.end()


def test_a_lost_machine_is_waited_for_as_long_as_its_lease(
    tmp_path: Path, store: MemoryStore
) -> None:
    one = machine(tmp_path, "one", store)
    one.start()
    one.commit([1, 2])
    one.replica.push()
    one.commit([3])
    one.lose()
    other = machine(tmp_path, "other", store, now=77.0)
    other.start()
    assert other.clock.now - 77.0 == pytest.approx(LEASE_S, rel=0.1)
    assert "waiting 60 s" in other.told[0]
    assert other.units() == {1, 2}
    assert RunFolder(other.path).is_restored  # what the lost one spent last is not known
    other.end()


def test_after_a_good_end_nobody_waits(tmp_path: Path, store: MemoryStore) -> None:
    one = machine(tmp_path, "one", store)
    one.start()
    one.commit([1])
    one.end()
    other = machine(tmp_path, "other", store)
    other.start()
    assert other.clock.now == 0.0
    assert other.units() == {1}
    other.end()


def test_a_killed_process_goes_on_with_what_was_not_uploaded(
    tmp_path: Path, store: MemoryStore
) -> None:
    one = machine(tmp_path, "one", store)
    one.start()
    one.replica.push()
    one.commit([1, 2])
    one.kill()
    one.start()
    assert one.clock.now == 0.0
    assert one.units() == {1, 2}
    one.replica.push()
    assert len(store.names("log")) == 2  # a segment behind the base, not a base again
    one.lose()
    other = machine(tmp_path, "other", store)
    other.start()
    assert other.units() == {1, 2}


def test_who_was_suspended_loses_and_the_next_start_begins_with_what_the_other_left(
    tmp_path: Path, store: MemoryStore
) -> None:
    one = machine(tmp_path, "one", store)
    one.start()
    one.commit([1])
    one.replica.push()
    one.commit([2])
    other = machine(tmp_path, "other", store)
    other.start()
    other.commit([3])
    other.replica.push()
    stored = store.objects[MANIFEST]
    for move in (one.replica.push, one.replica.renew, one.replica.release):
        with pytest.raises(OwnershipLostError, match="process on other has taken it over"):
            move()
    assert store.objects[MANIFEST] == stored
    one.commit([4, 5, 6])  # more than the other: its ledger is longer, and is not the right one
    one.kill()
    other.end()
    one.start()
    assert one.units() == {1, 3}
    assert "is kept as" in one.notices[0]
    aside = one.path.with_name("dataset.behind-1")
    assert (aside / ".run" / "ledger.db").is_file()
    one.end()


def test_a_kill_in_the_middle_of_restoring_restores_again(
    tmp_path: Path, store: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = machine(tmp_path, "one", store), machine(tmp_path, "other", store)
    one.start()
    one.commit([1, 2, 3])
    one.kill()  # ahead of the store
    other.start()
    other.commit([4])
    other.end()

    def die(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("pairmill.replica.takeover.restore", die)
        with pytest.raises(KeyboardInterrupt):
            one.start()
        one.kill()
    one.start()
    assert one.units() == {4}
    one.end()


def test_an_entry_whose_commit_did_not_happen_is_not_uploaded(
    tmp_path: Path, store: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = machine(tmp_path, "one", store)
    one.start()
    one.commit([1])
    one.replica.push()
    outbox, ledger = one.journal._commit_log, one.journal._ledger

    def die(*_: object) -> None:
        one.kill()
        raise SystemExit

    monkeypatch.setattr(outbox, "_cut", lambda _: None)  # the dead cut nothing off
    monkeypatch.setattr(ledger, "commit", die)
    with pytest.raises(SystemExit):
        one.journal.commit(batch([2]))
    monkeypatch.undo()
    one.start()
    assert one.units() == {1}
    one.commit([3])
    one.replica.push()
    one.lose()
    other = machine(tmp_path, "other", store)
    other.start()
    assert other.units() == {1, 3}


def test_a_folder_that_was_local_before_goes_up_whole(tmp_path: Path, store: MemoryStore) -> None:
    one = machine(tmp_path, "one", MemoryStore())
    one.start()
    one.commit([1, 2])
    one.end()
    one.store = store
    one.start()
    assert one.units() == {1, 2}
    one.end()
    other = machine(tmp_path, "other", store)
    other.start()
    assert other.units() == {1, 2}


def test_a_state_folder_that_is_lost_alone_is_restored(tmp_path: Path, store: MemoryStore) -> None:
    import shutil

    one = machine(tmp_path, "one", store)
    one.start()
    one.commit([1])
    one.replica.push()
    one.kill()
    shutil.rmtree(one.path)
    assert spool_of(one.path).is_dir()
    one.start()
    assert one.units() == {1}
    one.end()


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"{}", "is not the manifest of a replica"),
        (b"\xff", "is not the manifest of a replica"),
        (b'{"format": 99}', "made by a newer pairmill"),
    ],
)
def test_a_strange_manifest_is_left_alone(
    tmp_path: Path, store: MemoryStore, data: bytes, told: str
) -> None:
    store.create(MANIFEST, data)
    with pytest.raises(FolderError, match=told):
        machine(tmp_path, "one", store).start()
    assert store.objects[MANIFEST][0] == data


@pytest.mark.parametrize("name", ["../../etc/passwd", "/etc/passwd", "log//x", "log/../../x"])
def test_names_that_lead_out_of_the_store_are_refused(
    tmp_path: Path, store: MemoryStore, name: str
) -> None:
    one = machine(tmp_path, "one", store)
    one.start()
    one.end()
    data, version = store.objects[MANIFEST]
    told = data.decode().replace(store.names("log")[0], name)
    store.objects[MANIFEST] = (told.encode(), version)
    with pytest.raises(FolderError, match="is damaged"):
        machine(tmp_path, "other", store).start()


def test_an_object_that_is_gone_is_told(tmp_path: Path, store: MemoryStore) -> None:
    one = machine(tmp_path, "one", store)
    one.start()
    one.commit([1])
    one.end()
    store.delete(store.names("rejected"))
    other = machine(tmp_path, "other", store)
    with pytest.raises(FolderError, match="is not there, though the manifest names it"):
        other.start()
    assert not other.path.exists()


def test_a_store_that_forgets_the_manifest_stops_its_owner(
    tmp_path: Path, store: MemoryStore
) -> None:
    one = machine(tmp_path, "one", store)
    one.start()
    one.commit([1])
    store.delete([MANIFEST])
    with pytest.raises(OwnershipLostError, match="nothing on this machine is lost"):
        one.replica.push()
    one.kill()


class Careless(MemoryStore):
    """A store that takes every write."""

    def replace(self, name: str, data: bytes, token: int) -> int | None:
        return self._write(name, data)


class Forgetful(MemoryStore):
    """A store that shows what was written later."""

    def get(self, name: str) -> tuple[bytes, int] | None:
        return None


@pytest.mark.parametrize(
    ("kind", "told"),
    [(Careless, "does not honour conditional writes"), (Forgetful, "does not show at once")],
)
def test_stores_that_cannot_be_trusted_are_refused(
    tmp_path: Path, kind: type[MemoryStore], told: str
) -> None:
    store = kind()
    with pytest.raises(ConfigError, match=told):
        machine(tmp_path, "one", store).start()
    assert MANIFEST not in store.objects
