"""Making the ledger anew from the shards and the rejects, when it is lost or damaged.

A row does not carry its unit's id. It carries its chunk's, and a unit is its chunk under one recipe
and settings; so with the identities of the recipes that were ever used in the folder, each row's
unit can be named, and the row's own id proves it. What cannot be named is kept, counted, and said.
"""

from __future__ import annotations

import hashlib
import os
import sqlite3
from contextlib import closing
from dataclasses import dataclass, field
from itertools import groupby
from typing import TYPE_CHECKING

from pairmill.records import Outcome, digest
from pairmill.store.database import create, explained
from pairmill.store.entries import ShardRecord
from pairmill.store.files import DISK, Files, refusal
from pairmill.store.recovery import shard_number
from pairmill.store.rows import pair_id
from pairmill.store.salvage import read_answers, read_call_totals, refuse_newer
from pairmill.store.shard_rows import Row, count_of, read_rows, tokens_of
from pairmill.store.shards import KINDS, publish_file

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from pairmill.store.folder import RunFolder

__all__ = ["Rebuilt", "rebuild"]

_MOST_PAIRS = 64  # of one unit
_NO_TOMBSTONES = frozenset({"boilerplate", "too_little_content", "unsafe", "no_pairs"})
_ADD_UNIT = (
    "INSERT INTO units VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET"
    " outcome = excluded.outcome, reason = excluded.reason, attempts = excluded.attempts,"
    " prompt_tokens = excluded.prompt_tokens, completion_tokens = excluded.completion_tokens"
    " WHERE pairs = 0"
)
_ADD_ANSWER = (  # unless the call's answer is there
    "INSERT INTO answers SELECT ?1, ?2, ?3, ?4 WHERE NOT EXISTS (SELECT 1 FROM answers"
    " WHERE id = ?2 AND rowid IN (SELECT answer FROM chunks WHERE id = ?1))"
)
_ADD_UNIT_TOTALS = (
    "INSERT INTO unit_totals SELECT outcome, coalesce(reason, ''), count(*), sum(pairs),"
    " sum(attempts), sum(prompt_tokens), sum(completion_tokens) FROM units GROUP BY 1, 2"
)


@dataclass(slots=True)
class Rebuilt:
    """What the new ledger holds, and what is wrong with what it was made from.

    Attributes:
        pairs: Rows that stand in the shards.
        units: Units that count as finished.
        answers: Bought answers that could be read out of the old ledger.
        unnamed: Pairs whose unit cannot be named: begun under settings that nobody noted.
        damaged: Published shards with lines that are no rows, as plain lines for people.
        cut: Lines taken off the ends of open shards, since they may be of half a unit.
        bill: Model to calls, prompt tokens and completion tokens, as far as the lines tell.
    """

    pairs: int = 0
    units: int = 0
    answers: int = 0
    unnamed: int = 0
    cut: int = 0
    damaged: list[str] = field(default_factory=list)
    bill: dict[str, list[int]] = field(default_factory=dict)


def rebuild(folder: RunFolder, identities: Sequence[str], *, files: Files = DISK) -> Rebuilt:
    """Put a new ledger in the place of the old one, which is kept beside it.

    Shards that were open are published, up to their last whole unit.

    Args:
        folder: Locked, from ``lock_folder``.
        identities: Of every recipe and settings that may have been used in it.
        files: The operations on the disk.

    Raises:
        FolderError: A newer pairmill made it, or two files claim to be one shard.
        StorageError: The disk refused; the same command goes on.
    """
    kept = folder.ledger.with_name(f"{folder.ledger.name}.damaged")
    old = folder.ledger if _is_something(folder.ledger) else kept
    refuse_newer(old)
    rebuilt = Rebuilt()
    for path in sorted(folder.open_shards.iterdir()):
        if shard_number(path.name) is not None:
            rebuilt.cut += _close(folder, path, files)
    building = folder.ledger.with_name(f"{folder.ledger.name}.rebuilt")
    create(building, folder.version)
    with explained(building), closing(sqlite3.connect(building, isolation_level=None)) as db:
        db.execute("PRAGMA synchronous = FULL")
        db.execute("BEGIN IMMEDIATE")
        for kind in KINDS:
            for path in sorted(folder.published(kind).iterdir()):
                if shard_number(path.name) is not None:
                    _take_in(db, path, kind, identities, rebuilt)
        _keep_what_was_paid(db, old, rebuilt)
        db.execute("COMMIT")
    _exchange(folder, building, kept, files)
    return rebuilt


def _close(folder: RunFolder, path: Path, files: Files) -> int:
    """Cut an open shard back to whole units, publish it, and return the lines cut off.

    What its committed length was nobody knows any more. Of its last unit some lines may never have
    been written, so that unit is asked, or found among the answers, once more.
    """
    kind = path.name.partition("-")[0]
    rows: list[tuple[str, int]] = []  # of the last unit: its chunk, and where each line begins
    end = lines = 0
    for row, length in read_rows(path):
        if row is None:
            break
        if kind == "train" and (not rows or rows[-1][0] != row["chunk_id"]):
            rows.clear()
        rows.append((str(row["chunk_id"]), end))
        end += length
        lines += 1
    cut = len(rows) if kind == "train" else 0
    length = rows[0][1] if cut else end
    try:
        fd = files.open(path, os.O_WRONLY)
        try:
            files.truncate(fd, length)
            files.sync(fd)
        finally:
            files.close(fd)
        if not length:
            files.unlink(path)
            return cut
    except OSError as error:
        raise refusal(error, path) from None
    number = shard_number(path.name) or 0
    publish_file(folder, files, ShardRecord(kind, number, True, length, lines - cut, ""))  # noqa: FBT003 (closed)
    return cut


def _take_in(
    db: sqlite3.Connection, path: Path, kind: str, identities: Sequence[str], rebuilt: Rebuilt
) -> None:
    """Enter a published shard and its units."""
    content, good, bad, size = hashlib.sha256(), 0, 0, 0
    rows: list[Row] = []

    def read() -> Iterator[Row]:
        nonlocal good, bad, size
        for row, length in read_rows(path, content):
            size += length
            good += row is not None
            bad += row is None
            if row is not None:
                yield row

    for _, same_chunk in groupby(read(), key=lambda row: str(row["chunk_id"])):
        rows = list(same_chunk)
        for unit in (
            _pairs(rows, identities, rebuilt) if kind == "train" else _rejects(rows, rebuilt)
        ):
            db.execute(_ADD_UNIT, unit)
    if bad:
        rebuilt.damaged.append(f"{path}: {bad} lines are no rows; left as they are")
    values = (kind, shard_number(path.name), "closed", size, good + bad, content.hexdigest())
    db.execute("INSERT INTO shards VALUES (?, ?, ?, ?, ?, ?)", values)


_Unit = tuple[bytes, str, str | None, int, int, int, int]


def _pairs(rows: list[Row], identities: Sequence[str], rebuilt: Rebuilt) -> list[_Unit]:
    """Name the units of some rows of one chunk: the row's id is its unit's id and its place."""
    rebuilt.pairs += len(rows)
    units: dict[bytes, list[Row]] = {}
    for row in rows:
        unit = _unit_of(row, identities)
        if unit is None:
            rebuilt.unnamed += 1
        units.setdefault(unit or b"", []).append(row)
    for own in units.values():
        _charge(rebuilt, own)
    return [
        (unit, Outcome.WRITTEN.value, None, len(own), count_of(own[0], "attempts"), *tokens_of(own))
        for unit, own in units.items()
        if unit
    ]


def _unit_of(row: Row, identities: Sequence[str]) -> bytes | None:
    for identity in identities:
        unit = digest(str(row["chunk_id"]), identity)
        if any(pair_id(unit, index) == row["id"] for index in range(_MOST_PAIRS)):
            return bytes.fromhex(unit)
    return None


def _charge(rebuilt: Rebuilt, unit: list[Row]) -> None:
    """Add what one unit cost to the bill of the model that answered it."""
    total = rebuilt.bill.setdefault(str(unit[0].get("model")), [0, 0, 0])
    for column, value in enumerate((count_of(unit[0], "attempts"), *tokens_of(unit))):
        total[column] += value


def _rejects(rows: list[Row], rebuilt: Rebuilt) -> list[_Unit]:
    """The units that ended without a pair, the last word on each."""
    units: dict[str, list[Row]] = {}
    for row in rows:
        units.setdefault(str(row["id"]), []).append(row)
    found: list[_Unit] = []
    for unit, own in units.items():
        last = own[-1]
        reason = str(last.get("reason"))
        if last.get("whole_unit") is True:
            _charge(rebuilt, own)
            is_empty = last.get("class") is None and reason in _NO_TOMBSTONES
            outcome = Outcome.EMPTY if is_empty else Outcome.REJECTED
            why = None if is_empty else reason
            spent = (count_of(last, "attempts"), *tokens_of(own))
            found.append((bytes.fromhex(unit), outcome.value, why, 0, *spent))
    return found


def _keep_what_was_paid(db: sqlite3.Connection, old: Path, rebuilt: Rebuilt) -> None:
    for row in read_answers(old):
        added = db.execute(_ADD_ANSWER, row)
        if added.rowcount:
            db.execute("INSERT INTO chunks VALUES (?, ?)", (row[0], added.lastrowid))
            rebuilt.answers += 1
    bill = read_call_totals(old) or [(m, n, p, c, 0) for m, (n, p, c) in rebuilt.bill.items()]
    db.executemany("INSERT INTO call_totals VALUES (?, ?, ?, ?, ?)", bill)
    db.execute(_ADD_UNIT_TOTALS)
    (rebuilt.units,) = db.execute("SELECT count(*) FROM units").fetchone()


def _exchange(folder: RunFolder, building: Path, kept: Path, files: Files) -> None:
    """Put the new ledger in its place. A kill in between leaves none, and the old one beside it.

    The old write-ahead log goes with the old ledger: beside the new one it would be applied to it.
    """
    try:
        for ending in ("", "-wal"):
            old = folder.ledger.with_name(f"{folder.ledger.name}{ending}")
            if ending or _is_something(old):
                beside = kept.with_name(f"{kept.name}{ending}")
                if old.exists():
                    files.rename(old, beside)
        shared = folder.ledger.with_name(f"{folder.ledger.name}-shm")
        if shared.exists():
            files.unlink(shared)
        files.rename(building, folder.ledger)
        files.sync_folder(folder.state)
    except OSError as error:
        raise refusal(error, folder.ledger) from None


def _is_something(path: Path) -> bool:
    return path.is_file() and path.stat().st_size > 0
