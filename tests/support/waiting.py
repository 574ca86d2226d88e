"""Waiting for something that a real process does."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.forge import Child

__all__ = ["wait_until"]

PATIENCE_S = 40.0


def wait_until(condition: Callable[[], object], child: Child | None = None) -> None:
    """Return when ``condition`` holds; fail with what the child said if it never does."""
    until = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < until, child.stderr if child else "it never came"
        time.sleep(0.002)
