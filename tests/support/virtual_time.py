"""Run a coroutine on a clock that jumps: an hour of timers passes in milliseconds.

The loop is a real asyncio loop. Where it would sleep until its next timer, its clock is set to that
timer's time instead. No I/O and no threads: with nothing left to run and no timer set, every task
waits for something that cannot come, and ``run`` raises rather than hang.
"""

from __future__ import annotations

import asyncio
import selectors
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Coroutine

__all__ = ["StuckError", "VirtualLoop", "run"]

T = TypeVar("T")


class StuckError(RuntimeError):
    """Every task waits, and no timer will ever wake one."""


class _JumpingSelector(selectors.DefaultSelector):
    now: float = 0.0
    step_s: float = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        self.now += self.step_s
        if ready:
            return ready
        if timeout is None:
            raise StuckError("nothing to run and no timer set")
        self.now += max(timeout, 0.0)
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """An asyncio loop whose ``time()`` starts at 0 and moves only when nothing is left to do.

    ``step_s`` is what each turn of the loop takes: for code that sets timers of next to nothing and
    relies on the clock to move on by itself.
    """

    def __init__(self, step_s: float = 0.0) -> None:
        self._jumping = _JumpingSelector()
        self._jumping.step_s = step_s
        super().__init__(self._jumping)

    def time(self) -> float:
        return self._jumping.now

    def jump(self, seconds: float) -> None:
        """Let the clock leap while nothing runs, as a sleeping laptop's does."""
        self._jumping.now += seconds


def run(main: Coroutine[Any, Any, T], *, step_s: float = 0.0) -> T:
    """Run ``main`` to its end in virtual time, and return its result."""
    with asyncio.Runner(loop_factory=lambda: VirtualLoop(step_s)) as runner:
        return runner.run(main)
