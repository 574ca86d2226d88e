"""What is looked at a few times a second while a run works: pauses, gauges, money, standstill."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, ClassVar

import anyio
import httpx2
from aiolimiter import AsyncLimiter
from anyio.to_thread import run_sync

from pairmill.errors import EXIT_RESUMABLE
from pairmill.events import Event, Topic
from pairmill.llm.limits.breaker import FitBreaker, Watchdog
from pairmill.llm.limits.gauges import metrics_url, read_gauges

if TYPE_CHECKING:
    from collections.abc import Callable

    from pairmill.events import Bus
    from pairmill.llm.limits.gate import Gate
    from pairmill.run.connect import Connection
    from pairmill.run.stop import Stop

__all__ = ["RunMonitor", "watch_gauge", "watch_loop"]

LOOK_S = 0.25
TELL_PAUSE_S = 2.0
_TOO_MANY = 429


class RunMonitor:
    """Listens to a run's events, looks at its gates, and ends it where going on is no use.

    Args:
        connection: Gates and budget.
        bus: For notices.
        stop: To end the run.
        no_progress_s: How long nothing may become durable.
    """

    TOPICS: ClassVar = (Topic.ANSWER_READ, Topic.COMMITTED)

    def __init__(
        self, connection: Connection, bus: Bus, stop: Stop, *, no_progress_s: float
    ) -> None:
        self._connection = connection
        self._bus = bus
        self._stop = stop
        self._fit = FitBreaker()
        self._watchdog = Watchdog(quiet_s=no_progress_s, now=time.monotonic())
        self._told_until: dict[str, float] = {}
        self._told_stall = False

    def __call__(self, event: Event) -> None:
        """Take one event into account."""
        if event.topic is Topic.ANSWER_READ:
            reason = self._fit.record(usable=event.fields.get("how") != "failed")
            if reason:
                self._stop.request(reason, EXIT_RESUMABLE)
        else:
            self._watchdog.progressed(time.monotonic())
            self._told_stall = False

    async def watch(self) -> None:
        """Look until cancelled."""
        while True:
            await anyio.sleep(LOOK_S)
            cause, until = self._look_at_pools()
            self._look_for_standstill(cause, until)
            await run_sync(self._connection.spending.write)

    def _look_at_pools(self) -> tuple[str, float]:
        """Tell of pauses; return the longest one's cause and end."""
        now = time.monotonic()
        cause, end = "", float("-inf")
        pools = self._connection.exchange.pools
        for pool in pools.alive:
            found = pools.gate(pool.name).snapshot()
            if found.paused_s <= 0:
                continue
            until = now + found.paused_s
            if until > end:
                cause, end = found.cause, until
            told = self._told_until.get(pool.name, float("-inf"))
            if found.paused_s > TELL_PAUSE_S and now > told:
                self._told_until[pool.name] = until
                name = pool.name if len(pools.alive) > 1 else pool.base_url
                self._notice(f"{name}: {found.cause}; going on in {found.paused_s:.0f} s")
        return cause, end

    def _look_for_standstill(self, cause: str, until: float) -> None:
        is_over, text = self._watchdog.check(time.monotonic(), cause=cause, paused_until=until)
        if is_over:
            self._stop.request(text, EXIT_RESUMABLE)
        elif text and not self._told_stall:
            self._told_stall = True
            self._notice(text)

    def _notice(self, text: str) -> None:
        self._bus.emit(Topic.NOTICE, text=text)


async def watch_gauge(base_url: str, gate: Gate) -> None:
    """Look at a server's waiting gauge once a second, for as long as it has one."""
    address = metrics_url(base_url)
    limiter = AsyncLimiter(1, 1.0)
    async with httpx2.AsyncClient(timeout=5.0, trust_env=False) as http:
        while True:
            async with limiter:
                try:
                    response = await http.get(address)
                except httpx2.HTTPError:
                    continue
            if response.is_server_error or response.status_code == _TOO_MANY:
                continue  # it passes: the server is loading, or counts this look as a request
            gauges = read_gauges(response.text) if response.is_success else None
            if gauges is None:
                return
            gate.observe_gauge(*gauges)


async def watch_loop(tick: Callable[[], None] | None, bus: Bus) -> None:
    """Draw progress now and then, and tell how late the event loop came to it."""
    while True:
        if tick:
            tick()
        due = time.monotonic() + LOOK_S
        await anyio.sleep(LOOK_S)
        bus.emit(Topic.LOOP_LATE, seconds=max(0.0, time.monotonic() - due))
