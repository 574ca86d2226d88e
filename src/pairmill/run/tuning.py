"""Process settings for a run: event loop, memory, garbage collection, open files."""

from __future__ import annotations

import ctypes
import gc
import resource
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from pairmill.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pairmill.config import Settings

__all__ = [
    "calm_collector",
    "check_open_files",
    "fit_to_open_files",
    "fitting_concurrency",
    "keep_heap_compact",
    "loop_options",
    "raise_limit",
    "release_heap",
]

# Nearly everything that a request allocates is freed by reference counting. A collection after
# every 700 new objects finds nothing, and traverses all objects of thousands of waiting calls.
_THRESHOLD = (50_000, 20, 20)
_M_ARENA_MAX, _M_MMAP_THRESHOLD = -8, -3  # of glibc's malloc.h
_BIG = 128 << 10  # bytes; where glibc's own threshold begins


@contextmanager
def calm_collector() -> Iterator[None]:
    """Collect garbage rarely during the block, and never traverse older objects."""
    threshold, held = gc.get_threshold(), gc.get_freeze_count()
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_THRESHOLD)
    try:
        yield
    finally:
        gc.set_threshold(*threshold)
        if not held:
            gc.unfreeze()


def loop_options() -> dict[str, Any]:
    """Return options for ``anyio.run``: uvloop if it is installed (the extra ``fast``)."""
    return {"use_uvloop": find_spec("uvloop") is not None}


def keep_heap_compact() -> None:
    """Keep the heap of this process from growing by holes, if its C library is glibc.

    All threads allocate from one heap. By default each has its own, and memory that one thread
    allocates and another frees fragments several of them: 20 MB with a thousand calls in flight.
    Contention is low, since the interpreter runs one thread at a time.

    Blocks of 128 KiB and more are always mapped on their own, and returned as soon as they are
    freed. By default glibc raises that threshold to the size of whatever was freed, up to 32 MiB:
    portions of chunks then come from the heap, small blocks settle in the holes that they leave,
    and the heap of an endless run never stops growing (decision 0078).

    This affects the whole process, so it is for programs to call, not for libraries.
    """
    with suppress(OSError, AttributeError):
        libc = ctypes.CDLL(None)
        libc.mallopt(_M_ARENA_MAX, 1)
        libc.mallopt(_M_MMAP_THRESHOLD, _BIG)


def release_heap() -> None:
    """Return free pages within the heap to the system, if its C library is glibc: 0.1 to 0.5 ms.

    What is in flight comes and goes by megabytes, and something small is left on either side of
    each hole. glibc itself only returns what is free at the end of the heap.
    """
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


_MOST = 65_536
_USUAL_MOST = 256  # calls in flight by default
_LEAST = 32  # with one call in flight
_OWN = 40  # ledger, shards, lock, event loop, inputs, standard streams: 25, plus a reserve


def raise_limit() -> int:
    """Raise the soft limit of open files to its maximum, and return it.

    The usual soft limit of 1,024, or 256 on macOS, is for old programs that use ``select``.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _MOST if hard == resource.RLIM_INFINITY else min(hard, _MOST)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return _MOST if soft == resource.RLIM_INFINITY else soft


def check_open_files() -> None:
    """Raise the limit of open files to its maximum.

    Raises:
        ConfigError: It is too low for any run.
    """
    limit = raise_limit()
    if limit < _LEAST:
        raise ConfigError(
            f"only {limit} files may be open (ulimit -n); a run needs at least {_LEAST}"
        )


def fitting_concurrency(wanted: int, limit: int) -> int:
    """Return the calls in flight that a limit of open files allows, at most ``wanted``.

    Each call in flight holds a connection. With none left, not even a shard could be opened.
    """
    return max(1, min(wanted, limit - _OWN))


def fit_to_open_files(settings: Settings) -> tuple[Settings, list[str]]:
    """Limit concurrency to the possible number of connections; also return a notice about it."""
    limit = raise_limit()
    wanted = settings.concurrency or _USUAL_MOST
    fitting = fitting_concurrency(wanted, limit)
    if fitting == wanted:
        return settings, []
    text = f"only {limit} files may be open (ulimit -n): at most {fitting} calls in flight"
    return settings.model_copy(update={"concurrency": fitting}), [text]
