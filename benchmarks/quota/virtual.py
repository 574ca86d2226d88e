"""Minutes of traffic over real sockets in seconds: a loop whose clock jumps when all is quiet.

Client and simulated endpoint live in one process and on one loop, and talk over loopback TCP. Where
the loop would sleep until its next timer, its clock is set to that timer's time. So the minutes of
a quota are real minutes to everyone, and a busy machine cannot blur the figures.
"""

from __future__ import annotations

import asyncio
import selectors
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from pairmill.simulator.endpoint import SimulatedEndpoint
from pairmill.simulator.http import ClientConnection

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Coroutine

    from pairmill.simulator import SimulatorSettings

__all__ = ["LoopClock", "run", "serving"]

T = TypeVar("T")

_EPOCH_S = 1.7e9
_LOOKS = 3  # before the clock jumps: loopback delivers at once, but for a kernel that is busy


class _Selector(selectors.DefaultSelector):
    now = 0.0

    def select(self, timeout: float | None = None) -> list[Any]:
        if timeout is None:
            return super().select(None)
        for _ in range(_LOOKS if timeout > 0 else 1):
            if ready := super().select(0):
                return ready
        self.now += max(timeout, 0.0)
        return []


class _Loop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._jumping = _Selector()
        super().__init__(self._jumping)

    def time(self) -> float:
        return self._jumping.now


class LoopClock:
    """The running loop's time as a ``pairmill.clock.Clock``."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()

    def monotonic(self) -> float:
        return self._loop.time()

    def time(self) -> float:
        return _EPOCH_S + self._loop.time()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(max(0.0, seconds))


def run(main: Coroutine[Any, Any, T]) -> T:
    """Run to its end in virtual time."""
    with asyncio.Runner(loop_factory=_Loop) as runner:
        return runner.run(main)


@asynccontextmanager
async def serving(settings: SimulatorSettings) -> AsyncIterator[tuple[str, SimulatedEndpoint]]:
    """A simulated endpoint on the running loop and its clock: its base URL, and itself."""
    loop, clock = asyncio.get_running_loop(), LoopClock()
    endpoint = SimulatedEndpoint(settings, loop, clock=clock.monotonic, wall=clock.time)
    live: set[ClientConnection] = set()
    server = await loop.create_server(
        lambda: ClientConnection(endpoint.handle, live, settings.max_request_bytes),
        "127.0.0.1",
        backlog=4096,
    )
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1", endpoint
    finally:
        server.close()
        for connection in tuple(live):
            connection.reset()
        await asyncio.sleep(0.01)
