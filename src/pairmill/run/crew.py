"""The worker tasks, each of which can be released alone."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import anyio

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from pairmill.run.asking import InFlight
    from pairmill.run.stop import Stop

__all__ = ["WorkerGroup"]


class WorkerGroup:
    """The worker tasks, each of which can be released alone."""

    def __init__(self, in_flight: InFlight) -> None:
        self._in_flight = in_flight
        self._scopes: dict[asyncio.Task[object] | None, anyio.CancelScope] = {}

    async def employ(self, job: Callable[..., Awaitable[None]], *arguments: object) -> None:
        """Run a job so that ``let_go`` can end it."""
        with anyio.CancelScope() as scope:
            self._scopes[asyncio.current_task()] = scope
            await job(*arguments)

    async def let_go(self, stop: Stop, grace_s: float) -> None:
        """On a stop: at once whoever waits for nothing that is paid for, the others in time."""
        await stop.wait()
        for task, scope in self._scopes.items():
            if task not in self._in_flight.tasks:
                scope.cancel()
        await anyio.sleep(grace_s)
        for scope in self._scopes.values():
            scope.cancel()
