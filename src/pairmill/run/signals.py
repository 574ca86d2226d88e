"""SIGINT, SIGTERM and SIGHUP: the first ends a run gently, the second at once."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

import anyio

from pairmill.errors import EXIT_RESUMABLE
from pairmill.events import Topic

if TYPE_CHECKING:
    from types import FrameType

    from pairmill.events import Bus
    from pairmill.run.stop import Stop

__all__ = ["listen", "quit_on_signals"]

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def quit_on_signals() -> None:
    """End the process at once, as resumable, on a signal that nobody listens for.

    For the time before a run listens and after it has: nothing is in flight then, and the folder is
    safe at every moment. A signal that is ignored (``nohup``) stays so.
    """
    for number in _heard():
        signal.signal(number, _quit)


async def listen(stop: Stop, bus: Bus) -> None:
    """Ask for a stop on the first signal, and end the process on the second."""
    heard = _heard()
    old = {number: signal.getsignal(number) for number in heard}
    try:
        with anyio.open_signal_receiver(*heard) as signals:
            async for number in signals:
                if stop.is_requested:
                    os._exit(EXIT_RESUMABLE)  # the journal is safe at every moment
                name = signal.Signals(number).name
                stop.request(f"stopped by {name}", EXIT_RESUMABLE)
                text = f"{name}: finishing the calls in flight; again to quit now"
                bus.emit(Topic.NOTICE, text=text)
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)


def _heard() -> tuple[signal.Signals, ...]:
    return tuple(n for n in _SIGNALS if signal.getsignal(n) is not signal.SIG_IGN)


def _quit(number: int, _frame: FrameType | None) -> None:
    name = signal.Signals(number).name
    try:
        os.write(2, f"pairmill: stopped by {name}; the same command goes on\n".encode())
    finally:
        os._exit(EXIT_RESUMABLE)
