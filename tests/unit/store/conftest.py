from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pairmill.records import Completion, Outcome, Usage, digest
from pairmill.store.entries import Batch, PaidAnswer, UnitOutcome
from pairmill.store.folder import RunFolder, open_folder
from pairmill.store.sqlite.database import create
from pairmill.store.sqlite.ledger import SqliteLedger
from pairmill.store.sqlite.lookup import SqliteLookup

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

MakeBatch = "Callable[..., Batch]"


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[RunFolder]:
    fingerprint = {"model": "m"}
    with open_folder(
        tmp_path / "out", settings_fingerprint=fingerprint, accept_change=False, version="1.2.3"
    ) as opened:
        yield opened


@pytest.fixture
def path(tmp_path: Path) -> Path:
    create(tmp_path / "ledger.db", "1")
    return tmp_path / "ledger.db"


@pytest.fixture
def ledger(path: Path) -> Iterator[SqliteLedger]:
    opened = SqliteLedger(path)
    yield opened
    opened.close()


@pytest.fixture
def lookup(path: Path, ledger: SqliteLedger) -> Iterator[SqliteLookup]:
    with SqliteLookup(path) as opened:
        yield opened


@pytest.fixture
def make_batch() -> Callable[..., Batch]:
    """Build a batch: one answer, two rows and one reject for each unit number."""

    def build(*numbers: int) -> Batch:
        answers, outcomes = [], []
        for number in numbers:
            unit, chunk = digest("unit", str(number)), digest("chunk", str(number))
            text = f"answer {number}"
            completion = Completion(text, "stop", "model-1", Usage(10, 5, 2), 1_700_000_000.5)
            answers.append(PaidAnswer(digest("call", str(number)), unit, chunk, completion))
            rows = [b'{"unit":%d,"row":%d}\n' % (number, row) for row in range(2)]
            rejected = [b'{"unit":%d,"reason":"short"}\n' % number]
            outcomes.append(
                UnitOutcome(unit, Outcome.WRITTEN, rows, rejected, None, 1, Usage(10, 5))
            )
        return Batch(answers, outcomes)

    return build
