from __future__ import annotations

import errno
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pairmill.errors import FolderError, StorageError
from pairmill.records import Outcome, digest
from pairmill.run.run_memory import RunMemory
from pairmill.store.entries import Batch, ShardRecord, UnitOutcome
from pairmill.store.files import Disk
from pairmill.store.folder import RunFolder, open_folder, read_folder
from pairmill.store.journal import Journal
from pairmill.store.shards import read_lines
from pairmill.store.sqlite.ledger import SqliteLedger

if TYPE_CHECKING:
    from collections.abc import Callable

    MakeBatch = Callable[..., Batch]


class Clock:
    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def lines(folder: RunFolder, journal: Journal, kind: str = "train") -> list[bytes]:
    with journal.lookup() as lookup:
        return list(read_lines(folder, lookup.shards(), kind))


def test_a_commit_reports_what_it_did(folder: RunFolder, make_batch: MakeBatch) -> None:
    with Journal.open(folder, clock=Clock()) as journal:
        receipt = journal.commit(make_batch(1, 2, 3))
        assert (receipt.answers, receipt.units, receipt.rows) == (3, 3, 6)
        assert (receipt.repeated, receipt.published) == (0, ())
        assert len(lines(folder, journal, "rejected")) == 3


def test_a_unit_is_written_once_however_often_it_comes(
    folder: RunFolder, make_batch: MakeBatch
) -> None:
    with Journal.open(folder, clock=Clock()) as journal:
        once = make_batch(1)
        receipt = journal.commit(Batch(once.answers, [*once.outcomes, *once.outcomes]))
        assert (receipt.units, receipt.repeated) == (1, 1)
        assert journal.commit(Batch(outcomes=make_batch(1, 2).outcomes)).repeated == 1
        assert len(lines(folder, journal)) == 4


def test_an_empty_batch_changes_nothing(folder: RunFolder) -> None:
    with Journal.open(folder, clock=Clock()) as journal:
        assert journal.commit(Batch()).units == 0
    assert list(folder.data.iterdir()) == []


def test_a_unit_without_rows_is_finished_too(folder: RunFolder) -> None:
    with Journal.open(folder, clock=Clock()) as journal:
        journal.commit(Batch(outcomes=[UnitOutcome(digest("u"), Outcome.EMPTY)]))
        with journal.lookup() as lookup:
            assert lookup.totals().units == {"empty": 1}


def test_closing_publishes_what_is_open(folder: RunFolder, make_batch: MakeBatch) -> None:
    journal = Journal.open(folder, clock=Clock())
    journal.commit(make_batch(1))
    names = {record.name for record in journal.close()}
    assert names == {"train-00000.jsonl", "rejected-00000.jsonl"}
    assert (folder.data / "train-00000.jsonl").read_bytes().count(b"\n") == 2
    assert list(folder.open_shards.iterdir()) == []
    with pytest.raises(StorageError, match="closed"):
        journal.commit(make_batch(2))


def test_closing_may_leave_shards_open_for_the_next_start(
    folder: RunFolder, make_batch: MakeBatch
) -> None:
    journal = Journal.open(folder, clock=Clock())
    journal.commit(make_batch(1))
    assert journal.close(publish=False) == ()
    with Journal.open(folder, clock=Clock()) as journal:
        journal.commit(make_batch(2))
        assert len(lines(folder, journal)) == 4
    assert [entry.name for entry in folder.data.iterdir()] == ["train-00000.jsonl"]


def test_a_large_shard_is_published_before_the_next_rows(
    folder: RunFolder, make_batch: MakeBatch
) -> None:
    with Journal.open(folder, clock=Clock(), shard_bytes=60) as journal:
        published: list[ShardRecord] = []
        for number in range(6):
            published += journal.commit(make_batch(number)).published
        trains = [record for record in published if record.kind == "train"]
        assert [record.name for record in trains] == ["train-00000.jsonl", "train-00001.jsonl"]
        assert all(record.bytes >= 60 for record in trains)
        assert len(lines(folder, journal)) == 12
    for path in folder.data.iterdir():
        units = [line.split(b",")[0] for line in path.read_bytes().splitlines()]
        assert all(units.count(unit) == 2 for unit in units)  # no unit straddles two shards


def test_an_old_shard_is_published_though_nothing_comes(
    folder: RunFolder, make_batch: MakeBatch
) -> None:
    clock = Clock()
    with Journal.open(folder, clock=clock, shard_age_s=300.0) as journal:
        journal.commit(make_batch(1))
        clock.now_s = 299.0
        assert journal.rotate() == ()
        clock.now_s = 300.0
        assert len(journal.rotate()) == 2
        assert journal.rotate() == ()


def test_a_lost_ledger_is_refused_where_shards_are(
    folder: RunFolder, make_batch: MakeBatch
) -> None:
    with Journal.open(folder, clock=Clock()) as journal:
        journal.commit(make_batch(1))
    for content in (None, b""):
        folder.ledger.unlink()
        if content is not None:
            folder.ledger.write_bytes(content)
        with pytest.raises(FolderError, match="ledger is missing; 'pairmill recover"):
            Journal.open(folder, clock=Clock())
        folder.ledger.touch()


def test_a_folder_opened_to_be_read_has_no_journal(folder: RunFolder) -> None:
    with pytest.raises(ValueError, match="to be read"):
        Journal.open(read_folder(folder.path), clock=Clock())


def test_a_full_ledger_is_waited_for(folder: RunFolder, make_batch: MakeBatch) -> None:
    with Journal.open(folder, clock=Clock()) as journal:
        journal.commit(make_batch(0))
        ledger = journal._ledger
        assert isinstance(ledger, SqliteLedger)
        connection = ledger._connection
        (pages,) = connection.execute("PRAGMA page_count").fetchone()
        connection.execute(f"PRAGMA max_page_count = {pages}")
        big = make_batch(*range(1, 300))
        for _ in range(2):
            with pytest.raises(StorageError, match="the disk is full"):
                journal.commit(big)
        connection.execute("PRAGMA max_page_count = 1000000")
        journal.commit(big)
        assert len(lines(folder, journal)) == 600
        assert len(set(lines(folder, journal))) == 600


def test_a_mistake_of_the_caller_leaves_no_trace(folder: RunFolder, make_batch: MakeBatch) -> None:
    with Journal.open(folder, clock=Clock()) as journal:
        bad = UnitOutcome(digest("u"), Outcome.WRITTEN, [b"whole\n"], [b"torn"])
        with pytest.raises(ValueError, match="one newline"):
            journal.commit(Batch(outcomes=[bad]))
        with pytest.raises(ValueError, match="hex"):
            journal.commit(Batch(outcomes=[UnitOutcome("no id", Outcome.EMPTY)]))
        journal.commit(make_batch(1))
        assert lines(folder, journal) == [b'{"unit":1,"row":0}\n', b'{"unit":1,"row":1}\n']


def open_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_a_refused_start_leaks_no_descriptor(folder: RunFolder, make_batch: MakeBatch) -> None:
    journal = Journal.open(folder, clock=Clock())
    journal.commit(make_batch(1))
    journal.close(publish=False)
    (folder.open_shards / "train-00000.jsonl").write_bytes(b"")
    before = open_descriptors()
    for _ in range(3):
        with pytest.raises(FolderError):
            Journal.open(folder, clock=Clock())
    assert open_descriptors() == before


def test_the_ledger_hears_of_bytes_only_after_they_are_synced(
    folder: RunFolder, make_batch: MakeBatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[str] = []

    class TracingDisk(Disk):
        def write(self, fd: int, data: bytes | memoryview) -> int:
            steps.append("write")
            return super().write(fd, data)

        def sync(self, fd: int) -> None:
            steps.append("sync")
            super().sync(fd)

        def sync_folder(self, path: Path) -> None:
            steps.append(f"sync {path.name}")
            super().sync_folder(path)

        def rename(self, old: Path, new: Path) -> None:
            steps.append("rename")
            super().rename(old, new)

    commit = SqliteLedger.commit

    def traced(ledger: SqliteLedger, *work: Any) -> None:
        steps.append("ledger")
        commit(ledger, *work)

    monkeypatch.setattr(SqliteLedger, "commit", traced)
    journal = Journal.open(folder, clock=Clock(), files=TracingDisk())
    steps.clear()
    journal.commit(make_batch(1))
    assert steps == ["write", "write", "sync", "sync", "sync open", "ledger", "write"]
    steps.clear()
    journal.commit(make_batch(2))  # the names are synced already
    assert steps == ["write", "write", "sync", "sync", "ledger", "write"]  # the last: its number
    steps.clear()
    journal.close()
    assert steps[:4] == ["ledger", "rename", "sync data", "sync open"]


def test_a_refused_transaction_that_took_effect_is_left_to_the_next_start(
    folder: RunFolder, make_batch: MakeBatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = SqliteLedger.commit

    def liar(ledger: SqliteLedger, *work: Any) -> None:
        commit(ledger, *work)
        raise StorageError("the disk is full", transient=True)

    journal = Journal.open(folder, clock=Clock())
    with monkeypatch.context() as patch:
        patch.setattr(SqliteLedger, "commit", liar)
        with pytest.raises(StorageError, match="full"):
            journal.commit(make_batch(1))
    for _ in range(2):
        with pytest.raises(StorageError, match="took effect"):
            journal.commit(make_batch(1))
    journal.close()
    with Journal.open(folder, clock=Clock()) as journal:
        assert journal.commit(make_batch(1, 2)).repeated == 1
        assert len(set(lines(folder, journal))) == len(lines(folder, journal)) == 4


def test_a_folder_may_have_the_name_of_an_address(
    tmp_path: Path, make_batch: MakeBatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SQLite would read it as a URI, and keep the ledger in memory."""
    monkeypatch.chdir(tmp_path)
    place = Path("file:memory?mode=memory")
    for units in ((1,), (1, 2)):
        with (
            open_folder(place, settings_fingerprint={}, accept_change=False, version="1") as opened,
            Journal.open(opened, clock=Clock()) as journal,
            RunMemory(opened.state / "memory.db") as memory,
        ):
            memory.set("a", "b")
            assert journal.commit(make_batch(*units)).units == 1
    assert (tmp_path / place / ".run/ledger.db").exists()


def test_a_shard_that_was_refused_gives_its_room_back_at_once(
    folder: RunFolder, make_batch: MakeBatch
) -> None:
    class FullDisk(Disk):
        is_full = False

        def write(self, fd: int, data: bytes | memoryview) -> int:
            if not self.is_full:
                return super().write(fd, data)
            super().write(fd, data[:5])
            raise OSError(errno.ENOSPC, "")

    disk = FullDisk()
    journal = Journal.open(folder, clock=Clock(), files=disk)
    disk.is_full = True
    with pytest.raises(StorageError, match="the disk is full"):
        journal.commit(make_batch(1))
    assert (folder.open_shards / "train-00000.jsonl").read_bytes() == b""
    journal.close()


def test_doubt_about_the_ledger_ends_before_a_shard_is_cut(
    folder: RunFolder, make_batch: MakeBatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[str] = []

    class TracingDisk(Disk):
        def truncate(self, fd: int, length: int) -> None:
            steps.append("cut")
            super().truncate(fd, length)

    settle = SqliteLedger.settle

    def traced(ledger: SqliteLedger) -> None:
        steps.append("settle")
        settle(ledger)

    def refuse(ledger: SqliteLedger, *work: Any) -> None:
        raise StorageError("the disk is full", transient=True)

    monkeypatch.setattr(SqliteLedger, "settle", traced)
    with Journal.open(folder, clock=Clock(), files=TracingDisk()) as journal:
        with monkeypatch.context() as patch:
            patch.setattr(SqliteLedger, "commit", refuse)
            with pytest.raises(StorageError, match="full"):
                journal.commit(make_batch(1))
        assert steps == []  # killed here, the next start may find the transaction committed
        journal.commit(make_batch(1))
        assert steps == ["settle", "cut", "cut"]
