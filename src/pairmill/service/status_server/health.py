"""Health of a run: liveness, and its present activity, for probes and for people."""

from __future__ import annotations

import math
import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

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
from pairmill.plain import plain

if TYPE_CHECKING:
    from collections.abc import Callable

    from pairmill.events import Event
    from pairmill.service.companions import PoolView, RunView

__all__ = ["Health", "RateHistory", "RunHealth", "describe_run"]

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
        self._waits_for = plain(event.reason, 200)

    def _move(self, event: Event) -> None:
        self._moved_at = self._now()
        self._reading_done = self._reading_done or isinstance(event, ReadingDone)


class RateHistory:
    """Pairs a minute over the whole start, in at most ``most`` points.

    When it is full, neighbours are averaged and each further point stands for twice the time.

    Args:
        most: How many points; even.
    """

    def __init__(self, most: int = 600) -> None:
        self._most = most
        self._points: list[float] = []
        self._pending: list[float] = []
        self.seconds_per_point = 1

    def add(self, pairs_per_min: float) -> None:
        """Take the rate of one more second into account."""
        self._pending.append(pairs_per_min)
        if len(self._pending) < self.seconds_per_point:
            return
        self._points.append(sum(self._pending) / len(self._pending))
        self._pending.clear()
        if len(self._points) >= self._most:
            halves = zip(self._points[::2], self._points[1::2], strict=True)
            self._points = [(first + second) / 2 for first, second in halves]
            self.seconds_per_point *= 2

    @property
    def points(self) -> list[float]:
        """Rates, the oldest first."""
        return [round(point, 1) for point in self._points]


def _why_waiting(pools: tuple[PoolView, ...]) -> str:
    """Return the longest pause's cause if every pool pauses, else an empty text."""
    paused = [pool for pool in pools if pool.gate.paused_s > 0 or not pool.is_alive]
    if not pools or len(paused) < len(pools):
        return ""
    longest = max(paused, key=lambda pool: pool.gate.paused_s)
    return f"{longest.name} pauses: {plain(longest.gate.cause, 200)}"


def describe_run(view: RunView) -> dict[str, Any]:
    """Return the state of a run as plain JSON values.

    Returns:
        The fields of `RunProgress`; ``pools`` with ``quota_used`` and the fields of their gate;
        ``max_usd`` and ``max_total_tokens``, the caps; ``folder`` and ``model``. Infinite waits are
        None.
    """
    settings = view.settings
    pools = []
    for pool in view.pools():
        gate = asdict(pool.gate)
        gate["cause"] = plain(pool.gate.cause, 200)
        if math.isinf(pool.gate.paused_s):
            gate["paused_s"] = None
        used = None if pool.quota_used is None else round(pool.quota_used, 4)
        named = {"name": pool.name, "model": pool.model, "alive": pool.is_alive}
        pools.append({**named, "quota_used": used, **gate})
    return {
        "folder": str(view.folder),
        "model": settings.model,
        "recipe": settings.recipe,
        **asdict(view.progress()),
        "max_usd": settings.max_usd,
        "max_total_tokens": settings.max_total_tokens,
        "pools": pools,
    }
