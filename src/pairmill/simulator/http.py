"""HTTP/1.1 on a raw protocol: keep-alive, pipelining, bounded requests, and abrupt endings.

A framework takes more time than the answers; this takes one parser call and one write for each.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections import deque
from http import HTTPStatus
from typing import TYPE_CHECKING, cast

from pairmill.errors import ConfigError

try:
    import httptools
except ImportError:
    httptools = None  # type: ignore[assignment]

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

__all__ = ["ClientConnection", "HttpExchange", "check_installed", "encode_response"]

_MAX_HEADER_BYTES = 65_536
_MAX_QUEUED = 64
_LINGER_RESET = struct.pack("ii", 1, 0)  # close sends RST instead of FIN
_PHRASES = {status.value: status.phrase for status in HTTPStatus}
_OK_JSON = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n%s\r\n"


def check_installed() -> None:
    """Raise ``ConfigError`` if the parser, which is an extra, is missing."""
    if httptools is None:
        raise ConfigError("the simulated endpoint needs httptools: install pairmill[simulate]")


def encode_response(
    status: int,
    body: bytes,
    headers: Iterable[tuple[str, str]] = (),
    content_type: str = "application/json",
) -> bytes:
    """Encode a whole response. Header values come from the caller, never from a client."""
    lines = "".join([f"{name}: {value}\r\n" for name, value in headers])
    extra = lines.encode("latin-1", "replace")
    if status == HTTPStatus.OK and content_type == "application/json":
        return _OK_JSON % (len(body), extra) + body
    phrase = _PHRASES.get(status, "Unknown")
    head = (
        f"HTTP/1.1 {status} {phrase}\r\ncontent-type: {content_type}\r\n"
        f"content-length: {len(body)}\r\n"
    )
    return head.encode() + extra + b"\r\n" + body


class HttpExchange:
    """One request, with methods to answer it. Exactly one of the ending ones must be called, once.

    Attributes:
        key: The bearer token or ``api-key`` header, "" if there is none.
        on_gone: Called when the client leaves before the answer has been sent.
    """

    __slots__ = ("_connection", "body", "is_open", "keep_alive", "key", "method", "on_gone", "path")

    def __init__(
        self, connection: ClientConnection, method: str, path: str, key: str, body: bytes
    ) -> None:
        self._connection = connection
        self.method = method
        self.path = path
        self.key = key
        self.body = body
        self.keep_alive = True
        self.is_open = True
        self.on_gone: Callable[[], None] | None = None

    def send(self, response: bytes) -> None:
        """End with a complete response."""
        if self.is_open:
            self._connection.write(response)
            self.finish()

    def write(self, part: bytes) -> None:
        """Send a part of the response; ``finish``, ``close`` or ``reset`` follows."""
        if self.is_open:
            self._connection.write(part)

    def finish(self) -> None:
        """End the response; the connection stays open if the client wants it."""
        self.end()
        self._connection.end_exchange(close=not self.keep_alive)

    def close(self) -> None:
        """End the response and close the connection cleanly, without having announced it."""
        self.keep_alive = False
        self.finish()

    def reset(self) -> None:
        """End with a TCP reset."""
        self.end()
        self._connection.reset()

    def end(self) -> None:
        """Mark the exchange as over: nothing more to send, no callback."""
        self.is_open = False
        self.on_gone = None  # a reference cycle


class ClientConnection(asyncio.Protocol):
    """One client's connection. Requests are handled one after the other, in order.

    Args:
        handle: Called with each exchange; may end it at once or later.
        live: The set of open connections, which this one joins and leaves.
        max_request_bytes: Longer bodies are refused with 413.
    """

    def __init__(
        self,
        handle: Callable[[HttpExchange], None],
        live: set[ClientConnection],
        max_request_bytes: int,
    ) -> None:
        self._handle = handle
        self._live = live
        self._max_bytes = max_request_bytes
        self._parser = httptools.HttpRequestParser(self)
        self._waiting: deque[HttpExchange] = deque()
        self._current: HttpExchange | None = None
        self._is_pumping = False
        self._is_closing = False
        self._begin_message()

    # Called by the event loop.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Add itself to the open connections."""
        self._transport = cast("asyncio.Transport", transport)
        self._live.add(self)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 (either way it is gone)
        """Remove itself, and notify the current exchange."""
        self._live.discard(self)
        self._is_closing = True
        self._waiting.clear()
        exchange, self._current = self._current, None
        if exchange is not None and exchange.is_open:
            told = exchange.on_gone
            exchange.end()
            if told is not None:
                told()

    def data_received(self, data: bytes) -> None:
        """Parse the data, then handle complete requests."""
        if self._is_closing:
            return
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self._refuse(self._refusal)
        else:
            self._pump()

    # Called by the parser.

    def on_message_begin(self) -> None:
        """Start a request."""
        self._begin_message()

    def on_url(self, url: bytes) -> None:
        """Store a piece of the request target."""
        self._count_header(len(url))
        self._path += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep the headers that carry a key, and answer ``expect``; count them all."""
        self._count_header(len(name) + len(value))
        if len(name) in {6, 7, 9, 13}:
            lowered = name.lower()
            if lowered == b"authorization":
                self._key = value.decode("latin-1").removeprefix("Bearer ")
            elif lowered in {b"api-key", b"x-api-key"}:
                self._key = value.decode("latin-1")
            elif lowered == b"expect":
                self.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_body(self, part: bytes) -> None:
        """Store a piece of the body, up to the limit."""
        self._size += len(part)
        if self._size > self._max_bytes:
            self._refusal = 413
            raise ValueError
        self._parts.append(part)

    def on_message_complete(self) -> None:
        """Queue the request."""
        parts = self._parts
        body = parts[0] if len(parts) == 1 else b"".join(parts)
        method = self._parser.get_method().decode("latin-1")
        path = self._path.decode("latin-1")
        exchange = HttpExchange(self, method, path, self._key, body)
        exchange.keep_alive = self._parser.should_keep_alive()
        self._waiting.append(exchange)
        if len(self._waiting) > _MAX_QUEUED:
            self._transport.pause_reading()

    # Called by an exchange.

    def write(self, data: bytes) -> None:
        """Send bytes, if the client is still connected."""
        if not self._is_closing:
            self._transport.write(data)

    def end_exchange(self, *, close: bool) -> None:
        """Continue with the next request, or close."""
        self._current = None
        if close:
            self.close()
        else:
            self._pump()

    def reset(self) -> None:
        """Drop the connection with a TCP reset."""
        self._is_closing = True
        sock = self._transport.get_extra_info("socket")
        if sock is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_RESET)
        self._transport.abort()

    def close(self) -> None:
        """Close after all written data has been sent."""
        if not self._is_closing:
            self._is_closing = True
            self._transport.close()

    def _pump(self) -> None:
        if self._is_pumping:  # an exchange that ended inside its own handler
            return
        self._is_pumping = True
        try:
            while self._waiting and self._current is None and not self._is_closing:
                exchange = self._waiting.popleft()
                self._current = exchange
                self._handle(exchange)
        finally:
            self._is_pumping = False
        if len(self._waiting) < _MAX_QUEUED and not self._is_closing:
            self._transport.resume_reading()

    def _begin_message(self) -> None:
        self._path = b""
        self._key = ""
        self._parts: list[bytes] = []
        self._size = 0
        self._header_bytes = 0
        self._refusal = 400

    def _count_header(self, size: int) -> None:
        self._header_bytes += size
        if self._header_bytes > _MAX_HEADER_BYTES:
            self._refusal = 431
            raise ValueError

    def _refuse(self, status: int) -> None:
        body = b'{"error":{"message":"the request cannot be read","type":"invalid_request_error"}}'
        self.write(encode_response(status, body, [("connection", "close")]))
        self.close()
