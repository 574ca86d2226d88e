"""Surveys of folders that an earlier version began."""

from __future__ import annotations

from typing import TYPE_CHECKING

import orjson
import pytest
from tests.support.corpus import article

from pairmill.chunking.reader import read_chunks
from pairmill.config import load
from pairmill.quality.thresholds import TABLES
from pairmill.recipes.registry import make_recipe
from pairmill.records import Outcome, digest
from pairmill.service.survey import survey
from pairmill.store.entries import Batch, UnitOutcome
from pairmill.store.folder import open_folder
from pairmill.store.journal import Journal

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(
    ("table", "is_accepted", "is_done"),
    [*((table, False, True) for table in TABLES), ("2", True, False), ("3", True, False)],
)
async def test_a_folder_is_surveyed_by_the_table_of_checks_that_it_goes_on_with(
    tmp_path: Path, table: str, *, is_accepted: bool, is_done: bool
) -> None:
    (tmp_path / "a.md").write_text(article(1, 22), "utf-8")
    given = {"inputs": (str(tmp_path / "a.md"),), "output": tmp_path / "out"}
    settings = load(given={**given, "accept_change": is_accepted})
    identity = make_recipe(settings, checks_table=table).identity
    units = [digest(chunk.id, identity) for chunk in read_chunks(settings, lambda _note: None)]
    with open_folder(
        settings.output, settings_fingerprint={}, accept_change=False, version="1"
    ) as folder:
        with Journal.open(folder, clock=lambda: 0.0) as journal:
            journal.commit(Batch(outcomes=[UnitOutcome(unit, Outcome.EMPTY) for unit in units]))
        folder.origin.write_bytes(orjson.dumps({"identities": [identity], "prompts": "2"}))
    found = await survey(settings)
    assert (found.chunks, found.finished) == (len(units), len(units) if is_done else 0)
