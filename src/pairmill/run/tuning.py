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

# Nearly everything that a request allocates is freed by reference counting. A collection after
# every 700 new objects finds nothing, and traverses all objects of thousands of waiting calls.
_THRESHOLD = (50_000, 20, 20)
_M_ARENA_MAX = -8  # of glibc's malloc.h


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


def share_one_heap() -> None:
    """Let all threads of this process allocate from one heap, if its C library is glibc.

    By default each thread has its own heap. Memory that one thread allocates and another frees then
    fragments several of them: 20 MB with a thousand calls in flight. Contention is low, since the
    interpreter runs one thread at a time. This affects the whole process, so it is for programs to
    call, not for libraries.
    """
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 1)
