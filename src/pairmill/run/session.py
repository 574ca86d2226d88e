"""One start of a run: opens the folder and all that works on it, and enters the main loop."""

from __future__ import annotations

import os
import time
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import TYPE_CHECKING

from msgspec.structs import replace

from pairmill import __version__
from pairmill.chunking.clean import FOLLOWED_SINCE, READING_VERSION
from pairmill.chunking.follow import check_follow
from pairmill.chunking.follow_state import MARK_FILE, followed_counts
from pairmill.chunking.pass_over import pass_over, recording
from pairmill.chunking.reader_job import ReaderJob
from pairmill.chunking.reader_process import ReaderProcess
from pairmill.config import fingerprint
from pairmill.errors import UsageError
from pairmill.events import (
    Bus,
    CallAnswered,
    CallCharged,
    InputSkipped,
    Notice,
    PairEvolved,
    PairJudged,
    PairVerified,
    SentenceTried,
    ShardPublished,
)
from pairmill.output.authorship import note_voice
from pairmill.partition import check_parts, check_whole, parse_partition
from pairmill.recipes.make import for_unit, make_recipe
from pairmill.run.author_styles import pool_styles
from pairmill.run.checking import Checkers
from pairmill.run.connect import check_models
from pairmill.run.ending import Ending
from pairmill.run.judge_figures import RunMetrics
from pairmill.run.loop import RunLoop
from pairmill.run.origin import (
    check_copy,
    check_recipe,
    keep_copy,
    note_start,
    notice_of_copy,
    read_origin,
    recipe_for,
)
from pairmill.run.reader import FollowMarks, Reader, SkippedLog, finished_units
from pairmill.run.recipe_context import CanaryGuard
from pairmill.run.recover import adopt
from pairmill.run.replication import finished, replicated
from pairmill.run.run_memory import RunMemory
from pairmill.run.stop import Stop
from pairmill.run.summary import Summary
from pairmill.run.threads import run_in_daemon_thread
from pairmill.run.tuning import calm_collector, fit_to_open_files
from pairmill.run.writer import Writer
from pairmill.service.companions import RunView, beside, load_companions
from pairmill.service.status_server import open_status_server
from pairmill.service.telemetry import open_telemetry
from pairmill.sources.files import check_inputs
from pairmill.store.charges import CallCharge
from pairmill.store.claim_store import CLAIMS, ClaimStore
from pairmill.store.commit_log import NO_LOG
from pairmill.store.files import atomic_write
from pairmill.store.folder import open_folder
from pairmill.store.journal import Journal
from pairmill.store.row_encoding import add_fields

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from pairmill.chunking.pass_over import Stretch
    from pairmill.config import Settings
    from pairmill.recipes.recipe import Recipe
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
    follows = settings.follow and again is None
    _check_places(settings, follows=follows)
    with ExitStack() as stack:
        beside_it = _companions(settings, companions, stack)
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
        if folder.is_blank:  # which no start goes on with without asking
            check_models(settings)
        recipe, changed = recipe_for(folder, settings)
        reading = _reading_of(folder, settings, follows=follows)
        begun = [changed] if again else _begin(folder, settings, own, recipe, reading, changed)
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
        job = ReaderJob.of(settings, reading, keeps_memory=True, follows=follows)
        marks = FollowMarks(folder.state / MARK_FILE) if follows else None
        passed: list[Stretch] = []
        if not again and settings.target_pairs is None:  # which counts what documents have brought
            is_done = finished_units(recipe, known)
            job, passed = await run_in_daemon_thread(
                partial(pass_over, recording(job, __version__), is_done)
            )
        source = stack.enter_context(ReaderProcess(job))
        reader = Reader(source, recipe, known, only=only, marks=marks, passed=passed)
        writer = _writer(settings, journal, bus, reader)
        ending = Ending(folder, totals, recipe, settings, followed)
        watch = _guard(settings, folder, recipe, stop, stack)
        pooled: Sequence[str] = ()
        if recipe.pools_manners and not again:
            pooled = await _learn_voices(job, folder, settings, watch.memory)
        told = [
            *(replication.notices if replication else ()),
            *notice,
            *folder.notices,
            notice_of_copy(recipe, folder, settings.recipe),
            *begun,
            *journal.notices,
            *pooled,
        ]
        for text in filter(None, told):
            bus.emit(Notice(text=text))
        loop = RunLoop(
            settings,
            bus,
            recipe,
            folder,
            reader,
            writer,
            ending,
            watch=watch,
            puts_back=again is not None,
            skipped=_skipped_log(folder, bus, stack, goes_on=follows),
            metrics=_metrics(folder, bus, stack),
            view=view,
            replication=replication,
            claims=_claims(folder, recipe, stack),
        )
        stack.enter_context(_checking(settings, watch, bus))
        stack.enter_context(calm_collector())
        async with beside(beside_it, view):
            return await loop.run(handle_signals=handle_signals, tick=tick)


def _companions(
    settings: Settings, given: Sequence[Companion], stack: ExitStack
) -> list[Companion]:
    """Return what runs beside the run: the caller's, those of the settings, status, telemetry.

    Raises:
        ConfigError: One of them cannot be loaded, or the status server's port is taken.
    """
    companions = [
        *given,
        *load_companions(settings.companions),
        *open_telemetry(os.environ, __version__),
    ]
    if status := open_status_server(settings, __version__):
        stack.callback(status.close)
        companions.append(status)
    return companions


def _begin(
    folder: RunFolder,
    settings: Settings,
    own: Settings,
    recipe: Recipe,
    reading: int,
    changed: str,
) -> list[str]:
    """Note in the folder what this start is made with.

    Args:
        folder: The run folder.
        settings: Settings of this start.
        own: The same, without what only this machine asks for.
        recipe: The recipe that the folder continues with.
        reading: Version of the reader.
        changed: A notice that the recipe is not the current one; "" if it is.

    Returns:
        Notices: what changed since the last start, and what was adopted from a folder without a
        ledger.

    Raises:
        ChangedError: The recipe is not the one that the folder was begun with.
    """
    notices = [
        changed
        or check_copy(folder, recipe, accept_change=settings.accept_change)
        or check_recipe(folder, recipe.identity, accept_change=settings.accept_change)
    ]  # before anything is upgraded
    add_fields(folder.state, recipe.fields)
    keep_copy(folder, recipe)
    if folder.is_bare:
        notices += adopt(folder, own, recipe.identity)
    atomic_write(folder.resolved, own.model_dump_json(indent=2).encode())
    note_start(folder, recipe, reading)
    return notices


def _writer(settings: Settings, journal: Journal, bus: Bus, reader: Reader) -> Writer:
    """Return the run's writer, which also keeps the charges of calls."""
    writer = Writer(
        journal,
        bus,
        settings.commit_interval_s,
        reader.done_with,
        secrets=_keys(settings),
        disk_wait_s=settings.disk_wait_s,
    )
    bus.subscribe(partial(_keep_charge, writer), CallAnswered, CallCharged)
    return writer


def _guard(
    settings: Settings, folder: RunFolder, recipe: Recipe, stop: Stop, stack: ExitStack
) -> CanaryGuard:
    """Return the guard that stops a run whose model ignores its text."""
    return CanaryGuard(
        stop,
        stack.enter_context(RunMemory(folder.state / "memory.db")),
        seed=settings.seed,
        max_repeats=settings.max_repeats,
        on_trial=recipe.is_watched,
    )


def _metrics(folder: RunFolder, bus: Bus, stack: ExitStack) -> RunMetrics:
    """Return the figures of judge, verifier and evolution, which are saved at the end."""
    metrics = RunMetrics(folder.figures, folder.state / "figures.json")
    bus.subscribe(metrics.listen, PairJudged, PairEvolved, ShardPublished)
    bus.subscribe(metrics.listen_to_verifier, PairVerified, SentenceTried)
    stack.callback(metrics.save)
    return metrics


def _skipped_log(folder: RunFolder, bus: Bus, stack: ExitStack, *, goes_on: bool) -> SkippedLog:
    """Return the log of skipped input."""
    skipped = stack.enter_context(SkippedLog(folder.path / "skipped.jsonl", goes_on=goes_on))
    bus.subscribe(skipped.listen, InputSkipped)
    return skipped


def _claims(folder: RunFolder, recipe: Recipe, stack: ExitStack) -> ClaimStore | None:
    """Return the store of claims, if the recipe makes any."""
    if not recipe.claims:
        return None
    return stack.enter_context(ClaimStore(folder.state / CLAIMS, recipe.identity))


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
    else:
        check_whole(settings.output)


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


async def _learn_voices(
    job: ReaderJob, folder: RunFolder, settings: Settings, memory: RunMemory
) -> list[str]:
    """Read the input for its authors' style cards; return notices about them."""
    found = await pool_styles(replace(job, keeps_memory=False), memory)
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
