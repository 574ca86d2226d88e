from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pairmill.errors import FolderError
from pairmill.store.journal import Journal
from pairmill.store.shard_rows import read_lines

if TYPE_CHECKING:
    from collections.abc import Callable

    from pairmill.store.entries import Batch
    from pairmill.store.folder import RunFolder


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
