"""Main loop of a run: one reader, N workers and one writer, in the only task groups.

    sources -> chunking -> reader -> inbox -> workers -> writer -> journal
                 |                  |
               lookup             client (gate, provider, retries)

The endpoint is only contacted once there is something to ask. A stop (a signal, a refused key, a
full disk) ends reading at once. Workers with a call in flight get the grace period; all others are
cancelled. Every answer is committed, and the same command resumes the run.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import anyio

from pairmill.chunking.chunk_batches import BATCH_CHUNKS
from pairmill.errors import (
    EXIT_DONE,
    EXIT_FAILED,
    EXIT_RESUMABLE,
    FolderError,
    PairmillError,
    StorageError,
)
from pairmill.events import (
    AnswerRead,
    Bus,
    CallAnswered,
    Committed,
    DocumentsRead,
    ReadingDone,
    RunOpened,
    UnitFinished,
    UnitsKnown,
    UnitsPlanned,
    UnitSuspended,
)
from pairmill.output.authorship import why_no_voice
from pairmill.output.formats.registry import choose_formats
from pairmill.recipes.repair import Questions
from pairmill.run.asking import ProbeSends
from pairmill.run.claims import Claims
from pairmill.run.connect import connected, watch_retirements
from pairmill.run.monitor import RunMonitor, watch_gauge, watch_loop
from pairmill.run.reader import Inbox, Reader, SkippedLog, tell
from pairmill.run.stop import StoppingError, listen
from pairmill.run.summary import Summary
from pairmill.run.suspects import Suspects
from pairmill.run.targets import PairTarget, make_quota
from pairmill.run.threads import run_in_daemon_thread
from pairmill.run.timeline_recorder import RunTimeline
from pairmill.run.worker import WorkerContext, WorkerGroup, work_on

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from pairmill.config import Settings
    from pairmill.llm.budget import Budget
    from pairmill.recipes.recipe import Recipe
    from pairmill.run.connect import Connection
    from pairmill.run.ending import Account, Ending
    from pairmill.run.judge_figures import RunMetrics
    from pairmill.run.reader import UnitBatch, Work
    from pairmill.run.recipe_context import CanaryGuard
    from pairmill.run.replication import Replication
    from pairmill.run.writer import Writer
    from pairmill.service.companions import RunView
    from pairmill.store.claim_store import ClaimStore
    from pairmill.store.counts import RunCounts
    from pairmill.store.folder import RunFolder

__all__ = ["RunLoop"]


class RunLoop:
    """Reader, workers, writer and watchers of one start of a run."""

    def __init__(
        self,
        settings: Settings,
        bus: Bus,
        recipe: Recipe,
        folder: RunFolder,
        reader: Reader,
        writer: Writer,
        ending: Ending,
        *,
        watch: CanaryGuard,
        puts_back: bool,
        skipped: SkippedLog,
        metrics: RunMetrics,
        view: RunView | None = None,
        replication: Replication | None = None,
        claims: ClaimStore | None = None,
    ) -> None:
        self._settings = settings
        self._bus = bus
        self._recipe = recipe
        self._folder = folder
        self._reader = reader
        self._writer = writer
        self._ending = ending
        self._watch = watch
        self._puts_back = puts_back
        self._view = view
        self._replication = replication
        self._claims = claims
        self._skipped = skipped
        self._metrics = metrics
        self._stop = watch.stop
        self._chunks = 0
        self._suspended = 0
        self._idle: anyio.CancelScope | None = None  # around waits that a stop cancels at once
        self._budget: Budget | None = None
        self._began_at = time.monotonic()
        self._pairs_before = ending.pairs
        self._quota = make_quota(settings, accepted=ending.pairs, spare=reader.done_with)

    async def run(self, *, handle_signals: bool, tick: Callable[[], None] | None) -> Summary:
        """Run reader, workers, writer and signal handling; finalise the folder."""
        self._ending.listen(self._bus)
        self._bus.subscribe(self._watch.listen, UnitFinished, UnitSuspended)
        self._bus.subscribe(self._suspend, UnitSuspended)
        self._tell_account(self._ending.begin())
        async with anyio.create_task_group() as listening:
            if handle_signals:
                listening.start_soon(listen, self._stop, self._bus)
            listening.start_soon(self._end_idling)
            listening.start_soon(watch_loop, tick, self._bus)
            if self._replication is not None:
                listening.start_soon(self._replication.run, self._stop, self._writer)
            try:
                async with anyio.create_task_group() as writing:
                    writing.start_soon(self._write)
                    try:
                        asked = await self._produce()
                    finally:
                        self._writer.finish()
            finally:
                with anyio.CancelScope(shield=True):
                    whole = self._puts_back and not self._stop.is_requested
                    await self._writer.close(put_back=whole)
            summary = self._summary(asked=asked)
            listening.cancel_scope.cancel()
        return summary

    def _tell_account(self, account: Account) -> None:
        """Emit what earlier starts left in the folder."""
        counts, bill = account.counts, account.totals.bill
        self._bus.emit(
            RunOpened(
                pairs=counts.pairs,
                ended=counts.ended,
                rejected=counts.rejected_chunks,
                dropped=counts.dropped_pairs,
                prompt_tokens=bill.usage.prompt_tokens,
                completion_tokens=bill.usage.completion_tokens,
                usd=account.usd if bill.calls or bill.lost else None,
            )
        )

    def _suspend(self, _event: UnitSuspended) -> None:
        self._suspended += 1

    async def _write(self) -> None:
        try:
            await self._writer.run()
        except (StorageError, FolderError) as error:
            self._stop.request(str(error), error.exit_code)

    async def _end_idling(self) -> None:
        """On a stop, cancel the wait for input, for the endpoint, or for space on the disk."""
        await self._stop.wait()
        self._writer.hurry()
        if self._idle is not None:
            self._idle.cancel()

    async def _produce(self) -> bool:
        """Read up to the first new unit, then connect to the endpoint and start the workers."""
        batch = await self._read()
        while batch is not None and not batch.work:
            batch = await self._read()
        if batch is None or (self._quota and self._quota.is_full):
            return False
        asked = False
        try:
            with anyio.CancelScope() as scope:
                self._idle = scope
                async with connected(
                    self._settings,
                    self._recipe,
                    self._bus,
                    self._stop,
                    self._folder,
                    self._watch.memory,
                    ProbeSends(self._folder, self._writer),
                ) as connection:
                    self._idle = None
                    self._budget = connection.spending.budget
                    asked = True
                    if self._view is not None:
                        self._view.connected(connection.router.pools)
                    await self._work(batch, connection)
        except* StoppingError:
            pass  # a stop came while connecting
        return asked

    async def _work(self, batch: UnitBatch, connection: Connection) -> None:
        strong = connection.strong
        inbox = Inbox(2 * max(connection.workers, BATCH_CHUNKS))
        suspects = Suspects(self._writer.put_result, inbox, self._stop, connection.is_well)
        self._bus.subscribe(suspects.listen, CallAnswered)
        has_pairs = self._ending.pairs > 0
        context = WorkerContext(
            self._recipe,
            self._questions(self._settings.model),
            connection.client,
            self._writer,
            self._bus,
            self._stop,
            connection.in_flight,
            connection.room,
            suspects,
            self._watch.turns,
            self._questions(strong) if strong else None,
            Claims(self._claims, connection.in_flight.check) if self._claims else None,
        )
        quiet_s = self._settings.no_progress_s
        good, bad = self._ending.judged
        monitor = RunMonitor(
            connection,
            self._bus,
            self._stop,
            no_progress_s=quiet_s,
            good=good,
            bad=bad,
            is_idle=self._is_idle,
        )
        self._bus.subscribe(monitor, AnswerRead, Committed)
        workers = WorkerGroup(connection.in_flight)
        timeline = RunTimeline(self._folder.timeline, time.time())
        timeline.listen(self._bus)
        try:
            async with anyio.create_task_group() as guarding:
                guarding.start_soon(workers.cancel_after, self._stop, self._settings.grace_s)
                guarding.start_soon(monitor.watch)
                guarding.start_soon(timeline.watch, connection.router.pools)
                guarding.start_soon(watch_retirements, connection, self._bus, self._watch.memory)
                for base_url, gate in connection.gauges.items():
                    guarding.start_soon(watch_gauge, base_url, gate)
                async with anyio.create_task_group() as working:
                    working.start_soon(workers.run_worker, self._feed, batch, inbox)
                    for _ in range(connection.workers):
                        working.start_soon(workers.run_worker, work_on, inbox, context)
                await suspects.conclude(has_pairs=has_pairs)
                guarding.cancel_scope.cancel()
        finally:
            timeline.close(self._stop.reason or "done")

    def _is_idle(self) -> bool:
        """Return True if all of a followed input is finished, or nothing may be asked now."""
        if self._replication is not None and self._replication.is_waiting:
            return True
        return self._settings.follow and self._reader.is_idle

    def _questions(self, model: str) -> Questions:
        attempts = self._settings.max_attempts
        return Questions(self._bus, model=model, max_attempts=attempts, around=self._watch)

    async def _feed(self, batch: UnitBatch, inbox: Inbox) -> None:
        """Pass units to the workers; if reading fails, stop the run gracefully."""
        try:
            await self._hand_over(batch, inbox)
        except PairmillError as error:
            self._stop.request(str(error), error.exit_code)

    async def _hand_over(self, batch: UnitBatch | None, inbox: Inbox) -> None:
        """Pass units to the workers as fast as they take them."""
        if self._quota is not None:
            await self._feed_quota(self._quota, batch, inbox)
            batch = None
        while batch is not None:
            await self._pass_on(batch.work, inbox)
            batch = await self._read()
        if not self._stop.is_requested:
            self._bus.emit(ReadingDone())
        inbox.end()

    async def _feed_quota(self, quota: PairTarget, batch: UnitBatch | None, inbox: Inbox) -> None:
        """Pass on only as many units as the target of pairs needs."""
        self._bus.subscribe(quota.listen, UnitFinished, UnitSuspended)
        while batch is not None and not quota.is_full:
            async for work in quota.admit(batch.work):
                await self._pass_on((work,), inbox)
            batch = None if quota.is_full else await self._read()
        async for work in quota.rest():
            await self._pass_on((work,), inbox)
        self._bus.emit(UnitsPlanned(count=-quota.spared))

    async def _pass_on(self, works: Iterable[Work], inbox: Inbox) -> None:
        left = iter(works)
        while self._watch.is_on_trial and (work := next(left, None)) is not None:
            await self._watch.hand_out()
            await inbox.put((work,))
        await inbox.put(left)

    async def _read(self) -> UnitBatch | None:
        """Return the next batch; None at the end of the input, or once a stop was requested."""
        if self._stop.is_requested:
            return None
        batch = None
        with anyio.CancelScope() as scope:
            self._idle = scope
            batch = await run_in_daemon_thread(self._reader.next_batch)
        self._idle = None
        if batch is not None:
            self._chunks += len(batch.work) + batch.known
            if self._quota is not None:
                self._quota.note(batch.pairs)
            for note in batch.notes:
                tell(note, self._bus)
            if batch.documents:
                self._bus.emit(DocumentsRead(count=batch.documents))
            self._bus.emit(UnitsPlanned(count=len(batch.work)))
            self._bus.emit(UnitsKnown(count=batch.known))
        return batch

    def _summary(self, *, asked: bool) -> Summary:
        account = self._ending.finish(whole=not (self._stop.is_requested or self._suspended))
        counts, usage = account.counts, account.totals.usage
        exit_code, reason = self._result(counts)
        budget = self._budget
        is_capped = self._stop.is_requested and budget is not None and reason == budget.exhausted
        return Summary(
            self._settings.output,
            exit_code,
            reason,
            asked=asked,
            chunks=self._chunks,
            pairs=counts.pairs,
            voice=why_no_voice(self._folder),
            warning=self._warning(wrote=account.totals.pairs > self._pairs_before),
            counts=counts,
            new_pairs=account.totals.pairs - self._pairs_before,
            usd=account.usd,
            usd_in_doubt=account.usd_in_doubt,
            calls=account.totals.calls,
            prompt_tokens=usage.prompt_tokens,
            completion_tokens=usage.completion_tokens,
            seconds=time.monotonic() - self._began_at,
            cap=budget.exhausted_cap if budget is not None and is_capped else "",
            formats=choose_formats(self._recipe),
        )

    def _result(self, counts: RunCounts) -> tuple[int, str]:
        """Return the exit code of this start, and why the run ended early or made no pair."""
        if self._stop.is_requested:
            return self._stop.exit_code, self._stop.reason
        exit_code, reason = EXIT_DONE, ""
        if self._suspended:
            exit_code = EXIT_RESUMABLE
            reason = f"{self._suspended:,} chunks have no answer yet"
        elif not self._chunks and self._settings.follow and not self._puts_back:
            reason = "" if counts.ended else "no input has arrived yet"
        elif self._settings.partition and self._ending.has_text and not counts.ended:
            reason = "this part contains no chunk of the input"
        elif not self._chunks:
            exit_code, reason = EXIT_FAILED, self._ending.why_no_chunk()
        elif not counts.pairs:
            exit_code, reason = EXIT_FAILED, self._ending.why_no_pair()
        elif self._settings.strict and self._skipped.count:
            exit_code = EXIT_FAILED
            what = f"{self._skipped.count:,} pieces of input cannot be used, and --strict is set"
            reason = f"{what}; {self._folder.path / 'skipped.jsonl'} names them"
        return exit_code, reason

    def _warning(self, *, wrote: bool) -> str:
        """Describe problems with the pairs or ratings of this start; "" if there are none."""
        settings = self._settings
        rated = self._metrics.warning(judge=settings.judge, wrote=wrote)
        verified = self._metrics.verifier_warning(verify=settings.verify, wrote=wrote)
        told = "" if self._stop.is_requested else self._watch.conclude()
        return "; ".join(part for part in (told, rated, verified) if part)
