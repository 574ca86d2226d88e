"""Our own child processes: how they are started, what they may know, and their messages.

Data from a process that reads hostile pages is decoded as a given type and validated; anything else
is a broken frame. Decoding runs no code and builds only the named type.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import (
    ExitStack,
    suppress,
)
from pathlib import (
    Path,
)
from typing import (
    TYPE_CHECKING,
    Any,
    TypeVar,
)

import msgspec

from pairmill.display import (
    sanitize,
)
from pairmill.errors import (
    InputError,
    StoppedError,
)
from pairmill.startup import (
    keyless_environment,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = [
    "BrokenFrameError",
    "Process",
    "end_with_parent",
    "read_bytes",
    "read_frame",
    "widen",
    "write_frame",
]

_NO_FRAME = "it sent something that is not a frame"
_HEAD_BYTES = 8
_MOST_BYTES = 2**32  # eight printed characters, read as a length, say far more
_MOST_PARTS = 1024  # IOV_MAX

T = TypeVar("T")
_encode = msgspec.msgpack.Encoder().encode


class BrokenFrameError(EOFError):
    """The other process ended within or before a frame; with a text, it sent something else."""


def widen(descriptor: int, size: int) -> None:
    """Enlarge a pipe to so many bytes, if the system allows it."""
    resize = getattr(fcntl, "F_SETPIPE_SZ", None)
    if resize is not None:
        with suppress(OSError):
            fcntl.fcntl(descriptor, resize, size)


def write_frame(descriptor: int, value: Any, blobs: Sequence[bytes] = ()) -> None:
    """Write a value as MessagePack, then raw bytes.

    Raises:
        OSError: The reader is gone.
    """
    body = _encode(value)
    parts = [len(body).to_bytes(_HEAD_BYTES, "big"), body, *blobs]
    for start in range(0, len(parts), _MOST_PARTS):
        some = parts[start : start + _MOST_PARTS]
        sent = os.writev(descriptor, some)
        if sent < sum(map(len, some)):
            rest = memoryview(b"".join(some))[sent:]
            while rest:
                rest = rest[os.write(descriptor, rest) :]


def read_frame(descriptor: int, kind: type[T]) -> T:
    """Return the next value, which must be of the given type.

    Raises:
        BrokenFrameError: The other process has ended, or sent no such value.
    """
    size = int.from_bytes(read_bytes(descriptor, _HEAD_BYTES), "big")
    if size > _MOST_BYTES:
        raise BrokenFrameError(_NO_FRAME)
    body = read_bytes(descriptor, size)
    try:
        return msgspec.msgpack.decode(body, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise BrokenFrameError(_NO_FRAME) from None


def read_bytes(descriptor: int, size: int) -> bytearray:
    """Return exactly this many bytes.

    Raises:
        BrokenFrameError: The other process has ended.
    """
    data = bytearray(size)
    rest = memoryview(data)
    while rest:
        count = os.readv(descriptor, [rest])
        if not count:
            raise BrokenFrameError
        rest = rest[count:]
    return data


_FLAGS = (
    ("isolated", "-I"),
    ("ignore_environment", "-E"),
    ("no_user_site", "-s"),
    ("no_site", "-S"),
    ("optimize", "-O"),
)
_BEGIN = """import sys, importlib
count = int(sys.argv[2])
sys.path[:] = sys.argv[3 : 3 + count]
module = importlib.import_module(sys.argv[1])
del sys.argv[1 : 3 + count]
sys.exit(module.main())"""
_ROOT = str(Path(__file__).absolute().parents[2])  # taken now: the folder may be changed later
_END_S = 5.0  # longer than a process takes to go, unless a disk holds it
_LAST_WORDS_BYTES = 4096


class Process:
    """A module of pairmill in its own Python process, which communicates by frames.

    Its ``main()`` is called with two descriptor numbers as arguments: one to read frames from, one
    to write them to. Output that a library prints goes elsewhere and is kept as its last words.

    Attributes:
        inward: The descriptor to write to. The child sees end of file when this process is gone.
        outward: The descriptor to read from.
    """

    def __init__(
        self,
        module: str,
        *,
        stdin: int | None = subprocess.DEVNULL,
        leads: bool = False,
        environment: tuple[str, ...] = (),
        variables: Mapping[str, str] | None = None,
    ) -> None:
        """Start the process.

        Args:
            module: Name of the module.
            stdin: As for ``subprocess``.
            leads: It leads its own session: Ctrl-C does not reach it, and its children end with it.
            environment: Prefixes of the names of variables that it gets besides the usual ones.
            variables: Further variables and their values.

        Raises:
            InputError: The path of the Python interpreter is unknown.
            StoppedError: No process can be started now.
        """
        self._leads = leads
        with ExitStack() as ours:
            try:
                self._words = ours.enter_context(tempfile.TemporaryFile())
                with ExitStack() as its:
                    taken, self.inward = _pipe(its, ours)
                    self.outward, given = _pipe(ours, its)
                    self._child = subprocess.Popen(
                        _python(module, str(taken), str(given)),
                        stdin=stdin,
                        stdout=self._words,
                        stderr=self._words,
                        env=keyless_environment(environment) | dict(variables or {}),
                        pass_fds=(taken, given),
                        start_new_session=leads,
                    )
            except OSError as error:
                raise StoppedError(f"cannot start a process to read: {error.strerror}") from None
            self._ours = ours.pop_all()

    def wait(self) -> int | None:
        """Wait for the process to exit after its last frame; return its exit status."""
        with suppress(subprocess.TimeoutExpired):
            return self._child.wait(_END_S)
        return None

    def end(self) -> int | None:
        """Kill the process unless it is exiting; return its exit status.

        None if it did not end even then, for example because of a disk that does not respond.
        """
        code: int | None = self._child.returncode
        if code is None:
            with suppress(ProcessLookupError, PermissionError):
                self._kill()
            code = self.wait()
            if self._leads and code is not None:
                _bury_orphans(self._child.pid)
        return code

    def close(self) -> None:
        """Close the descriptors of a process that has ended."""
        self._ours.close()

    def last_words(self) -> str:
        """Return the last line that it printed, sanitized."""
        size = self._words.seek(0, os.SEEK_END)
        self._words.seek(max(0, size - _LAST_WORDS_BYTES))
        lines = self._words.read().decode("utf-8", "replace").split("\n")
        return sanitize(
            next((line for line in reversed(lines) if line.strip()), "it gave no reason")
        )

    def _kill(self) -> None:
        if self._leads:
            os.killpg(self._child.pid, signal.SIGKILL)
        else:
            self._child.kill()


def end_with_parent(lifeline: int, scratch: str | None = None) -> None:
    """Wait until the parent's end of the pipe closes; then exit, with all children.

    Run it in a thread of a process started with ``leads``, which leads its own session. The
    ``scratch`` folder is removed first.
    """
    while os.read(lifeline, 1):
        pass
    if scratch is not None:
        shutil.rmtree(scratch, ignore_errors=True)
    os.killpg(0, signal.SIGKILL)


def _pipe(reader: ExitStack, writer: ExitStack) -> tuple[int, int]:
    ends = os.pipe()
    for stack, end in zip((reader, writer), ends, strict=True):
        stack.callback(os.close, end)
    return ends


def _python(module: str, *arguments: str) -> list[str]:
    """Return the command that calls a module's ``main()`` with this process's import path."""
    if not sys.executable:
        raise InputError("sys.executable is empty, so the reading process cannot be started")
    entries = [entry for entry in sys.path if isinstance(entry, str)]  # import heeds no others
    path = [os.path.abspath(entry) for entry in entries]  # noqa: PTH100 (an empty one too)
    if _ROOT not in path:
        path.insert(0, _ROOT)
    flags = [flag for name, flag in _FLAGS for _ in range(int(getattr(sys.flags, name)))]
    flags.append(f"-Xutf8={sys.flags.utf8_mode}")  # names of files are read as they are here
    # -P: until the path is set, a file in the user's folder cannot stand in for a module.
    beginning = [sys.executable, *flags, "-P", "-c", _BEGIN]
    return [*beginning, module, str(len(path)), *path, *arguments]


def _bury_orphans(group: int) -> None:
    """Reap the children of a killed process, which are ours if we are process 1."""
    until = time.monotonic() + _END_S
    with suppress(ChildProcessError):
        while os.waitpid(-group, os.WNOHANG)[0] or time.monotonic() < until:
            time.sleep(0.001)
