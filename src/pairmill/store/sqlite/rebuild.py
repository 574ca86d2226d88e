"""Rebuilds a lost or damaged ledger from the shards and the rejects.

A row does not carry its unit's id. It carries its chunk's, and a unit is its chunk under one recipe
and settings; so with the identities of the recipes that were ever used in the folder, each row's
unit can be named, and the row's own id proves it. What cannot be named is kept, counted, and said.

Where a run went on with a ledger older than its shards, units are twice. The first time counts:
later rows of the same unit are taken out, and their shard is written again without them.
"""

from __future__ import annotations

import hashlib
import os
import sqlite3
from contextlib import closing
from dataclasses import dataclass, field
from itertools import groupby
from typing import TYPE_CHECKING

import orjson
from msgspec import structs

from pairmill.errors import ChangedError
from pairmill.records import Outcome, digest
from pairmill.store.chain import GenerationLog, LedgerChain, new_chain_id, seen_chain
from pairmill.store.columns import pair_id
from pairmill.store.entries import ShardRecord
from pairmill.store.files import DISK, Files, refusal, write_all
from pairmill.store.shards import (
    KINDS,
    Row,
    count_of,
    is_row,
    publish_file,
    read_rows,
    shard_number,
    tokens_of,
)
from pairmill.store.sqlite.database import create, explained
from pairmill.store.sqlite.salvage import (
    read_answers,
    read_call_totals,
    read_charges,
    read_old_chain,
    read_sends,
    refuse_newer,
)
from pairmill.store.sqlite.small_tables import add_charges, prepare, prepare_sends

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from pairmill.store.paths import FolderPaths

__all__ = ["Rebuilt", "rebuild"]

_MOST_PAIRS = 64  # of one unit
_READ_BYTES = 2**20
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
    """Contents of the new ledger, and problems of its sources.

    Attributes:
        pairs: Rows that are in the shards.
        units: Units that count as finished.
        answers: Bought answers that could be read out of the old ledger.
        unnamed: Pairs whose unit cannot be identified: made under settings that were not recorded.
        doubles: Lines taken out because their unit, or reject, is in an earlier place.
        is_kept: The old ledger is beside the new one.
        damaged: Published shards with lines that are no rows, as plain lines for people.
        cut: Lines taken off the ends of open and torn shards, since they may be of half a unit.
        bill: Model to calls, prompt tokens and completion tokens, as far as the lines tell.
    """

    pairs: int = 0
    units: int = 0
    answers: int = 0
    unnamed: int = 0
    doubles: int = 0
    cut: int = 0
    is_kept: bool = False
    damaged: list[str] = field(default_factory=list)
    bill: dict[str, list[int]] = field(default_factory=dict)


def rebuild(
    folder: FolderPaths,
    identities: Sequence[str],
    *,
    version: str,
    files: Files = DISK,
    strict: bool = False,
    others: Sequence[Path] = (),
) -> Rebuilt:
    """Put a new ledger in the place of the old one, which is kept beside it.

    Shards that were open are published, up to their last whole unit.

    Args:
        folder: Locked, from ``lock_folder``.
        identities: Of every recipe and settings that may have been used in it.
        version: Of pairmill, for the new ledger.
        files: The operations on the disk.
        strict: Refuse if there are pairs whose unit cannot be named.
        others: Further ledgers whose answers and charges count, as of parts that are merged.

    Raises:
        ChangedError: There are such pairs; no ledger was put anywhere.
        FolderError: A newer pairmill made it, or two files claim to be one shard.
        StorageError: The disk refused; the same command can be run again.
    """
    kept = folder.ledger.with_name(f"{folder.ledger.name}.damaged")
    old = folder.ledger if _is_something(folder.ledger) else kept
    refuse_newer(old)
    rebuilt = Rebuilt()
    for path in sorted(folder.open_shards.iterdir()):
        if shard_number(path.name) is not None:
            rebuilt.cut += _close(folder, path, files)
    building = folder.ledger.with_name(f"{folder.ledger.name}.rebuilt")
    chain = _next_chain(folder, old)
    create(building, version, chain)
    place = building.absolute()  # a relative name may look like a URI
    with explained(building), closing(sqlite3.connect(place, isolation_level=None)) as db:
        db.execute("PRAGMA synchronous = FULL")
        db.execute("CREATE TEMP TABLE seen (id BLOB PRIMARY KEY) WITHOUT ROWID")
        db.execute("BEGIN IMMEDIATE")
        for kind in KINDS:
            for path in sorted(folder.published(kind).iterdir(), key=_by_number):
                if shard_number(path.name) is None:
                    continue
                rebuilt.cut += _mend_end(path, kind, files)
                if path.exists():
                    _Intake(db, folder, identities, rebuilt, files).take(path, kind)
        _keep_what_was_paid(db, (old, *others), rebuilt)
        db.execute("COMMIT")
    if strict and rebuilt.unnamed:
        building.unlink()
        raise ChangedError(
            f"{folder.path}: {rebuilt.unnamed:,} of {rebuilt.pairs:,} pairs were made with other"
            " settings or another input's recipe; give the settings that they were made with, or"
            " add --accept-change to write new pairs beside them"
        )
    rebuilt.is_kept = _exchange(folder, building, kept, files)
    GenerationLog(folder.generation, files, chain).close()
    return rebuilt


def _by_number(path: Path) -> tuple[int, str]:
    return shard_number(path.name) or 0, path.name


def _next_chain(folder: FolderPaths, old: Path) -> LedgerChain:
    """Return the new ledger's place in the chain: after everything known of its folder."""
    seen = [chain for chain in (seen_chain(folder), read_old_chain(old)) if chain is not None]
    last = max(seen, key=lambda chain: chain.generation, default=None)
    return LedgerChain(last.id, last.generation + 1) if last else LedgerChain(new_chain_id())


def _close(folder: FolderPaths, path: Path, files: Files) -> int:
    """Cut an open shard back to whole units, publish it, and return the lines cut off.

    What its committed length was nobody knows any more. Of its last unit some lines may never have
    been written, so that unit is asked, or found among the answers, again.
    """
    kind = path.name.partition("-")[0]
    number = shard_number(path.name) or 0
    if _is_start_of(path, folder.published(kind) / path.name):
        files.unlink(path)  # an older copy of what was published since
        return 0
    length, lines, cut = _whole_units(path, kind)
    if not _cut_to(path, length, files):
        return cut
    record = ShardRecord(kind, number, True, length, lines, "")  # noqa: FBT003 (closed)
    if (folder.published(kind) / path.name).exists():
        record = structs.replace(record, number=_free_number(folder, kind))
        files.rename(path, folder.open_shards / record.name)
    publish_file(folder, files, record)
    return cut


def _mend_end(path: Path, kind: str, files: Files) -> int:
    """Cut a published shard that ends in the middle of a line back to whole units.

    Return the lines cut off. Where a row lacks nothing but its newline, that is written.
    """
    last, size = b"", 0
    with path.open("rb") as file:
        for last in file:  # noqa: B007 (the last one is looked at)
            pass
        size = file.tell()
    if last.endswith(b"\n"):
        return 0
    if is_row(last + b"\n"):
        _append(path, b"\n", files)
        return 0
    length, _, cut = _whole_units(path, kind, torn_at=size - len(last))
    _cut_to(path, length, files)
    return cut + bool(last)


def _whole_units(path: Path, kind: str, *, torn_at: int | None = None) -> tuple[int, int, int]:
    """Return up to where a shard holds whole units: bytes, lines, and the lines of the last one.

    Rejects are whole by themselves; of the last unit of pairs some lines may be missing. A shard
    ends where the first line is no row, or, being published, at the byte ``torn_at``.
    """
    rows: list[tuple[str, int]] = []  # of the last unit: its chunk, and where each line begins
    end = lines = 0
    for row, length in read_rows(path):
        if end == torn_at or (row is None and torn_at is None):
            break
        if row is not None:
            if kind == "train" and (not rows or rows[-1][0] != row["chunk_id"]):
                rows.clear()
            rows.append((str(row["chunk_id"]), end))
        end += length
        lines += 1
    cut = len(rows) if kind == "train" else 0
    return rows[0][1] if cut else end, lines - cut, cut


def _append(path: Path, data: bytes, files: Files) -> None:
    try:
        fd = files.open(path, os.O_WRONLY | os.O_APPEND)
        try:
            write_all(files, fd, data)
            files.sync(fd)
        finally:
            files.close(fd)
    except OSError as error:
        raise refusal(error, path) from None


def _cut_to(path: Path, length: int, files: Files) -> bool:
    """Cut a shard to a length, or remove it where that is nothing; return whether it is there."""
    try:
        fd = files.open(path, os.O_WRONLY)
        try:
            files.truncate(fd, length)
            files.sync(fd)
        finally:
            files.close(fd)
        if not length:
            files.unlink(path)
    except OSError as error:
        raise refusal(error, path) from None
    return length > 0


def _is_start_of(path: Path, published: Path) -> bool:
    """Return whether a published shard begins with all the bytes of the open one."""
    if not published.is_file() or path.stat().st_size > published.stat().st_size:
        return False
    with path.open("rb") as part, published.open("rb") as whole:
        while block := part.read(_READ_BYTES):
            if whole.read(len(block)) != block:
                return False
    return True


def _free_number(folder: FolderPaths, kind: str) -> int:
    places = (folder.open_shards, folder.published(kind))
    names = [entry.name for place in places for entry in place.iterdir()]
    used = [shard_number(name) for name in names if name.startswith(f"{kind}-")]
    return max((number for number in used if number is not None), default=-1) + 1


_Unit = tuple[bytes, str, str | None, int, int, int, int]
_Line = tuple[Row, int, int]
"""A row, and where its line begins and ends."""


class _Intake:
    """Enters published shards and their units."""

    def __init__(
        self,
        db: sqlite3.Connection,
        folder: FolderPaths,
        identities: Sequence[str],
        rebuilt: Rebuilt,
        files: Files,
    ) -> None:
        self._db = db
        self._folder = folder
        self._identities = identities
        self._rebuilt = rebuilt
        self._files = files

    def take(self, path: Path, kind: str) -> None:
        """Enter one shard, after taking out what is in an earlier place."""
        doubles: list[tuple[int, int]] = []
        for lines in _same_chunk(path):
            if kind == "train":
                units = self._pairs(lines, doubles)
            else:
                units = _rejects(self._new_rejects(lines, doubles), self._rebuilt)
            for unit in units:
                self._db.execute(_ADD_UNIT, unit)
        if doubles:
            self._rebuilt.doubles += len(doubles)
            _write_without(path, self._folder.state / path.name, doubles, self._files)
            if not path.exists():
                return
        content, good, bad, size = hashlib.sha256(), 0, 0, 0
        for row, length in read_rows(path, content):
            size += length
            good += row is not None
            bad += row is None
        if bad:
            self._rebuilt.damaged.append(f"{path}: {bad} lines are no rows; left as they are")
        values = (kind, shard_number(path.name), "closed", size, good + bad, content.hexdigest())
        self._db.execute("INSERT INTO shards VALUES (?, ?, ?, ?, ?, ?)", values)

    def _new_rejects(self, lines: list[_Line], doubles: list[tuple[int, int]]) -> list[Row]:
        """Return the rejects that are nowhere before, but for the time; note the others."""
        kept: list[Row] = []
        for row, start, end in lines:
            told = orjson.dumps({**row, "created": None}, option=orjson.OPT_SORT_KEYS)
            add = "INSERT OR IGNORE INTO seen VALUES (?)"
            if self._db.execute(add, (hashlib.sha256(told).digest(),)).rowcount:
                kept.append(row)
            else:
                doubles.append((start, end))
        return kept

    def _pairs(self, lines: list[_Line], doubles: list[tuple[int, int]]) -> list[_Unit]:
        """Name the units of some rows of one chunk: a row's id is its unit's id and its place."""
        units: dict[bytes, list[_Line]] = {}
        for line in lines:
            units.setdefault(_unit_of(line[0], self._identities) or b"", []).append(line)
        found: list[_Unit] = []
        for unit, own in units.items():
            kept = self._first_time(unit, own, doubles)
            if not kept:
                continue
            rows = [row for row, _, _ in kept]
            self._rebuilt.pairs += len(rows)
            self._rebuilt.unnamed += 0 if unit else len(rows)
            _charge(self._rebuilt, rows)
            if unit:
                spent = (count_of(rows[0], "attempts"), *tokens_of(rows))
                found.append((unit, Outcome.WRITTEN.value, None, len(rows), *spent))
        return found

    def _first_time(
        self, unit: bytes, lines: list[_Line], doubles: list[tuple[int, int]]
    ) -> list[_Line]:
        """Return the lines that count; note the others as doubles.

        Of a unit that is in an earlier place all rows go, not only those with a twin: two
        answers to one question may have given different numbers of pairs.
        """
        known = "SELECT 1 FROM units WHERE id = ? AND pairs > 0"
        stands = bool(unit) and self._db.execute(known, (unit,)).fetchone() is not None
        kept: list[_Line] = []
        for row, start, end in lines:
            add = "INSERT OR IGNORE INTO seen VALUES (?)"
            if not stands and self._db.execute(add, (bytes.fromhex(row["id"]),)).rowcount:
                kept.append((row, start, end))
            else:
                doubles.append((start, end))
        return kept


def _same_chunk(path: Path) -> Iterator[list[_Line]]:
    """Yield the rows of a shard, those of one chunk that follow each other together."""

    def read() -> Iterator[_Line]:
        start = 0
        for row, length in read_rows(path):
            if row is not None:
                yield row, start, start + length
            start += length

    for _, lines in groupby(read(), key=lambda line: str(line[0]["chunk_id"])):
        yield list(lines)


def _write_without(
    path: Path, temporary: Path, doubles: list[tuple[int, int]], files: Files
) -> None:
    """Replace a published shard by one without some of its lines, atomically."""
    try:
        fd = files.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        try:
            with path.open("rb") as source:
                at = 0
                for start, end in (*sorted(doubles), (path.stat().st_size,) * 2):
                    while at < start:
                        part = source.read(min(start - at, _READ_BYTES))
                        write_all(files, fd, part)
                        at += len(part)
                    at = source.seek(end)
            files.sync(fd)
        finally:
            files.close(fd)
        if temporary.stat().st_size:
            files.rename(temporary, path)
        else:
            files.unlink(temporary)
            files.unlink(path)
        files.sync_folder(path.parent)
    except OSError as error:
        raise refusal(error, path) from None


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
    """Return the units that ended without a pair, with the last entry of each."""
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


def _keep_what_was_paid(db: sqlite3.Connection, olds: Sequence[Path], rebuilt: Rebuilt) -> None:
    for old in olds:
        for row in read_answers(old):
            added = db.execute(_ADD_ANSWER, row)
            if added.rowcount:
                db.execute("INSERT INTO chunks VALUES (?, ?)", (row[0], added.lastrowid))
                rebuilt.answers += 1
    db.executemany("INSERT INTO call_totals VALUES (?, ?, ?, ?, ?)", _bill(olds, rebuilt))
    prepare(db)
    prepare_sends(db)
    for old in olds:
        add_charges(db, read_charges(old))
        db.executemany("INSERT OR REPLACE INTO sends VALUES (?, ?, ?, ?, ?)", read_sends(old))
    db.execute(_ADD_UNIT_TOTALS)
    (rebuilt.units,) = db.execute("SELECT count(*) FROM units").fetchone()


def _bill(olds: Sequence[Path], rebuilt: Rebuilt) -> list[tuple[str, int, int, int, int]]:
    """Return the old ledgers' bill, and at least what the lines tell of: it may be older."""
    bill: dict[str, tuple[int, int, int, int]] = {}
    for old in olds:
        for model, *counts in read_call_totals(old):
            before = bill.get(model, (0, 0, 0, 0))
            calls, prompt, done, cached = (a + b for a, b in zip(before, counts, strict=True))
            bill[model] = (calls, prompt, done, cached)
    for model, told in rebuilt.bill.items():
        calls, prompt, done, cached = bill.get(model, (0, 0, 0, 0))
        bill[model] = (max(calls, told[0]), max(prompt, told[1]), max(done, told[2]), cached)
    return [(model, *counts) for model, counts in bill.items()]


def _exchange(folder: FolderPaths, building: Path, kept: Path, files: Files) -> bool:
    """Put the new ledger in its place. A kill in between leaves none, and the old one beside it.

    Returns whether there is an old one beside it.

    The old write-ahead log goes with the old ledger: beside the new one it would be applied to it.
    """
    try:
        if folder.ledger.is_dir():  # a container's mount of a file that was not there
            files.rename(folder.ledger, kept.with_name(f"{kept.name}.folder"))
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
    return _is_something(kept)


def _is_something(path: Path) -> bool:
    return path.is_file() and path.stat().st_size > 0
