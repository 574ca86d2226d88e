"""Requests to end a run early: who asked, why, with which exit code; and signals that ask.

This also holds if the run is already ending by itself (a cap, a refused key): the first signal asks
for the graceful end, which is in progress.
"""

from __future__ import annotations

import os
import signal
import time
from typing import TYPE_CHECKING

import anyio

from pairmill.errors import EXIT_RESUMABLE
from pairmill.events import Notice
from pairmill.startup import SIGNALS

if TYPE_CHECKING:
    from pairmill.events import Bus

__all__ = ["Stop", "StoppingError", "listen"]


class StoppingError(Exception):
    """A call was not sent because the run is ending. Its unit stays open for the next start."""


class Stop:
    """A request to stop; only the first one, with its reason, has an effect.

    Attributes:
        is_requested: True once no new call may be sent.
    """

    def __init__(self) -> None:
        self.is_requested = False
        self.reason = ""
        self.exit_code = 0
        self._event = anyio.Event()

    def request(self, reason: str, exit_code: int = EXIT_RESUMABLE) -> None:
        """End the run: nothing new is started, calls in flight get their grace period."""
        if not self.is_requested:
            self.is_requested = True
            self.reason = reason
            self.exit_code = exit_code
            self._event.set()

    async def wait(self) -> None:
        """Wait until a stop is requested."""
        await self._event.wait()


_APART_S = 0.5
"""Signals within this time count as one: GNU ``timeout``, systemd and supervisors signal the
process and its group, or send SIGTERM and SIGHUP, at about the same moment."""


async def listen(stop: Stop, bus: Bus) -> None:
    """Ask for a stop on the first signal, and end the process on a later one."""
    first_at_s: float | None = None
    heard = _heard()
    old = {number: signal.getsignal(number) for number in heard}
    try:
        with anyio.open_signal_receiver(*heard) as signals:
            async for number in signals:
                now_s = time.monotonic()
                if first_at_s is not None:
                    if now_s - first_at_s < _APART_S:
                        continue
                    os._exit(EXIT_RESUMABLE)  # the journal is always consistent
                first_at_s = now_s
                name = signal.Signals(number).name
                stop.request(f"stopped by {name}", EXIT_RESUMABLE)
                text = f"{name}: finishing the calls in flight; again to quit now"
                bus.emit(Notice(text=text))
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)


def _heard() -> tuple[signal.Signals, ...]:
    return tuple(n for n in SIGNALS if signal.getsignal(n) is not signal.SIG_IGN)
