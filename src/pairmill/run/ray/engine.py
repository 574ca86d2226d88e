"""``run --engine ray``: works on all parts in a Ray cluster, then merges them.

The parts lie beside the output, in ``OUTPUT-parts``, on a file system that all nodes share or in an
object store. Each is an ordinary run: a part whose worker is lost goes on in another one from its
ledger, or from what was uploaded of it.
"""

from __future__ import annotations

import os
import time
import uuid
from dataclasses import replace
from typing import TYPE_CHECKING

import anyio
from anyio.to_thread import run_sync

from pairmill.errors import (
    EXIT_CONFIG,
    EXIT_DONE,
    EXIT_FAILED,
    EXIT_RESUMABLE,
    EXIT_USAGE,
    ConfigError,
    PairmillError,
    UsageError,
)
from pairmill.events import Bus, Notice
from pairmill.output.formats.registry import choose_formats
from pairmill.partition import Partition, find_parts
from pairmill.recipes.make import make_recipe
from pairmill.run.monitor import watch_loop
from pairmill.run.ray.cluster import Cluster, LostWorkerError
from pairmill.run.ray.merged import (
    check_output,
    check_store,
    merge_again,
    merge_in_store,
    parts_url,
)
from pairmill.run.ray.part import SEEN, PartEnd, PartsProgress, PartTask
from pairmill.run.stop import Stop, listen
from pairmill.run.summary import Summary
from pairmill.share.objects import ServedPlace
from pairmill.sources.files import STANDARD_INPUT, check_inputs
from pairmill.store.files import atomic_write

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from pairmill.config import Settings
    from pairmill.run.merge import Merged
    from pairmill.run.retry_rejected import RetryRequest
    from pairmill.service.companions import Companion
    from pairmill.store.ledger import LedgerStore

__all__ = ["parts_folder", "run"]

_LOOK_S = 0.25
_MOST_TRIES = 3  # of a part, without a chunk ending in between
_LOCKED_S = 120.0  # that a lost worker may go on working, cut off from the cluster
_SPARE_S = 15.0  # beside the grace period, for workers to end
_TOLD_APART_S = 60.0
_PASSED_ON = ("OPENAI_BASE_URL", "OTEL_", "HF_", "AWS_", "GOOGLE_", "AZURE_")


def parts_folder(output: Path) -> Path:
    """Return where the parts of a run on a cluster lie."""
    return output.with_name(f"{output.name}-parts")


async def run(
    settings: Settings,
    bus: Bus | None = None,
    *,
    handle_signals: bool = True,
    tick: Callable[[], None] | None = None,
    again: RetryRequest | None = None,
    companions: Sequence[Companion] = (),
    ledgers: LedgerStore | None = None,
) -> Summary:
    """Turn the inputs into pairs, or go on; as `pairmill.run.session.run`, by a Ray cluster.

    Raises:
        PairmillError: The run could not begin, or the parts cannot be merged.
    """
    if again is not None or companions or ledgers is not None:
        raise UsageError("engine ray: takes neither companions nor a ledger of your own")
    count = await run_sync(_check, settings)
    bus, stop = bus or Bus(), Stop()
    began_at = time.monotonic()
    async with anyio.create_task_group() as listening:
        listening.start_soon(watch_loop, tick, bus)
        cluster = await run_sync(Cluster, settings.ray_address, settings.ray_cpus)
        if handle_signals:  # not before: Ray takes SIGTERM for a crash, and has no way back
            listening.start_soon(listen, stop, bus)
        try:
            parts = _Parts(settings, count, cluster, bus, stop)
            ends = await parts.run()
        finally:
            with anyio.CancelScope(shield=True):
                await run_sync(cluster.close)
        summary = await run_sync(_conclude, settings, ends, parts.progress, stop, bus)
        listening.cancel_scope.cancel()
    return replace(summary, seconds=time.monotonic() - began_at)


def _check(settings: Settings) -> int:
    """Check settings and places before anything is started; return the number of parts."""
    for name in ("partition", "status", "target_pairs"):
        if getattr(settings, name) is not None:
            raise ConfigError(f"{name}: does not go with engine ray; {_INSTEAD[name]}")
    if settings.follow:
        raise ConfigError("follow: does not go with engine ray, which merges what has ended")
    if STANDARD_INPUT in settings.inputs:
        raise UsageError("engine ray: every part reads the whole input; give files, not -")
    if settings.is_local:
        raise ConfigError("engine ray: the embedded model is for one process; name an endpoint")
    make_recipe(settings)  # what it refuses is refused before a cluster is started
    place = parts_folder(settings.output)
    check_inputs(settings.inputs, settings.output, settings.sources)
    check_inputs(settings.inputs, place, settings.sources)
    counts, where = _counts_there(settings, place)
    known = counts.pop() if len(counts) == 1 else None
    if counts:
        raise ConfigError(f"{where}: holds parts of several numbers; give another folder with -o")
    count = settings.partitions or known
    if count is None:
        raise ConfigError("engine ray: give the number of parts, such as --partitions 8")
    if known not in {None, count}:
        raise ConfigError(
            f"{where}: holds parts of {known}; a number of parts cannot be changed midway: give"
            f" --partitions {known}, or another folder with -o"
        )
    return count


def _counts_there(settings: Settings, place: Path) -> tuple[set[int], str]:
    """Return the numbers of parts that the parts there are of, and where that is."""
    if settings.store is not None:
        return check_store(settings.store), parts_url(settings.store)
    check_output(settings.output, place)
    return {part.count for part in find_parts(place)}, str(place)


_INSTEAD = {
    "partition": "it works on all parts",
    "status": "'pairmill status' shows a part, and Ray's dashboard the tasks",
    "target_pairs": "a part does not know how many pairs the others have",
}


class _Parts:
    """Keeps the parts going until each has ended."""

    def __init__(
        self, settings: Settings, count: int, cluster: Cluster, bus: Bus, stop: Stop
    ) -> None:
        self.progress = PartsProgress(count)
        self._settings = settings
        self._count = count
        self._cluster = cluster
        self._bus = bus
        self._stop = stop
        self._place = parts_folder(settings.output)
        self._seen = uuid.uuid4().hex
        self._ends: dict[int, PartEnd] = {}
        self._attempts = dict.fromkeys(range(count), 0)
        self._tries = dict.fromkeys(range(count), 0)  # without progress
        self._ended_at_try = dict.fromkeys(range(count), 0)
        self._locked_since: dict[int, float] = {}
        self._due: dict[int, float] = {}  # parts to begin again, and when
        self._told: dict[str, float] = {}
        self._share = ""

    async def run(self) -> dict[int, PartEnd]:
        """Return how each part ended."""
        await run_sync(self._prepare)
        stopped_at = None
        while len(self._ends) < self._count:
            await run_sync(self._look)
            if self._stop.is_requested:
                now = time.monotonic()
                stopped_at = now if stopped_at is None else stopped_at
                if now - stopped_at > self._settings.grace_s + _SPARE_S:
                    await run_sync(self._cluster.cancel)
                    break
            await anyio.sleep(_LOOK_S)
        await run_sync(self._look)
        return self._ends

    def _prepare(self) -> None:
        if self._settings.store is None:
            self._place.mkdir(parents=True, exist_ok=True)
            atomic_write(self._place / SEEN, self._seen.encode())
            served = ServedPlace(str((self._place / "share").absolute()))
        else:
            place = f"{parts_url(self._settings.store)}/share"
            served = ServedPlace(place, _environment(self._settings))
        self._share = self._settings.share or self._cluster.share(served)
        if not self._cluster.has_room():
            cpus = f"{self._settings.ray_cpus:g}"
            self._tell(f"no node of the cluster has {cpus} CPUs; the parts wait for one that does")
        for index in range(self._count):
            self._begin(index)

    def _begin(self, index: int) -> None:
        self._attempts[index] += 1
        self._ended_at_try[index] = self.progress.ended(index)
        self._cluster.begin(
            PartTask(
                _settings_of(self._settings, Partition(index, self._count), self._share),
                index,
                self._attempts[index],
                os.getcwd(),  # noqa: PTH109 (as it is, for a worker to go there)
                str(self._place) if self._settings.store is None else "",
                self._seen,
                _environment(self._settings),
            )
        )

    def _look(self) -> None:
        """Take news, and see to the parts that have ended."""
        why = self._stop.reason if self._stop.is_requested else ""
        news, notices = self._cluster.look(why)
        self.progress.take(news)
        self._bus.emit(self.progress.total())
        for index, text in notices:
            self._tell(text, index)
        for index, end in self._cluster.ended():
            if isinstance(end, LostWorkerError):
                self._lost(index, str(end))
            elif end.is_locked and self._waits_for_lock(index):
                self._due[index] = time.monotonic() + 1.0
            else:
                self._ends[index] = end
                if end.exit_code in {EXIT_CONFIG, EXIT_USAGE}:
                    self._stop.request(end.reason, end.exit_code)
        for index, due in list(self._due.items()):
            if self._stop.is_requested:
                self._ends[index] = PartEnd(EXIT_RESUMABLE, self._stop.reason)
                del self._due[index]
            elif time.monotonic() >= due:
                del self._due[index]
                self._begin(index)

    def _lost(self, index: int, what: str) -> None:
        """Begin a part again whose worker was lost, unless that leads nowhere."""
        moved = self.progress.ended(index) > self._ended_at_try[index]
        self._tries[index] = 1 if moved else self._tries[index] + 1
        if self._tries[index] >= _MOST_TRIES:
            text = f"{what}; {_MOST_TRIES} workers in a row were lost with it before a chunk ended"
            self._ends[index] = PartEnd(EXIT_FAILED, text)
            return
        number = self._attempts[index]
        self._tell(f"worker {number} lost ({what}); the part continues in another one")
        self._due[index] = 0.0

    def _waits_for_lock(self, index: int) -> bool:
        since = self._locked_since.setdefault(index, time.monotonic())
        return time.monotonic() - since < _LOCKED_S

    def _tell(self, text: str, index: int | None = None) -> None:
        """Tell people, but not again and again what each part says."""
        now = time.monotonic()
        if now - self._told.get(text, float("-inf")) < _TOLD_APART_S:
            return
        self._told[text] = now
        self._bus.emit(Notice(text if index is None else f"part {index}: {text}"))


def _settings_of(settings: Settings, part: Partition, share: str) -> Settings:
    """Return the settings of one part, on a node where it may use ``ray_cpus``."""
    cores = max(1, int(settings.ray_cpus))
    pages, checkers = settings.page_processes, settings.check_processes
    return settings.model_copy(
        update={
            "engine": "process",
            "partitions": None,
            "ray_address": None,
            "partition": str(part),
            "output": parts_folder(settings.output) / part.name,
            "store": settings.store and f"{parts_url(settings.store)}/{part.name}",
            "share": share,
            "export": None,
            "page_processes": cores if pages == "auto" else pages,
            "check_processes": min(cores - 1, 2) if checkers == "auto" else checkers,
        }
    )


def _environment(settings: Settings) -> dict[str, str]:
    """Return what a part's worker needs of this process's environment."""
    keys = {settings.api_key_env, *(pool.api_key_env for pool in settings.pools)}
    headers = [
        settings.request.headers,
        *(it.request.headers for it in settings.pools if it.request),
    ]
    named = " ".join(value for each in headers for value in each.values())
    return {
        name: value
        for name, value in os.environ.items()
        if name in keys or f"${{{name}}}" in named or name.startswith(_PASSED_ON)
    }


def _conclude(
    settings: Settings, ends: dict[int, PartEnd], progress: PartsProgress, stop: Stop, bus: Bus
) -> Summary:
    """Merge the parts, or say why that cannot be."""
    counted = progress.total()
    pairs = counted.before.pairs + counted.pairs
    chunks = counted.known + counted.planned
    place = parts_folder(settings.output)

    def stopped(exit_code: int, reason: str, cap: str = "") -> Summary:
        asked = counted.calls > 0
        found = Summary(place, exit_code, reason, asked, chunks, pairs, cap=cap)
        return replace(found, store=parts_url(settings.store)) if settings.store else found

    for exit_code in (EXIT_CONFIG, EXIT_USAGE, EXIT_RESUMABLE):
        for end in ends.values():
            if end.exit_code == exit_code:
                reason = stop.reason if stop.is_requested else end.reason
                return stopped(exit_code, reason, end.cap)
    if stop.is_requested:
        return stopped(stop.exit_code, stop.reason)
    failed = [end for end in ends.values() if end.exit_code != EXIT_DONE]
    try:
        merged = _merge(settings, place, bus)
    except PairmillError:
        if failed:
            return stopped(failed[0].exit_code, failed[0].reason)
        raise
    account = merged.account
    usage = account.totals.usage
    exit_code, reason = (EXIT_FAILED, failed[0].reason) if failed else (EXIT_DONE, "")
    return Summary(
        settings.output,
        exit_code,
        reason,
        asked=counted.calls > 0 or counted.replayed > 0,
        chunks=chunks,
        pairs=account.counts.pairs,
        warning=next((end.warning for end in ends.values() if end.warning), ""),
        counts=account.counts,
        new_pairs=counted.pairs,
        usd=account.usd,
        usd_in_doubt=account.usd_in_doubt,
        calls=account.totals.calls,
        prompt_tokens=usage.prompt_tokens,
        completion_tokens=usage.completion_tokens,
        formats=choose_formats(make_recipe(settings)),
        store=settings.store or "",
    )


def _merge(settings: Settings, place: Path, bus: Bus) -> Merged:
    if settings.store is None:
        return merge_again(place, settings.output)
    copies = place.with_name(f"{place.name}-fetched")
    return merge_in_store(
        settings.store, copies, settings.output, lambda line: bus.emit(Notice(text=line))
    )
