"""What goes up, when, and under which names."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import orjson
import pytest
from tests.support.journals import BATCHES, EVERY
from tests.support.replicas import LEASE_S, Machine, MemoryStore, ReplicaClock

from pairmill.errors import StorageError
from pairmill.replica import replica as tested
from pairmill.replica.manifest import MANIFEST, decode_manifest
from pairmill.replica.restore import restore
from pairmill.store.folder import read_folder

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def one(tmp_path: Path, store: MemoryStore) -> Iterator[Machine]:
    machine = Machine(tmp_path / "one", store, ReplicaClock())
    machine.start()
    yield machine
    machine.kill()


def other(tmp_path: Path, store: MemoryStore) -> Machine:
    machine = Machine(tmp_path / "other", store, ReplicaClock())
    machine.start()
    return machine


def manifest(store: MemoryStore) -> dict[str, object]:
    found = orjson.loads(store.objects[MANIFEST][0])
    assert isinstance(found, dict)
    return found


def test_each_object_is_written_once_and_only_the_manifest_is_replaced(
    one: Machine, store: MemoryStore
) -> None:
    for numbers in BATCHES:
        one.commit(numbers)
        one.replica.push()
    one.end()
    written = [name for name in store.writes if name != MANIFEST and "probe" not in name]
    assert len(written) == len(set(written))
    assert set(store.objects) == {
        MANIFEST,
        *decode_manifest(store.objects[MANIFEST][0], "x").objects(),
    }
    shards = store.names("data") + store.names("rejected")
    form = r"(data|rejected)/(train|rejected)-\d{5}-\w+-[0-9a-f]{16}-w1\.jsonl"
    assert shards
    assert all(re.fullmatch(form, name) for name in shards)


def test_with_nothing_new_nothing_goes_up(one: Machine, store: MemoryStore) -> None:
    one.commit([1])
    assert one.replica.push()
    before = list(store.writes)
    assert not one.replica.push()
    assert store.writes == before


def test_what_the_log_was_not_told_of_makes_a_base(one: Machine, store: MemoryStore) -> None:
    one.commit([1, 2])
    one.replica.push()
    one.commit([3])
    one.journal._ledger.settle()  # a transaction that is in no segment
    one.commit([4])
    one.replica.push()
    assert [name for name in store.names("log") if "-base-" not in name] == []
    one.commit([5])
    one.replica.push()
    assert len(store.names("log")) == 2


def test_segments_are_folded_into_a_base_before_they_become_many(
    tmp_path: Path, one: Machine, store: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tested, "_MOST_SEGMENTS", 3)
    for number in range(20):
        one.commit([number])
        one.replica.push()
        assert len(store.names("log")) <= 4
    one.lose()
    machine = other(tmp_path, store)
    assert machine.units() == set(range(20))
    machine.kill()


def test_a_base_in_many_pieces_is_put_together(
    tmp_path: Path, one: Machine, store: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pairmill.replica.archive.PIECE_BYTES", 1000)
    for numbers in BATCHES:
        one.commit(numbers)
    one.replica.push()
    assert len(store.names("log")) > 2
    one.lose()
    machine = other(tmp_path, store)
    assert machine.units() == EVERY
    machine.kill()


def test_the_ledger_of_another_machine_is_the_same(
    tmp_path: Path, one: Machine, store: MemoryStore
) -> None:
    one.replica.push()
    for numbers in BATCHES:
        one.commit(numbers)
    one.replica.push()
    with one.journal.lookup() as lookup:
        expected = (lookup.totals(), lookup.chain(), lookup.shards())
    machine = other(tmp_path, store)
    with machine.journal.lookup() as lookup:
        assert (lookup.totals(), lookup.chain(), lookup.shards()) == expected
    machine.kill()


def test_orphans_of_earlier_owners_are_swept_and_nothing_else(
    tmp_path: Path, one: Machine, store: MemoryStore
) -> None:
    one.commit([1])
    one.replica.push()
    store.create("log/w1-orphan", b"")
    store.create("data/train-00009-0-0123456789abcdef-w1.jsonl", b"")
    store.create("log/w2-of-the-next", b"")
    store.create("log/notes.txt", b"")
    one.kill()
    machine = other(tmp_path, store)
    assert machine.replica.manifest.fence == 2
    assert machine.replica.sweep() == 2
    assert "log/w2-of-the-next" in store.objects
    assert "log/notes.txt" in store.objects
    assert machine.units() == {1}
    machine.kill()


def test_a_changed_shard_is_not_uploaded(one: Machine, store: MemoryStore) -> None:
    one.commit([1, 2])
    one.commit([3])  # publishes what is there
    shard = next((one.path / "data").iterdir())
    shard.write_bytes(shard.read_bytes() + b"{}\n")
    with pytest.raises(StorageError, match="was changed since it was published"):
        one.replica.push()


def test_small_files_go_up_and_come_back(tmp_path: Path, one: Machine, store: MemoryStore) -> None:
    (one.path / "README.md").write_text("card")
    (one.path / ".run" / "deep").mkdir()
    (one.path / ".run" / "deep" / "x.json").write_text("{}")
    (one.path / "passing.tmp").write_text("")
    (one.path / "link").symlink_to("/etc/passwd")
    one.commit([1])
    one.replica.push()
    found = decode_manifest(store.objects[MANIFEST][0], "x")
    restore(store, found, tmp_path / "copy")
    assert (tmp_path / "copy" / "README.md").read_text() == "card"
    assert (tmp_path / "copy" / ".run" / "deep" / "x.json").read_text() == "{}"
    assert not (tmp_path / "copy" / "passing.tmp").exists()
    assert not (tmp_path / "copy" / "link").exists()
    with read_folder(tmp_path / "copy").read_ledger() as ledger:
        assert sum(ledger.totals().units.values()) == 1


def test_large_small_files_do_not_go_up_each_time(one: Machine, store: MemoryStore) -> None:
    noise = bytes(range(256)) * 4096 * 5
    (one.path / "large.json").write_bytes(noise)
    one.replica.push()
    (one.path / "large.json").write_bytes(noise[1:])
    one.commit([1])
    one.replica.push()
    first = manifest(store)["state"]
    one.clock.now += 60.0
    one.replica.push()
    assert manifest(store)["state"] != first


def test_a_lease_is_renewed_in_time_and_given_up_in_time(one: Machine) -> None:
    lease = one.replica.lease
    assert not lease.is_due(one.clock.now)
    one.clock.now += LEASE_S / 5
    assert lease.is_due(one.clock.now)
    assert not lease.is_over(one.clock.now)
    one.clock.now += LEASE_S / 2
    assert lease.is_over(one.clock.now)
    one.replica.renew()
    assert not lease.is_due(one.clock.now)
    assert not lease.is_over(one.clock.now)
