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
from typing import TYPE_CHECKING

import msgspec
import uvicorn

from pairmill.errors import ConfigError, InputError
from pairmill.hosts import is_loopback
from pairmill.output.qc.read import data_files
from pairmill.output.view.app import make_app
from pairmill.output.view.guard import Door
from pairmill.output.view.index import Index
from pairmill.output.view.indexer import INDEX, READY
from pairmill.output.view.place import check_name, view_job
from pairmill.output.view.viewer import Viewer
from pairmill.sources.processes import BrokenFrameError, Process, read_frame, write_frame
from pairmill.startup import SIGNALS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pairmill.output.view.place import ViewJob

__all__ = ["PORT", "serve_view"]

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
            Door(
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
