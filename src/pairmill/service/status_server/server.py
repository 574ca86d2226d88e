"""The status server: a companion that answers HTTP beside a run.

    /             a live page
    /status.json  the state as JSON, see `describe_run`
    /events       the same every second, as server-sent events, with the last pairs
    /metrics      Prometheus
    /livez        200 while the run moves, or knows why it does not; else 503
    /readyz       200 once calls can be made; else 503

It answers GET alone, and only requests whose Host header names an address, this machine, or a name
in ``status_hosts``: a page in somebody's browser cannot read it under a name of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import orjson
import uvicorn
from anyio.to_thread import run_sync
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from pairmill.errors import ConfigError
from pairmill.events import Notice
from pairmill.hosts import is_known
from pairmill.service.status_server.health import RunHealth
from pairmill.service.status_server.metrics import RunMetricsCollector
from pairmill.service.status_server.page_data import RateHistory, describe_run, last_pairs

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from starlette.requests import Request
    from starlette.types import ASGIApp, Receive, Scope, Send

    from pairmill.service.companions import RunView
    from pairmill.service.status_server.health import Health

__all__ = ["StatusServer"]

_EVERY_S = 1.0
_MOST_LISTENERS = 32
_HEADERS = {
    "cache-control": "no-store",
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
        "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}


class StatusServer:
    """Serves the state of one run.

    The port is taken when this is made, so that a mistake ends the command before anything is
    read. Call `close` if the run does not begin.

    Args:
        address: ``PORT``, ``HOST:PORT`` or ``[HOST]:PORT``; loopback where no host is named; port 0
            takes a free one.
        hosts: Names, beside addresses and this machine's, under which it may be asked.
        linger_s: How long to wait at the end for one more look at ``/metrics``.
        version: pairmill's, for ``pairmill_build_info``.

    Raises:
        ConfigError: The address cannot be understood, or the port cannot be had.
    """

    def __init__(
        self, address: str, hosts: tuple[str, ...] = (), linger_s: float = 0.0, *, version: str = ""
    ) -> None:
        host, port = _parse(address)
        self._socket = _bind(host, port, address)
        self._hosts = frozenset(
            name.lower() for name in ("localhost", socket.gethostname(), *hosts)
        )
        self._linger_s = linger_s
        self._version = version
        self.patience_s = linger_s + 5.0
        self._scraped = asyncio.Event()
        self._listeners = 0
        self._history = RateHistory()

    @property
    def url(self) -> str:
        """URL of the server."""
        host, port = self._socket.getsockname()[:2]
        return f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"

    def close(self) -> None:
        """Give the port back."""
        self._socket.close()

    async def __call__(self, view: RunView) -> None:
        """Answer until cancelled; then wait for a last scrape, if told to."""
        app = _Guard(self._app(view), self._hosts)
        config = uvicorn.Config(
            app,
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=1,
            limit_concurrency=64,
            ws="none",
        )
        server = _Server(config)
        view.bus.emit(Notice(f"status: {self.url}"))
        serving = asyncio.ensure_future(server.serve([self._socket]))
        recording = asyncio.ensure_future(self._record(view))
        try:
            await asyncio.shield(serving)
        except asyncio.CancelledError:
            if self._linger_s:
                self._scraped.clear()
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._scraped.wait(), self._linger_s)
            raise
        finally:
            recording.cancel()
            server.should_exit = True
            await serving

    async def _record(self, view: RunView) -> None:
        while True:
            self._history.add(view.progress().pairs_per_min)
            await asyncio.sleep(_EVERY_S)

    def _app(self, view: RunView) -> Starlette:
        metrics, health = RunMetricsCollector(view, self._version), RunHealth(view)

        async def page(request: Request) -> Response:
            name, kind = _PAGE[request.url.path]
            return Response(files(__package__).joinpath(name).read_bytes(), media_type=kind)

        async def status(_request: Request) -> Response:
            return Response(orjson.dumps(describe_run(view)), media_type="application/json")

        async def scrape(_request: Request) -> Response:
            self._scraped.set()
            return Response(metrics.render(), media_type="text/plain; version=0.0.4")

        async def live(_request: Request) -> Response:
            return _probe(health.live())

        async def ready(_request: Request) -> Response:
            return _probe(health.ready())

        async def events(_request: Request) -> Response:
            if self._listeners >= _MOST_LISTENERS:
                return PlainTextResponse("too many listeners\n", 503)
            return StreamingResponse(self._events(view, health), media_type="text/event-stream")

        routes: list[Route] = [Route(path, page) for path in _PAGE]
        for path, answer in {
            "/status.json": status,
            "/metrics": scrape,
            "/livez": live,
            "/readyz": ready,
            "/events": events,
        }.items():
            routes.append(Route(path, answer))
        return Starlette(routes=routes)

    async def _events(self, view: RunView, health: RunHealth) -> AsyncIterator[bytes]:
        self._listeners += 1
        try:
            while True:
                state = describe_run(view)
                state["health"] = health.live().reason
                state["history"] = self._history.points
                state["history_point_s"] = self._history.seconds_per_point
                state["last"] = await run_sync(last_pairs, view.folder)
                yield b"data: " + orjson.dumps(state) + b"\n\n"
                await asyncio.sleep(_EVERY_S)
        finally:
            self._listeners -= 1


_PAGE = {
    "/": ("page.html", "text/html"),
    "/page.js": ("page.js", "text/javascript"),
    "/page.css": ("page.css", "text/css"),
}


class _Server(uvicorn.Server):
    """Leaves signals to the run."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class _Guard:
    """Lets GET requests with a known Host through, and adds the headers that every answer has."""

    def __init__(self, app: ASGIApp, hosts: frozenset[str]) -> None:
        self._app = app
        self._hosts = hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        if scope["method"] not in {"GET", "HEAD"}:
            await PlainTextResponse("GET alone\n", 405, {"allow": "GET, HEAD"})(
                scope, receive, send
            )
            return
        named = [value for name, value in scope["headers"] if name == b"host"]
        if len(named) != 1 or not is_known(
            named[0].decode("latin-1"), self._hosts, any_address=True, port=None
        ):
            text = "this Host is not known; add its name to status_hosts\n"
            await PlainTextResponse(text, 421)(scope, receive, send)
            return

        async def send_with_headers(message: Any) -> None:
            if message["type"] == "http.response.start":
                extra = [(name.encode(), value.encode()) for name, value in _HEADERS.items()]
                message["headers"] = [*message["headers"], *extra]
            await send(message)

        await self._app(scope, receive, send_with_headers)


def _probe(health: Health) -> Response:
    return PlainTextResponse(f"{health.reason}\n", 200 if health.is_ok else 503)


def _parse(address: str) -> tuple[str, int]:
    host, colon, port = address.strip().rpartition(":")
    if not colon:
        host, port = "", address.strip()
    host = host.removeprefix("[").removesuffix("]") or "127.0.0.1"
    if not port.isascii() or not port.isdigit() or int(port) > 65535:  # noqa: PLR2004
        raise ConfigError(f"status: '{address}' is not of the form PORT or HOST:PORT")
    return host, int(port)


def _bind(host: str, port: int, address: str) -> socket.socket:
    try:
        family, _, _, _, place = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        bound = socket.socket(family)
    except (OSError, UnicodeError) as error:
        raise ConfigError(f"status: cannot listen on '{address}': {error}") from None
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(place)
        bound.listen(64)
    except OSError as error:
        bound.close()
        raise ConfigError(
            f"status: cannot listen on '{address}': {error.strerror}; choose another port, or 0"
            " for a free one"
        ) from None
    bound.setblocking(False)  # noqa: FBT003 (the socket module's own)
    return bound
