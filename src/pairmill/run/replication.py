"""Keeps a run's replica in an object store: takes it over, uploads during the run, releases it."""

from __future__ import annotations

import os
import socket
import time
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

import anyio

from pairmill import __version__
from pairmill.clock import slept_s
from pairmill.errors import (
    EXIT_RESUMABLE,
    ConfigError,
    PairmillError,
    StorageError,
)
from pairmill.events import Notice, RunWaits
from pairmill.objects.url import open_store
from pairmill.partition import parse_partition, part_of
from pairmill.run.threads import run_in_daemon_thread

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pairmill.config import Settings
    from pairmill.events import Bus
    from pairmill.replica.takeover import TakenReplica
    from pairmill.run.stop import Stop
    from pairmill.run.summary import Summary
    from pairmill.store.commit_log import CommitLog
    from pairmill.store.ledger import LedgerStore

__all__ = ["Replication", "finished", "replicated"]

_LOOK_S = 0.25
_TELL_S = 10.0  # without the store, until the user is notified
_TELL_WAIT_S = 2.0  # after a sleep of the machine one write shows that all is well
_JUMP_S = 1.0  # of the time that a machine slept
_LAST_TRIES = 3
_LAST_WAIT_S = 1.0


class Pausable(Protocol):
    """What asks, and can be told to wait."""

    def hold(self) -> None:
        """Ask nothing new until ``go_on``."""
        ...

    def go_on(self) -> None:
        """Ask again."""
        ...


class Replication:
    """One start's hold on its replica.

    While nobody else can have taken the replica over, calls go on whether the store can be reached
    or not. From then on nothing new is asked until a write of the manifest has shown that nobody
    did: that write succeeds only if it is still as we left it.

    Attributes:
        commit_log: For the journal.
        is_lost: Nothing more may be uploaded.
        is_waiting: Nothing new is asked.
        notices: Plain lines about how it was taken over.
    """

    def __init__(
        self,
        holding: TakenReplica,
        upload_s: float,
        wait_s: float,
        bus: Bus,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Take what was won; a store that cannot be reached is waited for ``wait_s``."""
        self._replica = holding.replica
        self._upload_s = upload_s
        self._wait_s = wait_s
        self._bus = bus
        self._clock = clock
        self._sure_at_s = slept_s()  # that the machine had slept when it was ours for sure
        self._lost_since: float | None = None
        self._waiting_since: float | None = None
        self._is_told = False
        self.is_lost = False
        self.commit_log: CommitLog = holding.outbox
        self.notices = holding.notices

    @property
    def is_waiting(self) -> bool:
        """True while nothing new is asked."""
        return self._waiting_since is not None

    async def run(self, stop: Stop, calls: Pausable) -> None:
        """Renew the lease, and upload again and again, until cancelled."""
        async with anyio.create_task_group() as all_three:
            all_three.start_soon(self._renew, stop)
            all_three.start_soon(self._upload, stop)
            all_three.start_soon(self._guard, stop, calls)

    async def _renew(self, stop: Stop) -> None:
        while not self.is_lost:
            if self._slept or self._replica.lease.is_due(self._clock()):
                await self._attempt(self._replica.renew, stop)
            await anyio.sleep(_LOOK_S)

    async def _upload(self, stop: Stop) -> None:
        while not self.is_lost:
            began = self._clock()
            await self._attempt(self._replica.push, stop)
            await anyio.sleep(max(_LOOK_S, self._upload_s - (self._clock() - began)))

    async def _guard(self, stop: Stop, calls: Pausable) -> None:
        """Hold calls back while another process may have taken over, however long a write takes."""
        while not self.is_lost:
            self.look(stop, calls)
            await anyio.sleep(_LOOK_S)

    def look(self, stop: Stop, calls: Pausable) -> None:
        """Decide whether anything may be asked now."""
        now = self._clock()
        if not (self._slept or self._replica.lease.is_over(now)):
            if self.is_waiting:
                self._waiting_since = None
                calls.go_on()
                self._bus.emit(RunWaits(""))
                if self._is_told:
                    self._is_told = False
                    self._bus.emit(Notice(text=f"{self.where} answers again: going on"))
            return
        if self._waiting_since is None:
            self._waiting_since = now
            calls.hold()
            self._bus.emit(RunWaits(f"{self.where} cannot be reached"))
        waited_s = now - self._waiting_since
        if waited_s >= self._wait_s:
            self.is_lost = True
            stop.request(
                f"{self.where} could not be written to for so long that another process may take"
                " over; all answers are kept here",
                EXIT_RESUMABLE,
            )
        elif waited_s >= _TELL_WAIT_S and not self._is_told:
            self._is_told = True
            text = (
                f"{self.where}: another process may take over by now; nothing new is asked until it"
                f" can be written to, for {self._wait_s:g} s at most; all answers are kept here"
            )
            self._bus.emit(Notice(text=text))

    @property
    def _slept(self) -> bool:
        return slept_s() - self._sure_at_s > _JUMP_S

    async def _attempt(self, move: Callable[[], object], stop: Stop) -> None:
        slept_before_s = slept_s()
        renewed_at = self._replica.lease.renewed_at
        try:
            await run_in_daemon_thread(move)
        except StorageError as error:
            self._tell_lost(error, stop)
        except PairmillError as error:
            self.is_lost = True
            stop.request(str(error), error.exit_code)
        else:
            if self._replica.lease.renewed_at > renewed_at:  # else there was nothing to write
                self._lost_since = None
                self._sure_at_s = max(self._sure_at_s, slept_before_s)

    def _tell_lost(self, error: StorageError, stop: Stop) -> None:
        """Tell what has failed for a while; what cannot get better by waiting ends the run."""
        if not error.transient:
            self.is_lost = True
            stop.request(str(error), error.exit_code)
            return
        now = self._clock()
        if self._lost_since is None:
            self._lost_since = now
        elif now - self._lost_since > _TELL_S:
            self._lost_since = float("inf")
            self._bus.emit(Notice(text=f"{error}; uploads wait, answers are kept here"))

    def finish(self, *, patient: bool = False, sleep: Callable[[float], None] = time.sleep) -> str:
        """Upload the rest and let go; returns why that was not possible, or "".

        Args:
            patient: Wait for a store that cannot be reached as long as during the run.
            sleep: To wait with.
        """
        told = ""
        if self.is_lost:
            return told
        began, attempts, is_told = self._clock(), 0, False
        while attempts < _LAST_TRIES or (patient and self._clock() - began < self._wait_s):
            sleep(_LAST_WAIT_S * (attempts > 0))
            attempts += 1
            try:
                self._replica.push(whole=True)
                self._replica.release()
            except StorageError as error:
                told = str(error)
                if not error.transient:
                    return told
                if patient and not is_told and self._clock() - began > _TELL_S:
                    is_told = True
                    text = f"{error}; the last uploads wait for it, for {self._wait_s:g} s at most"
                    self._bus.emit(Notice(text=text))
            except PairmillError as error:
                return str(error)
            else:
                return ""
        return told

    @property
    def where(self) -> str:
        """URL of the replica, for people."""
        return self._replica.where

    def sweep(self) -> None:
        """Remove what killed processes left behind; another start does what this one cannot."""
        with suppress(StorageError):
            self._replica.sweep()


@contextmanager
def replicated(
    settings: Settings, bus: Bus, ledgers: LedgerStore | None = None
) -> Iterator[Replication | None]:
    """Hold the replica that the settings name while the block runs; None: they name none.

    Raises:
        ConfigError: The store cannot be used, or holds a run of another form.
        StoppedError: Another process works on it.
        PairmillError: It cannot be restored.
    """
    if settings.store is None:
        yield None
        return
    if ledgers is not None:
        raise ConfigError("output: a run on an object store keeps its ledger in SQLite")
    from pairmill.replica.takeover import spool_lock, take_over

    _check_neighbours(settings)
    store = open_store(settings.store, "output")
    with spool_lock(settings.output, store.where) as spool:
        holding = take_over(
            store,
            settings.output,
            spool,
            owner=f"process {os.getpid()} on {socket.gethostname()}",
            lease_s=settings.lease_s,
            version=__version__,
            clock=time.monotonic,
            tell=lambda line: bus.emit(Notice(text=line)),
        )
        replication = Replication(holding, settings.upload_s, settings.store_wait_s, bus)
        try:
            replication.sweep()
            yield replication
        except BaseException:
            replication.finish()
            raise
        finally:
            holding.outbox.close()


def finished(replication: Replication | None, summary: Summary) -> Summary:
    """Upload the rest, and say in the summary if that was not possible."""
    if replication is None:
        return summary
    told = replication.finish(patient=summary.exit_code != EXIT_RESUMABLE)
    if not told:
        return replace(summary, store="" if replication.is_lost else replication.where)
    if summary.exit_code == EXIT_RESUMABLE:
        return replace(summary, reason=f"{summary.reason}; {told}")
    return replace(summary, exit_code=EXIT_RESUMABLE, reason=f"not all is uploaded: {told}")


def _check_neighbours(settings: Settings) -> None:
    """Refuse parts of another number, and a part where a whole run is, or the other way round.

    Raises:
        ConfigError: There are such.
        StorageError: The store cannot be reached now.
    """
    from pairmill.replica.manifest import MANIFEST

    assert settings.store is not None  # noqa: S101 (the caller looked)
    if settings.partition is None:
        store = open_store(settings.store, "output")
        try:
            parts = [part for name in store.folders() if (part := part_of(name))]
        except StorageError as error:
            raise _as_config(error) from None
        if parts:
            raise ConfigError(
                f"{settings.store}: holds parts of {parts[0].count}; add --partition, or give"
                " another place with -o"
            )
        return
    part = parse_partition(settings.partition, os.environ)
    if not settings.store.endswith(f"/{part.name}"):
        return
    around = open_store(settings.store.rpartition("/")[0], "output")
    try:
        others = {found.count for name in around.folders() if (found := part_of(name))}
        is_whole = around.get(MANIFEST) is not None
    except StorageError as error:
        raise _as_config(error) from None
    if others - {part.count}:
        raise ConfigError(
            f"{around.where}: holds parts of {min(others - {part.count})}, and this is part {part};"
            " a number of parts cannot be changed midway"
        )
    if is_whole:
        raise ConfigError(
            f"{around.where}: is the run of one process; give another place with -o for the parts"
        )


def _as_config(error: StorageError) -> PairmillError:
    return error if error.transient else ConfigError(f"output: {error}")
