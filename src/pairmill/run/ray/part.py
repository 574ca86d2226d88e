"""A part of a run in a Ray worker, and the news between it and the process that started it."""

from __future__ import annotations

import os
import time
import traceback
from contextlib import nullcontext, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
from anyio.to_thread import run_sync

from pairmill import __version__
from pairmill.display import sanitize
from pairmill.errors import EXIT_CONFIG, EXIT_FAILED, LockedError, PairmillError, first_error
from pairmill.events import Bus, Notice, PartsCounted, RunOpened
from pairmill.objects.url import WORK_NAME, default_work_dir
from pairmill.replica.ownership import ReplicaHeldError
from pairmill.service.tally import RunTally

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from pairmill.config import Settings

__all__ = [
    "SEEN",
    "PartEnd",
    "PartNews",
    "PartTask",
    "PartsProgress",
    "ProgressBoard",
    "work_on_part",
]

_PICO = 10**12
_MOST_NOTICES = 1_000
_OF_FOLDER = ("pairs", "rejected", "dropped", "prompt_tokens", "completion_tokens")
_NOTHING = PartsCounted()
_ADDED = tuple(  # every count but that of documents: all parts read the same ones
    name
    for name in PartsCounted.__struct_fields__
    if type(getattr(_NOTHING, name)) is int and name != "documents"
)
_OF_ATTEMPTS = ("repairs", "calls", "replayed", "cached_tokens", "doubt_picodollars", "shards")


@dataclass(frozen=True, slots=True)
class PartNews:
    """What a part tells.

    Attributes:
        index: Of the part.
        attempt: Number of its task: 1, or more where workers were lost.
        is_open: Its folder was opened; before that, it has counted nothing.
        counts: Of this attempt.
        notices: For people, since it told last.
    """

    index: int
    attempt: int
    is_open: bool
    counts: PartsCounted
    notices: tuple[str, ...] = ()


class ProgressBoard:
    """Takes news of parts, and passes a stop on to them (as an actor).

    It can be lost at any time: parts tell all their counts each time, and whoever reads them says
    each time whether to stop.
    """

    def __init__(self) -> None:
        self._news: dict[int, PartNews] = {}
        self._notices: list[tuple[int, str]] = []
        self._stop = ""

    def post(self, news: PartNews) -> str:
        """Take a part's news; return why it is to stop, "" if it is not."""
        known = self._news.get(news.index)
        if known is None or known.attempt <= news.attempt:
            self._news[news.index] = news
            room = _MOST_NOTICES - len(self._notices)
            self._notices += [(news.index, text) for text in news.notices[: max(0, room)]]
        return self._stop

    def look(self, stop: str) -> tuple[list[PartNews], list[tuple[int, str]]]:
        """Set whether parts are to stop; return the latest news, and new notices."""
        self._stop = stop
        notices, self._notices = self._notices, []
        return list(self._news.values()), notices


@dataclass(slots=True)
class _PartSum:
    """A part over all its attempts.

    Attributes:
        first: What its folder held before the first one.
        earlier: What earlier attempts counted, where the folder does not tell.
    """

    first: RunOpened
    attempt: int
    counts: PartsCounted
    earlier: dict[str, int] = field(default_factory=dict)


class PartsProgress:
    """Adds up the counts of all parts, across workers that were lost.

    Args:
        count: Number of parts.
    """

    def __init__(self, count: int) -> None:
        self._count = count
        self._parts: dict[int, _PartSum] = {}

    def take(self, news: Iterable[PartNews]) -> None:
        """Learn what parts count now."""
        for each in news:
            if not each.is_open:
                continue
            part = self._parts.get(each.index)
            if part is None:
                part = _PartSum(each.counts.before, each.attempt, each.counts)
                self._parts[each.index] = part
            elif each.attempt > part.attempt:
                for name in _OF_ATTEMPTS:
                    counted = getattr(part.counts, name)
                    part.earlier[name] = part.earlier.get(name, 0) + counted
                part.attempt = each.attempt
            if each.attempt == part.attempt:
                part.counts = each.counts

    def ended(self, index: int) -> int:
        """Return how many chunks of a part have ended, as far as its folder was opened."""
        part = self._parts.get(index)
        return part.counts.before.ended + part.counts.units if part else 0

    def total(self) -> PartsCounted:
        """Return the sum."""
        total = dict.fromkeys(_ADDED, 0)
        before = dict.fromkeys(("ended", *_OF_FOLDER), 0)
        usd: list[float] = []
        for part in self._parts.values():
            counts, first, now = part.counts, part.first, part.counts.before
            for name in _ADDED:
                total[name] += getattr(counts, name) + part.earlier.get(name, 0)
            for name in before:
                before[name] += getattr(first, name)
            # what earlier attempts of this start did stands in the folder of a later one
            for name in _OF_FOLDER:
                total[name] += getattr(now, name) - getattr(first, name)
            done = now.ended - first.ended
            for name, sign in (("units", 1), ("known", -1), ("planned", 1)):
                total[name] += sign * min(done, counts.known)
            total["picodollars"] += round(((now.usd or 0.0) - (first.usd or 0.0)) * _PICO)
            usd += [first.usd] if first.usd is not None else []
        all_counts = [part.counts for part in self._parts.values()]
        skipping = max(all_counts, key=lambda it: sum(it.skipped.values()), default=None)
        failures: dict[str, int] = {}
        for counts in all_counts:
            for kind, number in counts.failures.items():
                failures[kind] = failures.get(kind, 0) + number
        return PartsCounted(
            before=RunOpened(**before, usd=sum(usd) if usd else None),
            documents=max((it.documents for it in all_counts), default=0),
            is_priced=any(it.is_priced for it in all_counts),
            loop_late_s=max((it.loop_late_s for it in all_counts), default=0.0),
            reading_done=len(all_counts) == self._count
            and all(it.reading_done for it in all_counts),
            skipped=dict(skipping.skipped) if skipping else {},
            failures=failures,
            **total,
        )


SEEN = "seen-by-all"
"""File beside the parts by which a node shows that it sees the folder that the others see."""

_TELL_S = 0.5
_WAIT_S = 5.0
_LONGEST = 300


@dataclass(frozen=True, slots=True)
class PartTask:
    """What a worker needs to know.

    Attributes:
        settings: Of the part alone.
        index: Of the part.
        attempt: From 1.
        folder: The working folder, to which paths are relative.
        seen: What stands in the file `SEEN`.
        environment: Keys and other variables that the run uses, kept out of what Ray logs.
        version: Of pairmill, which must be the worker's too.
        place: Folder of all parts; "": they lie in an object store.
    """

    settings: Settings
    index: int
    attempt: int
    folder: str
    place: str
    seen: str
    environment: Mapping[str, str] = field(repr=False)
    version: str = __version__


@dataclass(frozen=True, slots=True)
class PartEnd:
    """How a part ended.

    Attributes:
        exit_code: As of a run.
        reason: Where it is not 0.
        cap: Setting that ended it; "" where none did.
        warning: Fault of its pairs; "" if none.
        is_locked: Another process is still at work on it.
    """

    exit_code: int
    reason: str = ""
    cap: str = ""
    warning: str = ""
    is_locked: bool = False


def work_on_part(task: PartTask, board: Any) -> PartEnd:
    """Work on a part to its end; the task's function, in a process of its own.

    Args:
        task: What to do.
        board: Handle of the actor `pairmill.run.ray.part.ProgressBoard`.
    """
    try:
        return _work(task, board)
    except (LockedError, ReplicaHeldError) as error:
        return PartEnd(error.exit_code, str(error), is_locked=True)
    except (PairmillError, ExceptionGroup) as caught:
        first = first_error(caught)
        if first is None:
            return PartEnd(EXIT_FAILED, _fault(task, caught))
        return PartEnd(first.exit_code, str(first))
    except Exception as error:  # noqa: BLE001 (a fault of ours must reach people as one line)
        return PartEnd(EXIT_FAILED, _fault(task, error))


def _work(task: PartTask, board: Any) -> PartEnd:
    if problem := _unfit(task):
        return PartEnd(EXIT_CONFIG, problem)
    with suppress(OSError) if not task.place else nullcontext():
        os.chdir(task.folder)
    os.environ.update(task.environment)
    from pairmill.run.tuning import (  # noqa: PLC0415
        check_open_files,
        keep_heap_compact,
        loop_options,
    )

    keep_heap_compact()
    check_open_files()
    return anyio.run(partial(_run, task, board), backend_options=loop_options())


def _fault(task: PartTask, error: Exception) -> str:
    """Name a fault of ours in one line: what was raised, and where."""
    while isinstance(error, ExceptionGroup):
        error = error.exceptions[0]
    frames = traceback.extract_tb(error.__traceback__)
    where = f" ({Path(frames[-1].filename).name}, line {frames[-1].lineno})" if frames else ""
    return sanitize(f"part {task.index} failed: {type(error).__name__}: {error}{where}", _LONGEST)


def _unfit(task: PartTask) -> str:
    """Describe why this node cannot work on a part; "" if it can."""
    node = os.uname().nodename
    if task.version != __version__:
        return f"engine ray: node {node} has pairmill {__version__}, and this is {task.version}"
    if not task.place:
        return ""
    with suppress(OSError):
        if (Path(task.folder) / task.place / SEEN).read_text("utf-8") == task.seen:
            return ""
    return (
        f"engine ray: node {node} does not see {Path(task.folder) / task.place}; inputs and output"
        " must be on a file system that all nodes share"
    )


async def _run(task: PartTask, board: Any) -> PartEnd:
    from pairmill.run.session import run as run_session  # noqa: PLC0415 (heavy, and only here)
    from pairmill.run.stop import Stop  # noqa: PLC0415

    bus, stop, tally = Bus(), Stop(), RunTally(time.monotonic)
    tally.listen(bus)
    notices: list[str] = []
    opened: list[bool] = []
    bus.subscribe(lambda event: notices.append(event.text), Notice)
    bus.subscribe(lambda _event: opened.append(True), RunOpened)

    async def tell() -> None:
        new, notices[:] = tuple(notices), []
        news = PartNews(task.index, task.attempt, bool(opened), tally.as_part(), new)
        with suppress(Exception):  # the board may be lost, and is started again
            if why := await run_sync(partial(_post, board, news), abandon_on_cancel=True):
                stop.request(why)

    async def keep_telling() -> None:
        while True:
            await tell()
            await anyio.sleep(_TELL_S)

    async with anyio.create_task_group() as telling:
        telling.start_soon(keep_telling)
        summary = await run_session(
            _settings_here(task.settings), bus, handle_signals=False, stop=stop
        )
        telling.cancel_scope.cancel()
    await tell()
    return PartEnd(summary.exit_code, summary.reason, summary.cap, summary.warning)


def _settings_here(settings: Settings) -> Settings:
    """Return a part's settings on this node, whose work folder may be another than elsewhere."""
    if settings.store is None or settings.work_dir is not None:
        return settings
    place = default_work_dir(settings.store, os.environ) / WORK_NAME
    return settings.model_copy(update={"output": place})


def _post(board: Any, news: PartNews) -> str:
    import ray  # noqa: PLC0415 (an extra)

    return str(ray.get(board.post.remote(news), timeout=_WAIT_S))
