"""Ledgers that the first format left: read as they are, and brought up to date by a writer."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from pairmill.errors import FolderError
from pairmill.records import digest
from pairmill.store.entries import Known, Totals, UnitKey
from pairmill.store.sqlite.database import FORMAT
from pairmill.store.sqlite.ledger import SqliteLedger
from pairmill.store.sqlite.lookup import SqliteLookup

FORMER = Path(__file__).parents[3] / "fixtures" / "run-folder-1"


@pytest.fixture(params=["finished", "killed"])
def ledger(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    for file in (FORMER / request.param / "run").glob("ledger.db*"):
        shutil.copy(file, tmp_path)
    return tmp_path / "ledger.db"


def ask(path: Path) -> tuple[Known, Known, Totals, int]:
    """Everything that a ledger can be asked, about every unit and every answer in it."""
    with closing(sqlite3.connect(path)) as db:
        units = [row[0].hex() for row in db.execute("SELECT id FROM units ORDER BY id")]
        chunks = [row[0].hex() for row in db.execute("SELECT chunk FROM answers ORDER BY rowid")]
    assert units
    assert chunks
    with SqliteLookup(path) as lookup:
        done = lookup.known([UnitKey(unit, unit) for unit in units])
        paid = lookup.known([UnitKey(digest("other", chunk), chunk) for chunk in chunks])
        assert set(paid.answers) == set(chunks)
        assert done.finished == set(units)
        return done, paid, lookup.totals(), lookup.measured().units


def written(path: Path) -> int:
    with closing(sqlite3.connect(path)) as db:
        return int(db.execute("PRAGMA user_version").fetchone()[0])


def test_a_former_ledger_is_read_and_left_as_it_is(ledger: Path) -> None:
    before = ledger.read_bytes()
    with SqliteLookup(ledger) as lookup:
        assert lookup.totals().calls > 0
        assert lookup.reopened() == 0
    assert ledger.read_bytes() == before
    assert written(ledger) == 1


def test_a_writer_brings_it_up_to_date_and_all_is_found_as_before(ledger: Path) -> None:
    before = ask(ledger)
    SqliteLedger(ledger).close()
    assert written(ledger) == FORMAT
    assert ask(ledger) == before


def test_an_upgrade_that_is_refused_changes_nothing(ledger: Path) -> None:
    with closing(sqlite3.connect(ledger)) as db:
        db.execute("CREATE TABLE chunks (in_the_way)")
    before = ask(ledger)
    with pytest.raises(FolderError, match="damaged"):
        SqliteLedger(ledger)
    assert written(ledger) == 1
    assert ask(ledger) == before
