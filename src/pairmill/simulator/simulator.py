"""Runs a simulated endpoint: on the running loop, in a thread, or in a child process."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import os
import ssl
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Any, TypeVar

import orjson

from pairmill.errors import ConfigError
from pairmill.simulator.endpoint import SimulatedEndpoint
from pairmill.simulator.http import ClientConnection, check_installed
from pairmill.simulator.settings import SimulatorSettings, to_mapping

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from pairmill.simulator.settings import ScheduledStep

__all__ = ["SimulatorProcess"]

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


_STOP_S = 5.0
_ANSWER_S = 60.0


class SimulatorProcess:
    """A simulated endpoint in a child process, which ends with the ``with`` block or its parent.

    Args:
        settings: Settings of the endpoint.
        cpu: CPU that it is bound to (Linux), for benchmarks; None: any.
    """

    def __init__(
        self, settings: SimulatorSettings | None = None, *, cpu: int | None = None
    ) -> None:
        self.settings = settings or SimulatorSettings()
        self.url = ""
        self._cpu = cpu
        self._port = 0
        self._child: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """Process id of the child."""
        return self._running().pid

    def report(self, *, attempts: bool = False) -> dict[str, Any]:
        """Report what the client did; with ``attempts``, ``attempts_of`` has each question."""
        answer = self._request("GET", f"/_sim/report{'?attempts=1' if attempts else ''}")
        return dict(answer)

    def reset(self) -> None:
        """Forget what happened, and start the script again."""
        self._request("POST", "/_sim/reset")

    def requests(self) -> list[dict[str, Any]]:
        """Return the bodies of the last ``keep_requests`` requests, oldest first."""
        return list(self._request("GET", "/_sim/requests"))

    def script(self, *steps: ScheduledStep, replace: bool = False) -> None:
        """Append steps to the script, or replace it.

        Raises:
            ConfigError: A step cannot be used.
        """
        self._request("POST", "/_sim/script", {"steps": list(steps), "replace": replace})

    def __enter__(self) -> Self:
        command = [sys.executable, "-m", "pairmill.simulator", "--settings", "-"]
        child = subprocess.Popen(
            [*command, "--until-stdin-closes"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        self._child = child
        assert child.stdin is not None  # noqa: S101 (asked for)
        assert child.stdout is not None  # noqa: S101
        if self._cpu is not None and hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(child.pid, {self._cpu})
        child.stdin.write(orjson.dumps(to_mapping(self.settings), default=str) + b"\n")
        child.stdin.flush()
        line = child.stdout.readline()
        if not line:
            self._stop()
            raise ConfigError("the simulated endpoint did not start; see its standard error")
        self.url = orjson.loads(line)["url"]
        self._port = int(self.url.rpartition(":")[2].partition("/")[0])
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop()

    def _stop(self) -> None:
        child = self._running()
        assert child.stdin is not None  # noqa: S101 (asked for)
        assert child.stdout is not None  # noqa: S101
        with contextlib.suppress(OSError):
            child.stdin.close()
        try:
            child.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
        child.stdout.close()

    def _running(self) -> subprocess.Popen[bytes]:
        if self._child is None:
            raise RuntimeError("the simulated endpoint has not been started")
        return self._child

    def _request(self, method: str, path: str, body: Any = None) -> Any:
        connection: http.client.HTTPConnection
        if self.url.startswith("https:"):
            anyone = ssl.create_default_context()  # our own child, on loopback
            anyone.check_hostname = False
            anyone.verify_mode = ssl.CERT_NONE
            connection = http.client.HTTPSConnection(
                HOST, self._port, timeout=_ANSWER_S, context=anyone
            )
        else:
            connection = http.client.HTTPConnection(HOST, self._port, timeout=_ANSWER_S)
        try:
            connection.request(method, path, None if body is None else orjson.dumps(body))
            response = connection.getresponse()
            answer = orjson.loads(response.read())
        finally:
            connection.close()
        if response.status != http.client.OK:
            raise ConfigError(str(answer["error"]["message"]))
        return answer
