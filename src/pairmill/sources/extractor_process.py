"""Main function of the process that extracts text from hostile bytes, on which it may crash.

Started by `pairmill.sources.extractors`. Tasks arrive on the first of its two descriptors, each
with a time limit; on the second it reports that it is ready, then sends replies. It exits when the
task pipe is closed.
"""

from __future__ import annotations

import functools
import importlib
import logging
import os
import resource
import signal
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

from msgspec import Struct

from pairmill.sources.notes import Article  # noqa: TC001 (msgspec reads the annotations)
from pairmill.sources.processes import BrokenFrameError, read_bytes, read_frame, write_frame

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Extracted", "Task", "main"]

_DEADLINES = (signal.SIGPROF, signal.SIGALRM)
_MOST_MEMORY_BYTES = 4 * 2**30  # address space: what a document may make a library ask for
_MOST_FRAMES = 5000  # pages nest; the parsers of their trees recurse


class Task(Struct, frozen=True, array_like=True):
    """Header of a task; the bytes to extract text from follow it.

    Attributes:
        entry: ``module:function`` in pairmill that takes bytes and returns articles.
        processor_s: Limit of processor time, in seconds.
        wall_s: Limit of elapsed time, in seconds.
    """

    entry: str
    processor_s: float
    wall_s: float
    size: int


class Extracted(Struct, frozen=True, array_like=True):
    """Result of a task: articles, or the reason why there are none.

    Attributes:
        missing: Why a library cannot be loaded; empty if none is missing.
    """

    articles: list[Article] = []
    error: str = ""
    missing: str = ""


def main() -> int:
    """Process tasks until there are no more."""
    for number in (*_DEADLINES, signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)  # its parent may have left them ignored
    logging.disable(logging.CRITICAL)  # libraries log pieces of what they read
    sys.setrecursionlimit(_MOST_FRAMES)
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_AS, (_MOST_MEMORY_BYTES, _MOST_MEMORY_BYTES))
    taken, given = map(int, sys.argv[1:])
    with suppress(BrokenFrameError, BrokenPipeError):
        write_frame(given, True)  # noqa: FBT003 (a word that it is ready)
        _be_silent()
        while True:
            task = read_frame(taken, Task)
            data = bytes(read_bytes(taken, task.size))
            entry = _load(task.entry)  # our own code: it costs no document's time
            # The system ends the process at its deadline, wherever it is: within a library too.
            _set_timers(task.processor_s, task.wall_s)
            reply = entry if isinstance(entry, Extracted) else _work(entry, data)
            _set_timers(0, 0)
            write_frame(given, reply)
    return 0


@functools.cache
def _load(name: str) -> Callable[[bytes], list[Article]] | Extracted:
    module, _, function = name.partition(":")
    try:
        entry: Callable[[bytes], list[Article]] = getattr(importlib.import_module(module), function)
    except ImportError as error:
        return Extracted(missing=str(error).split("\n", 1)[0] or "a module")
    return entry


def _work(entry: Callable[[bytes], list[Article]], data: bytes) -> Extracted:
    try:
        return Extracted(entry(data))
    except MemoryError:
        return Extracted(error="it takes more memory than any document may")
    except RecursionError:
        return Extracted(error="nested too deeply")
    except Exception as error:  # noqa: BLE001 (whatever a library raises is this document's fault)
        words = str(error).split("\n", 1)[0][:200]
        return Extracted(
            error=f"{type(error).__name__}: {words}" if words else type(error).__name__
        )


def _set_timers(processor_s: float, wall_s: float) -> None:
    signal.setitimer(signal.ITIMER_PROF, processor_s)
    signal.setitimer(signal.ITIMER_REAL, wall_s)


def _be_silent() -> None:
    """Discard library output, with which a document could fill the disk."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
