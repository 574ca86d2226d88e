"""``pairmill run`` as a Python function."""

from __future__ import annotations

import os
import threading
import time
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import anyio
from anyio import from_thread

from pairmill.config import load
from pairmill.errors import UsageError, first_error
from pairmill.events import Bus, Notice
from pairmill.llm.retirement import check_model_is_named
from pairmill.run.auto_export import check_export, export_at_end
from pairmill.run.descriptors import check_open_files
from pairmill.run.engines import engine_of
from pairmill.run.tuning import loop_options
from pairmill.service.companions import check_companion
from pairmill.service.progress import show_in_python
from pairmill.service.tally import RunTally
from pairmill.sources.in_memory import as_paths

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from pairmill.run.summary import Summary
    from pairmill.service.companions import Companion
    from pairmill.sources.in_memory import Given
    from pairmill.store.ledger import LedgerStore

__all__ = ["generate", "run_blocking"]

Result = TypeVar("Result")


def generate(
    *inputs: Given,
    output: str | os.PathLike[str] = "dataset",
    bus: Bus | None = None,
    progress: bool | None = None,
    companions: Sequence[Companion | str] = (),
    ledger: LedgerStore | None = None,
    **settings: Any,
) -> Summary:
    """Turn articles into pairs, or resume an earlier run; blocks until it ends.

    Works in a script, in a thread, and in a notebook whose event loop is running. When called again
    with the same arguments, it only asks the model for what is new.

    Args:
        inputs: Files or folders; or documents: an iterable of dicts with a ``text`` or of
            `Document`, a data frame, a ``datasets.Dataset``. Documents are written to
            ``OUTPUT-documents.jsonl``, so that a later start can read them again.
        output: The run folder; ``datasets.load_dataset(output)`` works at any time.
        bus: Delivers the run's events to its subscribers; see `pairmill.events`.
        progress: Show progress on standard error; None: only on a terminal or in a notebook.
        companions: Coroutine functions to run beside it, each called with a `RunView`. They may
            also be named, as in the settings: ``package.module:name``.
        ledger: Where to keep a new folder's answers; None: in SQLite. See docs/ledgers.md.
        settings: Any setting of the YAML file, by its name (``model``, ``concurrency`` ...).
            ``recipe`` may also be a coroutine function of a module, ``async def mine(chunk, ask)``.

    Returns:
        How the run ended; its ``exit_code`` is 0 when all is done.

    Raises:
        PairmillError: The run could not start; the text says what to do.
    """
    if not inputs:
        raise UsageError("nothing to read: name files or folders")
    named = [each for each in companions if isinstance(each, str)]
    own = [check_companion(each, _name(each)) for each in companions if not isinstance(each, str)]
    if named:
        settings["companions"] = tuple(named)
    if callable(recipe := settings.get("recipe")):
        settings["recipe"] = _place_of(recipe)
    paths = as_paths(inputs, output)
    loaded = load(given={**settings, "inputs": paths, "output": str(output)})
    is_main = threading.current_thread() is threading.main_thread()
    handle_signals = is_main and not _loop_is_running()
    check_open_files()
    check_export(loaded)
    is_begun = (loaded.output / ".run" / "settings.json").is_file()
    check_model_is_named(loaded, os.environ, time.time(), is_begun=is_begun)
    # A separate bus: the caller's may serve several runs, and must not keep this one's subscribers.
    own_bus, tally = Bus(), RunTally(time.monotonic)
    if bus:
        own_bus.subscribe(bus.emit)
    tally.listen(own_bus)
    with show_in_python(own_bus, tally, progress) as tick:
        begin = partial(
            engine_of(loaded),
            loaded,
            own_bus,
            tick=tick,
            handle_signals=handle_signals,
            companions=own,
            ledgers=ledger,
        )
        summary = run_blocking(begin)
    for line in export_at_end(loaded, summary):
        own_bus.emit(Notice(text=line))
    return summary


def run_blocking(begin: Callable[..., Awaitable[Result]], *arguments: Any) -> Result:
    """Run a coroutine function to completion, even if an event loop is running, as in a notebook.

    Raises:
        PairmillError: The first one, if tasks of a group failed.
    """
    try:
        if _loop_is_running():
            with from_thread.start_blocking_portal(backend_options=loop_options()) as portal:
                return portal.call(begin, *arguments)
        return anyio.run(begin, *arguments, backend_options=loop_options())
    except ExceptionGroup as group:
        error = first_error(group)
        if error is None:
            raise
        raise error from None


def _place_of(recipe: Any) -> str:
    """Return ``module:name`` of a function, so that a later start can import it."""
    name = getattr(recipe, "__qualname__", type(recipe).__name__)
    if not name.isidentifier():
        raise UsageError(f"recipe: '{name}' must be a function at the top level of a module")
    return f"{recipe.__module__}:{name}"


def _name(companion: object) -> str:
    return str(getattr(companion, "__name__", companion))


def _loop_is_running() -> bool:
    try:
        anyio.get_current_task()
    except (RuntimeError, anyio.NoEventLoopError):
        return False
    return True
