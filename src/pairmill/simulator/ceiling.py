"""Measures the endpoint's maximum rate: a raw client on loopback, with requests made in advance.

The client does little work, which is not counted, but both share the machine. So two numbers are
printed: answers per second, and answers per second of the endpoint's CPU time, which is the rate of
one dedicated core.
"""

from __future__ import annotations

import asyncio
import functools
import os
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import orjson

from pairmill.errors import ConfigError
from pairmill.simulator.content import CLOSE_FENCE, OPEN_FENCE, UNRELATED
from pairmill.simulator.simulator import HOST, SimulatorProcess, new_loop

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pairmill.simulator.settings import SimulatorSettings

__all__ = ["Ceiling", "make_requests", "measure_ceiling", "print_ceiling"]

_END = b"\r\n\r\n"
_LENGTH = b"content-length: "
_WARM_UP_S = 0.5


@dataclass(frozen=True, slots=True)
class Ceiling:
    """Result of a measurement.

    Attributes:
        per_second: Answers per second of wall time.
        per_core_second: Answers per second of the endpoint's CPU time.
        response_bytes: Mean size of a whole response.
    """

    per_second: float
    per_core_second: float
    response_bytes: float


def make_requests(count: int, chars: int = 1800) -> list[bytes]:
    """Make complete chat requests, as bytes, each with its own passage of about ``chars``."""
    sentences = UNRELATED.split(". ")
    requests = []
    for index in range(count):
        turn = index % len(sentences)
        passage = ". ".join(sentences[turn:] + sentences[:turn])
        passage = f"Number {index} of the series begins here. {passage}. {passage}"[:chars]
        body = orjson.dumps(
            {
                "model": "simulated",
                "messages": [
                    {"role": "system", "content": "Write pairs of instruction and answer. " * 20},
                    {"role": "user", "content": f"N=3\n{OPEN_FENCE}\n{passage}\n{CLOSE_FENCE}"},
                ],
                "max_tokens": 2000,
            }
        )
        head = (
            f"POST /v1/chat/completions HTTP/1.1\r\nhost: {HOST}\r\nauthorization: Bearer none\r\n"
            f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
        )
        requests.append(head.encode() + body)
    return requests


class _Caller(asyncio.Protocol):
    """Keeps a number of requests in flight on one connection, and counts the answers."""

    def __init__(self, requests: Sequence[bytes], start: int, depth: int) -> None:
        self._requests = requests
        self._next = start
        self._depth = depth
        self._buffer = b""
        self.answers = 0
        self.received = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        for _ in range(self._depth):
            self._send()

    def data_received(self, data: bytes) -> None:
        self.received += len(data)
        buffer = self._buffer + data if self._buffer else data
        start = 0
        while (end := buffer.find(_END, start)) >= 0:
            at = buffer.index(_LENGTH, start, end) + len(_LENGTH)
            line_end = buffer.find(b"\r", at)
            whole = end + len(_END) + int(buffer[at:line_end])
            if whole > len(buffer):
                break
            start = whole
            self.answers += 1
            self._send()
        self._buffer = buffer[start:]

    def _send(self) -> None:
        self._transport.write(self._requests[self._next % len(self._requests)])  # type: ignore[attr-defined]
        self._next += 1


def measure_ceiling(
    settings: SimulatorSettings,
    *,
    seconds: float = 3.0,
    connections: int = 64,
    depth: int = 1,
    cpus: tuple[int, int] | None = None,
) -> Ceiling:
    """Drive an endpoint with these settings in a child process for so many seconds.

    Args:
        settings: Settings of the endpoint.
        seconds: Length of the measurement, after half a second of warm-up.
        connections: Number of open connections.
        depth: Requests in flight on each; above 1 they are pipelined.
        cpus: CPUs for the endpoint and for the client; None: any.
    """
    own = os.sched_getaffinity(0) if cpus and hasattr(os, "sched_setaffinity") else None
    try:
        if cpus and own is not None:
            os.sched_setaffinity(0, {cpus[1]})
        with (
            SimulatorProcess(settings, cpu=cpus[0] if cpus else None) as endpoint,
            asyncio.Runner(loop_factory=new_loop) as runner,
        ):
            return runner.run(_drive(endpoint, seconds, connections, depth))
    finally:
        if own is not None:
            os.sched_setaffinity(0, own)


async def _drive(
    endpoint: SimulatorProcess, seconds: float, connections: int, depth: int
) -> Ceiling:
    loop = asyncio.get_running_loop()
    port = int(endpoint.url.rpartition(":")[2].partition("/")[0])
    requests = make_requests(512)
    callers = [_Caller(requests, index * 8, depth) for index in range(connections)]
    transports = []
    for caller in callers:
        transport, _caller = await loop.create_connection(
            functools.partial(_same, caller), HOST, port
        )
        transports.append(transport)
    await asyncio.sleep(_WARM_UP_S)
    first, began = _count(callers), time.perf_counter()
    cpu_began = await asyncio.to_thread(endpoint.report)
    await asyncio.sleep(seconds)
    last, ended = _count(callers), time.perf_counter()
    cpu_ended = await asyncio.to_thread(endpoint.report)
    for transport in transports:
        transport.abort()
    if set(cpu_ended["by_status"]) - {"200"}:
        raise ConfigError("with these settings the endpoint refuses calls: it has no ceiling")
    served = cpu_ended["answered"] - cpu_began["answered"]
    answers = last[0] - first[0]
    return Ceiling(
        per_second=answers / (ended - began),
        per_core_second=served / max(cpu_ended["cpu_s"] - cpu_began["cpu_s"], 1e-9),
        response_bytes=(last[1] - first[1]) / max(answers, 1),
    )


def _same(caller: _Caller) -> _Caller:
    return caller


def _count(callers: Sequence[_Caller]) -> tuple[int, int]:
    return sum(it.answers for it in callers), sum(it.received for it in callers)


def print_ceiling(settings: SimulatorSettings) -> None:
    """Measure, with endpoint and client on a core each if there are two, and print a line."""
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    cpus = (cores[0], cores[1]) if len(cores) > 1 else None
    found = measure_ceiling(settings, cpus=cpus)
    result = {
        "content": settings.content,
        "answers_per_s": round(found.per_second),
        "answers_per_core_s": round(found.per_core_second),
        "response_bytes": round(found.response_bytes),
    }
    sys.stdout.write(orjson.dumps(result).decode() + "\n")
