"""The simulated endpoint in a process of its own: its command line, and its context manager."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import http.client
import os
import signal
import ssl
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson
import yaml

from pairmill.errors import EXIT_CONFIG, EXIT_DONE, EXIT_FAILED, ConfigError
from pairmill.simulator.settings import SimulatorSettings, from_mapping, to_mapping
from pairmill.simulator.simulator import HOST, new_loop, serve

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType
    from typing import Self

    from pairmill.simulator.settings import ScheduledStep

__all__ = ["SimulatorProcess", "read_settings", "run_cli", "run_endpoint"]

_STOP_S = 5.0
_ANSWER_S = 60.0


def read_settings(file: Path) -> SimulatorSettings:
    """Settings from a YAML or JSON file.

    Raises:
        ConfigError: It cannot be read, or holds something that cannot be used.
    """
    try:
        values = yaml.safe_load(file.read_text("utf-8"))
    except (OSError, UnicodeDecodeError):
        raise ConfigError(f"cannot read the simulator's settings from {file}") from None
    except yaml.YAMLError:
        raise ConfigError(f"{file}: not valid YAML") from None
    if not isinstance(values or {}, dict):
        raise ConfigError(f"{file}: expected 'name: value' lines at the top level")
    return from_mapping(values or {})


def run_endpoint(settings: SimulatorSettings, *, until_stdin_closes: bool = False) -> int:
    """Serve until SIGINT or SIGTERM; prints ``{"url": ...}`` as one line; returns an exit code.

    Raises:
        ConfigError: The settings cannot work.
    """
    gc.freeze()  # or each look for cycles in all that there is would hold up the calls in flight
    with asyncio.Runner(loop_factory=new_loop) as runner:
        try:
            runner.run(_serve_until_told(settings, until_stdin_closes=until_stdin_closes))
        except OSError as error:
            reason = os.strerror(error.errno) if error.errno else "no reason given"
            sys.stderr.write(f"simulator: cannot listen on port {settings.port}: {reason}\n")
            return EXIT_FAILED
    return EXIT_DONE


def run_cli(args: Sequence[str]) -> int:
    """What ``python -m pairmill.simulator`` does with its arguments; returns an exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m pairmill.simulator",
        description="An OpenAI-compatible endpoint on 127.0.0.1 that simulates a model.",
    )
    parser.add_argument("--settings", metavar="FILE", help="YAML or JSON; - reads a line of JSON")
    parser.add_argument("--port", type=int, help="0 lets the system choose")
    parser.add_argument("--seed", type=int)
    parser.add_argument("--scenario", metavar="NAME", help="a scenario's name, or a .yaml file")
    parser.add_argument("--content", choices=["derived", "canned"])
    parser.add_argument("--until-stdin-closes", action="store_true")
    parser.add_argument(
        "--ceiling", action="store_true", help="measure the endpoint's own ceiling and exit"
    )
    given = parser.parse_args(args)
    overrides = {
        name: value
        for name in ("port", "seed", "content", "scenario")
        if (value := getattr(given, name)) is not None
    }
    try:
        settings = _settings_from(given.settings)
        settings = from_mapping({**to_mapping(settings), **overrides})
        if given.ceiling:
            from pairmill.simulator.ceiling import print_ceiling  # noqa: PLC0415 (seldom needed)

            print_ceiling(settings)
            return EXIT_DONE
        return run_endpoint(settings, until_stdin_closes=given.until_stdin_closes)
    except ConfigError as error:
        sys.stderr.write(f"{error}\n")
        return EXIT_CONFIG


class SimulatorProcess:
    """A simulated endpoint in a child process, which ends with the ``with`` block or its parent.

    Args:
        settings: What it is to do.
        cpu: The processor that it is bound to (Linux), for benchmarks; any where None.
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
        """The child's process id."""
        return self._running().pid

    def report(self, *, attempts: bool = False) -> dict[str, Any]:
        """What the client did; with ``attempts``, ``attempts_of`` has each question."""
        answer = self._request("GET", f"/_sim/report{'?attempts=1' if attempts else ''}")
        return dict(answer)

    def reset(self) -> None:
        """Forget what happened, and start the script again."""
        self._request("POST", "/_sim/reset")

    def requests(self) -> list[dict[str, Any]]:
        """Bodies of the last requests, as many as ``keep_requests`` says, oldest first."""
        return list(self._request("GET", "/_sim/requests"))

    def script(self, *steps: ScheduledStep, replace: bool = False) -> None:
        """Put steps behind the script, or in its place.

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
            anyone = ssl._create_unverified_context()  # noqa: S323, SLF001 (our own child)
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


def _settings_from(name: str | None) -> SimulatorSettings:
    if name is None:
        return SimulatorSettings()
    if name != "-":
        return read_settings(Path(name))
    try:
        values = orjson.loads(_read_line())
    except orjson.JSONDecodeError:
        raise ConfigError("simulator: the first line of standard input is no JSON") from None
    return from_mapping(values)


def _read_line() -> bytes:
    """One line of standard input, unbuffered: what follows it is for the watcher of its end."""
    line = bytearray()
    while (part := os.read(0, 1)) not in {b"", b"\n"}:
        line += part
    return bytes(line)


async def _serve_until_told(settings: SimulatorSettings, *, until_stdin_closes: bool) -> None:
    loop = asyncio.get_running_loop()
    told = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, told.set)

    def watch() -> None:
        if not os.read(0, 4096):
            loop.remove_reader(0)
            told.set()

    if until_stdin_closes:
        loop.add_reader(0, watch)

    def announce(url: str) -> None:
        sys.stdout.write(orjson.dumps({"url": url, "pid": os.getpid()}).decode() + "\n")
        sys.stdout.flush()

    await serve(settings, ready=announce, until=told)
