"""Becoming the holder of a replica, and bringing the local run folder in step with it."""

from __future__ import annotations

import fcntl
import os
import shutil
import time
import uuid
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct, structs

from pairmill.errors import PairmillError
from pairmill.objects.port import probe
from pairmill.replica.manifest import MANIFEST, decode_manifest, encode_manifest
from pairmill.replica.outbox import Outbox
from pairmill.replica.ownership import (
    Claim,
    ReplicaHeldError,
    StalenessWatch,
    claimed,
    judge,
)
from pairmill.replica.replica import Replica
from pairmill.replica.restore import restore
from pairmill.store.files import atomic_write, refusal
from pairmill.store.folder import RunFolder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from pairmill.objects.port import ObjectStore, Token
    from pairmill.replica.manifest import StoreManifest
    from pairmill.store.chain import LedgerChain

__all__ = [
    "TakenReplica",
    "chain_of",
    "claim_replica",
    "keep_own",
    "spool_lock",
    "spool_of",
    "take_over",
]

_OWNER_FILE = "owner.json"
_LOOKS = 12  # in the time of a lease
_MOST_HOLDERS = 8


class _Owner(Struct, frozen=True):
    """What this folder's processes called themselves.

    Attributes:
        holders: The last ones.
        is_stale: Another folder's process was the holder since: this one must be made anew.
    """

    holders: tuple[str, ...] = ()
    is_stale: bool = False


class TakenReplica(Struct, frozen=True):
    """What `take_over` brought about.

    Attributes:
        outbox: For the journal.
        notices: Plain lines for people.
    """

    replica: Replica
    outbox: Outbox
    notices: tuple[str, ...]


def spool_of(folder: Path) -> Path:
    """Return the folder beside a run folder with the commits that are to be uploaded."""
    return folder.with_name(f".{folder.name}.replica")


@contextmanager
def spool_lock(folder: Path, where: str) -> Iterator[Path]:
    """Hold a run folder's spool while the block runs, so that one process of a machine does.

    Raises:
        ReplicaHeldError: Another process of this machine works on it.
        StorageError: The disk refused.
    """
    spool = spool_of(folder)
    try:
        spool.mkdir(mode=0o700, parents=True, exist_ok=True)
        fd = os.open(spool / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise refusal(error, spool) from None
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise ReplicaHeldError(
                f"{where}: another process on this machine works on it, in {folder}; wait for it,"
                " or stop it"
            ) from None
        yield spool
    finally:
        os.close(fd)


def take_over(
    store: ObjectStore,
    folder: Path,
    spool: Path,
    *,
    owner: str,
    lease_s: float,
    version: str,
    clock: Callable[[], float],
    sleep: Callable[[float], None] = time.sleep,
    tell: Callable[[str], None] = lambda _: None,
) -> TakenReplica:
    """Become the holder, and make the run folder what the store says, where it is not.

    Args:
        store: Where the replica is, or will be.
        folder: The local run folder; it need not be there.
        spool: Held by `spool_lock`.
        owner: This process, for people.
        lease_s: How long our manifest must stand still until others may take over.
        version: Of this pairmill.
        clock: Monotonic seconds.
        sleep: To wait with, for a holder that may be dead.
        tell: Receives a line about each wait.

    Raises:
        ConfigError: The store cannot be used.
        ReplicaHeldError: Another process works on it.
        FolderError: What is stored is damaged, or not ours.
        StorageError: The store cannot be reached now, or the local disk refused.
    """
    probe(store, "output")
    found, manifest, token = claim_replica(
        store, spool, owner, lease_s, version, clock=clock, sleep=sleep, tell=tell
    )
    notices = _bring_in_step(store, folder, spool, manifest) if found is not None else []
    outbox = Outbox(spool / "outbox")
    run_folder = RunFolder(folder)
    outbox.keep_to(chain_of(run_folder))
    replica = Replica(store, run_folder, outbox, spool, manifest, token, clock)
    return TakenReplica(replica, outbox, tuple(notices))


def claim_replica(
    store: ObjectStore,
    spool: Path,
    owner: str,
    lease_s: float,
    version: str,
    *,
    clock: Callable[[], float],
    sleep: Callable[[float], None],
    tell: Callable[[str], None],
) -> tuple[StoreManifest | None, StoreManifest, Token]:
    """Win the manifest; returns what was found, what stands there now, and its version.

    Raises:
        ReplicaHeldError: Another process works on it.
        FolderError: What is there is no replica, or a newer version's.
        StorageError: The store cannot be reached now, or the local disk refused.
    """
    watch, is_told = StalenessWatch(), False
    own = _read_owner(spool)
    while True:
        got = store.get(MANIFEST)
        found = decode_manifest(got[0], store.where) if got is not None else None
        claim = judge(found, own.holders)
        if claim is Claim.WATCH and found is not None:
            is_over = watch.is_over(found, clock())
            if watch.moved:
                raise ReplicaHeldError(f"{store.where}: {found.owner} works on it; stopping")
            if not is_over:
                if not is_told:
                    tell(
                        f"{store.where}: {found.owner} worked on it and has not ended; waiting"
                        f" {found.lease_s:g} s for a sign of life"
                    )
                    is_told = True
                sleep(found.lease_s / _LOOKS)
                continue
        holder = uuid.uuid4().hex
        is_stale = claim is not Claim.BEGIN and (own.is_stale or claim is not Claim.CONTINUE)
        own = _Owner((*own.holders, holder)[-_MOST_HOLDERS:], is_stale)
        _write_owner(spool, own)  # before: a kill after the write must know its own name
        manifest = claimed(found, holder, owner, lease_s, version)
        token = _put(store, manifest, got)
        if token is not None:
            return found, manifest, token


def _put(store: ObjectStore, manifest: StoreManifest, got: tuple[bytes, Token] | None) -> Token:
    """Write a claim; None: another process won. The reply to an earlier try may have been lost."""
    data = encode_manifest(manifest)
    token = store.replace(MANIFEST, data, got[1]) if got else store.create(MANIFEST, data)
    if token is None and (now := store.get(MANIFEST)) is not None and now[0] == data:
        return now[1]
    return token


def _bring_in_step(
    store: ObjectStore, folder: Path, spool: Path, manifest: StoreManifest
) -> list[str]:
    own = _read_owner(spool)
    if not own.is_stale and not _is_behind(folder, manifest):
        return []
    notices = []
    building = folder.with_name(f".{folder.name}.restoring")
    restore(store, manifest, building)
    RunFolder(building).mark_restored()
    try:
        if folder.exists():
            aside = _aside(folder)
            folder.rename(aside)
            notices.append(
                f"{folder} was left behind by another machine's work, and is kept as {aside}"
            )
        shutil.rmtree(spool / "outbox", ignore_errors=True)
        building.rename(folder)
    except OSError as error:
        raise refusal(error, folder) from None
    keep_own(spool)
    notices.append(f"restored from {store.where} into {folder}")
    return notices


def _is_behind(folder: Path, manifest: StoreManifest) -> bool:
    """Return whether the local folder lacks something that the store has."""
    if not manifest.chain:
        return False
    chain = chain_of(RunFolder(folder))
    return chain is None or chain.id != manifest.chain or chain.generation < manifest.generation


def chain_of(folder: RunFolder) -> LedgerChain | None:
    """Return where a local run folder's ledger stands; None where there is none to be read."""
    with suppress(PairmillError):
        if folder.has_ledger:
            with folder.read_ledger() as ledger:
                return ledger.chain()
    return None


def _aside(folder: Path) -> Path:
    numbers = range(1, 10_000)
    names = (folder.with_name(f"{folder.name}.behind-{number}") for number in numbers)
    return next(path for path in names if not path.exists())


def _read_owner(spool: Path) -> _Owner:
    try:
        return msgspec.json.decode((spool / _OWNER_FILE).read_bytes(), type=_Owner)
    except (OSError, msgspec.DecodeError):
        return _Owner()


def keep_own(spool: Path) -> None:
    """Take note that the local run folder is what the store is to hold, whatever was found there.

    Raises:
        StorageError: The disk refused.
    """
    _write_owner(spool, structs.replace(_read_owner(spool), is_stale=False))


def _write_owner(spool: Path, owner: _Owner) -> None:
    atomic_write(spool / _OWNER_FILE, msgspec.json.encode(owner))
