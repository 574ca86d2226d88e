"""Request to end a run early: who asked, why, and with which exit code."""

from __future__ import annotations

import anyio

from pairmill.errors import EXIT_RESUMABLE

__all__ = ["Stop", "StoppingError"]


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
