"""The command line as real processes that start in milliseconds, to be killed by the hundred.

A parent process imports pairmill once and forks a child for each command. The child is a process
like any other: it has its own id, is killed by real signals, and ends by itself.
"""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.support.cli import environment

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

__all__ = ["ANY", "Child", "Forge", "Strike", "serve"]

ROOT = Path(__file__).parents[2]
END_S = 50.0
ANY = "open write sync truncate rename unlink sync_folder"


@dataclass(frozen=True)
class Strike:
    """What befalls a process at its file operations; of a write that is struck, half happens.

    Attributes:
        first: The operation (from 0) that is struck, among those named in ``at``.
        code: The errno that it fails with; None: the process is killed.
        times: How many operations in a row.
    """

    first: int
    at: str = ANY
    code: int | None = None
    times: int = 1


@dataclass(frozen=True)
class Child:
    """One ``pairmill`` process, running or gone."""

    pid: int
    forge: Forge
    errors: Path

    def kill(self, number: int = signal.SIGKILL) -> None:
        os.kill(self.pid, number)

    def wait(self) -> int:
        """Return the exit code once it is gone; minus the signal's number where one killed it."""
        return int(self.forge.ask({"wait": self.pid})["code"])

    @property
    def stderr(self) -> str:
        return self.errors.read_text("utf-8")


class Forge:
    """Starts children; ends with the ``with`` block, and takes whoever still lives with it."""

    def __init__(self, folder: Path, *, within: tuple[str, ...] = ()) -> None:
        """Keep what children say in ``folder``; start by way of the command ``within``."""
        self._folder = folder
        self._within = within
        self._count = 0
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        self._folder.mkdir(parents=True, exist_ok=True)
        self._process = subprocess.Popen(
            [*self._within, sys.executable, "-c", "from tests.support.forge import serve; serve()"],
            env={**environment(None), "PYTHONPATH": str(ROOT)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._process is not None
        self._process.communicate(timeout=END_S)

    def start(
        self,
        *arguments: str | Path,
        url: str,
        strike: Strike | None = None,
        wall_jumps: bool = False,
    ) -> Child:
        """Start ``pairmill``, if asked for with file operations struck, or a wall clock that jumps.

        The clock on the wall is then a day ahead, or behind, whenever somebody looks.
        """
        self._count += 1
        errors = self._folder / f"{self._count}.stderr"
        errors.touch()
        given = {
            "arguments": [str(argument) for argument in arguments],
            "env": environment(url),
            "stderr": str(errors),
            "wall_jumps": wall_jumps,
            "strike": None if strike is None else asdict(strike),
        }
        return Child(int(self.ask(given)["pid"]), self, errors)

    def run(self, *arguments: str | Path, url: str) -> Child:
        """Run ``pairmill`` to a good end."""
        child = self.start(*arguments, url=url)
        code = child.wait()
        assert code == 0, f"exit code {code}\n{child.stderr}"
        return child

    def ask(self, command: dict[str, Any]) -> dict[str, Any]:
        assert self._process is not None
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(command) + "\n")
        self._process.stdin.flush()
        answer: dict[str, Any] = json.loads(self._process.stdout.readline())
        return answer


def serve() -> None:
    """Be the parent: import all that a run needs, then fork on demand until stdin ends."""
    import openai  # noqa: F401

    import pairmill.cli
    import pairmill.run.session
    import pairmill.service.progress  # noqa: F401
    from pairmill.__main__ import GO_ON, main
    from pairmill.startup import SIGNALS, quit_on_signals

    alive: set[int] = set()
    while line := sys.stdin.readline():
        command = json.loads(line)
        if "wait" in command:
            answer = {"code": _wait(command["wait"])}
            alive.discard(command["wait"])
        else:
            signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)  # until the child can take them
            pid = os.fork()
            if pid == 0:
                _become(command)
                if command["arguments"][0] in GO_ON:
                    quit_on_signals()
                signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
                main()
                sys.exit(0)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
            alive.add(pid)
            answer = {"pid": pid}
        print(json.dumps(answer), flush=True)  # noqa: T201 (the protocol)
    for pid in alive:
        os.kill(pid, signal.SIGKILL)


def _wait(pid: int) -> int:
    until = time.monotonic() + END_S
    while time.monotonic() < until:
        found, status = os.waitpid(pid, os.WNOHANG)
        if found:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.002)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return 999


def _become(command: dict[str, Any]) -> None:
    """Turn the forked child into what ``python -m pairmill`` would have been."""
    os.environ.clear()
    os.environ.update(command["env"])
    sys.argv = ["pairmill", *command["arguments"]]
    errors = os.open(command["stderr"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    nothing = os.open(os.devnull, os.O_RDWR)
    for source, place in ((nothing, 0), (nothing, 1), (errors, 2)):
        os.dup2(source, place)
    sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115 (the parent's buffer holds its own lines)
    if command["wall_jumps"]:
        real, turns = time.time, itertools.cycle((0.0, 86_400.0, -86_400.0, 3600.0))
        time.time = lambda: real() + next(turns)
    if command["strike"] is not None:
        _arm(Strike(**command["strike"]))


def _arm(strike: Strike) -> None:
    from pairmill.store.files import Disk

    done = -1

    def struck(name: str) -> None:
        real = getattr(Disk, name)

        def operate(disk: Disk, *arguments: Any) -> Any:
            nonlocal done
            done += 1
            if not strike.first <= done < strike.first + strike.times:
                return real(disk, *arguments)
            if name == "write":
                descriptor, data = arguments
                os.write(descriptor, data[: len(data) // 2])
            if strike.code is None:
                os.kill(os.getpid(), signal.SIGKILL)
            raise OSError(strike.code, "not for users")

        setattr(Disk, name, operate)

    for name in strike.at.split():
        struck(name)
