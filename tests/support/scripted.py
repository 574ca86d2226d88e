"""A real HTTP server on loopback that answers what a test scripted, byte for byte."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

__all__ = ["CLOSE", "HANG", "RESET", "Scripted", "answer", "reply", "serve"]

HANG = b"\0hang"  # read the request, then say nothing
CLOSE = b"\0close"  # after whatever stands before it: end the connection in good order
RESET = b"\0reset"  # after whatever stands before it: reset the connection


def reply(
    body: bytes | str | dict[str, Any] | list[Any],
    status: int = 200,
    headers: dict[str, str] | None = None,
) -> bytes:
    """A whole HTTP response."""
    if isinstance(body, dict | list):
        body = json.dumps(body)
    data = body.encode() if isinstance(body, str) else body
    lines = [f"HTTP/1.1 {status} Whatever", f"Content-Length: {len(data)}"]
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + data


def answer(content: Any = "hello", finish: str = "stop", **message: Any) -> dict[str, Any]:
    """A chat completion."""
    return {
        "id": "c1",
        "model": "served-model",
        "choices": [
            {
                "index": 0,
                "finish_reason": finish,
                "message": {"role": "assistant", "content": content, **message},
            }
        ],
        "usage": {
            "prompt_tokens": 12,
            "completion_tokens": 5,
            "prompt_tokens_details": {"cached_tokens": 4},
        },
    }


@dataclass
class Scripted:
    """What the server sends, in order (the last for ever), and what it was sent."""

    script: list[bytes]
    base_url: str = ""
    requests: list[dict[str, Any]] = field(default_factory=list)
    headers: list[str] = field(default_factory=list)
    connections: int = 0
    delay_s: float = 0.0
    crowd: int = 0  # answer nobody before so many have asked
    in_flight: int = 0
    most_in_flight: int = 0
    asked: asyncio.Event = field(default_factory=asyncio.Event)
    idle: asyncio.Event = field(default_factory=asyncio.Event)
    crowded: asyncio.Event = field(default_factory=asyncio.Event)

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while await self._serve_one(reader, writer):
                pass
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass
        finally:
            writer.close()

    async def _serve_one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        length = next(
            int(line.split(":")[1])
            for line in head.split("\r\n")
            if line.lower().startswith("content-length:")
        )
        self.headers.append(head)
        self.requests.append(json.loads(await reader.readexactly(length)))
        self.asked.set()
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            data = self.script.pop(0) if len(self.script) > 1 else self.script[0]
            if self.in_flight >= self.crowd:
                self.crowded.set()
            await self.crowded.wait()
            if self.delay_s:
                await asyncio.sleep(self.delay_s)
            if data == HANG:
                await reader.read()
                return False
            if data.endswith(RESET):
                writer.write(data.removesuffix(RESET))
                await writer.drain()
                writer.transport.abort()
                return False
            writer.write(data.removesuffix(CLOSE))
            await writer.drain()
            if data.endswith(CLOSE):
                return False
        finally:
            self.in_flight -= 1
            if not self.in_flight:
                self.idle.set()
        return True


@asynccontextmanager
async def serve(*script: bytes) -> AsyncIterator[Scripted]:
    """Serve ``script`` on a free loopback port."""
    scripted = Scripted(list(script))
    server = await asyncio.start_server(scripted.connected, "127.0.0.1", 0, backlog=999)
    scripted.base_url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    try:
        yield scripted
    finally:
        server.close()
