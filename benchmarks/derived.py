"""An endpoint that answers from a store, so that what is measured beside it is the client.

The first time that it sees a question it derives the answer from the question's passage, as the
simulated endpoint does; after that it sends the same bytes again. A client's first run therefore
fills the store, and is not measured. An answer from the store takes a fifth of the processor time
that deriving it takes.

python -m benchmarks.derived CPU     prints its port, and serves until its input ends
"""

from __future__ import annotations

import asyncio
import gc
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Self, cast

from pairmill.simulator import SimulatorSettings
from pairmill.simulator.answers import answer_request
from pairmill.simulator.http import encode_response
from pairmill.simulator.simulator import HOST, new_loop
from pairmill.simulator.wire import encode_envelope, make_envelope, parse_chat

if TYPE_CHECKING:
    from types import TracebackType

__all__ = ["DerivedEndpoint"]

_SETTINGS = SimulatorSettings(content="derived")
_LENGTH = b"content-length:"
_CLOSE = (
    b"\r\nconnection: close"  # of a client with a connection for each call, which reads to its end
)
_MOST_BYTES = 2**29  # of answers that are kept: some 200,000
_MODELS = encode_response(200, b'{"object":"list","data":[{"id":"m","object":"model"}]}')
_NOTHING = encode_response(404, b'{"error":{"message":"there is nothing here"}}')


class Answers:
    """Whole responses, by the hash of the question's body."""

    def __init__(self) -> None:
        self._kept: dict[int, bytes] = {}
        self._bytes = 0

    def to(self, body: bytes) -> bytes:
        """Return the response to a question; derive it if it is new."""
        name = hash(body)
        known = self._kept.get(name)
        return self._derive(name, body) if known is None else known

    def _derive(self, name: int, body: bytes) -> bytes:
        request = parse_chat(body, _SETTINGS.seed)
        envelope = make_envelope(request, answer_request(request, _SETTINGS))
        response = encode_response(200, encode_envelope(envelope))
        self._bytes += len(response)
        if self._bytes <= _MOST_BYTES:
            self._kept[name] = response
        return response


class Connection(asyncio.Protocol):
    """Requests of one client, one after the other, in the forms that clients here send."""

    def __init__(self, answers: Answers) -> None:
        self._answers = answers
        self._data = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Answer complete requests."""
        self._data = data = self._data + data if self._data else data
        while (split := data.find(b"\r\n\r\n")) >= 0:
            head = data[:split]
            end = split + 4 + _length(head)
            if len(data) < end:
                return
            self._transport.write(self._response(head, data[split + 4 : end]))
            if _CLOSE in head.lower():
                self._transport.close()
                return
            self._data = data = data[end:]

    def _response(self, head: bytes, body: bytes) -> bytes:
        method, path, _ = head.split(b" ", 2)
        if method == b"POST" and path.endswith(b"/chat/completions"):
            return self._answers.to(body)
        return _MODELS if path.endswith(b"/models") else _NOTHING


def _length(head: bytes) -> int:
    at = head.lower().find(_LENGTH)
    return int(head[at + len(_LENGTH) :].split(b"\r\n", 1)[0]) if at >= 0 else 0


class DerivedEndpoint:
    """The endpoint as a process, on a processor of its own if one is given."""

    def __init__(self, cpu: int | None = None) -> None:
        self._cpu = cpu
        self.url = ""

    def __enter__(self) -> Self:
        self._child = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.derived"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        if self._cpu is not None:
            os.sched_setaffinity(self._child.pid, {self._cpu})
        assert self._child.stdout is not None
        self.url = f"http://{HOST}:{int(self._child.stdout.readline())}/v1"
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._child.communicate()

    def cpu_s(self) -> float:
        """Return the processor seconds that it has taken so far."""
        ran_ns = Path(f"/proc/{self._child.pid}/schedstat").read_text().split()[0]
        return int(ran_ns) / 1e9


async def serve() -> None:
    """Serve until the input ends."""
    loop = asyncio.get_running_loop()
    answers = Answers()
    server = await loop.create_server(lambda: Connection(answers), HOST, 0, backlog=8192)
    print(server.sockets[0].getsockname()[1], flush=True)
    ended = loop.create_future()
    loop.add_reader(0, ended.set_result, None)
    await ended
    loop.remove_reader(0)
    server.close()


def main() -> None:
    gc.freeze()
    gc.disable()  # nothing here is in a cycle but connections
    loop = new_loop()
    loop.run_until_complete(serve())


if __name__ == "__main__":
    main()
