"""Runs whose ledger is not SQLite's: the door that docs/ledgers.md describes, from outside."""

from __future__ import annotations

import sys
from importlib import import_module, metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from tests.support.cli import rows
from tests.support.corpus import write_corpus
from typer.testing import CliRunner

import pairmill
from pairmill.cli import app
from pairmill.errors import FolderError
from pairmill.simulator import Simulator
from pairmill.testing import MemoryStore, check_ledger

if TYPE_CHECKING:
    from collections.abc import Callable

sys.path.append(str(Path(__file__).parents[2] / "examples" / "ledgers"))
JsonlStore: Any = import_module("jsonl_ledger").JsonlStore  # an example, as a user's own module

CHUNKS = 6
MAKERS = [MemoryStore, JsonlStore]


def _run(endpoint: Simulator, tmp_path: Path, **more: Any) -> pairmill.Summary:
    return pairmill.generate(
        tmp_path / "articles",
        output=tmp_path / "out",
        model="m",
        base_url=endpoint.url,
        structured_output="json_schema",
        concurrency=2,
        **more,
    )


def test_the_example_does_what_a_run_asks_of_a_ledger(tmp_path: Path) -> None:
    check_ledger(JsonlStore(), tmp_path)


@pytest.mark.parametrize("make", MAKERS)
def test_a_run_keeps_its_answers_there_and_asks_nothing_twice(
    make: Callable[[], Any], tmp_path: Path
) -> None:
    write_corpus(tmp_path / "articles", CHUNKS, 10)
    store = make()
    with Simulator() as endpoint:
        first = _run(endpoint, tmp_path, ledger=store, limit=3)
        again = _run(endpoint, tmp_path, ledger=store)
        calls = endpoint.report()["calls"]
        last = _run(endpoint, tmp_path, ledger=store)
        assert endpoint.report()["calls"] == calls
    assert (first.exit_code, again.exit_code, last.exit_code) == (0, 0, 0)
    assert not last.asked
    assert len({row["chunk_id"] for row in rows(tmp_path / "out")}) == CHUNKS
    assert not (tmp_path / "out/.run/ledger.db").exists()


def test_what_a_process_left_in_a_log_the_next_one_goes_on_with(tmp_path: Path) -> None:
    write_corpus(tmp_path / "articles", CHUNKS, 10)
    with Simulator() as endpoint:
        _run(endpoint, tmp_path, ledger=JsonlStore(), limit=4)
        log = tmp_path / "out/.run/ledger.jsonl"
        log.write_bytes(log.read_bytes() + b'["commit", [')  # killed while it wrote
        summary = _run(endpoint, tmp_path, ledger=JsonlStore())
        assert endpoint.report()["bought_again"] == 0
    assert (summary.exit_code, summary.chunks) == (0, CHUNKS)
    ids = [row["id"] for row in rows(tmp_path / "out")]
    assert len(ids) == len(set(ids)) == summary.pairs


def test_an_older_copy_of_the_log_is_noticed(tmp_path: Path) -> None:
    write_corpus(tmp_path / "articles", CHUNKS, 10)
    with Simulator() as endpoint:
        _run(endpoint, tmp_path, ledger=JsonlStore(), limit=2)
        log = tmp_path / "out/.run/ledger.jsonl"
        before = log.read_bytes()
        _run(endpoint, tmp_path, ledger=JsonlStore())
        log.write_bytes(before)
        with pytest.raises(FolderError, match="older than the folder"):
            _run(endpoint, tmp_path, ledger=JsonlStore())


def test_a_folder_is_not_gone_on_with_by_another_ledger(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_corpus(tmp_path / "articles", CHUNKS, 10)
    with Simulator() as endpoint:
        _run(endpoint, tmp_path, ledger=JsonlStore())
        with pytest.raises(FolderError, match="kept by 'jsonl', not by 'memory'"):
            _run(endpoint, tmp_path, ledger=MemoryStore())
        with pytest.raises(FolderError, match="'jsonl', which is not installed"):
            _run(endpoint, tmp_path)
    for command in ("status", "recover"):
        found = CliRunner().invoke(app, [command, str(tmp_path / "out")])
        assert isinstance(found.exception, FolderError)
    point = metadata.EntryPoint("jsonl", "jsonl_ledger:STORE", "pairmill.ledgers")
    monkeypatch.setattr(sys.modules["jsonl_ledger"], "STORE", JsonlStore(), raising=False)
    monkeypatch.setattr(metadata, "entry_points", lambda **_: [point])
    found = CliRunner().invoke(app, ["status", str(tmp_path / "out")])
    assert found.exit_code == 0, found.output
    recovered = CliRunner().invoke(app, ["recover", str(tmp_path / "out")])
    assert "recover rebuilds those of SQLite alone" in str(recovered.exception)


def test_parts_with_another_ledger_are_not_merged_without_its_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_corpus(tmp_path / "articles", CHUNKS, 10)
    with Simulator() as endpoint:
        _run(endpoint, tmp_path, ledger=JsonlStore(), partition="0/1")
    point = metadata.EntryPoint("jsonl", "jsonl_ledger:STORE", "pairmill.ledgers")
    monkeypatch.setattr(sys.modules["jsonl_ledger"], "STORE", JsonlStore(), raising=False)
    monkeypatch.setattr(metadata, "entry_points", lambda **_: [point])
    merged = CliRunner().invoke(app, ["merge", str(tmp_path / "out"), "-o", str(tmp_path / "all")])
    assert isinstance(merged.exception, FolderError)
    assert "merge reads those of SQLite alone" in str(merged.exception)
    assert not (tmp_path / "all").exists()


def test_a_sqlite_folder_is_not_begun_anew_by_another_ledger(tmp_path: Path) -> None:
    write_corpus(tmp_path / "articles", 2, 10)
    with Simulator() as endpoint:
        _run(endpoint, tmp_path)
        with pytest.raises(FolderError, match="kept by 'sqlite', not by 'jsonl'"):
            _run(endpoint, tmp_path, ledger=JsonlStore())
