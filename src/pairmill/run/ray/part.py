"""A part of a run in a Ray worker: one process, one task, one run folder."""

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
from pairmill.errors import (
    EXIT_CONFIG,
    EXIT_FAILED,
    LockedError,
    PairmillError,
    first_error,
)
from pairmill.events import Bus, Notice, RunOpened
from pairmill.objects.url import WORK_NAME, default_work_dir
from pairmill.plain import plain
from pairmill.replica.ownership import ReplicaHeldError
from pairmill.run.ray.board import PartNews
from pairmill.service.tally import RunTally

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pairmill.config import Settings

__all__ = ["SEEN", "PartEnd", "PartTask", "work_on_part"]

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
        warning: What is wrong with its pairs.
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
        board: Handle of the actor `pairmill.run.ray.board.Board`.
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
    from pairmill.run.descriptors import check_open_files  # noqa: PLC0415 (heavy, and only here)
    from pairmill.run.tuning import loop_options, share_one_heap  # noqa: PLC0415

    share_one_heap()
    check_open_files()
    return anyio.run(partial(_run, task, board), backend_options=loop_options())


def _fault(task: PartTask, error: Exception) -> str:
    """Name a fault of ours in one line: what was raised, and where."""
    while isinstance(error, ExceptionGroup):
        error = error.exceptions[0]
    frames = traceback.extract_tb(error.__traceback__)
    where = f" ({Path(frames[-1].filename).name}, line {frames[-1].lineno})" if frames else ""
    return plain(f"part {task.index} failed: {type(error).__name__}: {error}{where}", _LONGEST)


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
