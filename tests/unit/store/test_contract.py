from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from pairmill.store.contract import check_ledger
from pairmill.store.memory_ledger import MemoryLedger, MemoryLookup, MemoryStore
from pairmill.store.sqlite.store import SQLITE

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("store", [SQLITE, MemoryStore()], ids=["sqlite", "memory"])
def test_each_ledger_of_ours_does_what_a_run_asks_of_it(store: Any, tmp_path: Path) -> None:
    check_ledger(store, tmp_path)


def _nothing(*_: Any, **__: Any) -> int:
    return 0


@pytest.mark.parametrize(
    ("kind", "name", "value"),
    [
        (MemoryLedger, "reopen", _nothing),
        (MemoryLedger, "put_back", _nothing),
        (MemoryLedger, "_raise_generation", _nothing),
        (MemoryLedger, "finished", lambda *_: set()),
        (MemoryLedger, "shards", lambda *_: []),
        (MemoryLookup, "reopened", _nothing),
        (MemoryLookup, "shards", lambda *_: []),
        (MemoryLookup, "chain", lambda *_: None),
        (MemoryStore, "is_there", lambda *_: True),
    ],
)
def test_one_that_does_something_else_is_found_out(
    kind: type, name: str, value: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kind, name, value)
    with pytest.raises(AssertionError, match=", not "):
        check_ledger(MemoryStore(), tmp_path)
