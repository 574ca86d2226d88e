from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import pytest

from pairmill.errors import FolderError
from pairmill.store.files import DISK
from pairmill.store.journal import Journal
from pairmill.store.shards import Shards, read_lines

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pairmill.store.entries import Batch
    from pairmill.store.folder import RunFolder


@pytest.fixture
def shards(folder: RunFolder) -> Iterator[Shards]:
    opened = Shards(folder, DISK, [], {"train": 4, "rejected": 0})
    yield opened
    opened.release()


def test_what_is_appended_is_counted_and_hashed(folder: RunFolder, shards: Shards) -> None:
    shards.append("train", [b"1\n", b"22\n"], 0.0)
    shards.sync()
    (record,) = shards.changed()
    assert (record.name, record.bytes, record.rows, record.closed) == (
        "train-00004.jsonl",
        5,
        2,
        False,
    )
    assert record.sha256 == hashlib.sha256(b"1\n22\n").hexdigest()
    shards.commit()
    assert shards.changed() == []
    assert (folder.open_shards / record.name).read_bytes() == b"1\n22\n"


def test_nothing_to_append_opens_no_shard(folder: RunFolder, shards: Shards) -> None:
    shards.append("train", [], 0.0)
    shards.sync()
    assert list(folder.open_shards.iterdir()) == []


@pytest.mark.parametrize("line", [b"", b"x", b"a\nb\n", b"\n\n"])
def test_what_is_not_one_line_is_refused(shards: Shards, line: bytes) -> None:
    with pytest.raises(ValueError, match="one newline"):
        shards.append("train", [b"good\n", line], 0.0)


def test_rollback_returns_to_what_is_committed(folder: RunFolder, shards: Shards) -> None:
    shards.append("train", [b"kept\n"], 0.0)
    shards.commit()
    shards.append("train", [b"lost\n"], 0.0)
    shards.append("rejected", [b"lost\n"], 0.0)
    shards.rollback()
    assert shards.changed() == []
    assert (folder.open_shards / "train-00004.jsonl").read_bytes() == b"kept\n"
    shards.append("train", [b"next\n"], 0.0)
    (record,) = shards.changed()
    assert record.sha256 == hashlib.sha256(b"kept\nnext\n").hexdigest()
    assert record.rows == 2


@pytest.mark.parametrize(("now_s", "most_bytes", "ripe"), [(9.0, 6, 0), (10.0, 6, 1), (0.0, 5, 1)])
def test_a_shard_is_ripe_by_size_or_age(
    shards: Shards, now_s: float, most_bytes: int, ripe: int
) -> None:
    shards.append("train", [b"1234\n"], 0.0)
    shards.commit()
    records = shards.ripe(now_s, most_bytes, 10.0)
    assert [record.closed for record in records] == [True] * ripe


def test_publishing_renames_and_takes_the_next_number(folder: RunFolder, shards: Shards) -> None:
    shards.append("train", [b"1\n"], 0.0)
    shards.commit()
    shards.close(shards.ripe(0.0, 1, 0.0))
    record = shards.publish_next()
    assert record is not None
    assert (folder.data / record.name).read_bytes() == b"1\n"
    assert shards.publish_next() is None
    shards.append("train", [b"2\n"], 0.0)
    assert [entry.name for entry in folder.open_shards.iterdir()] == ["train-00005.jsonl"]


def test_no_published_file_is_ever_overwritten(folder: RunFolder, shards: Shards) -> None:
    (folder.data / "train-00004.jsonl").write_bytes(b"mine\n")
    shards.append("train", [b"1\n"], 0.0)
    shards.commit()
    shards.close(shards.ripe(0.0, 1, 0.0))
    with pytest.raises(FolderError, match="in the way"):
        shards.publish_next()
    assert (folder.data / "train-00004.jsonl").read_bytes() == b"mine\n"


def test_lines_are_read_while_their_shard_moves(
    folder: RunFolder, make_batch: Callable[..., Batch]
) -> None:
    journal = Journal.open(folder, clock=lambda: 0.0)
    journal.commit(make_batch(1))
    with journal.lookup() as lookup:
        records = lookup.shards()  # says: open
    with (folder.open_shards / "train-00000.jsonl").open("ab") as file:
        file.write(b"not committed")
    assert len(list(read_lines(folder, records, "train"))) == 2
    with (folder.open_shards / "train-00000.jsonl").open("r+b") as file:
        file.truncate(records[1].bytes)
    journal.close()  # publishes it
    assert len(list(read_lines(folder, records, "train"))) == 2
    assert len(list(read_lines(folder, records, "rejected"))) == 1


def test_a_missing_or_torn_shard_is_refused(
    folder: RunFolder, make_batch: Callable[..., Batch]
) -> None:
    with Journal.open(folder, clock=lambda: 0.0) as journal:
        journal.commit(make_batch(1))
        with journal.lookup() as lookup:
            records = lookup.shards()
    path = folder.data / "train-00000.jsonl"
    path.write_bytes(path.read_bytes() + b"torn")
    with pytest.raises(FolderError, match="cut off"):
        list(read_lines(folder, records, "train"))
    path.unlink()
    with pytest.raises(FolderError, match="missing"):
        list(read_lines(folder, records, "train"))
