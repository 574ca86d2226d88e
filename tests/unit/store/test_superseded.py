"""The record of superseded chunks: append-only, and the last word about a chunk holds."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

from pairmill.store.superseded import SupersededLog, read_superseded

if TYPE_CHECKING:
    from pathlib import Path


def test_the_last_line_about_a_chunk_holds(tmp_path: Path) -> None:
    assert read_superseded(tmp_path) == frozenset()
    with closing(SupersededLog(tmp_path)) as log:
        log.append([])
        assert not (tmp_path / "superseded.jsonl").exists()
        log.append([("a", True), ("b", True)])
        log.append([("a", False)])
    assert read_superseded(tmp_path) == {"b"}
    with closing(SupersededLog(tmp_path)) as log:
        log.append([("a", True)])
    assert read_superseded(tmp_path) == {"a", "b"}


def test_a_torn_line_costs_itself_alone(tmp_path: Path) -> None:
    with closing(SupersededLog(tmp_path)) as log:
        log.append([("a", True)])
    with (tmp_path / "superseded.jsonl").open("ab") as file:
        file.write(b'{"chunk_id":"b","sta')
    assert read_superseded(tmp_path) == {"a"}
    with closing(SupersededLog(tmp_path)) as log:
        log.append([("c", True)])
    assert read_superseded(tmp_path) == {"a", "c"}
