"""Writes the ledger: finished units, bought answers, committed lengths of shards.

One connection writes, in transactions that are synced before they return. What is finished is
decided here and nowhere else.
"""

from __future__ import annotations

import sqlite3
from contextlib import contextmanager, suppress
from operator import itemgetter
from typing import TYPE_CHECKING

from pairmill.store.chain import LedgerChain
from pairmill.store.entries import encode_completion
from pairmill.store.sqlite.database import (
    FOLDS,
    check_sums,
    connect,
    explained,
    read_chain,
    write_chain,
)
from pairmill.store.sqlite.lookup import finished_among, select_shards
from pairmill.store.sqlite.small_tables import (
    add_charges,
    add_drops,
    add_sends,
    forget_sends,
    has_drops,
    prepare,
    prepare_sends,
    set_drops,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence
    from pathlib import Path

    from pairmill.records import Usage
    from pairmill.store.charges import ChargeSum, DropKey
    from pairmill.store.entries import BilledSend, PaidAnswer, ShardRecord, UnitOutcome

__all__ = ["SqliteLedger"]

FOLD_AT = (2**14, 2**17)  # rows in the small trees, and in the middle ones, that are enough
_MOST = 2**40  # a server may claim any number of tokens; 8 million such claims still add up
_NAME_CHARS = 200

_ADD_ANSWER = "INSERT INTO answers (rowid, chunk, id, unit, body) VALUES (?, ?, ?, ?, ?)"
_ADD_CHUNK = "INSERT INTO fresh_chunks VALUES (?, ?)"
_ADD_UNIT = "INSERT INTO fresh_units VALUES (?, ?, ?, ?, ?, ?, ?)"
_ADD_SHARD = (
    "INSERT INTO shards VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (kind, number) DO UPDATE SET"
    " state = excluded.state, bytes = excluded.bytes, rows = excluded.rows,"
    " sha256 = excluded.sha256"
)
_ADD_UNIT_TOTALS = (
    "INSERT INTO unit_totals VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET"
    " units = units + excluded.units, pairs = pairs + excluded.pairs,"
    " attempts = attempts + excluded.attempts,"
    " prompt_tokens = prompt_tokens + excluded.prompt_tokens,"
    " completion_tokens = completion_tokens + excluded.completion_tokens"
)
_LIFT = (
    "INSERT INTO lifted SELECT id FROM units"
    " WHERE outcome = 'rejected' AND reason IS coalesce(?, reason)"
)
_LIFT_ONE = "INSERT OR IGNORE INTO lifted SELECT id FROM units WHERE id = ? AND pairs = 0"
_TAKE_OFF_TOTALS = (
    "UPDATE unit_totals SET units = units - gone.n, attempts = attempts - gone.a,"
    " prompt_tokens = prompt_tokens - gone.p, completion_tokens = completion_tokens - gone.c"
    " FROM (SELECT outcome AS o, coalesce(reason, '') AS r, count(*) AS n, sum(attempts) AS a,"
    " sum(prompt_tokens) AS p, sum(completion_tokens) AS c FROM units"
    " WHERE id IN (SELECT id FROM lifted) GROUP BY o, r) AS gone"
    " WHERE outcome = gone.o AND unit_totals.reason = gone.r"
)
_PUT_BACK_TOTALS = (
    "INSERT INTO unit_totals SELECT outcome, coalesce(reason, ''), count(*), sum(pairs),"
    " sum(attempts), sum(prompt_tokens), sum(completion_tokens) FROM reopened"
    " WHERE true GROUP BY 1, 2 ON CONFLICT DO UPDATE SET"
    " units = units + excluded.units, attempts = attempts + excluded.attempts,"
    " prompt_tokens = prompt_tokens + excluded.prompt_tokens,"
    " completion_tokens = completion_tokens + excluded.completion_tokens"
)
_ADD_CALL_TOTALS = (
    "INSERT INTO call_totals VALUES (?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET"
    " calls = calls + excluded.calls, prompt_tokens = prompt_tokens + excluded.prompt_tokens,"
    " completion_tokens = completion_tokens + excluded.completion_tokens,"
    " cached_tokens = cached_tokens + excluded.cached_tokens"
)


class SqliteLedger:
    """The writing end of the ledger, for one thread.

    Attributes:
        chain: Its id and generation; None until ``begin_chain``, for one of an earlier version.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        was_cut_off = path.with_name(f"{path.name}-wal").exists()
        self._connection = connect(path)
        self.chain: LedgerChain | None = None  # until then no transaction counts
        try:
            with explained(path):
                if was_cut_off:
                    check_sums(self._connection, path)
            with self._transaction():
                prepare(self._connection)
                prepare_sends(self._connection)
            with explained(path):
                self.chain = read_chain(self._connection)
        except BaseException:
            self._connection.close()
            raise
        self._has_reopened = bool(self.reopened())
        self._gathered = self._count_gathered()

    def begin_chain(self, chain_id: str) -> None:
        """Give a ledger of an earlier version its id.

        Raises:
            StorageError: The disk refused.
        """
        self.chain = LedgerChain(chain_id)
        with self._transaction():
            write_chain(self._connection, self.chain)

    def adopt_chain(self, chain: LedgerChain) -> None:
        """Take another ledger's place in its chain, whose content was brought here.

        Raises:
            StorageError: The disk refused.
        """
        self.chain = None
        with self._transaction():
            write_chain(self._connection, chain)
        self.chain = chain

    def finished(self, unit_ids: Sequence[str]) -> set[str]:
        """Return those of the units that have an outcome."""
        with explained(self._path):
            return finished_among(self._connection, unit_ids)

    def shards(self) -> list[ShardRecord]:
        """List every shard, open or closed, by kind and number."""
        with explained(self._path):
            return select_shards(self._connection)

    def commit(
        self,
        answers: Sequence[PaidAnswer],
        outcomes: Sequence[UnitOutcome],
        shards: Sequence[ShardRecord],
        charges: Sequence[ChargeSum] = (),
        sends: Sequence[BilledSend] = (),
    ) -> None:
        """Make all of it durable in one transaction, or none.

        No outcome may be of a finished unit. Of answers to one call the first is the one that is
        found; each is counted: it was paid for.

        Raises:
            StorageError: The disk refused. What is on the disk is in doubt until ``settle``.
            FolderError: The ledger is damaged.
        """
        with self._transaction():
            self._make_room()
            self._gathered[0] += len(answers) + len(outcomes)
            self._add_answers(answers)
            self._add_units(outcomes)
            self._connection.executemany(_ADD_SHARD, map(_shard_row, shards))
            add_charges(self._connection, charges)
            add_sends(self._connection, sends)
            add_drops(self._connection, (drop for unit in outcomes for drop in unit.drops))

    @property
    def counts_drops(self) -> bool:
        """True if every line of ``rejected/`` is counted here."""
        with explained(self._path):
            return has_drops(self._connection)

    def count_drops(self, drops: Mapping[DropKey, int]) -> None:
        """Take what was counted in ``rejected/`` itself, in a ledger that does not count it yet."""
        with self._transaction():
            set_drops(self._connection, drops)

    def reopened(self) -> frozenset[str]:
        """Return lifted tombstones, including those of an earlier start."""
        with explained(self._path):
            found = self._connection.execute("SELECT id FROM reopened").fetchall()
        return frozenset(unit.hex() for (unit,) in found)

    def reopen(self, reason: str | None, units: Collection[str] | None = None) -> int:
        """Lift tombstones, so that their units count as new.

        Their answers are forgotten, or they would be found again, and so are the sends that brought
        none; what was paid for them stays in the bill. Returns how many were lifted.

        Args:
            reason: Of the tombstones; None: of any reason.
            units: Lift these units instead, unless they have a pair.

        Raises:
            StorageError: The disk refused; nothing was lifted, or all.
        """
        with self._transaction():
            self._fold_all()
            execute = self._connection.execute
            execute("CREATE TEMP TABLE IF NOT EXISTS lifted (id BLOB PRIMARY KEY) WITHOUT ROWID")
            execute("DELETE FROM lifted")
            if units is None:
                execute(_LIFT, (reason,))
            else:
                self._connection.executemany(_LIFT_ONE, ((_blob(unit),) for unit in sorted(units)))
            theirs = "unit IN (SELECT id FROM lifted)"
            execute(
                f"DELETE FROM chunks WHERE answer IN (SELECT rowid FROM answers WHERE {theirs})"
            )
            execute(f"DELETE FROM answers WHERE {theirs}")
            forget_sends(self._connection, theirs)
            moved = execute(
                "INSERT INTO reopened SELECT * FROM units WHERE id IN (SELECT id FROM lifted)"
            ).rowcount
            execute(_TAKE_OFF_TOTALS)
            execute("DELETE FROM unit_totals WHERE units <= 0")
            execute("DELETE FROM units WHERE id IN (SELECT id FROM lifted)")
            execute("DELETE FROM lifted")
        self._has_reopened = self._has_reopened or moved > 0
        return moved

    def put_back(self) -> int:
        """Restore tombstones that were lifted but not retried; return how many.

        Raises:
            StorageError: The disk refused; none was put back, or all.
        """
        with self._transaction():
            self._fold_all()
            execute = self._connection.execute
            execute("DELETE FROM reopened WHERE id IN (SELECT id FROM units)")
            execute(_PUT_BACK_TOTALS)
            moved = execute("INSERT INTO units SELECT * FROM reopened").rowcount
            execute("DELETE FROM reopened")
        return moved

    def settle(self) -> None:
        """End the doubt that a failed commit leaves.

        Its pages may stand whole in the write-ahead log though SQLite gave them up: the next
        process would take them for committed. A commit that succeeds overwrites them.

        Raises:
            StorageError: The disk still refuses; the commit remains in doubt.
        """
        with self._transaction():
            self._connection.execute(
                "INSERT INTO meta VALUES ('settled', '1') ON CONFLICT DO UPDATE SET"
                " value = CAST(value AS INTEGER) + 1"
            )

    def close(self) -> None:
        """Fold the write-ahead log into the ledger, if the disk allows, and close it.

        SQLite does so by itself only where no reader is left.
        """
        with suppress(sqlite3.Error):
            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        self._connection.close()

    def _add_answers(self, answers: Sequence[PaidAnswer]) -> None:
        if not answers:
            return
        last = "SELECT coalesce(max(rowid), 0) FROM answers"
        (rowid,) = self._connection.execute(last).fetchone()
        rowids = range(rowid + 1, rowid + 1 + len(answers))
        execute = self._connection.executemany
        # One by one: orjson's bytes are longer in memory than they look.
        execute(_ADD_ANSWER, map(_answer_row, rowids, answers))
        # In the order of the keys: each page of the tree is gone to once.
        chunks = [_blob(answer.chunk_id) for answer in answers]
        execute(_ADD_CHUNK, sorted(zip(chunks, rowids, strict=True)))
        execute(_ADD_CALL_TOTALS, _call_totals(answers))

    def _add_units(self, outcomes: Sequence[UnitOutcome]) -> None:
        if not outcomes:
            return
        units = sorted(map(_unit_row, outcomes), key=itemgetter(0))
        execute = self._connection.executemany
        execute(_ADD_UNIT, units)
        if self._has_reopened:
            execute("DELETE FROM reopened WHERE id = ?", [unit[:1] for unit in units])
        execute(_ADD_UNIT_TOTALS, _unit_totals(units))

    def _make_room(self) -> None:
        """Empty the trees that are full, within the transaction."""
        for size, limit in enumerate(FOLD_AT):
            if self._gathered[size] >= limit:
                self._fold(size)

    def _fold(self, size: int) -> None:
        """Empty the small trees (0) into the middle ones, or those (1) into the large ones."""
        for statement in FOLDS[size]:
            self._connection.execute(statement)
        self._gathered[size + 1] += self._gathered[size]
        self._gathered[size] = 0

    def _fold_all(self) -> None:
        for size in range(len(FOLDS)):
            self._fold(size)

    def _count_gathered(self) -> list[int]:
        """Count the rows of the small trees and of the middle ones; the large ones do not matter.

        From then on they are estimated: a refused commit moves the next fold, and no more.
        """
        count = "(SELECT count(*) FROM {0}units) + (SELECT count(*) FROM {0}chunks)"
        query = f"SELECT {count.format('fresh_')}, {count.format('recent_')}, 0"
        with explained(self._path):
            counts = list(self._connection.execute(query).fetchone())
            self._connection.execute("PRAGMA shrink_memory")  # it saw pages that are not asked for
        return counts

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with explained(self._path):
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield
                after = self._raise_generation()
                self._connection.execute("COMMIT")
                self.chain = after
            finally:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")

    def _raise_generation(self) -> LedgerChain | None:
        if self.chain is None:
            return None
        after = LedgerChain(self.chain.id, self.chain.generation + 1)
        self._connection.execute(
            "UPDATE meta SET value = ? WHERE name = 'generation'", (str(after.generation),)
        )
        return after


_UnitRow = tuple[bytes, str, str | None, int, int, int, int]


_blob = bytes.fromhex


def _answer_row(rowid: int, answer: PaidAnswer) -> tuple[int, bytes, bytes, bytes, bytes]:
    body = encode_completion(answer.completion)
    return rowid, _blob(answer.chunk_id), _blob(answer.call_id), _blob(answer.unit_id), body


def _unit_row(unit: UnitOutcome) -> _UnitRow:
    prompt_tokens, completion_tokens, _ = _counts(unit.usage)
    return (
        _blob(unit.unit_id),
        unit.outcome.value,
        unit.reason,
        len(unit.rows),
        unit.attempts,
        prompt_tokens,
        completion_tokens,
    )


def _shard_row(shard: ShardRecord) -> tuple[str, int, str, int, int, str]:
    state = "closed" if shard.closed else "open"
    return (shard.kind, shard.number, state, shard.bytes, shard.rows, shard.sha256)


def _unit_totals(units: Sequence[_UnitRow]) -> list[tuple[object, ...]]:
    sums: dict[tuple[str, str], list[int]] = {}
    for _, outcome, reason, pairs, attempts, prompt_tokens, completion_tokens in units:
        total = sums.setdefault((outcome, reason or ""), [0] * 5)
        total[0] += 1
        total[1] += pairs
        total[2] += attempts
        total[3] += prompt_tokens
        total[4] += completion_tokens
    return [(*key, *total) for key, total in sums.items()]


def _call_totals(answers: Sequence[PaidAnswer]) -> list[tuple[object, ...]]:
    counts: dict[str, list[tuple[int, int, int]]] = {}
    for answer in answers:
        completion = answer.completion
        counts.setdefault(completion.model, []).append(_counts(completion.usage))
    return [
        (_name(model), len(calls), *map(sum, zip(*calls, strict=True)))
        for model, calls in counts.items()
    ]


def _counts(usage: Usage) -> tuple[int, int, int]:
    """Return prompt, completion and cached tokens, none of them negative or absurd."""
    counts = usage.prompt_tokens, usage.completion_tokens, usage.cached_tokens
    if min(counts) >= 0 and max(counts) <= _MOST:
        return counts
    prompt, completion, cached = (max(0, min(count, _MOST)) for count in counts)
    return prompt, completion, cached


def _name(text: str) -> str:
    """Shorten a server's word for itself, and replace what UTF-8 cannot hold."""
    return text[:_NAME_CHARS].encode("utf-8", "replace").decode()
