"""Runs a simulated endpoint in this process: on the running loop, or in its own thread."""

from __future__ import annotations

import asyncio
import ssl
import threading
from typing import TYPE_CHECKING, Any, TypeVar

from pairmill.errors import ConfigError
from pairmill.simulator.endpoint import SimulatedEndpoint
from pairmill.simulator.http import ClientConnection, check_installed
from pairmill.simulator.settings import SimulatorSettings

try:
    import uvloop
except ImportError:
    uvloop = None  # type: ignore[assignment]

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType
    from typing import Self

    from pairmill.simulator.settings import ScheduledStep, TlsFiles

__all__ = ["HOST", "Simulator", "new_loop", "serve"]

HOST = "127.0.0.1"
_BACKLOG = 8192

Result = TypeVar("Result")


def new_loop() -> asyncio.AbstractEventLoop:
    """Make an event loop: uvloop's if installed."""
    return asyncio.new_event_loop() if uvloop is None else uvloop.new_event_loop()


class Simulator:
    """A simulated endpoint in this process.

    ``async with Simulator(settings) as endpoint`` serves on the running asyncio loop; ``with``
    serves from its own thread. In both, ``endpoint.url`` is a client's base URL, and the other
    methods may be called from anywhere.
    """

    def __init__(self, settings: SimulatorSettings | None = None) -> None:
        self.settings = settings or SimulatorSettings()
        self._live: set[ClientConnection] = set()
        self._server: asyncio.Server | None = None
        self._endpoint: SimulatedEndpoint | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._port = 0

    @property
    def url(self) -> str:
        """Base URL, with its ``/v1``."""
        has_tls = self._endpoint is not None and self._endpoint.settings.tls is not None
        scheme = "https" if has_tls else "http"
        return f"{scheme}://{HOST}:{self._port}/v1"

    def report(self) -> dict[str, Any]:
        """Report what the client did: the body of ``GET /_sim/report``."""
        return self._call(self._running().report)

    def attempts(self) -> dict[str, list[int]]:
        """Return for each question, by name: its attempts, and how often it was billed."""
        return self._call(self._running().attempts)

    def reset(self) -> None:
        """Forget what happened, and start the script again."""
        self._call(self._running().reset)

    def script(self, *steps: ScheduledStep, replace: bool = False) -> None:
        """Append steps to the script, or replace it."""
        endpoint = self._running()
        self._call(lambda: endpoint.add_steps(steps, replace=replace))

    async def start(self) -> None:
        """Listen on the running loop.

        Raises:
            ConfigError: The extra is not installed, or the settings name an unknown fault.
            OSError: The port is taken.
        """
        check_installed()
        loop = asyncio.get_running_loop()
        endpoint = SimulatedEndpoint(self.settings, loop)
        limit = endpoint.settings.max_request_bytes
        self._server = await loop.create_server(
            lambda: ClientConnection(endpoint.handle, self._live, limit),
            HOST,
            self.settings.port,
            backlog=_BACKLOG,
            ssl=_tls_context(endpoint.settings.tls),
        )
        self._loop = loop
        self._endpoint = endpoint
        self._port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Close all connections, answered or not, and the port."""
        if self._server is None:
            return
        self._server.close()
        for connection in tuple(self._live):
            connection.reset()
        while self._live:  # noqa: ASYNC110 (each leaves in the loop's next rounds)
            await asyncio.sleep(0)
        await self._server.wait_closed()
        self._server = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.stop()

    def __enter__(self) -> Self:
        loop = new_loop()
        self._thread = threading.Thread(
            target=loop.run_forever, name="simulated endpoint", daemon=True
        )
        self._thread.start()
        try:
            asyncio.run_coroutine_threadsafe(self.start(), loop).result()
        except BaseException:
            self._join(loop)
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._loop is not None  # noqa: S101 (set by __enter__)
        asyncio.run_coroutine_threadsafe(self.stop(), self._loop).result()
        self._join(self._loop)

    def _join(self, loop: asyncio.AbstractEventLoop) -> None:
        loop.call_soon_threadsafe(loop.stop)
        if self._thread is not None:
            self._thread.join()
        loop.close()

    def _running(self) -> SimulatedEndpoint:
        if self._endpoint is None:
            raise RuntimeError("the simulated endpoint has not been started")
        return self._endpoint

    def _call(self, action: Callable[[], Result]) -> Result:
        """Run an action on the endpoint's loop, so that it never sees a partial change."""
        in_own_thread = self._thread is not None and self._thread is not threading.current_thread()
        if not in_own_thread or self._server is None or self._loop is None:
            return action()

        async def act() -> Result:
            return action()

        return asyncio.run_coroutine_threadsafe(act(), self._loop).result()


def _tls_context(files: TlsFiles | None) -> ssl.SSLContext | None:
    if files is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(files.certificate, files.key)
    except (OSError, ssl.SSLError):
        raise ConfigError(
            f"simulator: tls: cannot read a certificate from {files.certificate} and its key from "
            f"{files.key}"
        ) from None
    return context


async def serve(
    settings: SimulatorSettings,
    *,
    ready: Callable[[str], None] | None = None,
    until: asyncio.Event | None = None,
) -> None:
    """Serve until ``until`` is set, or until cancelled; ``ready`` is called with the base URL.

    Raises:
        ConfigError: The settings name a fault that does not exist.
        OSError: The port is taken.
    """
    async with Simulator(settings) as simulator:
        if ready is not None:
            ready(simulator.url)
        await (until or asyncio.Event()).wait()
