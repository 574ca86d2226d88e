from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

import pytest

from pairmill.errors import FolderError
from pairmill.records import Outcome, digest
from pairmill.store.entries import Batch, ShardRecord, UnitOutcome
from pairmill.store.files import DISK
from pairmill.store.journal import Journal
from pairmill.store.recovery import find_harm, restore
from pairmill.store.shards import holds_shards

if TYPE_CHECKING:
    from pairmill.store.folder import RunFolder

CONTENT = b'{"a":1}\n{"a":2}\n'
NAME = "train-00000.jsonl"


def record(*, closed: bool, content: bytes = CONTENT, number: int = 0) -> ShardRecord:
    return ShardRecord(
        "train", number, closed, len(content), 2, hashlib.sha256(content).hexdigest()
    )


@pytest.mark.parametrize("tail", [b"", b'{"torn', b"\x00" * 5000, b'{"whole":1}\n'])
def test_an_open_shard_is_cut_to_its_committed_length(folder: RunFolder, tail: bytes) -> None:
    (folder.open_shards / NAME).write_bytes(CONTENT + tail)
    shards, notices = restore(folder, DISK, [record(closed=False)], 0.0)
    assert (folder.open_shards / NAME).read_bytes() == CONTENT
    shards.append("train", [b"next\n"], 0.0)
    assert shards.changed()[0].sha256 == hashlib.sha256(CONTENT + b"next\n").hexdigest()
    assert notices == []
    shards.release()


@pytest.mark.parametrize("left", [None, b"", CONTENT[:-1]])
def test_a_shard_that_lost_committed_bytes_is_refused(
    folder: RunFolder, left: bytes | None
) -> None:
    if left is not None:
        (folder.open_shards / NAME).write_bytes(left)
    with pytest.raises(FolderError, match="16 were committed; run 'pairmill recover"):
        restore(folder, DISK, [record(closed=False)], 0.0)


def test_a_shard_whose_committed_bytes_changed_is_refused(folder: RunFolder) -> None:
    (folder.open_shards / NAME).write_bytes(b"\x00" * len(CONTENT))
    with pytest.raises(FolderError, match="are not what was written"):
        restore(folder, DISK, [record(closed=False)], 0.0)


def test_a_closed_shard_gets_its_name(folder: RunFolder) -> None:
    (folder.open_shards / NAME).write_bytes(CONTENT)
    shards, _ = restore(folder, DISK, [record(closed=True)], 0.0)
    assert (folder.data / NAME).read_bytes() == CONTENT
    assert list(folder.open_shards.iterdir()) == []
    assert shards.changed() == []


def test_a_published_shard_that_is_gone_is_refused(folder: RunFolder) -> None:
    with pytest.raises(FolderError, match=r"missing, but the ledger counts its 2 rows as done"):
        restore(folder, DISK, [record(closed=True)], 0.0)


def test_a_published_shard_that_was_edited_is_noted(folder: RunFolder) -> None:
    (folder.data / NAME).write_bytes(CONTENT[:8])
    _, notices = restore(folder, DISK, [record(closed=True)], 0.0)
    assert len(notices) == 1
    assert notices[0].endswith("was changed since it was published: 8 bytes, was 16")


def test_files_that_no_transaction_named_are_removed_and_others_left(folder: RunFolder) -> None:
    (folder.open_shards / NAME).write_bytes(b"never committed")
    (folder.open_shards / "notes.txt").touch()
    restore(folder, DISK, [], 0.0)
    assert [entry.name for entry in folder.open_shards.iterdir()] == ["notes.txt"]


def test_numbers_are_never_used_again(folder: RunFolder) -> None:
    (folder.data / NAME).write_bytes(CONTENT)
    (folder.data / "train-100007.jsonl").write_bytes(CONTENT)
    shards, _ = restore(folder, DISK, [record(closed=True)], 0.0)
    shards.append("train", [b"1\n"], 0.0)
    shards.append("rejected", [b"1\n"], 0.0)
    names = {entry.name for entry in folder.open_shards.iterdir()}
    assert names == {"train-100008.jsonl", "rejected-00000.jsonl"}
    shards.release()


def test_shards_are_seen_wherever_they_are(folder: RunFolder) -> None:
    assert not holds_shards(folder)
    (folder.rejected / "rejected-00000.jsonl").touch()
    assert holds_shards(folder)


def _published(folder: RunFolder, *names: str) -> None:
    rows = [{"id": digest(name), "chunk_id": digest("chunk")} for name in names]
    lines = [json.dumps(row).encode() + b"\n" for row in rows]
    with Journal.open(folder, clock=lambda: 0.0) as journal:
        journal.commit(Batch((), [UnitOutcome(digest("unit"), Outcome.WRITTEN, lines, [])]))


def test_a_folder_without_fault_has_none(folder: RunFolder) -> None:
    _published(folder, "one", "other")
    assert find_harm(folder) == ""


def test_a_pair_that_stands_twice_is_named(folder: RunFolder) -> None:
    _published(folder, "one", "other", "one")
    found = find_harm(folder)
    assert found.endswith(f"{NAME}: the pair {digest('one')} stands in it a second time")


def test_a_published_shard_that_was_changed_is_harm(folder: RunFolder) -> None:
    _published(folder, "one", "other")
    (folder.data / NAME).write_bytes(b"{}\n")
    assert find_harm(folder).endswith("missing, or not as it was published")
