"""The single writer: collects finished work and commits it in groups, in a thread of its own.

Rows are encoded there too, hundreds in a row: the event loop stays free for calls, and the same
work takes half as long without interruptions.
"""

from __future__ import annotations

import asyncio
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar

import anyio
from msgspec import structs

from pairmill.errors import FolderError, StorageError
from pairmill.events import Committed, Notice, RunWaits, ShardPublished
from pairmill.records import Outcome
from pairmill.store.charges import CallCharge, ChargeSums
from pairmill.store.entries import Batch, PaidAnswer, UnitOutcome
from pairmill.store.row_encoding import UnitResult, encode_unit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from pairmill.events import Bus
    from pairmill.store.charges import ChargeSum
    from pairmill.store.entries import BilledSend, ShardRecord
    from pairmill.store.journal import Journal, Receipt

__all__ = ["Writer"]

Result = TypeVar("Result")

_LEAST_SECRET = 16  # characters: anything shorter may be an ordinary word
MAX_PENDING = 2048  # records that may wait for the disk before workers have to
RETRY_S = 2.0  # between attempts on a full disk
LOOK_S = 10.0  # between checks of the shards' age while nothing is committed


class Writer:
    """Accepts answers and results without waiting; commits them at least every ``interval_s``.

    Order is kept: an answer is committed before, or together with, the result that depends on it.
    Only ``drain`` waits for a commit, and workers do if the disk falls far behind. If the disk is
    full, workers wait at once; answers that still arrive are kept in memory and committed when
    there is space again.
    """

    def __init__(
        self,
        journal: Journal,
        bus: Bus,
        interval_s: float,
        forget: Callable[[str], None],
        *,
        secrets: Sequence[str] = (),
        disk_wait_s: float = 600.0,
        retry_s: float = RETRY_S,
        look_s: float = LOOK_S,
    ) -> None:
        """Create the writer.

        A full disk is waited for ``disk_wait_s`` long. ``secrets`` are masked in all rows, however
        a server's answer spells them.
        """
        self._journal = journal
        self._bus = bus
        self._interval_s = interval_s
        self._forget = forget
        self._answers: list[PaidAnswer] = []
        self._results: deque[UnitResult] = deque()
        self._outcomes: list[UnitOutcome] = []  # encoded, but refused by the disk
        self._charges = ChargeSums()
        self._sends: list[BilledSend] = []
        self._waiters: list[asyncio.Future[None]] = []
        self._is_committing = False
        self._is_over = False
        self._wake = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()
        self._is_held = self._is_full = False
        self._closing = False
        self._secrets = [secret.encode() for secret in secrets if len(secret) >= _LEAST_SECRET]
        self._disk_wait_s = disk_wait_s
        self._retry_s = retry_s
        self._look_s = look_s
        self._hurry = asyncio.Event()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="pairmill-writer")

    def put_answer(self, answer: PaidAnswer) -> None:
        """Add an answer that was paid for."""
        self._answers.append(answer)
        self._wake.set()

    def put_send(self, send: BilledSend) -> None:
        """Add a send that may have been billed without an answer."""
        self._sends.append(send)
        self._wake.set()

    async def kept(self) -> None:
        """Return once everything added so far is durable, or the writer has ended."""
        if self._is_over or not (self._is_committing or self._has_more):
            return
        waiter = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        await waiter

    def put_charge(self, charge: CallCharge) -> None:
        """Add the charge of a call; it is committed with whatever comes next."""
        self._charges.add(charge)
        self._wake.set()

    def put_result(self, result: UnitResult) -> None:
        """Add the result of a unit."""
        self._results.append(result)
        self._wake.set()
        if len(self._results) + len(self._answers) >= MAX_PENDING:
            self._room.clear()

    @property
    def is_behind(self) -> bool:
        """True if workers must wait."""
        return not self._room.is_set()

    async def wait_for_room(self) -> None:
        """Wait while the disk is far behind, or `hold` is in force."""
        await self._room.wait()

    def hold(self) -> None:
        """Block new questions until `go_on`; answers to earlier ones are committed as usual."""
        self._is_held = True
        self._room.clear()

    def go_on(self) -> None:
        """End `hold`."""
        self._is_held = False
        self._open()

    def _open(self) -> None:
        """Wake those who wait for room, unless they must wait for something else."""
        if not (self._is_held or self._is_full):
            self._room.set()

    async def run(self) -> None:
        """Commit until ``finish`` is called and everything is durable.

        Raises:
            StorageError: The disk refused a write, and waiting did not help.
        """
        try:
            await self._run()
        finally:
            self._is_over = True
            self._room.set()  # wake all waiters of a writer that has ended
            _let_go(self._waiters)

    async def _run(self) -> None:
        while not self._closing or self._has_more:
            if not await self._woken():
                await self._rotate()
                continue
            self._wake.clear()
            await self._commit()
            if not self._closing:
                await self._pause()
            elif not self._has_more:
                break

    def finish(self) -> None:
        """Let ``run`` return once everything added is durable."""
        self._closing = True
        self._wake.set()

    def hurry(self) -> None:
        """Stop waiting, since the run ends."""
        self._hurry.set()
        self.go_on()

    async def close(self, *, put_back: bool = False) -> None:
        """Commit the remaining work if possible; publish, and close the journal.

        With ``put_back``, tombstones that were lifted but not retried are restored.

        Raises:
            StorageError: The disk refused; committed data is safe, and is published later.
        """
        try:
            await self._commit_last()
            if put_back and (count := await self._in_thread(self._journal.put_back)):
                self._notice(f"not found in the input, and rejected as before: {count} chunks")
            self._tell(await self._in_thread(self._journal.close))
        finally:
            self._thread.shutdown(wait=True)

    @property
    def _has_more(self) -> bool:
        lists = (self._answers, self._results, self._outcomes, self._sends)
        return any(lists) or bool(self._charges)

    async def _woken(self) -> bool:
        """Wait for something to commit; return False after a while without it."""
        with anyio.move_on_after(self._look_s):
            await self._wake.wait()
            return True
        return self._wake.is_set()

    async def _rotate(self) -> None:
        """Publish shards that are old enough."""
        try:
            self._tell(await self._in_thread(self._journal.rotate))
        except StorageError as error:
            if not error.transient:
                raise  # the next commit waits for a full disk

    async def _pause(self) -> None:
        await asyncio.sleep(self._interval_s)

    async def _commit(self) -> None:
        if not self._has_more:
            return
        answers, self._answers = self._answers, []
        results, self._results = self._results, deque()
        outcomes, self._outcomes = self._outcomes, []
        charges = self._charges.take()
        sends, self._sends = self._sends, []
        waiters, self._waiters = self._waiters, []
        self._is_committing = True
        try:
            receipt = await self._commit_patiently(answers, results, outcomes, charges, sends)
        except BaseException:  # a refusal, the end of the run while waiting for space, or a bug
            self._answers[:0], self._outcomes[:0], self._sends[:0] = answers, outcomes, sends
            self._waiters[:0] = waiters
            self._charges.put_back(charges)
            self._results.extendleft(reversed(results))
            raise
        finally:
            self._is_committing = False
        for outcome in outcomes:
            self._forget(outcome.unit_id)
        self._open()
        _let_go(waiters)
        self._let_go_idle()
        kept = sum(unit.outcome is not Outcome.REJECTED for unit in outcomes)
        self._bus.emit(Committed(units=len(outcomes), answers=len(answers), kept=kept))
        self._tell(receipt.published)

    def _let_go_idle(self) -> None:
        """Wake those who came during a commit, if there is nothing more to commit."""
        if not self._has_more:
            _let_go(self._waiters)

    async def _commit_patiently(
        self,
        answers: list[PaidAnswer],
        results: deque[UnitResult],
        outcomes: list[UnitOutcome],
        charges: list[ChargeSum],
        sends: list[BilledSend],
    ) -> Receipt:
        """Commit; on a full disk, retry until the time for that is over."""

        def commit() -> Receipt:
            _encode(results, outcomes, self._secrets)
            return self._journal.commit(Batch(answers, outcomes, charges, sends))

        waited_s = 0.0
        while True:
            try:
                receipt = await self._in_thread(commit)
            except StorageError as error:
                if not error.transient or self._hurry.is_set() or waited_s >= self._disk_wait_s:
                    raise
                if not waited_s:
                    self._is_full = True
                    self._room.clear()
                    self._bus.emit(RunWaits(f"{error}; waiting for room"))
                    self._notice(f"{error}; waiting for room, nothing new is asked meanwhile")
            else:
                if waited_s:
                    self._is_full = False
                    self._bus.emit(RunWaits(""))
                    self._notice("there is room again: going on")
                return receipt
            with anyio.move_on_after(self._retry_s):
                await self._hurry.wait()
            waited_s += self._retry_s

    async def _commit_last(self) -> None:
        """Commit what the disk refused and all later work; otherwise report the loss."""
        self._hurry.set()
        try:
            await self._commit()
        except (StorageError, FolderError) as error:
            lost = len(self._answers)
            self._notice(f"{error}; answers that were bought and could not be kept: {lost}")

    def _notice(self, text: str) -> None:
        self._bus.emit(Notice(text=text))

    async def _in_thread(self, call: Callable[[], Result]) -> Result:
        """Call the journal; a call that has begun is awaited even if cancelled."""
        with anyio.CancelScope(shield=True):
            result = await asyncio.get_running_loop().run_in_executor(self._thread, call)
        return result  # noqa: RET504 (a scope may swallow, for all that a type checker knows)

    def _tell(self, published: Iterable[ShardRecord]) -> None:
        for shard in published:
            self._bus.emit(ShardPublished(name=shard.name, rows=shard.rows, bytes=shard.bytes))


def _let_go(waiters: list[asyncio.Future[None]]) -> None:
    for waiter in waiters:
        if not waiter.done():
            waiter.set_result(None)
    waiters.clear()


def _encode(
    results: deque[UnitResult], outcomes: list[UnitOutcome], secrets: Sequence[bytes]
) -> None:
    """Encode each result and drop it: keeping both takes three times the memory."""
    while results:
        outcome = encode_unit(results.popleft())
        for secret in secrets:
            if any(secret in line for lines in (outcome.rows, outcome.rejected) for line in lines):
                rows = [line.replace(secret, b"***") for line in outcome.rows]
                rejected = [line.replace(secret, b"***") for line in outcome.rejected]
                outcome = structs.replace(outcome, rows=rows, rejected=rejected)
        outcomes.append(outcome)
