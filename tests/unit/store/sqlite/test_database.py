from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from pairmill.errors import FolderError, StorageError
from pairmill.store.sqlite.database import connect, create, explained

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    path = tmp_path / "out" / ".run" / "ledger.db"
    path.parent.mkdir(parents=True)
    create(path, "1.2.3")
    return path


def test_a_ledger_is_made_whole_and_opens(ledger: Path) -> None:
    assert [entry.name for entry in ledger.parent.iterdir()] == ["ledger.db"]
    connection = connect(ledger)
    assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert connection.execute("PRAGMA synchronous").fetchone() == (2,)  # FULL
    connection.close()


def test_leftovers_of_a_killed_creation_do_not_matter(tmp_path: Path) -> None:
    (tmp_path / "ledger.db.new").write_bytes(b"half a database")
    create(tmp_path / "ledger.db", "1")
    connect(tmp_path / "ledger.db").close()


@pytest.mark.parametrize("content", [None, b""])
def test_a_missing_ledger_is_refused(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "ledger.db").write_bytes(content)
    with pytest.raises(FolderError, match="ledger is missing; 'pairmill recover"):
        connect(tmp_path / "ledger.db")


def test_a_damaged_ledger_is_refused_in_one_line(ledger: Path) -> None:
    ledger.write_bytes(b"\xff" * 8192)
    with pytest.raises(FolderError, match="damaged; 'pairmill recover") as caught:
        connect(ledger)
    assert "\n" not in str(caught.value)
    assert str(ledger.parent.parent) in str(caught.value)


def test_a_cut_off_ledger_is_refused(ledger: Path) -> None:
    with ledger.open("r+b") as file:
        file.truncate(4096)
    with (
        pytest.raises(FolderError, match="damaged"),
        explained(ledger),
        closing(connect(ledger)) as connection,
    ):
        connection.execute("SELECT * FROM answers").fetchall()


def test_another_programs_database_is_refused(tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / "ledger.db")
    connection.execute("CREATE TABLE mine (x)")
    connection.close()
    with pytest.raises(FolderError, match="not a ledger of pairmill"):
        connect(tmp_path / "ledger.db")


def test_a_newer_pairmills_ledger_is_refused(ledger: Path) -> None:
    connection = connect(ledger)
    connection.execute("PRAGMA user_version = 3")
    connection.close()
    with pytest.raises(
        FolderError, match=r"made by a newer pairmill \(format 3, this one reads 2\)"
    ):
        connect(ledger)


def test_reading_goes_on_while_another_writes(ledger: Path) -> None:
    writer, reader = connect(ledger), connect(ledger, read_only=True)
    writer.execute("BEGIN IMMEDIATE")
    writer.execute("INSERT INTO meta VALUES ('a', 'b')")
    assert reader.execute("SELECT count(*) FROM meta WHERE name = 'a'").fetchone() == (0,)
    writer.execute("COMMIT")
    assert reader.execute("SELECT count(*) FROM meta WHERE name = 'a'").fetchone() == (1,)
    with pytest.raises(StorageError, match="read-only"), explained(ledger):
        reader.execute("DELETE FROM meta")
    reader.close()
    writer.close()


def test_our_own_mistakes_are_not_blamed_on_the_file(ledger: Path) -> None:
    connection = connect(ledger)
    connection.close()
    with pytest.raises(sqlite3.ProgrammingError), explained(ledger):
        connection.execute("SELECT 1")
