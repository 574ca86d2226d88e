"""A process's hold on a replica: renewals, uploads, and the end of it.

Everything that counts happens by replacing the manifest (`_swap`). What is uploaded before and not
named by it is an orphan, and is swept by a later owner.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import threading
import zlib
from contextlib import suppress
from typing import TYPE_CHECKING

import msgspec
from msgspec import structs

from pairmill.errors import StorageError
from pairmill.replica.archive import (
    PIECE_BYTES,
    content_hash,
    copy_ledger,
    copy_small_files,
    pack,
    shard_file,
)
from pairmill.replica.manifest import (
    MANIFEST,
    LogPart,
    StoredShard,
    StoreManifest,
    decode_manifest,
    encode_manifest,
)
from pairmill.replica.ownership import HolderLease, OwnershipLostError
from pairmill.store.chain import LedgerChain, read_manifest
from pairmill.store.files import refusal
from pairmill.store.shards import read_rows

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from pairmill.objects.port import ObjectStore, Token
    from pairmill.replica.archive import Member
    from pairmill.replica.outbox import Outbox, OutboxEntry
    from pairmill.store.entries import ShardRecord
    from pairmill.store.folder import RunFolder

__all__ = ["Replica", "swap_manifest"]

_TRIES = 4
_MOST_SEGMENTS = 2048
_LEAST_LOG_BYTES = 64 * 2**20  # below which a base is not worth its upload
_LEVEL = 1
_FENCE = re.compile(r"[-/]w(\d{1,12})[-.]", re.ASCII)
_FOLDERS = ("data", "rejected", "log", "state")
_STATE_EVERY_S = ((4 * 2**20, 0.0), (64 * 2**20, 60.0), (2**63, 600.0))  # bytes, and how often


class Replica:
    """What the holder of a replica does with it. Its methods may be called from several threads.

    Attributes:
        lease: By the own clock.
    """

    def __init__(
        self,
        store: ObjectStore,
        folder: RunFolder,
        outbox: Outbox,
        spool: Path,
        manifest: StoreManifest,
        token: Token,
        clock: Callable[[], float],
    ) -> None:
        """Take what `take_over` won.

        Args:
            store: Where the replica is.
            folder: The run folder.
            outbox: Its commits.
            spool: A folder of our own on the local disk.
            manifest: As we wrote it.
            token: Its version.
            clock: Monotonic seconds.
        """
        self._store = store
        self._folder = folder
        self._outbox = outbox
        self._spool = spool
        self._manifest = manifest
        self._token = token
        self._clock = clock
        self._swapping = threading.RLock()
        self._pushing = threading.Lock()
        self._names = 0
        self._state_at = float("-inf")
        self._state_bytes = 0
        self._doomed: set[str] = set()
        self.lease = HolderLease(manifest.lease_s, clock())

    @property
    def manifest(self) -> StoreManifest:
        """As it stands in the store, as far as we know."""
        return self._manifest

    @property
    def where(self) -> str:
        """URL of the replica, for people."""
        return self._store.where

    def renew(self) -> None:
        """Show life.

        Raises:
            OwnershipLostError: Another process has taken over.
            StorageError: The store cannot be reached now.
        """
        self._swap(lambda manifest: manifest)

    def release(self) -> None:
        """Let others take over at once; raises as `renew`."""
        self._swap(lambda manifest: structs.replace(manifest, released=True))

    def push(self, *, whole: bool = False) -> bool:
        """Upload what was committed since the last time; returns whether there was something.

        Args:
            whole: Small files go up as well, however recently they did.

        Raises:
            OwnershipLostError: Another process has taken over.
            StorageError: The store cannot be reached now, or the local disk refused.
            FolderError: The ledger is damaged.
        """
        with self._pushing:
            before = self._manifest
            with self._outbox.lock:
                entries = self._outbox.waiting()
                chain, closed = self._look()
                members = self._copy_state(whole=whole)
            after, used = self._upload_log(before, entries, chain, closed)
            after = self._upload_state(after, members)
            is_new = after != before
            if is_new:
                self._swap(lambda now: _with_content(now, after))
            self._outbox.drop(used)
            self._tidy(before.objects() - after.objects())
            return is_new

    def sweep(self) -> int:
        """Remove orphans of earlier owners, and return how many there were.

        Those of lower fences can never be named again, so that this is safe at any later time.

        Raises:
            StorageError: The store cannot be reached now.
        """
        manifest = self._manifest
        needed = manifest.objects()
        orphans = []
        for folder in _FOLDERS:
            for name in self._store.names(folder):
                fence = _FENCE.search(name)
                if name not in needed and fence and int(fence[1]) < manifest.fence:
                    orphans.append(name)
        self._store.delete(orphans)
        return len(orphans)

    def _look(self) -> tuple[LedgerChain | None, list[ShardRecord]]:
        if not self._folder.has_ledger:
            return None, []
        with self._folder.read_ledger() as ledger:
            return ledger.chain(), [record for record in ledger.shards() if record.closed]

    def _upload_log(
        self,
        manifest: StoreManifest,
        entries: Sequence[OutboxEntry],
        chain: LedgerChain | None,
        closed: Sequence[ShardRecord],
    ) -> tuple[StoreManifest, list[OutboxEntry]]:
        """Upload segments, or a base where they would leave a gap; then closed shards."""
        if chain is None:
            return manifest, []
        follows = manifest.chain == chain.id
        old = [it for it in entries if follows and it.generation <= manifest.generation]
        new = [it for it in entries if it.chain == chain.id and it not in set(old)]
        expected = range(manifest.generation + 1, chain.generation + 1)
        is_gapless = [it.generation for it in new] == list(expected)
        if follows and is_gapless and not _is_heavy(manifest):
            parts = self._put_segments(manifest, new)
            manifest = structs.replace(
                manifest, log=(*manifest.log, *parts), generation=chain.generation
            )
            return self._put_shards(manifest, closed), [*old, *new]
        place = self._spool / "base"
        copied, records, members = copy_ledger(self._folder, place)
        if copied is None:
            return manifest, []
        base = self._put_base(copied, members)
        shutil.rmtree(place, ignore_errors=True)
        manifest = structs.replace(
            manifest, chain=copied.id, generation=copied.generation, base=base, log=()
        )
        used = [it for it in entries if it.chain != copied.id or it.generation <= copied.generation]
        return self._put_shards(manifest, [it for it in records if it.closed]), used

    def _put_segments(
        self, manifest: StoreManifest, entries: Sequence[OutboxEntry]
    ) -> list[LogPart]:
        parts: list[LogPart] = []
        first, held = manifest.generation, bytearray()
        for at, entry in enumerate(entries):
            held += entry.read()
            if len(held) >= PIECE_BYTES or at == len(entries) - 1:
                data = zlib.compress(held, _LEVEL)
                name = self._put(f"log/w{self._fence}-{first:012d}-{entry.generation:012d}", data)
                parts.append(LogPart(name, first, entry.generation, len(data)))
                first, held = entry.generation, bytearray()
        return parts

    def _put_base(self, chain: LedgerChain, members: Sequence[Member]) -> tuple[LogPart, ...]:
        parts: list[LogPart] = []

        def put(piece: bytes) -> None:
            start = f"log/w{self._fence}-base-{chain.generation:012d}-{len(parts):04d}"
            name = self._put(start, piece)
            parts.append(LogPart(name, chain.generation, chain.generation, len(piece)))

        pack(members, put)
        return tuple(parts)

    def _put_shards(self, manifest: StoreManifest, closed: Sequence[ShardRecord]) -> StoreManifest:
        """Upload published shards that are not there, and leave out those that are no more."""
        known = {(shard.kind, shard.number): shard for shard in manifest.shards}
        kept = []
        for record in closed:
            shard = known.get((record.kind, record.number))
            is_there = shard is not None and shard.sha256 == record.sha256
            kept.append(shard if is_there and shard is not None else self._put_shard(record))
        return structs.replace(manifest, shards=tuple(kept))

    def _put_shard(self, record: ShardRecord) -> StoredShard:
        path = shard_file(self._folder, record)
        row = next((row for row, _ in read_rows(path) if row is not None), None)
        first = str(row.get("chunk_id", ""))[:12] if row is not None else ""
        try:
            data = path.read_bytes()
        except OSError as error:
            raise refusal(error, path) from None
        if len(data) != record.bytes or hashlib.sha256(data).hexdigest() != record.sha256:
            raise StorageError(
                f"{path}: was changed since it was published, and is not uploaded; put it back, or"
                f" run 'pairmill recover {self._folder.path}'"
            )
        place = self._folder.published(record.kind).name
        start = f"{place}/{record.kind}-{record.number:05d}-{_safe(first)}"
        name = f"{start}-{record.sha256[:16]}-w{self._fence}.jsonl"
        self._store.create(name, data)  # of this name: the same bytes
        return StoredShard(
            record.kind, record.number, name, record.rows, record.bytes, record.sha256
        )

    def _copy_state(self, *, whole: bool) -> list[Member] | None:
        """Copy the small files, unless that was done a moment ago and they are large."""
        every_s = next(every for size, every in _STATE_EVERY_S if self._state_bytes <= size)
        now = self._clock()
        if not whole and now - self._state_at < every_s:
            return None
        members = copy_small_files(self._folder, self._spool / "state")
        self._state_at = now
        self._state_bytes = sum(size for _, _, size in members)
        return members

    def _upload_state(
        self, manifest: StoreManifest, members: Sequence[Member] | None
    ) -> StoreManifest:
        if members is None:
            return manifest
        sha256 = content_hash(members)
        if sha256 == manifest.state_sha256:
            return manifest
        names: list[str] = []
        pack(members, lambda piece: names.append(self._put(f"state/w{self._fence}", piece, ".tgz")))
        told = read_manifest(self._folder.manifest)
        return structs.replace(
            manifest,
            state=tuple(names),
            state_sha256=sha256,
            dataset=msgspec.Raw(msgspec.json.encode(told or None)),
        )

    def _put(self, start: str, data: bytes, ending: str = "") -> str:
        """Make an object with a name that was never used, and return the name."""
        self._names += 1
        name = f"{start}-{self._names}-{hashlib.sha256(data).hexdigest()[:16]}{ending}"
        self._store.create(name, data)  # of this name: the same bytes
        return name

    def _tidy(self, gone: set[str]) -> None:
        """Remove what the manifest does not name any more; what fails is tried again later."""
        self._doomed |= gone
        if self._doomed:
            with suppress(StorageError):
                self._store.delete(sorted(self._doomed))
                self._doomed.clear()

    @property
    def _fence(self) -> int:
        return self._manifest.fence

    def _swap(self, change: Callable[[StoreManifest], StoreManifest]) -> None:
        with self._swapping:
            sent_at = self._clock()
            self._manifest, self._token = swap_manifest(
                self._store, self._manifest, self._token, change
            )
            self.lease.renewed(sent_at)


def swap_manifest(
    store: ObjectStore,
    manifest: StoreManifest,
    token: Token,
    change: Callable[[StoreManifest], StoreManifest],
) -> tuple[StoreManifest, Token]:
    """Replace our manifest by a changed one, and return that with its version.

    A refusal may come from our own earlier try, of which no reply came back: then the store has
    our bytes, or at least our name.

    Raises:
        OwnershipLostError: Another process has taken over.
        StorageError: The store cannot be reached now; whether it has changed is not known, and the
            next try finds out.
    """
    for _ in range(_TRIES):
        new = change(structs.replace(manifest, beat=manifest.beat + 1))
        data = encode_manifest(new)
        done = store.replace(MANIFEST, data, token)
        if done is not None:
            return new, done
        got = store.get(MANIFEST)
        if got is None:
            raise OwnershipLostError(
                f"{store.where}: {MANIFEST} is gone: somebody removed it, or the store forgets;"
                " nothing on this machine is lost"
            )
        if got[0] == data:
            return new, got[1]
        found = decode_manifest(got[0], store.where)
        if (found.holder, found.fence) != (manifest.holder, manifest.fence):
            raise OwnershipLostError(
                f"{store.where}: {found.owner} has taken it over, as this process was not heard of"
                " for a while; stopping"
            )
        manifest = structs.replace(manifest, beat=max(manifest.beat, found.beat))
        token = got[1]
    raise StorageError(f"{store.where}: {MANIFEST} cannot be replaced", transient=True)


def _with_content(now: StoreManifest, content: StoreManifest) -> StoreManifest:
    """Return what ``content`` says of the replica, under the beat of ``now``."""
    return structs.replace(content, beat=now.beat, released=now.released)


def _is_heavy(manifest: StoreManifest) -> bool:
    """Return whether the segments have come to outweigh their base."""
    most = max(manifest.base_bytes, _LEAST_LOG_BYTES)
    return len(manifest.log) >= _MOST_SEGMENTS or manifest.log_bytes > most


def _safe(first: str) -> str:
    return first if first.isalnum() and first.isascii() else "0"
