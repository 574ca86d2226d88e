"""Checks made several times a second during a run: pauses, gauges, money, lack of progress."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING

import anyio
import httpx2
from aiolimiter import AsyncLimiter
from anyio.to_thread import run_sync

from pairmill.clock import SystemClock
from pairmill.errors import EXIT_RESUMABLE
from pairmill.events import AnswerRead, Committed, LoopLate, Notice
from pairmill.llm.endpoint_info import metrics_url, read_gauges
from pairmill.llm.limits.breaker import FitBreaker, Watchdog
from pairmill.llm.limits.headers import retry_after_s
from pairmill.run.tuning import release_heap

if TYPE_CHECKING:
    from collections.abc import Callable

    from pairmill.events import Bus
    from pairmill.llm.health import PoolHealth
    from pairmill.llm.limits.gate import Gate
    from pairmill.run.connect import Connection
    from pairmill.run.stop import Stop

__all__ = ["RunMonitor", "watch_gauge", "watch_loop"]

LOOK_S = 0.25
_RELEASE_S = 30.0  # between releases of memory that is free: decision 0078
TELL_PAUSE_S = 2.0
TELL_REFUSALS_S = 10.0
_GAUGE_EVERY_S = 1.0
_GAUGE_LONGEST_S = 60.0
_GAUGE_REFUSALS = 8
_PASSING = frozenset({408, 425, 429})


class RunMonitor:
    """Follows a run's events, checks its gates, and ends it if continuing is useless.

    Args:
        connection: Gates and budget.
        bus: For notices.
        stop: To end the run.
        no_progress_s: Maximum time in which nothing becomes durable.
        good: Number of units that earlier starts got an answer for.
        bad: Number of units that earlier starts rejected.
        is_idle: Returns True if there is nothing to work on now, but more may come.
    """

    def __init__(
        self,
        connection: Connection,
        bus: Bus,
        stop: Stop,
        *,
        no_progress_s: float,
        good: int = 0,
        bad: int = 0,
        is_idle: Callable[[], bool] = lambda: False,
    ) -> None:
        self._connection = connection
        self._bus = bus
        self._stop = stop
        self._is_idle = is_idle
        self._fit = FitBreaker(good=good, bad=bad)
        self._watchdog = Watchdog(quiet_s=no_progress_s, now=time.monotonic())
        self._told_until: dict[str, float] = {}
        self._told_refusals: dict[str, float] = {}
        self._told_stall = False

    def __call__(self, event: AnswerRead | Committed) -> None:
        """Handle one event."""
        if isinstance(event, AnswerRead):
            if event.rates:
                return  # bad answers of a judge leave pairs unscored, but end no run
            reason = self._fit.record(usable=event.how != "failed")
            if reason:
                self._stop.request(reason, EXIT_RESUMABLE)
        elif event.answers or event.kept:  # a tombstone is not progress
            self._watchdog.progressed(time.monotonic())
            self._told_stall = False

    async def watch(self) -> None:
        """Check until cancelled."""
        while True:
            await anyio.sleep(LOOK_S)
            cause, until = self._look_at_pools()
            if self._is_idle():
                self._watchdog.progressed(time.monotonic())
            self._look_for_standstill(cause, until)
            await run_sync(self._connection.spending.write)

    def _look_at_pools(self) -> tuple[str, float]:
        """Report pauses and refusals; return cause and end of the longest pause."""
        now = time.monotonic()
        cause, end = "", float("-inf")
        pools = self._connection.router.pools
        for pool in pools.alive:
            name = pool.name if len(pools.alive) > 1 else pool.base_url
            health = pools.health[pool.name]
            self._tell_refusals(name, health, now)
            found = pools.gate(pool.name).snapshot()
            if found.paused_s <= 0:
                if health.refused_since is not None and not cause:
                    cause = health.sentence
                continue
            why = found.cause
            if health.refused_since is not None:
                why = health.sentence
            elif health.sentence:
                why = f"{found.cause} ({health.sentence})"
            until = now + found.paused_s
            if until > end:
                cause, end = why, until
            told = self._told_until.get(pool.name, float("-inf"))
            if found.paused_s > TELL_PAUSE_S and now > told:
                self._told_until[pool.name] = until
                self._notice(f"{name}: {why}; {_going_on(found.paused_s)}")
        return cause, end

    def _tell_refusals(self, name: str, health: PoolHealth, now: float) -> None:
        """Report the server's words while it refuses everything, however short each pause is."""
        since = health.refused_since
        if since is None:
            self._told_refusals.pop(name, None)
            return
        due = self._told_refusals.get(name, since + TELL_REFUSALS_S)
        if now < due:
            return
        quiet_s = now - since
        self._told_refusals[name] = now + max(TELL_REFUSALS_S, quiet_s)  # at growing intervals
        self._notice(
            f"{name}: no answer for {quiet_s:.0f} s, {health.refused} calls refused: "
            f"{health.sentence}; asking on"
        )

    def _look_for_standstill(self, cause: str, until: float) -> None:
        is_over, text = self._watchdog.check(time.monotonic(), cause=cause, paused_until=until)
        if is_over:
            self._stop.request(text, EXIT_RESUMABLE)
        elif text and not self._told_stall:
            self._told_stall = True
            self._notice(text)

    def _notice(self, text: str) -> None:
        self._bus.emit(Notice(text=text))


def _going_on(seconds: float) -> str:
    return f"going on in {seconds:.0f} s" if math.isfinite(seconds) else "one call asks again"


async def watch_gauge(base_url: str, gate: Gate) -> None:
    """Poll a server's queue metric once a second, as long as it has one.

    After a refusal, the next poll comes when the server asks for it, else at growing intervals.
    Polling ends if there is no such metric, or after eight refusals in a row.
    """
    address = metrics_url(base_url)
    limiter = AsyncLimiter(1, _GAUGE_EVERY_S)
    failures = refusals = 0
    asked_s = 0.0
    async with httpx2.AsyncClient(timeout=5.0, trust_env=False) as http:
        while refusals < _GAUGE_REFUSALS:
            if failures:
                await anyio.sleep(max(asked_s, min(2.0**failures, _GAUGE_LONGEST_S)))
            asked_s = 0.0
            async with limiter:
                try:
                    response = await http.get(address)
                except httpx2.HTTPError:
                    failures += 1
                    continue
            if response.is_server_error or response.status_code in _PASSING:
                failures += 1
                refusals = refusals + 1 if response.is_client_error else 0
                asked = retry_after_s(response.headers, None, now_wall=SystemClock().time())
                asked_s = asked.seconds if asked else 0.0
                continue
            gauges = read_gauges(response.text) if response.is_success else None
            if gauges is None:
                return
            failures = refusals = 0
            gate.observe_gauge(*gauges)


async def watch_loop(tick: Callable[[], None] | None, bus: Bus) -> None:
    """Draw progress, report the lag of the event loop, and release free memory."""
    release_at = time.monotonic() + _RELEASE_S
    while True:
        if tick:
            tick()
        due = time.monotonic() + LOOK_S
        await anyio.sleep(LOOK_S)
        bus.emit(LoopLate(seconds=max(0.0, time.monotonic() - due)))
        if time.monotonic() >= release_at:
            release_heap()
            release_at = time.monotonic() + _RELEASE_S
