"""A ledger as a log of JSON lines: everything is in memory, and each change is appended and synced.

    import pairmill
    from jsonl_ledger import JsonlStore

    pairmill.generate("articles", output="dataset", ledger=JsonlStore())

A later start reads the log again. Good for runs of some ten thousand chunks; see docs/ledgers.md.
"""

from __future__ import annotations

import errno
import json
import os
from typing import TYPE_CHECKING, Any

import msgspec

from pairmill.errors import FolderError, StorageError
from pairmill.records import Outcome, Usage
from pairmill.store.chain import LedgerChain
from pairmill.store.charges import ChargeSum, DropKey
from pairmill.store.entries import BilledSend, PaidAnswer, ShardRecord, UnitOutcome
from pairmill.store.memory_ledger import MemoryLedger, MemoryLookup, MemoryStore

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence
    from pathlib import Path


class JsonlStore:
    """A ``LedgerStore``: ``.run/ledger.jsonl``."""

    name = "jsonl"

    def __init__(self) -> None:
        self._memory = MemoryStore()

    def is_there(self, state: Path) -> bool:
        return _log(state).exists()

    def create(self, state: Path, version: str, chain: LedgerChain) -> None:
        with _log(state).open("xb") as file:
            _append(file.fileno(), ["create", version, chain.id, chain.generation])

    def open(self, state: Path) -> JsonlLedger:
        self._load(state)
        return JsonlLedger(self._memory.open(state), _log(state))

    def read(self, state: Path) -> MemoryLookup:
        if not self._memory.is_there(state):
            self._load(state)
        return self._memory.read(state)

    def _load(self, state: Path) -> None:
        """Do everything again that the log tells of; a last line without its end never was."""
        try:
            lines = _log(state).read_bytes().splitlines(keepends=True)
            entries = [json.loads(line) for line in lines if line.endswith(b"\n")]
            _, version, chain_id, generation = entries[0]
            self._memory.create(state, version, LedgerChain(chain_id, generation))
            ledger = self._memory.open(state)
            for name, *given in entries[1:]:
                _AGAIN[name](ledger, *given)
        except (OSError, ValueError, LookupError, msgspec.ValidationError):
            raise FolderError(f"{_log(state)}: the ledger is missing or damaged") from None
        if lines and not lines[-1].endswith(b"\n"):
            os.truncate(_log(state), sum(map(len, lines[:-1])))


class JsonlLedger:
    """A ``Ledger`` that appends before it remembers."""

    counts_drops = True

    def __init__(self, memory: MemoryLedger, path: Path) -> None:
        self._memory = memory
        self._fd = os.open(path, os.O_WRONLY | os.O_APPEND)
        self.chain = memory.chain

    def commit(
        self,
        answers: Sequence[PaidAnswer],
        outcomes: Sequence[UnitOutcome],
        shards: Sequence[ShardRecord],
        charges: Sequence[ChargeSum] = (),
        sends: Sequence[BilledSend] = (),
    ) -> None:
        units = [
            (
                unit.unit_id,
                unit.outcome,
                unit.reason,
                len(unit.rows),
                unit.attempts,
                unit.usage,
                unit.drops,
            )
            for unit in outcomes
        ]
        self._do("commit", answers, units, shards, charges, sends)

    def begin_chain(self, chain_id: str) -> None:
        self._do("begin_chain", chain_id)

    def count_drops(self, drops: Mapping[DropKey, int]) -> None:
        self._do("count_drops", [(*key, count) for key, count in drops.items()])

    def reopen(self, reason: str | None, units: Collection[str] | None = None) -> int:
        return int(self._do("reopen", reason, None if units is None else sorted(units)))

    def put_back(self) -> int:
        return int(self._do("put_back"))

    def settle(self) -> None:
        self._do("settle")

    def finished(self, unit_ids: Sequence[str]) -> set[str]:
        return self._memory.finished(unit_ids)

    def shards(self) -> list[ShardRecord]:
        return self._memory.shards()

    def reopened(self) -> frozenset[str]:
        return self._memory.reopened()

    def close(self) -> None:
        os.close(self._fd)

    def _do(self, name: str, *given: Any) -> Any:
        plain = json.loads(json.dumps(msgspec.to_builtins(given)))
        _append(self._fd, [name, *plain])
        found = _AGAIN[name](self._memory, *plain)
        self.chain = self._memory.chain
        return found


def _log(state: Path) -> Path:
    return state / "ledger.jsonl"


def _append(fd: int, entry: list[Any]) -> None:
    """Append a line and sync it. A line of which half was written is taken back."""
    line = (json.dumps(entry) + "\n").encode()
    length = os.fstat(fd).st_size
    try:
        if os.write(fd, line) == len(line):
            os.fsync(fd)
            return
        why, is_full = "the disk is full", True  # half of it was written
    except OSError as error:
        why, is_full = error.strerror, error.errno == errno.ENOSPC
    os.ftruncate(fd, length)
    raise StorageError(f"ledger.jsonl: {why}", transient=is_full)


def _commit(ledger: MemoryLedger, *given: Any) -> None:
    answers, units, shards, charges, sends = given
    outcomes = [
        UnitOutcome(
            name,
            Outcome(outcome),
            [b""] * pairs,
            (),
            reason,
            attempts,
            msgspec.convert(usage, Usage),
            [DropKey(*drop) for drop in drops],
        )
        for name, outcome, reason, pairs, attempts, usage, drops in units
    ]
    ledger.commit(
        msgspec.convert(answers, list[PaidAnswer]),
        outcomes,
        msgspec.convert(shards, list[ShardRecord]),
        [ChargeSum(*charge) for charge in charges],
        msgspec.convert(sends, list[BilledSend]),
    )


_AGAIN: dict[str, Callable[..., Any]] = {
    "commit": _commit,
    "begin_chain": MemoryLedger.begin_chain,
    "count_drops": lambda ledger, drops: ledger.count_drops(
        {DropKey(scope, reason): count for scope, reason, count in drops}
    ),
    "reopen": MemoryLedger.reopen,
    "put_back": MemoryLedger.put_back,
    "settle": MemoryLedger.settle,
}
