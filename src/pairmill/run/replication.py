"""Keeps a run's replica in an object store: takes it over, uploads beside the run, lets it go."""

from __future__ import annotations

import os
import socket
import time
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import TYPE_CHECKING

import anyio

from pairmill import __version__
from pairmill.clock import slept_s
from pairmill.errors import (
    EXIT_RESUMABLE,
    ConfigError,
    PairmillError,
    StorageError,
)
from pairmill.events import Notice
from pairmill.objects.url import open_store
from pairmill.partition import parse_partition, part_of
from pairmill.run.threads import run_aside

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pairmill.config import Settings
    from pairmill.events import Bus
    from pairmill.replica.takeover import Holding
    from pairmill.run.stop import Stop
    from pairmill.run.summary import Summary
    from pairmill.store.commit_log import CommitLog
    from pairmill.store.ledger import LedgerStore

__all__ = ["Replication", "finished", "replicated"]

_LOOK_S = 0.25
_TELL_S = 10.0  # without the store, until people are told
_JUMP_S = 1.0  # of the time that a machine slept
_LAST_TRIES = 3
_LAST_WAIT_S = 1.0


class Replication:
    """One start's hold on its replica.

    Attributes:
        commit_log: For the journal.
        is_lost: Nothing more may be uploaded.
        notices: Plain lines about how it was taken over.
    """

    def __init__(self, holding: Holding, upload_s: float, bus: Bus) -> None:
        """Take what was won."""
        self._replica = holding.replica
        self._upload_s = upload_s
        self._bus = bus
        self._slept_s = slept_s()
        self._lost_since: float | None = None
        self.is_lost = False
        self.commit_log: CommitLog = holding.outbox
        self.notices = holding.notices

    async def run(self, stop: Stop) -> None:
        """Renew the lease, and upload again and again, until cancelled."""
        async with anyio.create_task_group() as both:
            both.start_soon(self._renew, stop)
            both.start_soon(self._upload, stop)

    async def _renew(self, stop: Stop) -> None:
        lease = self._replica.lease
        while not self.is_lost:
            asleep_s = slept_s()
            was_asleep = asleep_s - self._slept_s > _JUMP_S
            self._slept_s = asleep_s
            if was_asleep or lease.is_due(time.monotonic()):
                await self._attempt(self._replica.renew, stop)
            if not self.is_lost and lease.is_over(time.monotonic()):
                self.is_lost = True
                stop.request(
                    f"{self._replica.where} could not be written to for so long that another"
                    " process may take over; all answers are kept here",
                    EXIT_RESUMABLE,
                )
            await anyio.sleep(_LOOK_S)

    async def _upload(self, stop: Stop) -> None:
        while not self.is_lost:
            began = time.monotonic()
            await self._attempt(self._replica.push, stop)
            await anyio.sleep(max(_LOOK_S, self._upload_s - (time.monotonic() - began)))

    async def _attempt(self, move: Callable[[], object], stop: Stop) -> None:
        try:
            await run_aside(move)
        except StorageError as error:
            self._tell_lost(error, stop)
        except PairmillError as error:
            self.is_lost = True
            stop.request(str(error), error.exit_code)
        else:
            self._lost_since = None

    def _tell_lost(self, error: StorageError, stop: Stop) -> None:
        """Tell what has failed for a while; what cannot get better by waiting ends the run."""
        if not error.transient:
            self.is_lost = True
            stop.request(str(error), error.exit_code)
            return
        now = time.monotonic()
        if self._lost_since is None:
            self._lost_since = now
        elif now - self._lost_since > _TELL_S:
            self._lost_since = float("inf")
            self._bus.emit(Notice(text=f"{error}; uploads wait, answers are kept here"))

    def finish(self) -> str:
        """Upload the rest and let go; returns why that was not possible, or ""."""
        told = ""
        if self.is_lost:
            return told
        for attempt in range(_LAST_TRIES):
            try:
                self._replica.push(whole=True)
                self._replica.release()
            except StorageError as error:
                told = str(error)
                if not error.transient:
                    return told
                time.sleep(_LAST_WAIT_S * (attempt > 0))
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
        replication = Replication(holding, settings.upload_s, bus)
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
    told = replication.finish()
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
