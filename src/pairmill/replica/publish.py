"""Puts a whole run folder into an object store, such as one that was merged from parts."""

from __future__ import annotations

import os
import socket
import threading
import time
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

from pairmill.errors import FolderError, PairmillError, StorageError, UsageError
from pairmill.objects.port import probe
from pairmill.partition import part_of
from pairmill.replica.manifest import MANIFEST, decode_manifest
from pairmill.replica.outbox import Outbox
from pairmill.replica.replica import Replica
from pairmill.replica.takeover import claim_replica, keep_own
from pairmill.store.chain import LedgerChain
from pairmill.store.folder import RunFolder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from pairmill.objects.port import ObjectStore
    from pairmill.replica.manifest import StoreManifest

__all__ = ["chain_stored", "check_free", "publish", "stored_manifest"]

_LEASE_S = 60.0
_RENEWALS = 6


def check_free(store: ObjectStore) -> None:
    """Make sure that a place can be written to, and holds neither a run nor parts of one.

    Raises:
        ConfigError: The store cannot be used.
        UsageError: There is something.
        StorageError: The store cannot be reached now.
    """
    probe(store, "output")
    if chain_stored(stored_manifest(store)) is not None:
        raise UsageError(f"{store.where}: already exists; give a new place with -o")
    if parts := [name for name in store.folders() if part_of(name)]:
        raise UsageError(
            f"{store.where}: holds the parts themselves, such as {parts[0]}; give another place"
            " with -o"
        )


def stored_manifest(store: ObjectStore) -> StoreManifest | None:
    """Return a store's manifest; None where there is none.

    Raises:
        FolderError: It is something else, or damaged.
        StorageError: The store cannot be reached now.
    """
    got = store.get(MANIFEST)
    return decode_manifest(got[0], store.where) if got is not None else None


def chain_stored(manifest: StoreManifest | None) -> LedgerChain | None:
    """Return where the ledger in a store stands; None where there is none."""
    if manifest is None or not manifest.chain:
        return None
    return LedgerChain(manifest.chain, manifest.generation)


def publish(
    store: ObjectStore,
    folder: Path,
    spool: Path,
    *,
    replaces: LedgerChain | None,
    version: str,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
    tell: Callable[[str], None] = lambda _: None,
) -> StoreManifest:
    """Upload a run folder that no process works on; objects that it replaces are removed.

    Args:
        store: Where to.
        folder: The run folder.
        spool: Held by `pairmill.replica.takeover.spool_lock`.
        replaces: What may be there; None: nothing.
        version: Of this pairmill.
        clock: Monotonic seconds.
        sleep: To wait with, for a holder that may be dead.
        tell: Receives a line about each wait.

    Raises:
        FolderError: Something else is there, and stays; or the run folder is damaged.
        ReplicaHeldError: Another process works on what is there.
        StorageError: The store cannot be reached now, or the local disk refused.
    """
    owner = f"process {os.getpid()} on {socket.gethostname()}"
    found, manifest, token = claim_replica(
        store, spool, owner, _LEASE_S, version, clock=clock, sleep=sleep, tell=tell
    )
    with closing(Outbox(spool / "outbox")) as outbox:
        outbox.keep_to(None)
        replica = Replica(store, RunFolder(folder), outbox, spool, manifest, token, clock)
        if chain_stored(found) not in {replaces, None}:
            replica.release()
            raise FolderError(f"{store.where}: was changed by another process meanwhile; try again")
        with _renewed(replica):
            replica.push(whole=True)
        keep_own(spool)
        replica.release()
        replica.sweep()
        return replica.manifest


@contextmanager
def _renewed(replica: Replica) -> Iterator[None]:
    """Show life while the block uploads, which may take hours."""
    over = threading.Event()

    def renew() -> None:
        while not over.wait(_LEASE_S / _RENEWALS):
            try:
                replica.renew()
            except StorageError:
                continue  # the uploads find out whether it passes
            except PairmillError:
                return  # so does the last write

    thread = threading.Thread(target=renew, name="pairmill-renewer", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
