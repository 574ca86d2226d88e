"""Chain between ledger, shards and manifest: detects a ledger that is older than its shards.

Every ledger has an id and a generation, which each transaction raises by one. Three witnesses
outside the database say how far it had come:

* ``.run/generation``: after each commit one line with the id and the generation, not synced. It
  shows a ledger that lost its write-ahead log, or was restored alone.
* ``manifest.json``: id, generation, and the digests of the shards published by then. It shows a
  ``.run/`` that was restored as a whole, or is another folder's.
* The published shards: a ledger closes each shard before it is published.

A witness behind the ledger proves nothing: it may have been written just before a kill. One ahead
of the ledger proves that commits are missing from the ledger. Continuing with it would buy answers
again and write pairs twice.
"""

from __future__ import annotations

import os
import re
import secrets
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson

from pairmill.errors import FolderError, StorageError
from pairmill.store.files import atomic_write, refusal, write_all
from pairmill.store.shards import KINDS, shard_number

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from pairmill.store.entries import ShardRecord
    from pairmill.store.files import Files
    from pairmill.store.paths import FolderPaths

__all__ = [
    "GenerationLog",
    "LedgerChain",
    "check_chain",
    "new_chain_id",
    "read_manifest",
    "seen_chain",
]

_LINE = re.compile(rb"([0-9a-f]{32}) (\d{1,18})\n")
_MOST_BYTES = 2**20  # of the log before it is restarted: about 20,000 commits
_ID_BYTES = 16


@dataclass(frozen=True, slots=True)
class LedgerChain:
    """A ledger's id (32 hex digits, random) and the number of its last transaction."""

    id: str
    generation: int = 0


def new_chain_id() -> str:
    """Return a new unique id."""
    return secrets.token_hex(_ID_BYTES)


class GenerationLog:
    """``.run/generation``: appended to after each commit, without waiting for the disk.

    A line that cannot be written is left out: an older one is still true.
    """

    def __init__(self, path: Path, files: Files, chain: LedgerChain) -> None:
        """Open the log at the ledger's present generation.

        Raises:
            StorageError: The disk refused.
        """
        self._path = path
        self._files = files
        self._bytes = 0
        self._fd = -1
        self._last = chain
        self._begin(chain)

    @staticmethod
    def read(path: Path) -> LedgerChain | None:
        """Return the highest entry; None if there is none.

        Raises:
            FolderError: The disk refused.
        """
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise FolderError(str(refusal(error, path))) from None
        found = [(int(number), name) for name, number in _LINE.findall(data)]
        if not found:
            return None
        number, name = max(found)
        return LedgerChain(name.decode(), number)

    def append(self, chain: LedgerChain) -> None:
        """Append a commit that the ledger confirmed."""
        if chain == self._last:
            return
        line = _line(chain)
        with suppress(OSError, StorageError):
            if self._bytes > _MOST_BYTES:
                self.close()
                self._begin(chain)
            write_all(self._files, self._fd, line)
            self._bytes += len(line)
            self._last = chain

    def close(self) -> None:
        """Close the file."""
        if self._fd >= 0:
            with suppress(OSError):
                self._files.close(self._fd)
            self._fd = -1

    def _begin(self, chain: LedgerChain) -> None:
        if self.read(self._path) != chain or self._path.stat().st_size > _MOST_BYTES:
            atomic_write(self._path, _line(chain), files=self._files)
        try:
            self._fd = self._files.open(self._path, os.O_WRONLY | os.O_APPEND)
            self._bytes = self._path.stat().st_size
        except OSError as error:
            raise refusal(error, self._path) from None


def _line(chain: LedgerChain) -> bytes:
    return f"{chain.id} {chain.generation}\n".encode()


def read_manifest(path: Path) -> dict[str, Any]:
    """Return pairmill's manifest at a path; {} if there is none."""
    try:
        found = orjson.loads(path.read_bytes())
    except (OSError, orjson.JSONDecodeError):
        return {}
    ours = isinstance(found, dict) and {"format", "shards", "pairs", "units"} <= found.keys()
    return found if ours else {}


def seen_chain(folder: FolderPaths) -> LedgerChain | None:
    """Return the highest generation that a witness outside the ledger holds, with its id."""
    seen = [c for c in (GenerationLog.read(folder.generation), _told(folder)) if c is not None]
    return max(seen, key=lambda chain: chain.generation, default=None)


def check_chain(
    folder: FolderPaths, chain: LedgerChain | None, records: Sequence[ShardRecord]
) -> None:
    """Compare a ledger with the witnesses in its folder.

    Args:
        folder: A locked folder, or one that nobody writes to.
        chain: The ledger's own; None for a ledger of a version without one.
        records: Every shard that the ledger knows.

    Raises:
        FolderError: Commits are missing from the ledger, or it belongs to another folder.
    """
    for fault in _faults(folder, chain, records):
        raise FolderError(
            f"{folder.path}: {fault}; run 'pairmill recover {folder.path}', which keeps every pair"
            " once"
        )


_OLDER = "the ledger is older than the folder (restored, or copied without ledger.db-wal)"


def _faults(
    folder: FolderPaths, chain: LedgerChain | None, records: Sequence[ShardRecord]
) -> Iterator[str]:
    log = GenerationLog.read(folder.generation)
    if chain is not None and log is None and (chain.generation or records):
        yield f"{folder.generation} is missing, which says how far the ledger had come"
    for seen in (log, _told(folder)):
        if seen is not None:
            yield from _gaps(chain, seen)
    known = {record.name: record for record in records}
    yield from _unknown_shards(folder, known)
    for name, sha256 in _listed(folder):
        if name not in known or (known[name].closed and known[name].sha256 != sha256):
            yield f"{_OLDER}: manifest.json disagrees about {name}"


def _gaps(chain: LedgerChain | None, seen: LedgerChain) -> Iterator[str]:
    """Compare a ledger's chain with that of a witness."""
    if chain is not None and seen.id != chain.id:
        yield "the ledger belongs to another folder, or to an earlier state of this one"
    missing = seen.generation - (chain.generation if chain else 0)
    if missing > 0:
        yield f"{_OLDER}: {missing} commits are missing from it"


def _unknown_shards(folder: FolderPaths, known: Mapping[str, ShardRecord]) -> Iterator[str]:
    for kind in KINDS:
        for name in sorted(_names(folder.published(kind))):
            if name not in known:
                yield f"{_OLDER}: it does not know {folder.published(kind).name}/{name}"
            elif not known[name].closed:
                yield f"{_OLDER}: for it, {name} is not published yet"


def _names(place: Path) -> list[str]:
    with suppress(FileNotFoundError):
        return [entry.name for entry in os.scandir(place) if shard_number(entry.name) is not None]
    return []


def _told(folder: FolderPaths) -> LedgerChain | None:
    """Return the chain in the manifest."""
    found = read_manifest(folder.manifest).get("chain")
    if not isinstance(found, dict):
        return None
    name, number = found.get("ledger"), found.get("generation")
    if not isinstance(name, str) or type(number) is not int:
        return None
    return LedgerChain(name, number)


def _listed(folder: FolderPaths) -> Iterator[tuple[str, str]]:
    """Name and digest of each shard that the manifest lists."""
    shards = read_manifest(folder.manifest).get("shards")
    for shard in shards if isinstance(shards, list) else ():
        if isinstance(shard, dict):
            name = str(shard.get("name")).rpartition("/")[2]
            if shard_number(name) is not None:
                yield name, str(shard.get("sha256"))
