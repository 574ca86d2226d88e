"""The simulated endpoint in a child process."""

from __future__ import annotations

import contextlib
import http.client
import os
import ssl
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import orjson

from pairmill.errors import ConfigError
from pairmill.simulator.settings import SimulatorSettings, to_mapping
from pairmill.simulator.simulator import HOST

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from pairmill.simulator.settings import ScheduledStep

__all__ = ["SimulatorProcess"]

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
