"""The same as ``pairmill run``, from Python."""

from __future__ import annotations

import os
import threading
import time
from typing import TYPE_CHECKING, Any

import anyio
from anyio import from_thread

from pairmill.config import load
from pairmill.errors import UsageError, first_error
from pairmill.events import Notice
from pairmill.llm.lifetimes import check_model_is_named
from pairmill.recipes.load import give_recipe
from pairmill.run.descriptors import check_open_files
from pairmill.run.exporting import check_export, export_at_end
from pairmill.run.session import run
from pairmill.run.tuning import loop_options

if TYPE_CHECKING:
    from pairmill.events import Bus
    from pairmill.run.summary import Summary

__all__ = ["generate"]


def generate(
    *inputs: str | os.PathLike[str],
    output: str | os.PathLike[str] = "dataset",
    bus: Bus | None = None,
    **settings: Any,
) -> Summary:
    """Turn articles into pairs, or go on with a run that was begun; blocks until it ends.

    Works in a script, in a thread, and in a notebook whose event loop is running. Called again with
    the same arguments, it asks the model only for what is new.

    Args:
        inputs: Files or folders.
        output: The run folder; ``datasets.load_dataset(output)`` reads it at every moment.
        bus: Whoever subscribed to it is told what happens.
        settings: Any setting of the YAML file, by its name (``model``, ``concurrency`` ...);
            ``recipe`` may also be the coroutine itself.

    Returns:
        How the run ended; its ``exit_code`` is 0 when all is done.

    Raises:
        PairmillError: It could not begin; the text says what to do.
    """
    if not inputs:
        raise UsageError("nothing to read: name files or folders")
    if callable(settings.get("recipe")):
        settings["recipe"] = give_recipe(settings["recipe"])
    given = {**settings, "inputs": tuple(str(path) for path in inputs), "output": str(output)}
    loaded = load(given=given)
    is_main = threading.current_thread() is threading.main_thread()

    async def begin() -> Summary:
        return await run(loaded, bus, handle_signals=is_main and not is_running)

    is_running = _loop_is_running()
    check_open_files()
    check_export(loaded)
    is_begun = (loaded.output / ".run" / "settings.json").is_file()
    check_model_is_named(loaded, os.environ, time.time(), is_begun=is_begun)
    try:
        if is_running:
            with from_thread.start_blocking_portal(backend_options=loop_options()) as portal:
                summary = portal.call(begin)
        else:
            summary = anyio.run(begin, backend_options=loop_options())
    except ExceptionGroup as group:
        error = first_error(group)
        if error is None:
            raise
        raise error from None
    for line in export_at_end(loaded, summary):
        if bus:
            bus.emit(Notice(text=line))
    return summary


def _loop_is_running() -> bool:
    try:
        anyio.get_current_task()
    except (RuntimeError, anyio.NoEventLoopError):
        return False
    return True
