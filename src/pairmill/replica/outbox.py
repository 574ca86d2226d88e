"""Commits that are to go up, on the local disk: those of a killed process go up later.

An entry is written before the ledger commits it, and cut off again if that fails. Files are not
synced: a kill loses nothing of them; after a power loss entries may be missing, which shows as a
gap between generations, and whoever uploads makes a base then.
"""

from __future__ import annotations

import os
import threading
import zlib
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pairmill.store.commit_log import CommitEntry, decode_entry, encode_entry
from pairmill.store.files import DISK, refusal, write_all

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from pairmill.store.chain import LedgerChain

__all__ = ["Outbox", "OutboxEntry", "frame", "unframed"]

_HEAD_BYTES = 8
_MOST_BYTES = 2**30


@dataclass(frozen=True, slots=True)
class OutboxEntry:
    """Where an entry stands, and which transaction it is."""

    chain: str
    generation: int
    path: Path
    at: int
    size: int

    def read(self) -> bytes:
        """Return it, framed."""
        with self.path.open("rb") as file:
            file.seek(self.at)
            return file.read(self.size)


class Outbox:
    """A `CommitLog` in a folder, with the entries that still have to be uploaded.

    The journal's thread writes, another one takes.
    """

    def __init__(self, folder: Path) -> None:
        """Open a folder, creating it if necessary, with the entries left in it.

        Raises:
            StorageError: The disk refused.
        """
        self._folder = folder
        self.lock = threading.RLock()
        """Lock held during each commit: its holder sees the run folder between two commits."""
        self._entries: list[OutboxEntry] = []
        self._fd = -1
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            paths = sorted(path for path in folder.iterdir() if path.name.isdecimal())
        except OSError as error:
            raise refusal(error, folder) from None
        for path in paths:
            self._entries += _entries_of(path)
        self._number = int(paths[-1].name) + 1 if paths else 0
        self._path = folder / f"{self._number:010d}"
        self._bytes = 0

    @contextmanager
    def committing(self, entry: CommitEntry) -> Iterator[None]:
        """See `CommitLog`."""
        with self.lock:
            at = self._bytes
            data = frame(encode_entry(entry))
            try:
                if self._fd < 0:
                    self._begin()
                    at = 0
                write_all(DISK, self._fd, data)
            except OSError as error:
                self._cut(at)
                raise refusal(error, self._path) from None
            self._bytes = at + len(data)
            try:
                yield
            except BaseException:
                self._cut(at)
                raise
            self._entries.append(
                OutboxEntry(entry.chain, entry.generation, self._path, at, len(data))
            )

    def keep_to(self, chain: LedgerChain | None) -> None:
        """Forget entries that the ledger does not know: it was killed before it committed them."""
        with self.lock:
            self._entries = [
                it
                for it in self._entries
                if chain is not None and it.chain == chain.id and it.generation <= chain.generation
            ]

    def waiting(self) -> Sequence[OutboxEntry]:
        """Return the entries to upload, in order; later commits go into another file."""
        with self.lock:
            self._end()
            return tuple(self._entries)

    def drop(self, entries: Sequence[OutboxEntry]) -> None:
        """Forget entries that are not needed any more, and remove files without others."""
        gone = set(entries)
        with self.lock:
            self._entries = [it for it in self._entries if it not in gone]
            needed = {it.path for it in self._entries}
            if self._fd >= 0:
                needed.add(self._path)
            with suppress(OSError):
                for path in self._folder.iterdir():
                    if path.name.isdecimal() and path not in needed:
                        path.unlink()

    def close(self) -> None:
        """Close the file."""
        with self.lock:
            self._end()

    def _begin(self) -> None:
        self._path = self._folder / f"{self._number:010d}"
        self._fd = DISK.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND)
        self._bytes = 0

    def _end(self) -> None:
        if self._fd >= 0:
            with suppress(OSError):
                os.close(self._fd)
            self._fd = -1
            self._number += 1

    def _cut(self, at: int) -> None:
        """Take back what is behind; what cannot be cut is left to `keep_to`, in another file."""
        if self._fd < 0:
            return
        try:
            DISK.truncate(self._fd, at)
            self._bytes = at
        except OSError:
            self._end()


def frame(data: bytes) -> bytes:
    """Put length and checksum before an entry."""
    return len(data).to_bytes(4, "big") + zlib.crc32(data).to_bytes(4, "big") + data


def unframed(data: bytes) -> Iterator[bytes]:
    """Return the entries in a piece of a log, up to one that is torn."""
    for at, size in _frames(data):
        yield data[at + _HEAD_BYTES : at + size]


def _frames(data: bytes) -> Iterator[tuple[int, int]]:
    at = 0
    while at + _HEAD_BYTES <= len(data):
        size = int.from_bytes(data[at : at + 4], "big")
        end = at + _HEAD_BYTES + size
        if size > _MOST_BYTES or end > len(data):
            return
        if zlib.crc32(data[at + _HEAD_BYTES : end]) != int.from_bytes(data[at + 4 : at + 8], "big"):
            return
        yield at, end - at
        at = end


def _entries_of(path: Path) -> list[OutboxEntry]:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise refusal(error, path) from None
    found = []
    for at, size in _frames(data):
        entry = decode_entry(data[at + _HEAD_BYTES : at + size])
        found.append(OutboxEntry(entry.chain, entry.generation, path, at, size))
    return found
