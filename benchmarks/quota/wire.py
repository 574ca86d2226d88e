"""The plainest wire there is: pairmill's bytes over asyncio's own sockets.

pairmill's direct wire lives on threads of its own, which know nothing of a clock that jumps. What
is measured here is when calls go, not how.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from pairmill.llm.providers.provider import Mode, ProviderReply
from pairmill.llm.providers.replies import decode, limit_headers
from pairmill.llm.providers.requests import RequestEncoder

if TYPE_CHECKING:
    from pairmill.clock import Clock
    from pairmill.records import Request

__all__ = ["PlainWire"]

Link = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class PlainWire:
    """A ``Provider`` for a well-behaved endpoint on loopback."""

    def __init__(self, base_url: str, clock: Clock) -> None:
        self._place = urlsplit(base_url)
        self._clock = clock
        self._encoder = RequestEncoder()
        self._idle: list[Link] = []

    async def complete(self, request: Request, mode: Mode) -> ProviderReply:
        body = self._encoder.encode(request, mode)
        head = (
            f"POST {self._place.path}/chat/completions HTTP/1.1\r\nHost: {self._place.netloc}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        link = self._idle.pop() if self._idle else await self._connect()
        link[1].write(head.encode() + body)
        lines = (await link[0].readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        pairs = (line.partition(":") for line in lines[1:] if line)
        headers = {name.lower(): value.strip() for name, _, value in pairs}
        data = await link[0].readexactly(int(headers["content-length"]))
        self._idle.append(link)
        status = int(lines[0].split()[1])
        completion = decode(status, headers, data, self._clock.time())
        return ProviderReply(completion, limit_headers(headers))

    async def aclose(self) -> None:
        for _, writer in self._idle:
            writer.close()

    async def _connect(self) -> Link:
        assert self._place.hostname
        return await asyncio.open_connection(self._place.hostname, self._place.port)
