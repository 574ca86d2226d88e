"""Process settings for a run: event loop, malloc arenas, garbage collection."""

from __future__ import annotations

import ctypes
import gc
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["calm_collector", "loop_options", "share_one_heap"]

# Nearly all that a request makes is freed by counting references. A search for cycles after every
# 700 new objects finds nothing, and goes through what thousands of waiting calls hold.
_THRESHOLD = (50_000, 20, 20)
_M_ARENA_MAX = -8  # of glibc's malloc.h


@contextmanager
def calm_collector() -> Iterator[None]:
    """Collect seldom while the block runs, and never look at what was there before it."""
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
    """Options for ``anyio.run``: uvloop where it is installed (the extra ``fast``)."""
    return {"use_uvloop": find_spec("uvloop") is not None}


def share_one_heap() -> None:
    """Let all threads of this process allocate from one heap, where its C library is glibc.

    By itself it gives each thread a heap. What one thread reads and another one frees then leaves
    holes in several of them: 20 MB with a thousand calls in flight. Threads hardly wait for each
    other here, since the interpreter lets one of them run at a time. It holds for the whole
    process, so it is for a program to call, not for a library.
    """
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 1)
