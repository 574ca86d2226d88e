"""A whole run folder put into a store: what it replaces, and what it does not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.support.replicas import Machine, MemoryStore, ReplicaClock

from pairmill.errors import FolderError, UsageError
from pairmill.replica.publish import chain_stored, check_free, publish, stored_manifest
from pairmill.replica.takeover import spool_lock

if TYPE_CHECKING:
    from pathlib import Path

    from pairmill.replica.manifest import StoreManifest
    from pairmill.store.chain import LedgerChain


def made(root: Path, numbers: list[int]) -> Path:
    """A run folder that no process works on any more."""
    machine = Machine(root, MemoryStore(), ReplicaClock())
    machine.start()
    machine.commit(numbers)
    machine.end()
    return machine.path


def put(folder: Path, store: MemoryStore, replaces: LedgerChain | None = None) -> StoreManifest:
    clock = ReplicaClock()
    with spool_lock(folder.with_name("published"), store.where) as spool:
        return publish(
            store, folder, spool, replaces=replaces, version="1", clock=clock, sleep=clock.sleep
        )


def restored(root: Path, store: MemoryStore) -> set[int]:
    machine = Machine(root, store, ReplicaClock())
    machine.start()
    units = machine.units()
    machine.end()
    return units


def test_any_machine_can_go_on_with_it(tmp_path: Path) -> None:
    store = MemoryStore()
    check_free(store)
    manifest = put(made(tmp_path / "one", [1, 2, 3]), store)
    assert manifest.released
    assert {name for name in store.objects if name != "manifest.json"} == manifest.objects()
    with pytest.raises(UsageError, match="already exists; give a new place"):
        check_free(store)
    assert restored(tmp_path / "other", store) == {1, 2, 3}


def test_it_replaces_what_it_is_told_to_and_removes_its_objects(tmp_path: Path) -> None:
    store = MemoryStore()
    first = put(made(tmp_path / "one", [1]), store)
    second = put(made(tmp_path / "two", [1, 2]), store, chain_stored(first))
    assert {name for name in store.objects if name != "manifest.json"} == second.objects()
    assert first.objects() & second.objects() <= set(first.state)  # what is the same in both
    assert restored(tmp_path / "other", store) == {1, 2}


def test_what_somebody_has_gone_on_with_stays(tmp_path: Path) -> None:
    store = MemoryStore()
    first = put(made(tmp_path / "one", [1]), store)
    machine = Machine(tmp_path / "other", store, ReplicaClock())
    machine.start()
    machine.commit([7])
    machine.end()
    with pytest.raises(FolderError, match="was changed by another process meanwhile"):
        put(made(tmp_path / "two", [1, 2]), store, chain_stored(first))
    found = stored_manifest(store)
    assert found is not None
    assert found.released
    assert restored(tmp_path / "third", store) == {1, 7}
