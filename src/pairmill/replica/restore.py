"""Makes a run folder of a replica: on an empty machine to go on with, or a local copy to read."""

from __future__ import annotations

import hashlib
import os
import shutil
import zlib
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from typing import TYPE_CHECKING

from pairmill.errors import FolderError
from pairmill.objects.url import open_store
from pairmill.partition import part_of
from pairmill.replica.archive import unpack
from pairmill.replica.manifest import MANIFEST, decode_manifest
from pairmill.replica.outbox import unframed
from pairmill.store.chain import GenerationLog, LedgerChain
from pairmill.store.commit_log import decode_entry
from pairmill.store.entries import ShardRecord
from pairmill.store.files import DISK, refusal
from pairmill.store.folder import RunFolder
from pairmill.store.sqlite.ledger import SqliteLedger

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path
    from typing import TypeVar

    from pairmill.objects.port import ObjectStore
    from pairmill.replica.manifest import StoredShard, StoreManifest
    from pairmill.store.commit_log import CommitEntry

    Item = TypeVar("Item")
    Result = TypeVar("Result")

__all__ = ["fetch", "restore"]

_AT_ONCE = 8  # objects on their way
_MOST_ANSWERS = 2000  # in one transaction
_MOST_BYTES = 2**28  # of a segment, unpacked


def restore(
    store: ObjectStore, manifest: StoreManifest, target: Path, known: Path | None = None
) -> None:
    """Make a run folder as it was when the manifest was written.

    Args:
        store: Where the replica is.
        manifest: Of the replica.
        target: Made anew; whatever was there is removed.
        known: A folder that may have some of the published shards already.

    Raises:
        FolderError: The replica is damaged, or an object that the manifest names is not there.
        StorageError: The store cannot be reached now, or the local disk refused.
    """
    folder = RunFolder(target)
    try:
        shutil.rmtree(target, ignore_errors=True)
        folder.state.mkdir(mode=0o700, parents=True)
        for place in (folder.open_shards, folder.data, folder.rejected):
            place.mkdir()
        unpack(_objects(store, manifest.state), target, store.where) if manifest.state else ()
        if manifest.chain:
            _restore_ledger(store, manifest, folder)
        _restore_shards(store, manifest, folder, known)
        for place in (target.parent, target, folder.data, folder.rejected, folder.state):
            DISK.sync_folder(place)
    except OSError as error:
        raise refusal(error, target) from None


def _restore_ledger(store: ObjectStore, manifest: StoreManifest, folder: RunFolder) -> None:
    base = [part.object for part in manifest.base]
    if not base:
        raise FolderError(f"{store.where}: its manifest names no base of the ledger")
    for name in unpack(_objects(store, base), folder.state, store.where):
        if name != folder.ledger.name and not name.startswith("open/"):
            raise FolderError(f"{store.where}: an archive holds what does not belong into it")
    chain = LedgerChain(manifest.chain, manifest.generation)
    with closing(SqliteLedger(folder.ledger)) as ledger:
        if ledger.chain != LedgerChain(manifest.chain, manifest.base[0].last):
            raise FolderError(f"{store.where}: the base of the ledger is not what it should be")
        expected = manifest.base[0].last + 1
        batch = _Batch(folder, ledger)
        segments = _objects(store, [part.object for part in manifest.log])
        for part, data in zip(manifest.log, segments, strict=True):
            for entry in _entries(data, store.where):
                if (entry.chain, entry.generation) != (manifest.chain, expected):
                    raise FolderError(f"{store.where}: {part.object} is not what it should be")
                expected += 1
                batch.add(entry)
            if expected != part.last + 1:
                raise FolderError(f"{store.where}: {part.object} is not whole")
        batch.flush()
        if manifest.log:
            ledger.adopt_chain(chain)
    GenerationLog(folder.generation, DISK, chain).close()


class _Batch:
    """Entries that are applied together: a transaction each would take a sync each."""

    def __init__(self, folder: RunFolder, ledger: SqliteLedger) -> None:
        self._folder = folder
        self._ledger = ledger
        self._entries: list[CommitEntry] = []
        self._answers = 0

    def add(self, entry: CommitEntry) -> None:
        self._entries.append(entry)
        self._answers += len(entry.answers) + len(entry.outcomes) + 1
        if self._answers >= _MOST_ANSWERS:
            self.flush()

    def flush(self) -> None:
        touched: dict[str, bytearray] = {}
        shards: dict[tuple[str, int], ShardRecord] = {}
        for entry in self._entries:
            for lines in entry.appended:
                name = ShardRecord(lines.kind, lines.number, False, 0, 0, "").name  # noqa: FBT003
                touched.setdefault(name, bytearray()).extend(b"".join(lines.lines))
            shards |= {(shard.kind, shard.number): shard for shard in entry.shards}
        for name, data in touched.items():
            with (self._folder.open_shards / name).open("ab") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
        self._ledger.commit(
            [answer for entry in self._entries for answer in entry.answers],
            [unit for entry in self._entries for unit in entry.outcomes],
            list(shards.values()),
            [charge for entry in self._entries for charge in entry.charges],
            [send for entry in self._entries for send in entry.sends],
        )
        self._entries, self._answers = [], 0


def _entries(data: bytes, where: str) -> Iterator[CommitEntry]:
    unpacker = zlib.decompressobj()
    try:
        plain = unpacker.decompress(data, _MOST_BYTES)
    except zlib.error:
        raise FolderError(f"{where}: a segment of the log is damaged") from None
    for entry in unframed(plain):
        yield decode_entry(entry)


def _restore_shards(
    store: ObjectStore, manifest: StoreManifest, folder: RunFolder, known: Path | None
) -> None:
    """Bring published shards to their places, and those that the log closed."""
    wanted = []
    for shard in manifest.shards:
        record = ShardRecord(shard.kind, shard.number, True, shard.bytes, shard.rows, shard.sha256)  # noqa: FBT003
        place = folder.published(shard.kind)
        opened, target = folder.open_shards / record.name, place / record.name
        if _is_same(opened, shard):
            opened.replace(target)
            continue
        opened.unlink(missing_ok=True)
        if known is not None and _is_same(known / place.name / record.name, shard):
            _link(known / place.name / record.name, target)
            continue
        wanted.append((shard, target))
    contents = _objects(store, [shard.object for shard, _ in wanted])
    for (shard, target), data in zip(wanted, contents, strict=True):
        if hashlib.sha256(data).hexdigest() != shard.sha256:
            raise FolderError(f"{store.where}: {shard.object} is not what its manifest says")
        with target.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())


def _is_same(path: Path, shard: StoredShard) -> bool:
    with suppress(OSError):
        if path.stat().st_size == shard.bytes:
            with path.open("rb") as file:
                return hashlib.file_digest(file, "sha256").hexdigest() == shard.sha256
    return False


def _link(path: Path, target: Path) -> None:
    try:
        target.hardlink_to(path)
    except OSError:
        shutil.copyfile(path, target)


def _objects(store: ObjectStore, names: Iterable[str]) -> Iterator[bytes]:
    """Return objects in their order, a few of them on their way at any time.

    Raises:
        FolderError: One is not there.
    """

    def get(name: str) -> bytes:
        found = store.get(name)
        if found is None:
            raise FolderError(
                f"{store.where}: {name} is not there, though the manifest names it: somebody"
                " removed it, or the store forgets; try again in a while"
            )
        return found[0]

    with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="pairmill-fetch") as pool:
        yield from _in_order(pool, get, names)


def _in_order(
    pool: ThreadPoolExecutor, call: Callable[[Item], Result], items: Iterable[Item]
) -> Iterator[Result]:
    coming: deque[object] = deque()
    left = iter(items)
    for item in left:
        coming.append(pool.submit(call, item))
        if len(coming) >= _AT_ONCE:
            yield coming.popleft().result()  # type: ignore[attr-defined]
    while coming:
        yield coming.popleft().result()  # type: ignore[attr-defined]


_STAMP = "fetched"
_TRIES = 3


def fetch(url: str, place: Path, tell: Callable[[str], None] = lambda _: None) -> Path:
    """Make a folder what the store holds now: a run, or a folder of its parts.

    Published shards that an earlier call brought are not brought again.

    Args:
        url: Of a run, or of the place that its parts lie below.
        place: The folder.
        tell: Told in a line what was fetched.

    Raises:
        ConfigError: The URL cannot be used.
        FolderError: There is no run, or it is damaged.
        StorageError: The store cannot be reached now, or the local disk refused.
    """
    store = open_store(url, "object store")
    if store.get(MANIFEST) is not None:
        _fetch_run(store, place, tell)
        return place
    parts = [part for name in store.folders() if (part := part_of(name))]
    if not parts:
        raise FolderError(f"{store.where}: no pairmill run here")
    counts = {part.count for part in parts}
    for path in place.iterdir() if place.is_dir() else ():
        part = part_of(path.name)
        if part is not None and part.count not in counts:
            shutil.rmtree(path, ignore_errors=True)  # of another run that was here
    for part in sorted(parts):
        below = open_store(f"{url.rstrip('/')}/{part.name}", "object store")
        _fetch_run(below, place / part.name, tell)
    return place


def _fetch_run(store: ObjectStore, place: Path, tell: Callable[[str], None]) -> None:
    for attempt in range(_TRIES):
        got = store.get(MANIFEST)
        if got is None:
            raise FolderError(f"{store.where}: no pairmill run here")
        manifest = decode_manifest(got[0], store.where)
        if not manifest.chain:
            raise FolderError(f"{store.where}: nothing was uploaded yet")
        stamp = hashlib.sha256(repr((manifest.generation, sorted(manifest.objects()))).encode())
        if _read_stamp(place) == stamp.hexdigest():
            return
        building = place.with_name(f".{place.name}.fetching")
        try:
            restore(store, manifest, building, known=place)
        except FolderError:
            now = store.get(MANIFEST)
            if attempt == _TRIES - 1 or now is None or now[0] == got[0]:
                raise
            continue  # its owner has replaced an object meanwhile
        _put_in_place(building, place, stamp.hexdigest())
        tell(f"fetched {store.where} into {place}")
        return


def _put_in_place(building: Path, place: Path, stamp: str) -> None:
    try:
        (building / ".run" / _STAMP).write_text(stamp, "ascii")
        shutil.rmtree(place, ignore_errors=True)
        building.rename(place)
    except OSError as error:
        raise refusal(error, place) from None


def _read_stamp(place: Path) -> str:
    with suppress(OSError, UnicodeDecodeError):
        return (place / ".run" / _STAMP).read_text("ascii")
    return ""
