"""``pairmill run`` as a Python function."""

from __future__ import annotations

import os
import threading
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import anyio
from anyio import from_thread

from pairmill import __version__
from pairmill.config import load
from pairmill.errors import EXIT_DONE, UsageError, first_error
from pairmill.events import Bus, Notice
from pairmill.llm.retirement import check_model_is_named
from pairmill.run.tuning import check_open_files, loop_options
from pairmill.service.companions import check_companion
from pairmill.service.progress import show_in_python
from pairmill.service.tally import RunTally
from pairmill.sources.files import STANDARD_INPUT
from pairmill.sources.in_memory import as_paths
from pairmill.sources.remote import is_remote

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from pairmill.config import Settings
    from pairmill.run.summary import Summary
    from pairmill.service.companions import Companion
    from pairmill.sources.in_memory import Given
    from pairmill.store.ledger import LedgerStore

__all__ = ["check_export", "engine_of", "export_at_end", "generate", "run_blocking"]


def engine_of(settings: Settings) -> Callable[..., Awaitable[Summary]]:
    """Return the function that carries a run out, called as `pairmill.run.session.run` is."""
    found: Any
    if settings.engine == "ray":
        from pairmill.run.ray.engine import run as found
    else:
        from pairmill.run.session import run as found
    return found  # type: ignore[no-any-return]


def check_export(settings: Settings) -> None:
    """Check, before anything is paid for, that the requested export can be made.

    Raises:
        UsageError: The format is unknown, or the export would be among the inputs.
        FolderError: Its place is taken by something else.
    """
    if settings.export is None:
        return
    from pairmill.output.export_place import check_replaceable, default_place

    place = default_place(settings.output, settings.export)
    for given in settings.inputs:
        if (
            given != STANDARD_INPUT
            and not is_remote(given)
            and place.is_relative_to(Path(given).resolve())
        ):
            raise UsageError(
                f"the export would go to {place}, and so be read as input by the next start;"
                " name an output outside of the inputs"
            )
    check_replaceable(place)


def export_at_end(settings: Settings, summary: Summary) -> list[str]:
    """Export a run that has ended well, like ``pairmill export``; return lines for people.

    Raises:
        PairmillError: It ended well but cannot be exported; the text says why.
    """
    if settings.export is None:
        return []
    if summary.exit_code != EXIT_DONE:
        return ["not exported, since the run has not come to its end"]
    from pairmill.output import export as exporting
    from pairmill.output.export_options import ExportOptions
    from pairmill.output.export_place import default_place
    from pairmill.output.export_summary import summary_lines
    from pairmill.output.related import near_repeats, related_documents
    from pairmill.output.source_texts import read_source_texts

    done = exporting.export(
        settings.output,
        default_place(settings.output, settings.export),
        ExportOptions(shape=settings.export),
        find_repeats=near_repeats,
        find_related=related_documents,
        read_texts=partial(read_source_texts, settings.output, run_code=True),
        version=__version__,
    )
    return summary_lines(done)


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
