"""Chunks whose article has changed since: an append-only record in ``superseded.jsonl``.

A line is what happened to one chunk: its article's text changed and holds it no more, or an article
holds it again. The last line about a chunk holds. Shards are never rewritten: whoever counts pairs
or hands them on leaves out those of superseded chunks.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

import orjson

from pairmill.errors import FolderError
from pairmill.records import digest_with
from pairmill.store.entries import UnitKey
from pairmill.store.files import DISK, refusal, write_all

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from pairmill.store.ledger import LedgerReader

__all__ = ["SupersededLog", "SupersededPairs", "read_superseded"]

_FILE = "superseded.jsonl"
_ASKED = 500  # units that the ledger is asked about at once
_CHUNK_ID = re.compile(r"[0-9a-f]{32}\Z")  # the folder may come from anyone
_SUPERSEDED, _CURRENT = "superseded", "current"


class SupersededLog:
    """The record of one run folder, for whoever appends to it; close it."""

    def __init__(self, folder: Path) -> None:
        """Take the folder; the file is made when there is something to write."""
        self._path = folder / _FILE
        self._fd: int | None = None

    def append(self, changes: Iterable[tuple[str, bool]]) -> None:
        """Make durable which chunks are superseded (True), and which are current again (False).

        Raises:
            StorageError: The disk refused.
        """
        lines = [
            orjson.dumps(
                {"chunk_id": chunk, "state": _SUPERSEDED if is_gone else _CURRENT},
                option=orjson.OPT_APPEND_NEWLINE,
            )
            for chunk, is_gone in changes
        ]
        if not lines:
            return
        try:
            if self._fd is None:
                self._fd = self._open()
            write_all(DISK, self._fd, b"".join(lines))
            os.fsync(self._fd)
        except OSError as error:
            raise refusal(error, self._path) from None

    def close(self) -> None:
        """Close the file."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    def _open(self) -> int:
        """Open the file, and end a line that a kill tore, so that the next one is by itself."""
        fd = DISK.open(self._path, os.O_RDWR | os.O_APPEND | os.O_CREAT)
        size = os.fstat(fd).st_size
        if size and os.pread(fd, 1, size - 1) != b"\n":
            os.write(fd, b"\n")
        return fd


def read_superseded(folder: Path) -> frozenset[str]:
    """Return the ids of a run folder's superseded chunks; torn lines and odd ids are skipped.

    Raises:
        FolderError: The record cannot be read.
    """
    found: set[str] = set()
    path = folder / _FILE
    try:
        with path.open("rb") as file:
            for line in file:
                try:
                    entry = orjson.loads(line)
                    chunk, state = str(entry["chunk_id"]), entry["state"]
                except (orjson.JSONDecodeError, KeyError, TypeError):
                    continue
                if state == _SUPERSEDED and _CHUNK_ID.match(chunk):
                    found.add(chunk)
                elif state == _CURRENT:
                    found.discard(chunk)
    except FileNotFoundError:
        return frozenset()
    except OSError as error:
        raise FolderError(f"cannot read {path}: {error.strerror}") from None
    return frozenset(found)


class SupersededPairs:
    """Counts the pairs that the superseded chunks of a run folder gave, as often as wanted.

    A unit that gave pairs never gives others, so the ledger is asked about it once.
    """

    def __init__(self, folder: Path) -> None:
        """Take the folder; nothing is read yet."""
        self._folder = folder
        self._pairs: dict[str, dict[str, int]] = {}  # identity of a recipe to chunks

    def count(self, identities: Iterable[str], lookup: LedgerReader) -> int:
        """Count them.

        Args:
            identities: Of the recipes that the folder was filled with.
            lookup: Its ledger.

        Raises:
            FolderError: The record, or the ledger, cannot be read.
        """
        chunks = read_superseded(self._folder)
        total = 0
        for identity in dict.fromkeys(identities):
            known, unit_of = self._pairs.setdefault(identity, {}), digest_with(identity)
            keys = [UnitKey(unit_of(chunk), chunk) for chunk in chunks if chunk not in known]
            for start in range(0, len(keys), _ASKED):
                asked = keys[start : start + _ASKED]
                pairs = lookup.known(asked).pairs
                known |= {it.chunk_id: pairs[it.unit_id] for it in asked if pairs.get(it.unit_id)}
            total += sum(known.get(chunk, 0) for chunk in chunks)
        return total
