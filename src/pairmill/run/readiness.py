"""Prepares the pools of a run: available ones start, the others join later."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio

from pairmill.errors import ConfigError, StoppedError
from pairmill.events import Notice

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from pairmill.events import Bus
    from pairmill.llm.router import Route, Router

__all__ = ["Readiness"]

_GRACE_S = 5.0  # for the others, once the first pool is ready
_FIRST_S = 30.0  # until an unavailable pool is tried again: doubling
_LONGEST_S = 300.0


class Readiness:
    """Several pools that are prepared concurrently.

    Args:
        stations: All pools.
        router: Uses no pool before it is ready.
        prepare: Prepares one pool; raises `ConfigError` or `StoppedError`.
        bus: For notices.
    """

    def __init__(
        self,
        stations: Sequence[Route],
        router: Router,
        prepare: Callable[[Route], Awaitable[None]],
        bus: Bus,
    ) -> None:
        self._stations = stations
        self._router = router
        self._prepare = prepare
        self._bus = bus
        self._failed: dict[str, StoppedError | ConfigError] = {}
        self._ready: set[str] = set()
        self._moved = anyio.Event()
        self._has_begun = False
        router.unready = frozenset(station.pool.name for station in stations)

    async def look_for(self, station: Route) -> None:
        """Try one pool until it is available."""
        name, wait_s = station.pool.name, _FIRST_S
        while True:
            try:
                await self._prepare(station)
            except (ConfigError, StoppedError) as error:
                self._note_failure(name, error)
            else:
                self._note_ready(name)
                return
            if name not in {pool.name for pool in self._router.pools.alive}:
                return
            await anyio.sleep(wait_s)
            wait_s = min(_LONGEST_S, 2.0 * wait_s)

    async def wait(self) -> None:
        """Return once a pool is ready, and the others had a little time.

        Raises:
            ConfigError: The configuration of a pool is unusable.
            StoppedError: None of them is available.
        """
        usual = {it.pool.name for it in self._stations if not it.pool.is_escalation}
        while not self._ready & usual and not usual <= self._failed.keys():
            await self._next_move()
        with anyio.move_on_after(_GRACE_S):
            while len(self._ready | self._failed.keys()) < len(self._stations):
                await self._next_move()
        self._has_begun = True
        for error in self._failed.values():
            if isinstance(error, ConfigError):
                raise error
        if not self._ready & usual:
            reasons = "; ".join(f"{name}: {error}" for name, error in self._failed.items())
            raise StoppedError(f"no pool can be asked ({reasons})")
        for name in self._router.unready:
            why = self._failed.get(name, "it does not answer yet")
            self._tell(f"{name}: {why}; going on without it, and looking for it again later")

    async def _next_move(self) -> None:
        self._moved = anyio.Event()
        await self._moved.wait()

    def _note_failure(self, name: str, error: StoppedError | ConfigError) -> None:
        self._failed[name] = error
        self._moved.set()
        if self._has_begun and isinstance(error, ConfigError):
            self._router.pools.drop(name, str(error), error.exit_code)
            self._tell(f"{name}: {error}; going on without it")

    def _note_ready(self, name: str) -> None:
        self._failed.pop(name, None)
        self._ready.add(name)
        self._router.unready -= {name}
        self._moved.set()
        if self._has_begun:
            self._tell(f"{name}: it answers now")

    def _tell(self, text: str) -> None:
        self._bus.emit(Notice(text=text))
