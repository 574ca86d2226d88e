"""Opens the port, starts the processes beside the server, and serves until it is stopped."""

from __future__ import annotations

import asyncio
import errno
import os
import secrets
import select
import shutil
import socket
import tempfile
import time
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio.to_thread
import msgspec
import orjson
import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from pairmill.errors import ConfigError, InputError, PairmillError
from pairmill.hosts import is_loopback
from pairmill.output.qc.read import data_files
from pairmill.output.report.page import render_live
from pairmill.output.view.guard import AccessRules, Guard
from pairmill.output.view.index import MARKS, RATINGS, SORTS, STATES, Filter, Index
from pairmill.output.view.indexer import INDEX, READY
from pairmill.output.view.place import GoneError, check_name, view_job
from pairmill.output.view.viewer import StaleError, Viewer
from pairmill.sources.processes import BrokenFrameError, Process, read_frame, write_frame
from pairmill.startup import SIGNALS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from starlette.requests import Request
    from starlette.types import ASGIApp

    from pairmill.output.view.place import ViewJob

__all__ = ["PORT", "make_app", "serve_view"]

_MOST_BYTES = 8 * 2**20  # of what a page sends
_MOST_PAIRS = 100
_MOST_OFFSET = 2**53
_LONGEST_WORDS = 2_000
_CHOICES: Mapping[str, Mapping[str, str]] = {"state": STATES, "rating": RATINGS, "mark": MARKS}


class _Answer(Response):
    """JSON whose texts are all valid UTF-8."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        return orjson.dumps(content, default=str, option=orjson.OPT_NON_STR_KEYS)


def make_app(viewer: Viewer, access: AccessRules, *, name: str, version: str) -> ASGIApp:
    """Make the server's application.

    Args:
        viewer: Of the dataset.
        access: Who is let in.
        name: Of the dataset, for people.
        version: Of pairmill.
    """
    page, policy = render_live(name, version)
    pages = _Pages(viewer, page)
    routes = [
        Route("/", pages.show),
        Route("/favicon.ico", pages.nothing),
        Route("/api/state", pages.state),
        Route("/api/overview", pages.overview),
        Route("/api/pairs", pages.pairs),
        Route("/api/pairs/{number:int}", pages.pair),
        Route("/api/pairs/{number:int}/story", pages.story),
        Route("/api/pairs/{number:int}/edit", pages.edit, methods=["POST"]),
        Route("/api/marks", pages.decide, methods=["POST"]),
        Route("/api/undo", pages.undo, methods=["POST"]),
        Route("/api/judge", pages.judge, methods=["POST"]),
    ]
    app = Starlette(
        routes=routes,
        exception_handlers={PairmillError: _refused, HTTPException: _wrong},
    )
    app.router.redirect_slashes = False
    return Guard(app, access, policy)


class _Pages:
    """Handlers of all addresses."""

    def __init__(self, viewer: Viewer, page: str) -> None:
        self._viewer = viewer
        self._page = page

    async def show(self, _request: Request) -> Response:
        return HTMLResponse(self._page)

    async def nothing(self, _request: Request) -> Response:
        return Response(status_code=204)

    async def state(self, _request: Request) -> Response:
        return await _ask(self._viewer.state)

    async def overview(self, _request: Request) -> Response:
        return await _ask(self._viewer.overview)

    async def pairs(self, request: Request) -> Response:
        given: dict[str, str] = dict(request.query_params)
        sort = given.pop("sort", "worst")
        if sort not in SORTS:
            raise InputError(f"sort: one of {', '.join(SORTS)}")
        offset = _number(given.pop("offset", "0"), _MOST_OFFSET)
        limit = _number(given.pop("limit", "25"), _MOST_PAIRS)
        return await _ask(self._viewer.page, _filter(given), sort, offset, limit)

    async def pair(self, request: Request) -> Response:
        return await _ask(self._viewer.pair, _place(request))

    async def story(self, request: Request) -> Response:
        return await _ask(self._viewer.story, _place(request))

    async def decide(self, request: Request) -> Response:
        given = await _body(request)
        action, note = str(given.get("action", "")), given.get("note", "")
        if not isinstance(note, str):
            raise InputError("note: a text")
        if "filter" in given:
            wanted = _filter(given["filter"])
            expected = _number(given.get("expected"), _MOST_OFFSET)
            return await _ask(self._viewer.decide_all, action, wanted, expected)
        numbers = given.get("pairs")
        if not isinstance(numbers, list) or not 0 < len(numbers) <= _MOST_PAIRS:
            raise InputError(f"pairs: 1 to {_MOST_PAIRS} numbers")
        known = [_number(number, _MOST_OFFSET) for number in numbers]
        return await _ask(self._viewer.decide, action, known, note)

    async def edit(self, request: Request) -> Response:
        given = await _body(request)
        return await _ask(self._viewer.edit, _place(request), given.get("edits"))

    async def undo(self, request: Request) -> Response:
        given = await _body(request)
        return await _ask(self._viewer.undo, str(given.get("action", "")))

    async def judge(self, _request: Request) -> Response:
        return await _ask(self._viewer.judge)


async def _ask(question: Callable[..., Any], *given: Any) -> Response:
    return _Answer(await anyio.to_thread.run_sync(question, *given))


def _place(request: Request) -> int:
    return _number(request.path_params["number"], _MOST_OFFSET)


async def _refused(_request: Request, error: Exception) -> Response:
    status = 400 if isinstance(error, InputError) else 500
    if isinstance(error, StaleError):
        status = 409
    if isinstance(error, GoneError):
        status = 410
    return _Answer({"error": str(error)}, status)


async def _wrong(_request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    return JSONResponse({"error": "no such page" if status == 404 else "not taken"}, status)  # noqa: PLR2004


async def _body(request: Request) -> dict[str, Any]:
    """Parse the body sent by a page.

    Raises:
        HTTPException: It is too long.
        InputError: It is not a JSON object.
    """
    data = bytearray()
    try:
        async for part in request.stream():
            data += part
            if len(data) > _MOST_BYTES:
                raise HTTPException(413)
    except ClientDisconnect:
        raise HTTPException(400) from None
    try:
        given = orjson.loads(bytes(data))
    except orjson.JSONDecodeError:
        given = None
    if not isinstance(given, dict):
        raise InputError("send a JSON object")
    return given


def _filter(given: object) -> Filter:
    """Parse the filter sent by a page.

    Raises:
        InputError: There is no such field or choice.
    """
    if not isinstance(given, dict):
        raise InputError("filter: expected names with texts")
    upto = given.get("upto")
    fields = {name: value for name, value in given.items() if name != "upto"}
    for name, value in fields.items():
        if name not in Filter.__dataclass_fields__ or not isinstance(value, str):
            raise InputError("filter: an unknown name, or no text")
        if len(value) > _LONGEST_WORDS:
            raise InputError(f"{name}: more than {_LONGEST_WORDS:,} characters")
        if name in _CHOICES and value not in _CHOICES[name]:
            raise InputError(f"{name}: one of {', '.join(filter(None, _CHOICES[name]))}")
    return Filter(
        **fields, upto=None if upto is None or upto == "" else _number(upto, _MOST_OFFSET)
    )


def _number(value: object, most: int) -> int:
    """Parse a whole number from 0.

    Raises:
        InputError: It is none, or too large.
    """
    is_number = isinstance(value, int) and not isinstance(value, bool)
    is_text = isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 20  # noqa: PLR2004
    if not (is_number or is_text) or not 0 <= (number := int(str(value))) <= most:
        raise InputError(f"a whole number from 0 to {most:,} is needed")
    return number


PORT = 8790
_WORKER = "pairmill.output.view.worker"
_MORE_PORTS = 20  # that are tried where the usual one is taken
_START_S = 60.0  # on a busy machine starting Python takes several of them
_STOP_S = 1
_MOST_CONNECTIONS = 64
_ANY = frozenset({"0.0.0.0", "::"})  # noqa: S104 (only where a user asked for it)


def serve_view(
    path: Path,
    tell: Callable[[str], None],
    *,
    version: str,
    host: str = "127.0.0.1",
    port: int | None = None,
    names: tuple[str, ...] = (),
    run_code: bool = False,
) -> None:
    """Serve the page on a dataset until SIGINT, SIGTERM or SIGHUP.

    Args:
        path: A run folder, or any dataset that ``qc`` reads.
        tell: Called with the address once it is served.
        version: Of pairmill.
        host: Where to listen.
        port: Where to listen; 0: any free one; None: 8790, or one of the next that are free.
        names: Further names under which the server may be called, with a port or without.
        run_code: Python code that a run folder names (its recipe, its sources) may run.

    Raises:
        InputError: There is no dataset, or the index cannot be made.
        ConfigError: The address cannot be listened on.
    """
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(_scratch()))
        job = view_job(path, scratch, version, run_code=run_code)
        for file in () if job.is_run else data_files(Path(job.path)):  # or one line says why not
            check_name(file)
        listener = stack.enter_context(_listen(host, port))
        indexing = stack.enter_context(_working(job))
        index = _open_index(scratch, indexing)
        stack.callback(index.close)
        stack.enter_context(_working(msgspec.structs.replace(job, what="judge")))
        real_port = listener.getsockname()[1]
        token = secrets.token_urlsafe(32)
        app = make_app(
            Viewer(job, index, lambda: _ended(indexing)),
            AccessRules(
                token,
                real_port,
                _names(host, names),
                any_address=host in _ANY,
                fronts=frozenset(name.lower() for name in names),
            ),
            name=path.resolve().name,
            version=version,
        )
        config = uvicorn.Config(
            app,
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            ws="none",
            limit_concurrency=_MOST_CONNECTIONS,
            timeout_graceful_shutdown=_STOP_S,
        )
        shown = "127.0.0.1" if host in _ANY else host
        shown = f"[{shown}]" if ":" in shown else shown
        asyncio.run(
            _ViewServer(config, lambda: tell(f"http://{shown}:{real_port}/?token={token}")).serve(
                sockets=[listener]
            )
        )


class _ViewServer(uvicorn.Server):
    """Ends on a signal without passing it on, since a view normally ends that way."""

    def __init__(self, config: uvicorn.Config, on_start: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_start = on_start

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen, then report that."""
        await super().startup(sockets)
        self._on_start()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Stop at the first signal; at the second one at once."""
        loop = asyncio.get_running_loop()
        for number in SIGNALS:
            loop.add_signal_handler(number, self._stop)
        try:
            yield
        finally:
            for number in SIGNALS:
                loop.remove_signal_handler(number)

    def _stop(self) -> None:
        self.force_exit = self.should_exit
        self.should_exit = True


@contextmanager
def _scratch() -> Iterator[str]:
    """Create a private folder for the index, which holds words of the data; removed at the end."""
    try:
        place = tempfile.mkdtemp(prefix="pairmill-view-")
    except OSError as error:
        raise ConfigError(
            f"no temporary folder for the index: {error.strerror}; set TMPDIR"
        ) from None
    try:
        yield place
    finally:
        shutil.rmtree(place, ignore_errors=True)


@contextmanager
def _listen(host: str, port: int | None) -> Iterator[socket.socket]:
    tried = range(PORT, PORT + _MORE_PORTS) if port is None else (port,)
    for number in tried:
        try:
            listener = _bind(host, number)
        except OSError as error:
            is_taken = error.errno == errno.EADDRINUSE
            if is_taken and number != tried[-1]:
                continue
            reason = "is taken" if is_taken else f"cannot be used: {error.strerror or error}"
            hint = "; --port 0 takes a free one" if is_taken else ""
            raise ConfigError(f"{host}, port {number}: {reason}{hint}") from None
        with listener:
            yield listener
        return


def _bind(host: str, port: int) -> socket.socket:
    family, kind, protocol, _, address = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(128)
    except OSError:
        listener.close()
        raise
    return listener


def _names(host: str, names: tuple[str, ...]) -> frozenset[str]:
    own = {name.lower() for name in names} | {host.lower()} - _ANY
    if is_loopback(host) or host in _ANY:
        own |= {"localhost", "127.0.0.1", "::1"}
    if host in _ANY:
        own.add(socket.gethostname().lower())
    return frozenset(own)


@contextmanager
def _working(job: ViewJob) -> Iterator[Process]:
    """Run a process beside the server, with its job; it always ends with the server."""
    process = Process(_WORKER, leads=True)
    try:
        with suppress(BrokenPipeError):
            write_frame(process.inward, job)
        yield process
    finally:
        process.end()
        process.close()


def _open_index(scratch: Path, process: Process) -> Index:
    """Return the index, once there is one.

    Raises:
        InputError: The process that makes it has ended.
    """
    until = time.monotonic() + _START_S
    while not (scratch / READY).exists():
        if not _has_said(process) and time.monotonic() < until:
            time.sleep(0.02)
            continue
        reason = process.last_words()
        with suppress(BrokenFrameError, OSError):
            os.set_blocking(process.outward, False)
            reason = read_frame(process.outward, str)
        raise InputError(f"the index cannot be made: {reason}")
    return Index(scratch / INDEX)


def _ended(process: Process) -> str:
    """Return why the process that fills the index ended; "" while it works."""
    if not _has_said(process):
        return ""
    return f"what fills the index has ended ({process.last_words()}); start 'pairmill view' again"


def _has_said(process: Process) -> bool:
    """Return whether it wrote an error, or has ended."""
    return bool(select.select([process.outward], [], [], 0)[0])
