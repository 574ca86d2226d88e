"""Process set-up before anything else is loaded: standard streams and signals.

Imports almost nothing: until it has run, a signal ends the process by the system's default action,
and the first file that is opened may become standard error.
"""

from __future__ import annotations

import atexit
import os
import signal
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, cast

from pairmill.errors import EXIT_RESUMABLE, ConfigError

if TYPE_CHECKING:
    from collections.abc import MutableMapping
    from types import FrameType
    from typing import TextIO

__all__ = [
    "SIGNALS",
    "hold_standard_streams",
    "keyless_environment",
    "quit_on_signals",
    "read_secret_files",
    "settle_standard_streams",
]

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGXCPU)
"""Requests to stop. The last is sent when CPU time runs out, by the kernel or a batch system."""
_KEPT = frozenset({"PATH", "HOME", "TMPDIR", "VIRTUAL_ENV", "LANG", "SYSTEMROOT"})
_KEPT_BEGINNINGS = ("PYTHON", "LC_", "LD_", "DYLD_")
_SECRET_WORDS = ("KEY", "TOKEN")
_LONGEST_SECRET = 65_536
_STREAMS = ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w"))


def hold_standard_streams() -> None:
    """Open ``/dev/null`` in place of each closed standard stream.

    Otherwise the next file, pipe or connection gets its file descriptor: output to standard error
    then goes into it, and if it is a pipe of the event loop, the process aborts at its end.
    """
    for number, name, mode in _STREAMS:
        try:
            os.fstat(number)
        except OSError:
            opened = os.open(os.devnull, os.O_RDWR)
            if opened != number:
                os.dup2(opened, number)
                os.close(opened)
            os.set_inheritable(number, True)  # noqa: FBT003 (it takes no names)
        if getattr(sys, name) is None:
            stream = os.fdopen(number, mode, encoding="utf-8", errors="replace", closefd=False)
            setattr(sys, name, stream)


def keyless_environment(more: tuple[str, ...] = ()) -> dict[str, str]:
    """Return the environment of a child process for crawled text: no keys, tokens or proxies.

    Args:
        more: Prefixes of further names to pass on.
    """
    return {
        name: value
        for name, value in os.environ.items()
        if name in _KEPT or name.startswith((*_KEPT_BEGINNINGS, *more))
    }


def read_secret_files(environ: MutableMapping[str, str]) -> None:
    """Set ``NAME`` to the contents of the file that ``NAME_FILE`` names, as with mounted secrets.

    Only names that contain KEY or TOKEN are considered; an existing value is kept.

    Raises:
        ConfigError: Such a file cannot be read, is empty, or is not text.
    """
    for place in [name for name in environ if name.endswith("_FILE")]:
        name = place.removesuffix("_FILE")
        if not any(word in name for word in _SECRET_WORDS) or environ.get(name, "").strip():
            continue
        path = environ[place]
        try:
            with open(path, encoding="utf-8") as file:  # noqa: PTH123 (next to no imports)
                secret = file.read(_LONGEST_SECRET).strip()
        except (OSError, UnicodeDecodeError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else "is not text"
            raise ConfigError(f"{place}: {path}: {reason}") from None
        if not secret:
            raise ConfigError(f"{place}: {path}: is empty")
        environ[name] = secret


def settle_standard_streams() -> bool:
    """Flush the standard streams, dropping unread data. Return False if output was lost.

    Python does the same at exit, and turns the exit code into 120 if it fails.
    """
    taken = True
    for number, name, _ in _STREAMS[1:]:
        stream = cast("TextIO | None", getattr(sys, name))
        try:
            if stream is not None:
                stream.flush()
        except (OSError, ValueError):
            taken = taken and name == "stderr"
            with suppress(OSError):
                nothing = os.open(os.devnull, os.O_RDWR)
                os.dup2(nothing, number)
                os.close(nothing)
    return taken


def quit_on_signals() -> None:
    """End the process at once, as resumable, on a signal without a handler.

    For the time before and after a run handles signals: nothing is in flight then, and the folder
    is always in a safe state. An ignored signal (``nohup``) stays ignored.
    """
    atexit.unregister(_keep_exit_code)
    atexit.register(_keep_exit_code)
    for number in SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _quit)


def _keep_exit_code() -> None:
    """Ignore signals from now on: all is said and done, and the exit code is known.

    Python takes its handlers away before it takes itself down, which takes a while: a signal would
    end the process by the system's default action.
    """
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)


def _quit(number: int, _frame: FrameType | None) -> None:
    name = signal.Signals(number).name
    try:
        os.set_blocking(2, False)  # nobody may be reading
        os.write(2, f"pairmill: stopped by {name}; run the same command again to resume\n".encode())
    finally:
        os._exit(EXIT_RESUMABLE)
