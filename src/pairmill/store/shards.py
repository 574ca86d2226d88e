"""Append-only JSONL files: written under ``.run/open/``, published by renaming.

Each shard counts and hashes what it holds. Bytes that no ledger transaction has confirmed can be
truncated at any time; confirmed bytes are never touched again.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import re
from typing import TYPE_CHECKING, Any

import orjson

from pairmill.errors import FolderError, StorageError
from pairmill.store.entries import ShardRecord
from pairmill.store.files import refusal, write_all

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from pairmill.store.files import Files
    from pairmill.store.paths import FolderPaths

__all__ = [
    "KINDS",
    "OpenShard",
    "Row",
    "Shards",
    "count_of",
    "holds_shards",
    "is_row",
    "publish_file",
    "read_last_rows",
    "read_lines",
    "read_rows",
    "shard_number",
    "tokens_of",
]

Row = dict[str, Any]


def read_lines(
    folder: FolderPaths, records: Sequence[ShardRecord], kind: str, *, longest_bytes: int = 2**26
) -> Iterator[bytes]:
    """Yield every committed line of a kind, newline included, oldest shard first.

    Args:
        folder: Where to read.
        records: From ``Lookup.shards``; an open shard is read up to its committed length.
        kind: ``train`` or ``rejected``.
        longest_bytes: A longer line is treated as damaged.

    Raises:
        FolderError: A shard is missing, or a published one was edited.
    """
    for record in records:
        if record.kind == kind:
            yield from _lines(folder, record, longest_bytes)


def _lines(folder: FolderPaths, record: ShardRecord, longest_bytes: int) -> Iterator[bytes]:
    public = folder.published(record.kind) / record.name
    try:
        file, whole = (folder.open_shards / record.name).open("rb"), False
    except FileNotFoundError:  # a run may publish a shard at any moment, but never withdraws it
        try:
            file, whole = public.open("rb"), True
        except FileNotFoundError:
            raise FolderError(f"{public}: missing; put it back") from None
    with file:
        left = file.seek(0, os.SEEK_END) if whole else record.bytes
        file.seek(0)
        while left > 0:
            line = file.readline(min(left, longest_bytes))
            if not line.endswith(b"\n"):
                raise FolderError(
                    f"{file.name}: a line is cut off; the shard was damaged or edited"
                )
            left -= len(line)
            yield line


def read_rows(path: Path, content: hashlib._Hash | None = None) -> Iterator[tuple[Row | None, int]]:
    """Yield each line as a row, or as None if it is not a row, with its length in bytes."""
    try:
        with path.open("rb") as file:
            for line in file:
                if content is not None:
                    content.update(line)
                yield _row(line), len(line)
    except OSError as error:
        raise FolderError(str(refusal(error, path))) from None


def read_last_rows(path: Path, most: int, longest_bytes: int = 2**18) -> list[Row]:
    """Return up to ``most`` rows from the end of a shard that may be growing, the last one first.

    Args:
        path: The shard.
        most: How many rows.
        longest_bytes: How far back from the end to look.

    Raises:
        FolderError: It cannot be read.
    """
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            start = max(0, size - longest_bytes)
            file.seek(start)
            lines = file.read(longest_bytes).splitlines(keepends=True)
    except OSError as error:
        raise FolderError(str(refusal(error, path))) from None
    whole = lines[1:] if start else lines
    return [row for line in whole[: -most - 2 : -1] if (row := _row(line)) is not None][:most]


def is_row(line: bytes) -> bool:
    """Return whether a line, newline included, is a row."""
    return _row(line) is not None


def _row(line: bytes) -> Row | None:
    try:
        row = orjson.loads(line) if line.endswith(b"\n") else None
    except orjson.JSONDecodeError:
        return None
    if isinstance(row, dict) and _is_id(row.get("id")) and _is_id(row.get("chunk_id")):
        return row
    return None


def _is_id(value: object) -> bool:
    if not isinstance(value, str) or len(value) != 32:  # noqa: PLR2004 (hex digits of an id)
        return False
    return all(letter in "0123456789abcdef" for letter in value)


def tokens_of(rows: list[Row]) -> tuple[int, int]:
    """Return the total prompt and completion tokens of rows."""
    prompt = sum(count_of(row, "prompt_tokens") for row in rows)
    return prompt, sum(count_of(row, "completion_tokens") for row in rows)


def count_of(row: Row, name: str) -> int:
    """Return an integer field; 0 if it is not one."""
    value = row.get(name)
    return min(max(value, 0), 2**40) if isinstance(value, int) else 0


KINDS = ("train", "rejected")
_NUMBER = re.compile(r"(?:train|rejected)-(\d{5,})\.jsonl\Z")
_NO_ROOM_TO_OPEN = frozenset({errno.EMFILE, errno.ENFILE})  # raised before anything was synced


class OpenShard:
    """A growing file; its committed part is a prefix of what was written."""

    def __init__(
        self, record: ShardRecord, fd: int, born_s: float, content: hashlib._Hash, *, is_new: bool
    ) -> None:
        self.committed = record
        self.fd = fd
        self.born_s = born_s
        self.is_new = is_new  # its name is not synced yet
        self.is_cut = False  # truncated bytes could reappear until the next sync
        self.bytes = record.bytes
        self.rows = record.rows
        self._content = content
        self._committed_content = content.copy()

    @property
    def is_changed(self) -> bool:
        """True if it holds bytes that are not committed."""
        return self.bytes > self.committed.bytes

    def record(self, *, closed: bool = False) -> ShardRecord:
        """Return its state including uncommitted bytes."""
        kind, number = self.committed.kind, self.committed.number
        return ShardRecord(kind, number, closed, self.bytes, self.rows, self._content.hexdigest())

    def count(self, data: bytes, rows: int) -> None:
        """Record bytes that were written completely."""
        self.bytes += len(data)
        self.rows += rows
        self._content.update(data)

    def commit(self) -> None:
        """Mark everything written as committed."""
        self.committed = self.record()
        self._committed_content = self._content.copy()

    def forget(self) -> None:
        """Record that the file was truncated to its committed length."""
        self.bytes, self.rows = self.committed.bytes, self.committed.rows
        self._content = self._committed_content.copy()


class Shards:
    """The open shards of a run folder, at most one of each kind."""

    def __init__(
        self,
        folder: FolderPaths,
        files: Files,
        open_shards: Sequence[OpenShard],
        next_numbers: dict[str, int],
    ) -> None:
        self._folder = folder
        self._files = files
        self._open = {shard.committed.kind: shard for shard in open_shards}
        self._next_numbers = next_numbers
        self._closing: list[ShardRecord] = []

    def append(self, kind: str, lines: Sequence[bytes], now_s: float) -> None:
        """Append lines to the open shard, which is created if there is none.

        Raises:
            StorageError: The disk refused; ``rollback`` removes what was written.
        """
        if not lines:
            return
        if any(not line or line.find(b"\n") != len(line) - 1 for line in lines):
            raise ValueError("each line must hold one newline, at its end")
        data = b"".join(lines)
        shard = self._open.get(kind) or self._create(kind, now_s)
        try:
            write_all(self._files, shard.fd, data)
        except OSError as error:
            raise refusal(error, self._place(shard.committed)) from None
        shard.count(data, len(lines))

    def sync(self) -> None:
        """Sync all appended and truncated files, so that they survive a power loss.

        A failed sync is never repeated: the system may have dropped the bytes, and would report
        success.

        Raises:
            StorageError: The outcome is unknown. Not transient, whatever the cause, unless nothing
                was synced yet.
        """
        changed = [shard for shard in self._open.values() if shard.is_changed or shard.is_cut]
        try:
            for shard in changed:
                self._files.sync(shard.fd)
            if any(shard.is_new for shard in changed):
                self._files.sync_folder(self._folder.open_shards)
        except OSError as error:
            text = str(refusal(error, self._folder.open_shards))
            raise StorageError(text, transient=error.errno in _NO_ROOM_TO_OPEN) from None
        for shard in changed:
            shard.is_new = shard.is_cut = False

    def changed(self) -> list[ShardRecord]:
        """Return the state of each shard that holds uncommitted bytes."""
        return [shard.record() for shard in self._open.values() if shard.is_changed]

    def committed(self) -> list[ShardRecord]:
        """Return the committed state of each open shard that the ledger knows, by kind."""
        records = (shard.committed for shard in self._open.values() if shard.committed.bytes)
        return sorted(records, key=lambda record: record.kind)

    def commit(self) -> None:
        """Mark what ``changed`` returned as committed."""
        for shard in self._open.values():
            if shard.is_changed:
                shard.commit()

    def rollback(self) -> None:
        """Truncate all shards to their committed lengths.

        Raises:
            StorageError: The disk refused; it may be tried again.
        """
        for shard in self._open.values():
            try:
                self._files.truncate(shard.fd, shard.committed.bytes)
            except OSError as error:
                raise refusal(error, self._place(shard.committed)) from None
            shard.is_cut = shard.is_cut or shard.committed.bytes > 0
            shard.forget()

    def ripe(self, now_s: float, most_bytes: int, most_age_s: float) -> list[ShardRecord]:
        """Return, as closed, the state of each shard that is large or old enough."""
        return [
            shard.record(closed=True)
            for shard in self._open.values()
            if shard.rows and (shard.bytes >= most_bytes or now_s - shard.born_s >= most_age_s)
        ]

    def close(self, records: Sequence[ShardRecord]) -> None:
        """Record that these shards are closed in the ledger; ``publish_next`` renames them."""
        for record in records:
            shard = self._open.pop(record.kind)
            self._closing.append(record)
            with contextlib.suppress(OSError):  # every byte was synced before
                self._files.close(shard.fd)

    def publish_next(self) -> ShardRecord | None:
        """Publish the next closed shard and return it; None if none is left.

        Raises:
            StorageError: The disk refused; if transient, it may be tried again.
            FolderError: Another file has the name.
        """
        if not self._closing:
            return None
        publish_file(self._folder, self._files, self._closing[0])
        return self._closing.pop(0)

    def release(self) -> None:
        """Close the files; open shards stay for the next start."""
        for shard in self._open.values():
            with contextlib.suppress(OSError):
                self._files.close(shard.fd)
        self._open.clear()

    def _create(self, kind: str, now_s: float) -> OpenShard:
        number = self._next_numbers[kind]
        content = hashlib.sha256()
        record = ShardRecord(kind, number, closed=False, bytes=0, rows=0, sha256="")
        path = self._place(record)
        try:
            fd = self._files.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL)
        except OSError as error:
            raise refusal(error, path) from None
        shard = OpenShard(record, fd, now_s, content, is_new=True)
        self._next_numbers[kind] = number + 1
        self._open[kind] = shard
        return shard

    def _place(self, record: ShardRecord) -> Path:
        return self._folder.open_shards / record.name


def shard_number(name: str) -> int | None:
    """Return the number in a shard's file name; None if it is not a shard."""
    found = _NUMBER.match(name)
    return int(found[1]) if found else None


def holds_shards(folder: FolderPaths) -> bool:
    """Return True if any shard, open or published, exists."""
    places = (folder.open_shards, *(folder.published(kind) for kind in KINDS))
    return any(
        shard_number(entry.name) is not None
        for place in places
        if place.is_dir()
        for entry in place.iterdir()
    )


def publish_file(folder: FolderPaths, files: Files, record: ShardRecord) -> None:
    """Publish one closed shard by renaming it, if that has not happened yet.

    Raises:
        StorageError: The disk refused; it may be tried again.
        FolderError: Another file has the name.
    """
    old = folder.open_shards / record.name
    new = folder.published(record.kind) / record.name
    try:
        if old.exists():
            if new.exists():
                raise FolderError(
                    f"{new}: in the way of a shard that must be published there; move it"
                )
            files.rename(old, new)
        files.sync_folder(new.parent)
        files.sync_folder(old.parent)
    except OSError as error:
        raise refusal(error, new) from None
