"""Reads the ledger: finished units, known answers, totals.

A lookup has a connection of its own, so that the reader's thread never waits for the writer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from pairmill.errors import FolderError
from pairmill.store.entries import Known, Measured, ShardRecord, Totals, decode_completion
from pairmill.store.sqlite.database import connect, explained, read_chain, rebuild_hint
from pairmill.store.sqlite.small_tables import read_bill, read_drops, sends_of

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Collection, Sequence
    from pathlib import Path
    from types import TracebackType

    from pairmill.records import Completion
    from pairmill.store.chain import LedgerChain
    from pairmill.store.entries import BilledSend, UnitKey

__all__ = ["SqliteLookup", "finished_among", "select_shards"]

_MEASURED_UNITS = 5_000
_GROUP = 512  # ids per query; short groups are padded, so that each statement is prepared once
_SIZES = (1, 8, 64, _GROUP)
_CACHE_BYTES = 2 * 2**20

# One statement asks all three trees: between two, a fold could move what it looks for. Walking the
# ids is cheaper than ``IN``, which would sort them again for each tree.
_PAIRS_OF = """
WITH asked(id) AS (VALUES {})
SELECT id, coalesce(
    (SELECT pairs FROM units WHERE id = asked.id),
    (SELECT pairs FROM recent_units WHERE id = asked.id),
    (SELECT pairs FROM fresh_units WHERE id = asked.id)) AS pairs
FROM asked WHERE pairs IS NOT NULL
"""
# In the order of buying: of answers to one call the first counts.
_ANSWERS_OF = """
WITH asked(chunk) AS (VALUES {})
SELECT chunk, id, body FROM answers WHERE rowid IN (
    SELECT answer FROM asked CROSS JOIN chunks ON id = chunk
    UNION ALL SELECT answer FROM asked CROSS JOIN recent_chunks ON id = chunk
    UNION ALL SELECT answer FROM asked CROSS JOIN fresh_chunks ON id = chunk)
ORDER BY rowid
"""
# Ids are hashes: the first of them, over all trees, are as good as drawn by lot.
_MEASURE = """
SELECT id, pairs, attempts, prompt_tokens, completion_tokens FROM units WHERE attempts > 0
UNION ALL SELECT id, pairs, attempts, prompt_tokens, completion_tokens
    FROM recent_units WHERE attempts > 0
UNION ALL SELECT id, pairs, attempts, prompt_tokens, completion_tokens
    FROM fresh_units WHERE attempts > 0
ORDER BY id LIMIT ?
"""


class SqliteLookup:
    """Queries to the ledger, from one thread at a time. Close it, or use it in ``with``."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._connection = connect(path, read_only=True, cache_bytes=_CACHE_BYTES)

    def known(self, units: Sequence[UnitKey]) -> Known:
        """Say which of the units are finished, and what the others' chunks were asked before.

        One batched question, meant for up to some 500 units; it costs little where no answers are.

        Raises:
            FolderError: The ledger is damaged.
            StorageError: The disk refused.
        """
        with explained(self._path):
            pairs = pairs_of(self._connection, [unit.unit_id for unit in units])
            chunks = {unit.chunk_id for unit in units if unit.unit_id not in pairs}
            return Known(set(pairs), self._answers(list(chunks)), pairs, self._sends(chunks))

    def totals(self) -> Totals:
        """Sum up everything committed so far; the cost does not grow with the run."""
        with explained(self._path):
            by_outcome = self._connection.execute(
                "SELECT outcome, reason, units, pairs FROM unit_totals"
            ).fetchall()
            by_model = self._connection.execute(
                "SELECT model, calls, prompt_tokens, completion_tokens, cached_tokens"
                " FROM call_totals ORDER BY calls DESC, model"
            ).fetchall()
            bill, drops = read_bill(self._connection), read_drops(self._connection)
        units: dict[str, int] = {}
        for outcome, _, count, _ in by_outcome:
            units[outcome] = units.get(outcome, 0) + count
        ranked = sorted(by_outcome, key=lambda row: (-row[2], row[1]))
        return Totals(
            units=units,
            reasons={reason: count for _, reason, count, _ in ranked if reason},
            pairs=sum(row[3] for row in by_outcome),
            calls=bill.calls,
            usage=bill.usage,
            models={row[0]: row[1] for row in by_model},
            bill=bill,
            drops=drops,
        )

    def measured(self) -> Measured:
        """Return what units took so far: all of them, or a sample of some thousands."""
        with explained(self._path):
            rows = self._connection.execute(_MEASURE, (_MEASURED_UNITS,)).fetchall()
        return Measured.of([row[1:] for row in rows])

    def reopened(self) -> int:
        """Count lifted tombstones."""
        with explained(self._path):
            named = "SELECT 1 FROM sqlite_schema WHERE name = 'reopened'"
            if self._connection.execute(named).fetchone() is None:
                return 0
            (count,) = self._connection.execute("SELECT count(*) FROM reopened").fetchone()
            return int(count)

    def shards(self) -> list[ShardRecord]:
        """List every shard, open or closed, by kind and number."""
        with explained(self._path):
            return select_shards(self._connection)

    def chain(self) -> LedgerChain | None:
        """Return the ledger's id and generation; None for one of an earlier version."""
        with explained(self._path):
            return read_chain(self._connection)

    def close(self) -> None:
        """Give the connection back."""
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _answers(self, chunk_ids: list[str]) -> dict[str, dict[str, Completion]]:
        some = self._connection.execute("SELECT 1 FROM answers LIMIT 1").fetchone()
        if some is None:
            return {}
        found: dict[str, dict[str, Completion]] = {}
        for marks, ids in _groups(chunk_ids):
            query = _ANSWERS_OF.format(marks)
            for chunk, call, body in self._connection.execute(query, ids):
                try:
                    completion = decode_completion(body)
                except (ValueError, TypeError):
                    raise FolderError(
                        f"{self._path}: an answer is damaged; {rebuild_hint(self._path)}"
                    ) from None
                found.setdefault(chunk.hex(), {}).setdefault(call.hex(), completion)
        return found

    def _sends(self, chunk_ids: Collection[str]) -> dict[str, dict[str, BilledSend]]:
        try:
            return sends_of(self._connection, sorted(chunk_ids))
        except (ValueError, TypeError):
            raise FolderError(
                f"{self._path}: a line of 'sends' is damaged; {rebuild_hint(self._path)}"
            ) from None


def finished_among(connection: sqlite3.Connection, unit_ids: Sequence[str]) -> set[str]:
    """Return those of the ids that have an outcome."""
    return set(pairs_of(connection, unit_ids))


def pairs_of(connection: sqlite3.Connection, unit_ids: Sequence[str]) -> dict[str, int]:
    """Return those of the ids that have an outcome, each with how many pairs it gave."""
    found: dict[str, int] = {}
    for marks, ids in _groups(unit_ids):
        query = _PAIRS_OF.format(marks)
        found.update((unit.hex(), pairs) for unit, pairs in connection.execute(query, ids))
    return found


def select_shards(connection: sqlite3.Connection) -> list[ShardRecord]:
    """Return every shard, by kind and number."""
    rows = connection.execute(
        "SELECT kind, number, state, bytes, rows, sha256 FROM shards ORDER BY kind, number"
    )
    return [
        ShardRecord(kind, number, state == "closed", length, count, sha256)
        for kind, number, state, length, count, sha256 in rows
    ]


def _groups(ids: Sequence[str]) -> list[tuple[str, list[bytes]]]:
    """Cut ids into groups, each with its marks. In order, each page of a tree is gone to once."""
    groups = []
    for start in range(0, len(ids), _GROUP):
        part = sorted(map(bytes.fromhex, ids[start : start + _GROUP]))
        size = next(size for size in _SIZES if size >= len(part))
        part += [part[-1]] * (size - len(part))
        groups.append((_MARKS[size], part))
    return groups


_MARKS = {size: ",".join(["(?)"] * size) for size in _SIZES}
