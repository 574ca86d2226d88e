"""Machines with run folders, one object store between them, and kills between any two steps."""

from __future__ import annotations

import shutil
import threading
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from tests.support.journals import Killed, batch, units_of

from pairmill.errors import StorageError
from pairmill.replica.takeover import spool_lock, spool_of, take_over
from pairmill.store.files import Disk
from pairmill.store.folder import open_folder
from pairmill.store.journal import Journal

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from pairmill.objects.port import ObjectStore
    from pairmill.replica.replica import Replica
    from pairmill.store.folder import RunFolder

__all__ = [
    "LEASE_S",
    "AwayStore",
    "DyingStore",
    "Machine",
    "MemoryStore",
    "ReplicaClock",
    "lost_reply",
]

LEASE_S = 60.0


class ReplicaClock:
    """A clock of one machine, which stands still until it is moved."""

    def __init__(self, now: float = 0.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


class MemoryStore:
    """An object store that keeps to conditions, in memory."""

    where = "mem://store"

    def __init__(self) -> None:
        self.objects: dict[str, tuple[bytes, int]] = {}
        self.writes: list[str] = []
        self._version = 0
        self._lock = threading.Lock()

    def get(self, name: str) -> tuple[bytes, int] | None:
        return self.objects.get(name)

    def create(self, name: str, data: bytes) -> int | None:
        with self._lock:
            return None if name in self.objects else self._write(name, data)

    def replace(self, name: str, data: bytes, token: int) -> int | None:
        with self._lock:
            found = self.objects.get(name)
            return self._write(name, data) if found and found[1] == token else None

    def names(self, prefix: str) -> list[str]:
        return sorted(name for name in self.objects if name.startswith(f"{prefix}/"))

    def folders(self) -> list[str]:
        return sorted({name.partition("/")[0] for name in self.objects if "/" in name})

    def delete(self, names: Iterable[str]) -> None:
        for name in names:
            self.objects.pop(name, None)

    def _write(self, name: str, data: bytes) -> int:
        self._version += 1
        self.writes.append(name)
        self.objects[name] = (data, self._version)
        return self._version


class DyingStore:
    """Another store, until the n-th operation: then the process dies, or the reply is lost.

    Attributes:
        left: Operations until then.
        happens: The operation takes effect all the same.
        fault: What is raised.
    """

    def __init__(
        self,
        store: ObjectStore,
        left: int,
        *,
        happens: bool,
        fault: BaseException | None = None,
    ) -> None:
        self._store = store
        self.where = store.where
        self.left = left
        self.happens = happens
        self.fault = fault or Killed()

    @property
    def has_struck(self) -> bool:
        return self.left < 0

    def get(self, name: str) -> Any:
        return self._step("get", name)

    def create(self, name: str, data: bytes) -> Any:
        return self._step("create", name, data)

    def replace(self, name: str, data: bytes, token: Any) -> Any:
        return self._step("replace", name, data, token)

    def names(self, prefix: str) -> list[str]:
        names: list[str] = self._step("names", prefix)
        return names

    def folders(self) -> list[str]:
        folders: list[str] = self._step("folders")
        return folders

    def delete(self, names: Iterable[str]) -> None:
        self._step("delete", list(names))

    def _step(self, what: str, *given: object) -> Any:
        self.left -= 1
        if self.left == -1:
            if self.happens:
                getattr(self._store, what)(*given)
            raise self.fault
        if self.left < -1 and isinstance(self.fault, Killed):
            raise self.fault  # the dead do nothing
        return getattr(self._store, what)(*given)


class AwayStore(DyingStore):
    """Another store, which cannot be reached while ``is_away``."""

    def __init__(self, store: ObjectStore) -> None:
        super().__init__(store, 2**62, happens=False)
        self.is_away = False

    def _step(self, what: str, *given: object) -> Any:
        if self.is_away:
            raise StorageError(f"{self.where}: cannot be reached", transient=True)
        return super()._step(what, *given)


class UnsyncedDisk(Disk):
    """Nothing here cuts the power."""

    def sync(self, fd: int) -> None:
        pass

    def sync_folder(self, path: Path) -> None:
        pass


class Machine:
    """A process on a machine: its run folder, and its hold on the replica while it runs."""

    def __init__(
        self, root: Path, store: ObjectStore, clock: ReplicaClock, *, shard_bytes: int = 50
    ) -> None:
        self.path = root / "dataset"
        self.clock = clock
        self.store = store
        self.notices: tuple[str, ...] = ()
        self.told: list[str] = []
        self._shard_bytes = shard_bytes
        self._stack = ExitStack()
        self._journal: Journal | None = None
        self._folder: RunFolder | None = None
        self._replica: Replica | None = None

    def start(self, store: ObjectStore | None = None) -> None:
        """Take over; dies or raises as the store does."""
        with ExitStack() as stack:
            spool = stack.enter_context(spool_lock(self.path, "mem://store"))
            holding = take_over(
                store or self.store,
                self.path,
                spool,
                owner=f"process on {self.path.parent.name}",
                lease_s=LEASE_S,
                version="1",
                clock=self.clock,
                sleep=self.clock.sleep,
                tell=self.told.append,
            )
            stack.callback(holding.outbox.close)
            self.holding = holding
            self.notices = holding.notices
            self._replica = holding.replica
            self._folder = stack.enter_context(
                open_folder(
                    self.path, settings_fingerprint={"a": 1}, accept_change=False, version="1"
                )
            )
            self._journal = Journal.open(
                self._folder,
                clock=lambda: 0.0,
                shard_bytes=self._shard_bytes,
                files=UnsyncedDisk(),
                commit_log=holding.outbox,
            )
            self._stack = stack.pop_all()

    @property
    def is_up(self) -> bool:
        return self._journal is not None

    @property
    def journal(self) -> Journal:
        assert self._journal is not None
        return self._journal

    @property
    def replica(self) -> Replica:
        assert self._replica is not None
        return self._replica

    def commit(self, numbers: list[int]) -> None:
        self.journal.commit(batch(numbers))

    def units(self) -> set[int]:
        assert self._folder is not None
        return units_of(self._folder, self.journal)

    def close(self) -> None:
        """Publish what is open, and close the journal."""
        self.journal.close()
        self._journal = None

    def end(self) -> None:
        """End well: publish, upload, release."""
        if self._journal is not None:
            self.close()
        self.replica.push(whole=True)
        self.replica.release()
        self._stack.close()

    def kill(self) -> None:
        """Leave everything as it is."""
        if self._journal is not None:
            self._journal._log.close()
            self._journal._shards.release()
            self._journal._ledger.close()
            self._journal = None
        self._stack.close()

    def lose(self) -> None:
        """Lose the machine, and whatever was on its disk."""
        self.kill()
        shutil.rmtree(self.path, ignore_errors=True)
        shutil.rmtree(spool_of(self.path), ignore_errors=True)


def lost_reply() -> StorageError:
    return StorageError("mem://store: timed out", transient=True)
