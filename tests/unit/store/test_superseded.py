"""The record of superseded chunks: append-only, and the last word about a chunk holds."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

from pairmill.records import Outcome, digest, digest_with
from pairmill.store.chain import LedgerChain
from pairmill.store.entries import UnitKey, UnitOutcome
from pairmill.store.memory_ledger import MemoryLookup, MemoryStore
from pairmill.store.superseded import SupersededLog, SupersededPairs, read_superseded

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from pairmill.store.entries import Known

A, B, C = (digest(name) for name in "abc")


def test_the_last_line_about_a_chunk_holds(tmp_path: Path) -> None:
    assert read_superseded(tmp_path) == frozenset()
    with closing(SupersededLog(tmp_path)) as log:
        log.append([])
        assert not (tmp_path / "superseded.jsonl").exists()
        log.append([(A, True), (B, True)])
        log.append([(A, False)])
    assert read_superseded(tmp_path) == {B}
    with closing(SupersededLog(tmp_path)) as log:
        log.append([(A, True)])
    assert read_superseded(tmp_path) == {A, B}


def test_a_torn_line_costs_itself_alone(tmp_path: Path) -> None:
    with closing(SupersededLog(tmp_path)) as log:
        log.append([(A, True)])
    with (tmp_path / "superseded.jsonl").open("ab") as file:
        file.write(b'{"chunk_id":"b","sta')
    assert read_superseded(tmp_path) == {A}
    with closing(SupersededLog(tmp_path)) as log:
        log.append([(C, True)])
    assert read_superseded(tmp_path) == {A, C}


def test_the_ledger_is_asked_once_about_a_chunk_that_gave_pairs(tmp_path: Path) -> None:
    asked: list[int] = []

    class Lookup(MemoryLookup):
        def known(self, units: Sequence[UnitKey]) -> Known:
            asked.append(len(units))
            return super().known(units)

    store = MemoryStore()
    store.create(tmp_path, "1", LedgerChain("chain"))
    ledger = store.open(tmp_path)

    def end(identity: str, chunk: str, rows: int) -> None:
        unit = digest_with(identity)(chunk)
        ledger.commit([], [UnitOutcome(unit, Outcome.WRITTEN, [b"{}\n"] * rows)], [])

    end("new", A, 2)
    end("old", A, 3)
    end("new", B, 4)
    pairs = SupersededPairs(tmp_path)
    recipes = ["new", "old", "new"]
    with closing(SupersededLog(tmp_path)) as log, Lookup(store._found(tmp_path)) as lookup:
        assert pairs.count(recipes, lookup) == 0
        log.append([(A, True), ("of somebody else, \u00fc", True)])
        assert pairs.count(recipes, lookup) == 5
        assert asked == [1, 1]
        log.append([(B, True), (C, True)])
        assert pairs.count(recipes, lookup) == 9
        end("new", C, 1)  # it was in flight when its article changed
        assert pairs.count(recipes, lookup) == 10
        assert asked == [1, 1, 2, 2, 1, 2]
        log.append([(A, False)])
        assert pairs.count(recipes, lookup) == 5
