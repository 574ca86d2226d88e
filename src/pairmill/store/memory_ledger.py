"""A ledger in memory: for tests, and as a reference implementation without a database.

It lives as long as its `MemoryStore`; only that store can continue its run folder.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

from msgspec import structs

from pairmill.errors import FolderError
from pairmill.records import Outcome
from pairmill.store.chain import LedgerChain
from pairmill.store.charges import Bill, CallTotals, ChargeSum, DropKey
from pairmill.store.entries import BilledSend, Known, Measured, Totals

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from pathlib import Path
    from types import TracebackType

    from pairmill.records import Completion
    from pairmill.store.entries import PaidAnswer, ShardRecord, UnitKey, UnitOutcome

__all__ = ["MemoryLedger", "MemoryLookup", "MemoryStore"]


@dataclass(frozen=True, slots=True)
class _Unit:
    """How a unit ended, and its usage."""

    outcome: Outcome
    reason: str | None
    pairs: int
    took: tuple[int, int, int]  # answers, prompt tokens, completion tokens


@dataclass(slots=True)
class _Tables:
    """Contents of one ledger."""

    chain: LedgerChain
    answers: dict[str, dict[str, tuple[str, Completion]]] = field(default_factory=dict)
    sends: dict[str, dict[str, BilledSend]] = field(default_factory=dict)
    units: dict[str, _Unit] = field(default_factory=dict)
    lifted: dict[str, _Unit] = field(default_factory=dict)
    calls: dict[str, CallTotals] = field(default_factory=dict)
    charges: dict[tuple[str, str], ChargeSum] = field(default_factory=dict)
    drops: Counter[DropKey] = field(default_factory=Counter)
    shards: dict[tuple[str, int], ShardRecord] = field(default_factory=dict)


class MemoryStore:
    """A ``LedgerStore``: maps run folders to tables in memory."""

    name = "memory"

    def __init__(self) -> None:
        self._tables: dict[Path, _Tables] = {}

    def is_there(self, state: Path) -> bool:
        """See ``LedgerStore``."""
        return state.absolute() in self._tables

    def create(self, state: Path, version: str, chain: LedgerChain) -> None:  # noqa: ARG002
        """See ``LedgerStore``."""
        self._tables[state.absolute()] = _Tables(chain)

    def open(self, state: Path) -> MemoryLedger:
        """See ``LedgerStore``."""
        return MemoryLedger(self._found(state))

    def read(self, state: Path) -> MemoryLookup:
        """See ``LedgerStore``."""
        return MemoryLookup(self._found(state))

    def _found(self, state: Path) -> _Tables:
        tables = self._tables.get(state.absolute())
        if tables is None:
            raise FolderError(f"{state.parent}: its ledger was in the memory of another process")
        return tables


class MemoryLedger:
    """A ``Ledger``."""

    counts_drops = True

    def __init__(self, tables: _Tables) -> None:
        self._tables = tables
        self.chain: LedgerChain | None = tables.chain

    def begin_chain(self, chain_id: str) -> None:
        """See ``Ledger``; it has an id from the beginning."""
        self._tables.chain = self.chain = LedgerChain(chain_id)

    def finished(self, unit_ids: Sequence[str]) -> set[str]:
        """See ``Ledger``."""
        return {unit for unit in unit_ids if unit in self._tables.units}

    def shards(self) -> list[ShardRecord]:
        """See ``Ledger``."""
        return _shards(self._tables)

    def commit(
        self,
        answers: Sequence[PaidAnswer],
        outcomes: Sequence[UnitOutcome],
        shards: Sequence[ShardRecord],
        charges: Sequence[ChargeSum] = (),
        sends: Sequence[BilledSend] = (),
    ) -> None:
        """See ``Ledger``."""
        tables = self._tables
        for answer in answers:
            own = (answer.unit_id, answer.completion)
            tables.answers.setdefault(answer.chunk_id, {}).setdefault(answer.call_id, own)
            _add_call(tables.calls, answer.completion)
        for unit in outcomes:
            tables.units[unit.unit_id] = _unit(unit)
            tables.lifted.pop(unit.unit_id, None)
            tables.drops.update(unit.drops)
        tables.shards.update({(shard.kind, shard.number): shard for shard in shards})
        for charge in charges:
            key = (charge.model, charge.outcome)
            tables.charges[key] = tables.charges.get(key, ChargeSum(*key)).plus(charge)
        for send in sends:
            known = tables.sends.setdefault(send.chunk_id, {})
            before = known.get(send.call_id)
            count = send.sends + (before.sends if before else 0)
            known[send.call_id] = structs.replace(send, sends=count)
        self._raise_generation()

    def count_drops(self, drops: Mapping[DropKey, int]) -> None:
        """See ``Ledger``."""
        self._tables.drops = Counter(drops)
        self._raise_generation()

    def reopened(self) -> frozenset[str]:
        """See ``Ledger``."""
        return frozenset(self._tables.lifted)

    def reopen(self, reason: str | None, units: Collection[str] | None = None) -> int:
        """See ``Ledger``."""
        tables = self._tables
        if units is None:
            wanted = {
                name
                for name, unit in tables.units.items()
                if unit.outcome is Outcome.REJECTED and reason in {None, unit.reason}
            }
        else:
            wanted = {name for name in units if (u := tables.units.get(name)) and not u.pairs}
        for unit in wanted:
            tables.lifted[unit] = tables.units.pop(unit)
        for answers in tables.answers.values():
            for call in [call for call, (unit, _) in answers.items() if unit in wanted]:
                del answers[call]
        for sends in tables.sends.values():
            for call in [call for call, send in sends.items() if send.unit_id in wanted]:
                del sends[call]
        self._raise_generation()
        return len(wanted)

    def put_back(self) -> int:
        """See ``Ledger``."""
        lifted, self._tables.lifted = self._tables.lifted, {}
        self._tables.units.update(lifted)
        self._raise_generation()
        return len(lifted)

    def settle(self) -> None:
        """See ``Ledger``; nothing is ever in doubt."""
        self._raise_generation()

    def close(self) -> None:
        """See ``Ledger``; the store keeps all."""

    def _raise_generation(self) -> None:
        chain = self._tables.chain
        self._tables.chain = self.chain = LedgerChain(chain.id, chain.generation + 1)


class MemoryLookup:
    """A ``LedgerReader``."""

    def __init__(self, tables: _Tables) -> None:
        self._tables = tables

    def known(self, units: Sequence[UnitKey]) -> Known:
        """See ``LedgerReader``."""
        tables = self._tables
        pairs = {
            u.unit_id: tables.units[u.unit_id].pairs for u in units if u.unit_id in tables.units
        }
        chunks = {unit.chunk_id for unit in units if unit.unit_id not in pairs}
        answers = {
            chunk: {call: completion for call, (_, completion) in tables.answers[chunk].items()}
            for chunk in chunks
            if tables.answers.get(chunk)
        }
        sends = {chunk: dict(tables.sends[chunk]) for chunk in chunks if tables.sends.get(chunk)}
        return Known(set(pairs), answers, pairs, sends)

    def totals(self) -> Totals:
        """See ``LedgerReader``."""
        tables = self._tables
        units = tables.units.values()
        reasons = Counter(unit.reason for unit in units if unit.reason)
        calls = sorted(tables.calls.values(), key=lambda total: (-total.calls, total.model))
        bill = Bill.of(calls, tables.charges.values())
        return Totals(
            units=dict(Counter(unit.outcome.value for unit in units)),
            reasons=dict(sorted(reasons.items(), key=lambda item: (-item[1], item[0]))),
            pairs=sum(unit.pairs for unit in units),
            calls=bill.calls,
            usage=bill.usage,
            models={total.model: total.calls for total in calls},
            bill=bill,
            drops=Counter(tables.drops),
        )

    def measured(self) -> Measured:
        """See ``LedgerReader``."""
        units = self._tables.units.values()
        return Measured.of([(unit.pairs, *unit.took) for unit in units if unit.took[0]])

    def reopened(self) -> int:
        """See ``LedgerReader``."""
        return len(self._tables.lifted)

    def shards(self) -> list[ShardRecord]:
        """See ``LedgerReader``."""
        return _shards(self._tables)

    def chain(self) -> LedgerChain | None:
        """See ``LedgerReader``."""
        return self._tables.chain

    def close(self) -> None:
        """See ``LedgerReader``."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        return


def _shards(tables: _Tables) -> list[ShardRecord]:
    return [tables.shards[key] for key in sorted(tables.shards)]


def _unit(unit: UnitOutcome) -> _Unit:
    usage = unit.usage
    took = (unit.attempts, usage.prompt_tokens, usage.completion_tokens)
    return _Unit(unit.outcome, unit.reason, len(unit.rows), took)


def _add_call(calls: dict[str, CallTotals], completion: Completion) -> None:
    usage, model = completion.usage, completion.model
    before = calls.get(model, CallTotals(model, 0, 0, 0, 0))
    calls[model] = CallTotals(
        model,
        before.calls + 1,
        before.prompt_tokens + usage.prompt_tokens,
        before.completion_tokens + usage.completion_tokens,
        before.cached_tokens + usage.cached_tokens,
    )
