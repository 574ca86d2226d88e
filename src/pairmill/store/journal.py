"""Defines the order of durable writes.

A commit appends to the shards and syncs them, and only then tells the ledger, in one transaction,
what was bought, what is finished, and how long the shards are. If killed in between, the shards are
too long, and the next start cuts them back. So everything that the ledger records is on the disk
exactly once.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from pairmill.errors import FolderError, StorageError
from pairmill.store.chain import GenerationLog, LedgerChain, check_chain, new_chain_id
from pairmill.store.commit_log import NO_LOG, AppendedLines, CommitEntry, CommitLog, next_generation
from pairmill.store.counts import count_drops
from pairmill.store.files import DISK, Files
from pairmill.store.ledger import note_store
from pairmill.store.recovery import restore
from pairmill.store.shards import holds_shards
from pairmill.store.sqlite.database import rebuild_hint
from pairmill.store.sqlite.store import SQLITE

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
    from types import TracebackType

    from pairmill.store.charges import ChargeSum
    from pairmill.store.entries import Batch, BilledSend, PaidAnswer, ShardRecord, UnitOutcome
    from pairmill.store.folder import RunFolder
    from pairmill.store.ledger import Ledger, LedgerReader
    from pairmill.store.shards import Shards

__all__ = ["Journal", "Receipt"]

_SHARD_BYTES = 64 * 2**20
_SHARD_AGE_S = 300.0


@dataclass(frozen=True, slots=True)
class Receipt:
    """What one commit made durable.

    Attributes:
        repeated: Outcomes that were left out because their units were already finished.
        published: Shards that were published.
    """

    answers: int
    units: int
    rows: int
    repeated: int
    published: tuple[ShardRecord, ...] = ()


class Journal:
    """Everything that a run makes durable. Synchronous, and used from one thread.

    After a transient StorageError the same batch, or a larger one, may be committed again: what is
    finished is never written twice. After any other error the journal refuses all further work, and
    the next start repairs the folder.

    Attributes:
        notices: Lines for people about what was found on opening.
    """

    def __init__(
        self,
        folder: RunFolder,
        ledger: Ledger,
        shards: Shards,
        *,
        log: GenerationLog,
        clock: Callable[[], float],
        shard_bytes: int,
        shard_age_s: float,
        notices: Sequence[str] = (),
        commit_log: CommitLog = NO_LOG,
    ) -> None:
        self._folder = folder
        self._ledger = ledger
        self._log = log
        self._shards = shards
        self._commit_log = commit_log
        self._clock = clock
        self._shard_bytes = shard_bytes
        self._shard_age_s = shard_age_s
        self._in_doubt = False  # a ledger transaction failed; its outcome is unknown
        self._uneven = False  # shards may hold bytes that no transaction confirmed
        self._broken: str | None = None
        self._published: list[ShardRecord] = []
        self.notices = tuple(notices)

    @classmethod
    def open(
        cls,
        folder: RunFolder,
        *,
        clock: Callable[[], float],
        shard_bytes: int = _SHARD_BYTES,
        shard_age_s: float = _SHARD_AGE_S,
        files: Files = DISK,
        commit_log: CommitLog = NO_LOG,
    ) -> Self:
        """Open the journal of a locked run folder, after repairing the folder.

        Args:
            folder: From ``open_folder``.
            clock: Seconds that never run backwards.
            shard_bytes: A shard of this length is published.
            shard_age_s: So is one that has been open this long.
            files: The operations on the disk.
            commit_log: Receives each commit.

        Raises:
            FolderError: Something that was committed is missing or damaged.
            StorageError: The disk refused.
        """
        if not folder.writable:
            raise ValueError("the folder was opened to be read")
        _create_once(folder, files)
        ledger = folder.ledgers.open(folder.state)
        try:
            log = _open_log(folder, ledger, files)
        except BaseException:
            ledger.close()
            raise
        try:
            shards, notices = restore(folder, files, ledger.shards(), clock())
            if not ledger.counts_drops:
                ledger.count_drops(count_drops(folder, ledger.shards()))
        except BaseException:
            log.close()
            ledger.close()
            raise
        return cls(
            folder,
            ledger,
            shards,
            log=log,
            clock=clock,
            shard_bytes=shard_bytes,
            shard_age_s=shard_age_s,
            notices=notices,
            commit_log=commit_log,
        )

    def lookup(self) -> LedgerReader:
        """Open a reader of the ledger for another thread; the caller closes it."""
        return self._folder.read_ledger()

    def reopen(self, reason: str | None, units: Collection[str] | None = None) -> frozenset[str]:
        """Lift tombstones, as ``Ledger.reopen``; return all units to retry.

        Includes units that an earlier start lifted but did not retry.

        Raises:
            StorageError: The disk refused; see the class.
        """
        with self._working():
            self._ledger.reopen(reason, units)
            return self._ledger.reopened()

    def put_back(self) -> int:
        """Restore tombstones that were lifted but not retried; return how many.

        Raises:
            StorageError: The disk refused; see the class.
        """
        with self._working():
            return self._ledger.put_back()

    def commit(self, batch: Batch) -> Receipt:
        """Make a batch durable: once this returns, all of it survives a power loss.

        Raises:
            StorageError: The disk refused, and none of the batch counts; see the class.
            FolderError: The ledger is damaged.
        """
        with self._working():
            self._publish(self._shards.ripe(self._clock(), self._shard_bytes, self._shard_age_s))
            outcomes = self._fresh(batch.outcomes)
            rows = [line for unit in outcomes for line in unit.rows]
            rejected = [line for unit in outcomes for line in unit.rejected]
            self._append(rows, rejected)
            changed = self._shards.changed()
            appended = _appended(changed, {"train": rows, "rejected": rejected})
            self._ledger_commit(
                batch.answers, outcomes, changed, appended, batch.charges, batch.sends
            )
            self._shards.commit()
            self._uneven = False
        repeated = len(batch.outcomes) - len(outcomes)
        return Receipt(
            len(batch.answers), len(outcomes), len(rows), repeated, self._take_published()
        )

    def rotate(self) -> tuple[ShardRecord, ...]:
        """Publish shards that are old enough, without a commit; return them.

        Raises:
            StorageError: The disk refused; see the class.
        """
        with self._working():
            self._publish(self._shards.ripe(self._clock(), self._shard_bytes, self._shard_age_s))
        return self._take_published()

    def close(self, *, publish: bool = True) -> tuple[ShardRecord, ...]:
        """Publish open shards, and close everything; return the published shards.

        Raises:
            StorageError: The disk refused; everything is closed nevertheless.
        """
        try:
            if publish and self._broken is None:
                with self._working():
                    self._publish(self._shards.ripe(self._clock(), 1, 0.0))
            return self._take_published()
        finally:
            self._broken = self._broken or "the journal is closed"
            self._log.close()
            self._shards.release()
            self._ledger.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _fresh(self, outcomes: Sequence[UnitOutcome]) -> list[UnitOutcome]:
        """Leave out finished units, and duplicates after the first."""
        if not outcomes:
            return []
        first: dict[str, UnitOutcome] = {}
        for unit in outcomes:
            first.setdefault(unit.unit_id, unit)
        done = self._ledger.finished(list(first))
        return [unit for unit in first.values() if unit.unit_id not in done]

    def _append(self, rows: list[bytes], rejected: list[bytes]) -> None:
        now_s = self._clock()
        self._uneven = True
        try:
            self._shards.append("train", rows, now_s)
            self._shards.append("rejected", rejected, now_s)
            self._shards.sync()
        except StorageError as error:
            if error.transient:
                self._roll_back()  # frees its memory at once
            raise

    def _ledger_commit(
        self,
        answers: Sequence[PaidAnswer],
        outcomes: Sequence[UnitOutcome],
        shards: Sequence[ShardRecord],
        appended: Sequence[AppendedLines] = (),
        charges: Sequence[ChargeSum] = (),
        sends: Sequence[BilledSend] = (),
    ) -> None:
        chain, after = next_generation(self._ledger.chain)
        entry = CommitEntry(chain, after, answers, outcomes, shards, appended, charges, sends)
        with self._commit_log.committing(entry):
            self._in_doubt = True
            self._ledger.commit(answers, outcomes, shards, charges, sends)
        self._in_doubt = False

    def _publish(self, records: Sequence[ShardRecord]) -> None:
        """Close in the ledger, then rename. After a kill between them, the next start renames."""
        if records:
            self._shards.sync()  # for one that was cut since it was last synced
            self._ledger_commit((), (), records)
            self._shards.close(records)
        while record := self._shards.publish_next():
            self._published.append(record)

    @contextmanager
    def _working(self) -> Iterator[None]:
        """Start with ledger and shards in step, and remember a permanent refusal."""
        if self._broken is not None:
            raise StorageError(self._broken)
        try:
            self._even_out()
            yield
            if self._ledger.chain is not None:
                self._log.append(self._ledger.chain)
        except (StorageError, FolderError) as error:
            if not (isinstance(error, StorageError) and error.transient):
                self._broken = f"{error}; nothing more is written, the next start looks again"
            raise

    def _even_out(self) -> None:
        """Bring ledger and shards in step again after a transient refusal.

        The ledger goes first: until it has overwritten the doubtful transaction, a killed process
        may be followed by one that takes it for committed, and looks for its bytes in the shards.
        """
        if self._in_doubt:
            self._ledger.settle()
            if self._shards.committed() != [r for r in self._ledger.shards() if not r.closed]:
                # It was committed after all; reading again finds the bytes.
                raise StorageError(f"{self._folder.ledger}: a refused transaction took effect")
            self._in_doubt = False
        if self._uneven:
            self._shards.rollback()
            self._uneven = False

    def _roll_back(self) -> None:
        try:
            self._shards.rollback()
        except StorageError:
            return  # report the first refusal; the next commit tries again
        self._uneven = False

    def _take_published(self) -> tuple[ShardRecord, ...]:
        published = tuple(self._published)
        self._published.clear()
        return published


def _appended(
    changed: Sequence[ShardRecord], lines: Mapping[str, Sequence[bytes]]
) -> list[AppendedLines]:
    """Return what was appended to each shard that changed."""
    return [
        AppendedLines(shard.kind, shard.number, lines[shard.kind])
        for shard in changed
        if lines.get(shard.kind)
    ]


def _create_once(folder: RunFolder, files: Files) -> None:
    """Create the ledger of a new folder; refuse if an existing folder has lost its ledger."""
    if folder.has_ledger:
        return
    seen = GenerationLog.read(folder.generation)
    if holds_shards(folder) or (seen and seen.generation):
        raise FolderError(f"{folder.ledger}: the ledger is missing; {rebuild_hint(folder.ledger)}")
    chain = seen or LedgerChain(new_chain_id())
    GenerationLog(folder.generation, files, chain).close()  # first: a ledger is never without it
    note_store(folder.state, folder.ledgers, SQLITE, files)
    folder.ledgers.create(folder.state, folder.version, chain)


def _open_log(folder: RunFolder, ledger: Ledger, files: Files) -> GenerationLog:
    """Compare the ledger with its folder, and open the log of its generations.

    Raises:
        FolderError: The ledger is older than the folder.
        StorageError: The disk refused.
    """
    check_chain(folder, ledger.chain, ledger.shards())
    if ledger.chain is None:
        seen = GenerationLog.read(folder.generation)
        chain = seen or LedgerChain(new_chain_id())
        GenerationLog(folder.generation, files, chain).close()
        ledger.begin_chain(chain.id)
        assert ledger.chain is not None  # noqa: S101 (it was begun)
    return GenerationLog(folder.generation, files, ledger.chain)
