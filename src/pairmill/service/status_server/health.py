"""Health of a run, for probes: does it move, and can calls be made?"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pairmill.display import sanitize
from pairmill.events import (
    CallAnswered,
    CallFailed,
    Committed,
    DocumentsRead,
    ReadingDone,
    RunWaits,
    UnitsKnown,
    UnitsPlanned,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from pairmill.events import Event
    from pairmill.service.companions import PoolView, RunView

__all__ = ["Health", "RunHealth"]

_MARGIN_S = 60.0
"""How long after ``no_progress_s`` a run that did not end by itself is called dead."""


@dataclass(frozen=True, slots=True)
class Health:
    """The answer of a probe.

    Attributes:
        is_ok: Whether the probe succeeds.
        reason: What the run is doing, or what is wrong; one line.
    """

    is_ok: bool
    reason: str


class RunHealth:
    """Remembers when a run last moved.

    Args:
        view: The run.
        now: A monotonic clock, in seconds.
    """

    def __init__(self, view: RunView, now: Callable[[], float] = time.monotonic) -> None:
        self._view = view
        self._now = now
        self._moved_at = now()
        self._reading_done = False
        self._waits_for = ""
        view.bus.subscribe(self._wait, RunWaits)
        view.bus.subscribe(self._move, DocumentsRead, UnitsPlanned, UnitsKnown, CallAnswered)
        view.bus.subscribe(self._move, Committed, CallFailed, ReadingDone)

    def live(self) -> Health:
        """Tell whether the run moved lately or knows why it does not.

        That the event loop turns is shown by the answer itself.
        """
        quiet_s = self._now() - self._moved_at
        waiting = self._waits_for or _why_waiting(self._view.pools())
        if waiting:
            return Health(is_ok=True, reason=waiting)
        if quiet_s > self._view.settings.no_progress_s + _MARGIN_S:
            return Health(is_ok=False, reason=f"nothing happened for {quiet_s:.0f} s")
        return Health(is_ok=True, reason=f"last progress {quiet_s:.0f} s ago")

    def ready(self) -> Health:
        """Tell whether calls can be made, or there is none left to make."""
        if self._view.pools():
            return Health(is_ok=True, reason="asking")
        if self._reading_done:
            return Health(is_ok=True, reason="nothing left to ask")
        return Health(is_ok=False, reason="reading input, or looking for the model")

    def _wait(self, event: RunWaits) -> None:
        self._waits_for = sanitize(event.reason, 200)

    def _move(self, event: Event) -> None:
        self._moved_at = self._now()
        self._reading_done = self._reading_done or isinstance(event, ReadingDone)


def _why_waiting(pools: tuple[PoolView, ...]) -> str:
    """Return the longest pause's cause if every pool pauses, else an empty text."""
    paused = [pool for pool in pools if pool.gate.paused_s > 0 or not pool.is_alive]
    if not pools or len(paused) < len(pools):
        return ""
    longest = max(paused, key=lambda pool: pool.gate.paused_s)
    return f"{longest.name} pauses: {sanitize(longest.gate.cause, 200)}"
