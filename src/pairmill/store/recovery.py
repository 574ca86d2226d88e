"""Brings the shards to the ledger's state at each start, and checks folders.

A shard is never trusted beyond its committed length, and must be complete up to it. Rows that are
cut off are written again from the ledger's answers.
"""

from __future__ import annotations

import hashlib
import os
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

from pairmill.errors import FolderError, PairmillError
from pairmill.store.chain import check_chain
from pairmill.store.files import refusal
from pairmill.store.shards import KINDS, OpenShard, Shards, publish_file, read_rows, shard_number
from pairmill.store.sqlite.store import SQLITE

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from pairmill.store.entries import ShardRecord
    from pairmill.store.files import Files
    from pairmill.store.folder import RunFolder

__all__ = ["find_harm", "restore"]

_READ_BYTES = 2**20


def restore(
    folder: RunFolder, files: Files, records: Sequence[ShardRecord], now_s: float
) -> tuple[Shards, list[str]]:
    """Bring the shards on the disk to the state of the ledger's records.

    Each open shard is cut to its committed length; a closed one is renamed if it was not; a file
    unknown to the ledger is removed from ``.run/open/``. The second value is lines for people about
    published shards that were changed.

    Raises:
        FolderError: Committed bytes are missing or changed.
        StorageError: The disk refused.
    """
    _remove_strangers(folder, files, {record.name for record in records})
    notices = [_finish(folder, files, record) for record in records if record.closed]
    next_numbers = _next_numbers(folder, records)
    opened: list[OpenShard] = []
    try:
        for record in records:
            if not record.closed:
                opened.append(_reopen(folder, files, record, now_s))  # noqa: PERF401 (closed below)
    except BaseException:
        for shard in opened:
            files.close(shard.fd)
        raise
    return Shards(folder, files, opened, next_numbers), [line for line in notices if line]


def _remove_strangers(folder: RunFolder, files: Files, names: set[str]) -> None:
    """Remove open shards that are in no transaction: nothing in them is committed."""
    for entry in folder.open_shards.iterdir():
        if shard_number(entry.name) is not None and entry.name not in names:
            try:
                files.unlink(entry)
            except OSError as error:
                raise refusal(error, entry) from None


def _finish(folder: RunFolder, files: Files, record: ShardRecord) -> str | None:
    """Ensure that a closed shard is published; return a notice if it was changed."""
    old = folder.open_shards / record.name
    new = folder.published(record.kind) / record.name
    if old.exists():
        _check_length(folder, old, record)
        publish_file(folder, files, record)
    if not new.exists():
        raise FolderError(
            f"{new}: missing, but the ledger counts its {record.rows} rows as done; put it back,"
            f" or run 'pairmill recover {folder.path}'"
        )
    size = new.stat().st_size
    if size == record.bytes:
        return None
    return f"{new} was changed since it was published: {size} bytes, was {record.bytes}"


def _reopen(folder: RunFolder, files: Files, record: ShardRecord, now_s: float) -> OpenShard:
    path = folder.open_shards / record.name
    _check_length(folder, path, record)
    content = _hash_start(path, record.bytes)
    if content.hexdigest() != record.sha256:
        raise FolderError(
            f"{path}: its first {record.bytes} bytes are not what was written; run"
            f" 'pairmill recover {folder.path}'"
        )
    try:
        fd = files.open(path, os.O_WRONLY | os.O_APPEND)
        try:
            if os.fstat(fd).st_size != record.bytes:
                files.truncate(fd, record.bytes)
                files.sync(fd)  # or the tail could reappear after the file was published
        except OSError:
            files.close(fd)
            raise
    except OSError as error:
        raise refusal(error, path) from None
    return OpenShard(record, fd, now_s, content, is_new=False)


def _check_length(folder: RunFolder, path: Path, record: ShardRecord) -> None:
    try:
        size = path.stat().st_size
    except FileNotFoundError:
        size = 0
    if size < record.bytes:
        raise FolderError(
            f"{path}: {size} bytes, and {record.bytes} were committed; run"
            f" 'pairmill recover {folder.path}'"
        )


def _hash_start(path: Path, length: int) -> hashlib._Hash:
    """Hash the first ``length`` bytes, in constant memory."""
    content = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while length > 0 and (part := file.read(min(length, _READ_BYTES))):
                content.update(part)
                length -= len(part)
    except OSError as error:
        raise refusal(error, path) from None
    return content


def _next_numbers(folder: RunFolder, records: Sequence[ShardRecord]) -> dict[str, int]:
    """Return, for each kind, the number after the highest that was ever used."""
    highest = dict.fromkeys(KINDS, -1)
    for record in records:
        highest[record.kind] = max(highest[record.kind], record.number)
    for kind in KINDS:
        for entry in folder.published(kind).iterdir():
            number = shard_number(entry.name)
            if number is not None:
                highest[kind] = max(highest[kind], number)
    return {kind: number + 1 for kind, number in highest.items()}


def find_harm(folder: RunFolder) -> str:
    """Describe a fault of ledger or shards in a folder without a running process; "" if none.

    Reads the whole ledger and all shards, and changes neither.
    """
    try:
        SQLITE.check(folder.state)
        with folder.read_ledger() as ledger:
            chain, records = ledger.chain(), ledger.shards()
        check_chain(folder, chain, records)
        for record in records:
            _check_shard(folder, record)
    except PairmillError as error:
        return str(error)
    return _find_double(folder)


def _check_shard(folder: RunFolder, record: ShardRecord) -> None:
    """Raise FolderError if a shard's length or content differs from the ledger."""
    path = folder.open_shards / record.name
    if record.closed and not path.exists():
        path = folder.published(record.kind) / record.name
        if not path.exists() or path.stat().st_size != record.bytes:
            raise FolderError(f"{path}: missing, or not as it was published")
        return
    _check_length(folder, path, record)
    if _hash_start(path, record.bytes).hexdigest() != record.sha256:
        raise FolderError(f"{path}: not what was written")


def _find_double(folder: RunFolder) -> str:
    """Describe the first pair that is published twice; "" if there is none."""
    with closing(sqlite3.connect("")) as seen:  # a temporary file
        seen.execute("CREATE TABLE seen (id TEXT PRIMARY KEY) WITHOUT ROWID")
        for path in sorted(folder.data.iterdir()):
            if shard_number(path.name) is None:
                continue
            for row, _ in read_rows(path):
                add = "INSERT OR IGNORE INTO seen VALUES (?)"
                if row is not None and not seen.execute(add, (row["id"],)).rowcount:
                    return f"{path}: the pair {row['id']} stands in it a second time"
    return ""
