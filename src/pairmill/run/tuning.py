"""What the interpreter is told before a run: which event loop, and how to collect garbage."""

from __future__ import annotations

import gc
from contextlib import contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["calm_collector", "loop_options"]

# Nearly all that a request makes is freed by counting references. A search for cycles after every
# 700 new objects finds nothing, and goes through what thousands of waiting calls hold.
_THRESHOLD = (50_000, 20, 20)


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
