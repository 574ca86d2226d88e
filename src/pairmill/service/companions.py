"""Companions: a user's coroutines beside a run, with a read-only view of it.

A status server, a metrics exporter or a heartbeat is a companion: ``async def serve(view)``. All of
them start before the model is connected and are cancelled once the run has ended and its folder is
in order. One that fails is reported in a notice; the run goes on.
"""

from __future__ import annotations

import asyncio
import inspect
import time
from collections import deque
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from pairmill.display import sanitize
from pairmill.errors import ConfigError
from pairmill.events import Notice
from pairmill.plugins import load_named
from pairmill.service.tally import RunTally

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
    from pathlib import Path

    from pairmill.config import Settings
    from pairmill.events import Bus
    from pairmill.llm.limits.gate import Gate
    from pairmill.llm.limits.lease import Snapshot
    from pairmill.llm.limits.quota import Limits
    from pairmill.llm.pools import Pool, Pools
    from pairmill.service.tally import RunProgress

__all__ = [
    "Companion",
    "PoolView",
    "QuotaUse",
    "RunView",
    "beside",
    "check_companion",
    "load_companions",
]

_PATIENCE_S = 5.0  # seconds for cancelled companions to end
_LONGEST_REASON = 200
_WINDOW_S = 60.0


@dataclass(frozen=True, slots=True)
class PoolView:
    """One pool of a run: an endpoint with a key and a model.

    Attributes:
        gate: Calls in flight and waiting, current concurrency, pauses and their cause.
        is_alive: True while calls may go to it.
        quota_used: Part of the quota that was used over the last minute, from 0 to 1: of the limit
            that was used most, and of this process's share of it; None if no limit is known.
    """

    name: str
    base_url: str
    model: str
    gate: Snapshot
    is_alive: bool
    quota_used: float | None = None


class QuotaUse:
    """Measures which part of its quota a pool uses, over the last minute.

    Args:
        now: A monotonic clock, in seconds.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._marks: deque[tuple[float, dict[str, float]]] = deque()

    def measure(self, used: Mapping[str, float], limits: Limits) -> float | None:
        """Return the part that was used; None if no limit is known, or in the first second.

        Args:
            used: What was ever used, by the names of units: `Gate.used`.
            limits: Those in force.
        """
        now, marks = self._now(), self._marks
        while len(marks) > 1 and now - marks[1][0] >= _WINDOW_S:
            marks.popleft()
        if not marks or now - marks[-1][0] >= 1.0:
            marks.append((now, dict(used)))
        since, before = marks[0]
        allowed = {unit.name: limit * limits.share for unit, limit in limits.per_min().items()}
        minutes = (now - since) / 60.0
        parts = [
            (used[name] - before[name]) / minutes / limit
            for name, limit in allowed.items()
            if name in used and limit > 0.0 and minutes > 0.0
        ]
        return max(parts, default=None)


class RunView:
    """A run as a companion sees it. Use it on the event loop; nothing in it changes the run.

    Attributes:
        folder: The run folder.
        settings: All settings. They never hold a key.
        bus: Event bus; see `pairmill.events`.
    """

    def __init__(self, settings: Settings, bus: Bus) -> None:
        self.folder: Path = settings.output
        self.settings = settings
        self.bus = bus
        self._tally = RunTally(time.monotonic)
        self._tally.listen(bus)
        self._all: Pools | None = None
        self._pools: list[tuple[Pool, Gate, QuotaUse]] = []

    def connected(self, pools: Pools) -> None:
        """Set the pools to show (called by the run)."""
        self._all = pools
        self._pools = [(pool, pools.gate(pool.name), QuotaUse()) for pool in pools.alive]

    def progress(self) -> RunProgress:
        """Return counts, rates and cost at this moment."""
        return self._tally.progress()

    def pools(self) -> tuple[PoolView, ...]:
        """Pools; empty until the model is connected, that is, until there is something to ask."""
        if self._all is None:
            return ()
        alive = {pool.name for pool in self._all.alive}
        return tuple(
            PoolView(
                pool.name,
                pool.base_url,
                pool.model,
                gate.snapshot(),
                pool.name in alive,
                use.measure(gate.used, gate.limits),
            )
            for pool, gate, use in self._pools
        )


Companion: TypeAlias = "Callable[[RunView], Awaitable[None]]"


def load_companions(names: Sequence[str]) -> list[Companion]:
    """Load the companions that the settings name.

    Raises:
        ConfigError: One cannot be loaded, or is not a coroutine function.
    """
    found = []
    for name in names:
        try:
            companion = load_named(name).found
        except ConfigError as error:
            raise ConfigError(f"companions: {error}") from None
        found.append(check_companion(companion, name))
    return found


def check_companion(companion: Any, name: str) -> Companion:
    """Check that an object can be a companion, and return it.

    Raises:
        ConfigError: It is not a coroutine function of one argument.
    """
    call = companion if inspect.isroutine(companion) else getattr(companion, "__call__", None)  # noqa: B004
    if isinstance(companion, type) or not inspect.iscoroutinefunction(call):
        kind = type(companion).__name__
        raise ConfigError(f"companions: '{name}' is a {kind}; needs 'async def {name}(view)'")
    return companion  # type: ignore[no-any-return]


@asynccontextmanager
async def beside(companions: Sequence[Companion], view: RunView | None) -> AsyncIterator[None]:
    """Run the companions for as long as the block runs.

    They are cancelled at its end and get five seconds to clean up, or the largest ``patience_s``
    attribute among them.
    """
    tasks = [
        asyncio.create_task(_accompany(companion, view), name="pairmill-companion")
        for companion in companions
        if view is not None
    ]
    try:
        await asyncio.sleep(0)  # each gets to subscribe before the first event
        yield
    finally:
        for task in tasks:
            task.cancel()
        if tasks:
            asked = (getattr(companion, "patience_s", _PATIENCE_S) for companion in companions)
            await asyncio.wait(tasks, timeout=max(_PATIENCE_S, *asked))


async def _accompany(companion: Companion, view: RunView) -> None:
    try:
        await companion(view)
    except Exception as error:  # noqa: BLE001 (a user's coroutine may raise anything)
        name = getattr(companion, "__qualname__", type(companion).__name__)
        reason = sanitize(f"{type(error).__name__}: {error}", _LONGEST_REASON)
        view.bus.emit(Notice(f"companion '{name}' failed: {reason}; the run continues without it"))
