"""Surveys of folders that an earlier version began."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson
import pytest
from tests.support.asks import settings
from tests.support.corpus import article

from pairmill import config
from pairmill.chunking.reader import read_chunks
from pairmill.config import load
from pairmill.quality.thresholds import TABLES
from pairmill.recipes.make import make_recipe
from pairmill.records import Outcome, digest
from pairmill.service.survey import planned_processes, survey
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


@pytest.mark.parametrize(
    ("cores", "given", "pages", "checks"),
    [
        (1, {}, "up to 1 for", "none to check pairs, which the run does itself (there is one core"),
        (2, {}, "up to 2 for", "up to 1 to check pairs, once 100 chunks a second are finished"),
        (8, {}, "up to 8 for", "up to 2 to check pairs, once 100 chunks a second are finished"),
        (8, {"page_processes": 3}, "up to 3 for", "up to 2 to check"),
        (2, {"check_processes": 4}, "up to 2 for", "4 to check pairs, from the first pair on"),
        (2, {"check_processes": 0}, "up to 2 for", "none to check pairs, which the run does"),
        (2, {"checks": "off"}, "up to 2 for", "none to check pairs (checks: off)"),
    ],
)
def test_each_kind_is_told_with_its_number(
    monkeypatch: pytest.MonkeyPatch, cores: int, given: dict[str, Any], pages: str, checks: str
) -> None:
    monkeypatch.setattr(config, "_cores", lambda: cores)
    lines = planned_processes(settings(model="m", **given))
    assert len(lines) == 3
    assert lines[0].startswith("1 to read")
    assert lines[1].startswith(pages)
    assert lines[2].startswith(checks)


def test_a_model_on_this_machine_is_a_process_too() -> None:
    assert planned_processes(settings(model="local"))[3:] == [
        "1 for the model local, on this machine"
    ]
