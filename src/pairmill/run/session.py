"""Main loop of a run: one reader, N workers and one writer, in the only task groups.

    sources -> chunking -> reader -> inbox -> workers -> writer -> journal
                 |                  |
               lookup             client (gate, provider, retries)

The endpoint is only contacted once there is something to ask. A stop (a signal, a refused key, a
full disk) ends reading at once. Workers with a call in flight get the grace period; all others are
cancelled. Every answer is committed, and the same command resumes the run.
"""

from __future__ import annotations

import os
import time
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import TYPE_CHECKING

import anyio
from msgspec.structs import replace

from pairmill import __version__
from pairmill.chunking.clean import FOLLOWED_SINCE, READING_VERSION
from pairmill.chunking.follow import check_follow
from pairmill.chunking.follow_state import MARK_FILE, followed_counts
from pairmill.chunking.job import Job
from pairmill.chunking.portions import PORTION_CHUNKS
from pairmill.chunking.reader_process import ReaderProcess
from pairmill.config import fingerprint
from pairmill.errors import (
    EXIT_DONE,
    EXIT_FAILED,
    EXIT_RESUMABLE,
    FolderError,
    PairmillError,
    StorageError,
    UsageError,
)
from pairmill.events import (
    AnswerRead,
    Bus,
    CallAnswered,
    CallCharged,
    Committed,
    DocumentsRead,
    InputSkipped,
    Notice,
    PairEvolved,
    PairJudged,
    PairVerified,
    ReadingDone,
    RunOpened,
    SentenceTried,
    ShardPublished,
    UnitFinished,
    UnitsKnown,
    UnitsPlanned,
    UnitSuspended,
)
from pairmill.output.authorship import note_voice, why_no_voice
from pairmill.partition import check_parts, parse_partition
from pairmill.recipes.registry import for_unit, make_recipe
from pairmill.recipes.repair import Questions
from pairmill.run.asking import ProbeSends
from pairmill.run.author_styles import pool_manners
from pairmill.run.checking import Checkers
from pairmill.run.claims import Claims
from pairmill.run.connect import connected, tell_shutdowns
from pairmill.run.ending import Ending
from pairmill.run.figures import RunMetrics
from pairmill.run.memory import RunMemory
from pairmill.run.monitor import RunMonitor, watch_gauge, watch_loop
from pairmill.run.origin import (
    check_copy,
    check_recipe,
    keep_copy,
    note_start,
    notice_of_copy,
    read_origin,
    recipe_for,
)
from pairmill.run.reader import FollowMarks, Inbox, Reader, SkippedLog, tell
from pairmill.run.recipe_context import CanaryGuard
from pairmill.run.recover import adopt
from pairmill.run.replication import finished, replicated
from pairmill.run.stop import Stop, StoppingError, listen
from pairmill.run.summary import Summary, fitting_formats
from pairmill.run.suspects import Suspects
from pairmill.run.targets import PairTarget, make_quota
from pairmill.run.threads import run_aside
from pairmill.run.timeline import RunTimeline
from pairmill.run.tuning import calm_collector, fit_to_open_files
from pairmill.run.worker import WorkerContext, WorkerGroup, work_on
from pairmill.run.writer import Writer
from pairmill.service.companions import RunView, beside, load_companions
from pairmill.service.status_server import open_status_server
from pairmill.service.telemetry import open_telemetry
from pairmill.sources.files import check_inputs
from pairmill.store.charges import CallCharge
from pairmill.store.claims import CLAIMS, ClaimStore
from pairmill.store.commit_log import NO_LOG
from pairmill.store.fields import add_fields
from pairmill.store.files import atomic_write
from pairmill.store.folder import open_folder
from pairmill.store.journal import Journal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from pairmill.config import Settings
    from pairmill.llm.budget import Budget
    from pairmill.recipes.recipe import Recipe
    from pairmill.run.connect import Connection
    from pairmill.run.ending import Account
    from pairmill.run.reader import UnitBatch, Work
    from pairmill.run.replication import Replication
    from pairmill.run.retry_rejected import RetryRequest
    from pairmill.service.companions import Companion
    from pairmill.store.folder import RunFolder
    from pairmill.store.ledger import LedgerStore

__all__ = ["Summary", "run"]


async def run(
    settings: Settings,
    bus: Bus | None = None,
    *,
    handle_signals: bool = True,
    tick: Callable[[], None] | None = None,
    again: RetryRequest | None = None,
    companions: Sequence[Companion] = (),
    ledgers: LedgerStore | None = None,
    stop: Stop | None = None,
) -> Summary:
    """Turn the inputs into pairs, or resume an earlier run in the same folder.

    Args:
        settings: Settings of this start.
        bus: Gets the run's events.
        handle_signals: Stop gracefully on SIGINT and SIGTERM, and at once on a second one.
        tick: Called a few times a second from the event loop, to draw progress.
        again: If given, only retry the rejected units that it selects.
        companions: Coroutines to run beside the run, in addition to those in the settings.
        ledgers: Where to keep a new folder's ledger; None: in SQLite.
        stop: With which the caller may stop it early.

    Raises:
        PairmillError: The run could not start. Nothing that was committed is lost.
    """
    bus = bus or Bus()
    with replicated(settings, bus, ledgers) as replication:
        summary = await _run(
            settings,
            bus,
            handle_signals=handle_signals,
            tick=tick,
            again=again,
            companions=companions,
            ledgers=ledgers,
            stop=stop or Stop(),
            replication=replication,
        )
        return finished(replication, summary)


async def _run(
    settings: Settings,
    bus: Bus,
    *,
    handle_signals: bool,
    tick: Callable[[], None] | None,
    again: RetryRequest | None,
    companions: Sequence[Companion],
    ledgers: LedgerStore | None,
    stop: Stop,
    replication: Replication | None,
) -> Summary:
    """Run in the local folder; see `run`."""
    own = again.begun if again else settings
    settings, notice = fit_to_open_files(settings)
    begun_with = make_recipe(settings)  # what it refuses is refused before the folder is touched
    settings, own = for_unit(settings, begun_with), for_unit(own, begun_with)
    beside_it = [
        *companions,
        *load_companions(settings.companions),
        *open_telemetry(os.environ, __version__),
    ]
    follows = settings.follow and again is None
    _check_places(settings, follows=follows)
    with ExitStack() as stack:
        if status := open_status_server(settings, __version__):
            stack.callback(status.close)
            beside_it.append(status)
        view = RunView(settings, bus) if beside_it else None
        folder = stack.enter_context(
            open_folder(
                settings.output,
                settings_fingerprint=fingerprint(own),
                accept_change=settings.accept_change,
                version=__version__,
                ledgers=ledgers,
            )
        )
        adopted: list[str] = []
        recipe, changed = recipe_for(folder, settings)
        reading = _reading_of(folder, settings, follows=follows)
        if not again:
            changed = changed or check_copy(folder, recipe, accept_change=settings.accept_change)
            changed = changed or check_recipe(
                folder, recipe.identity, accept_change=settings.accept_change
            )  # before anything is upgraded
            add_fields(folder.state, recipe.fields)
            keep_copy(folder, recipe)
            if folder.is_bare:
                adopted = adopt(folder, own, recipe.identity)
            atomic_write(folder.resolved, own.model_dump_json(indent=2).encode())
            note_start(folder, recipe, reading)
        journal = Journal.open(
            folder,
            clock=time.monotonic,
            shard_bytes=settings.shard_bytes,
            shard_age_s=settings.shard_age_s,
            commit_log=replication.commit_log if replication else NO_LOG,
        )
        only = journal.reopen(again.reason, again.units) if again else None
        known, totals = (stack.enter_context(journal.lookup()) for _ in range(2))
        followed = followed_counts(folder.path) if follows else None  # settles first
        job = Job.of(settings, reading, keeps_memory=True, follows=follows)
        reader = Reader(
            stack.enter_context(ReaderProcess(job)),
            recipe,
            known,
            only=only,
            marks=FollowMarks(folder.state / MARK_FILE) if follows else None,
        )
        writer = Writer(
            journal,
            bus,
            settings.commit_interval_s,
            reader.done_with,
            secrets=_keys(settings),
            disk_wait_s=settings.disk_wait_s,
        )
        bus.subscribe(partial(_keep_charge, writer), CallAnswered, CallCharged)
        ending = Ending(folder, totals, recipe, settings, followed)
        copied = notice_of_copy(recipe, folder, settings.recipe)
        watch = CanaryGuard(
            stop,
            stack.enter_context(RunMemory(folder.state / "memory.db")),
            seed=settings.seed,
            max_repeats=settings.max_repeats,
            on_trial=recipe.is_watched,
        )
        pooled = (
            await _learn_voices(job, folder, settings, watch.memory)
            if recipe.pools_manners and not again
            else ()
        )
        for text in filter(
            None,
            (
                *(replication.notices if replication else ()),
                *notice,
                *folder.notices,
                copied,
                changed,
                *adopted,
                *journal.notices,
                *pooled,
            ),
        ):
            bus.emit(Notice(text=text))
        figures = RunMetrics(folder.figures, folder.state / "figures.json")
        bus.subscribe(figures.listen, PairJudged, PairEvolved, ShardPublished)
        bus.subscribe(figures.listen_to_verifier, PairVerified, SentenceTried)
        skipped = stack.enter_context(SkippedLog(folder.path / "skipped.jsonl", goes_on=follows))
        bus.subscribe(skipped.listen, InputSkipped)
        stack.callback(figures.save)
        session = _Session(
            settings,
            bus,
            recipe,
            folder,
            reader,
            writer,
            ending,
            watch=watch,
            puts_back=again is not None,
            skipped=skipped,
            metrics=figures,
            view=view,
            replication=replication,
            claims=stack.enter_context(ClaimStore(folder.state / CLAIMS, recipe.identity))
            if recipe.claims
            else None,
        )
        stack.enter_context(_checking(settings, watch, bus))
        stack.enter_context(calm_collector())
        async with beside(beside_it, view):
            return await session.run(handle_signals=handle_signals, tick=tick)


@contextmanager
def _checking(settings: Settings, watch: CanaryGuard, bus: Bus) -> Iterator[None]:
    """Check pairs in separate processes during the block, if the settings say so."""
    if not settings.check_process_count or settings.checks == "off":
        yield
        return
    watch.checkers = Checkers(
        settings.check_process_count,
        watch.judge,
        lambda text: bus.emit(Notice(text=text)),
        seed=settings.seed,
        lazily=settings.check_processes == "auto",
    )
    try:
        yield
    finally:
        watch.checkers.close()


def _check_places(settings: Settings, *, follows: bool) -> None:
    """Check inputs and output before anything is written.

    Raises:
        InputError: An input is missing or cannot be read.
        ConfigError: The folder around a part's folder belongs to another run.
        UsageError: A setting cannot be combined with following the inputs.
    """
    if follows:
        check_follow(settings)
    check_inputs(settings.inputs, settings.output, settings.sources, may_be_empty=follows)
    if settings.partition:
        check_parts(settings.output, parse_partition(settings.partition, os.environ))


def _reading_of(folder: RunFolder, settings: Settings, *, follows: bool) -> int:
    """Return the reader version that a folder continues with.

    Raises:
        UsageError: The input is to be followed, which that version cannot do.
    """
    reading = read_origin(folder).reading or READING_VERSION
    if settings.accept_change or folder.is_blank:
        return READING_VERSION
    if follows and reading < FOLLOWED_SINCE:
        raise UsageError(
            f"{settings.output}: begun with an earlier version that cannot follow an input; add"
            f" --accept-change, or give another folder with -o"
        )
    return reading


def _keys(settings: Settings) -> list[str]:
    """Return the API keys of this run, to be masked in everything that it writes."""
    names = {pool.api_key_env for pool in settings.pools} | {settings.api_key_env}
    return [key for name in names if name and (key := os.environ.get(name, "").strip())]


class _Session:
    """One start of a run."""

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
                        self._view.connected(connection.exchange.pools)
                    await self._work(batch, connection)
        except* StoppingError:
            pass  # a stop came while connecting
        return asked

    async def _work(self, batch: UnitBatch, connection: Connection) -> None:
        strong = connection.strong
        inbox = Inbox(2 * max(connection.workers, PORTION_CHUNKS))
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
                guarding.start_soon(timeline.watch, connection.exchange.pools)
                guarding.start_soon(tell_shutdowns, connection, self._bus, self._watch.memory)
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
            batch = await run_aside(self._reader.next_batch)
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
        pairs = counts.pairs
        exit_code, reason, cap = EXIT_DONE, "", ""
        if self._stop.is_requested:
            exit_code, reason = self._stop.exit_code, self._stop.reason
            if self._budget is not None and reason == self._budget.exhausted:
                cap = self._budget.exhausted_cap
        elif self._suspended:
            exit_code = EXIT_RESUMABLE
            reason = f"{self._suspended:,} chunks wait for an answer that comes later"
        elif not self._chunks and self._settings.follow and not self._puts_back:
            reason = "" if counts.ended else "nothing came yet"
        elif self._settings.partition and self._ending.has_text and not counts.ended:
            reason = "no chunk of the input falls to this part"
        elif not self._chunks:
            exit_code, reason = EXIT_FAILED, self._ending.why_no_chunk()
        elif not pairs:
            exit_code, reason = EXIT_FAILED, self._ending.why_no_pair()
        elif self._settings.strict and self._skipped.count:
            what = f"{self._skipped.count:,} pieces of input cannot be used, and --strict is set"
            exit_code, reason = (
                EXIT_FAILED,
                f"{what}; {self._folder.path / 'skipped.jsonl'} names them",
            )
        return Summary(
            self._settings.output,
            exit_code,
            reason,
            asked=asked,
            chunks=self._chunks,
            pairs=pairs,
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
            cap=cap,
            formats=fitting_formats(self._recipe),
        )

    def _warning(self, *, wrote: bool) -> str:
        """Describe problems with the pairs or ratings of this start; "" if there are none."""
        settings = self._settings
        rated = self._metrics.warning(judge=settings.judge, wrote=wrote)
        verified = self._metrics.verifier_warning(verify=settings.verify, wrote=wrote)
        told = "" if self._stop.is_requested else self._watch.conclude()
        return "; ".join(part for part in (told, rated, verified) if part)


async def _learn_voices(
    job: Job, folder: RunFolder, settings: Settings, memory: RunMemory
) -> list[str]:
    """Read the input for its authors' style cards; return notices about them."""
    found = await pool_manners(replace(job, keeps_memory=False), memory)
    note_voice(folder, settings, found.few)
    return found.notices


def _keep_charge(writer: Writer, event: CallAnswered | CallCharged) -> None:
    """Pass the charge of a call to the writer, for the ledger."""
    writer.put_charge(
        CallCharge(
            event.model,
            event.outcome,
            event.usage,
            event.picodollars,
            event.doubt_tokens,
            event.doubt_picodollars,
        )
    )
