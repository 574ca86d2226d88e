"""One plain HTTP/1.1 connection: sends a request, receives a reply, and handles all failures."""

from __future__ import annotations

import asyncio
import select
from typing import TYPE_CHECKING, cast

import httptools
from msgspec import Struct

from pairmill.llm.limits.headers import LIMIT_HEADERS
from pairmill.llm.providers.replies import body_limit, is_success, limit_headers

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["PlainConnection", "WireReply"]

_HEAD_LIMIT_BYTES = 2**18
_LIMIT_HEADERS = tuple(name.encode() for name in LIMIT_HEADERS)
_FRAMES = frozenset({b"content-length", b"transfer-encoding"})
_LEAST_STATUS = 100
_INTERIM = range(_LEAST_STATUS, 200)


class WireReply(Struct, frozen=True):
    """A reply as received.

    Attributes:
        headers: Headers about limits.
        body: Body, still compressed; only the beginning if it exceeds the limit.
        packing: Content encoding, in lower case; empty if there is none.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes
    packing: bytes


class PlainConnection(asyncio.Protocol):
    """One connection, with at most one request in flight.

    Attributes:
        asked_at: Start of the current call, by the loop's clock.
        heard_at: Time when the last bytes came, or the request was sent.
        is_open: True if another request may be sent, as far as the event loop knows.
    """

    _socket: asyncio.Transport
    _status: int  # 0: the reply's head is not complete
    _headers: dict[str, str]
    _body: list[bytes]  # usually one piece, which is then never copied
    _body_bytes: int
    _packing: bytes
    _most: int  # of the body
    _wire_bytes: int
    _is_framed: bool
    _is_whole: bool
    _is_kept: bool
    _has_more: bool

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._parser = httptools.HttpResponseParser(self)
        self._future: asyncio.Future[WireReply] | None = None
        self._news = select.poll()
        self.is_open = False
        self.asked_at = self.heard_at = 0.0
        self._begin()

    def is_quiet(self) -> bool:
        """Return whether it is still open and unread; asks the system too."""
        return self.is_open and not self._news.poll(0)

    def ask(self, data: bytes, began_at: float) -> asyncio.Future[WireReply]:
        """Send a request. The future gets the reply, a ConnectionError or a TimeoutError."""
        self.asked_at = began_at
        self.heard_at = self._loop.time()
        self._future = self._loop.create_future()
        self._socket.write(data)
        return self._future

    def time_out(self) -> None:
        """Abandon the request."""
        self._fail(TimeoutError())

    def abort(self) -> None:
        """Close at once."""
        self.is_open = False
        self._socket.abort()

    # Called by the event loop: see asyncio.Protocol.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the socket."""
        self._socket = cast("asyncio.Transport", transport)  # uvloop's is not a subclass
        self._news.register(transport.get_extra_info("socket").fileno(), select.POLLIN)
        self.is_open = True

    def data_received(self, data: bytes) -> None:
        """Parse data; deliver the reply once it is complete, or too large."""
        if self._future is None:  # not requested
            self.abort()
            return
        self.heard_at = self._loop.time()
        self._wire_bytes += len(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            if not self._is_whole:
                self._fail(ConnectionError())
                return
            self._has_more = True  # garbage after a good reply
        if self._is_whole:
            is_sent = not self._socket.get_write_buffer_size()  # else: answered before it was asked
            self._finish(is_reusable=self._is_kept and is_sent and not self._has_more)
        elif self._body_bytes > self._most:
            self._finish(is_reusable=False)
        elif self._wire_bytes > 2 * self._most + _HEAD_LIMIT_BYTES:
            self._fail(ConnectionError())  # an endless head, trailers or chunk marks

    def connection_lost(self, exc: Exception | None) -> None:
        """Handle the end of the stream."""
        self.is_open = False
        if self._future is not None:
            if exc is None and self._status and not self._is_framed:
                self._finish(is_reusable=False)  # a body that ends with the connection
            else:
                self._fail(ConnectionError())
        del self._parser  # a reference cycle with this connection

    # Called by the parser: see httptools.HttpResponseParser.

    def on_message_begin(self) -> None:
        """Detect a second reply after a complete one."""
        self._has_more = self._is_whole

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep headers about limits, framing and compression."""
        if self._status:  # a trailer, or another reply that was not requested
            return
        name = name.lower()
        if name.startswith(_LIMIT_HEADERS):
            if value.isascii():
                self._headers[name.decode()] = value.decode()
        elif name in _FRAMES:
            self._is_framed = True
        elif name == b"content-encoding":
            packing = value.strip().lower()
            self._packing = b"" if packing == b"identity" else packing

    def on_headers_complete(self) -> None:
        """Store the status; informational responses are ignored."""
        if self._status:
            return
        status = self._parser.get_status_code()
        if status in _INTERIM:
            self._begin()
        elif status < _LEAST_STATUS:
            raise ValueError
        else:
            self._status = status
            self._most = body_limit(status)

    def on_body(self, body: bytes) -> None:
        """Store a piece of the body."""
        if not self._has_more:
            self._body.append(body)
            self._body_bytes += len(body)

    def on_message_complete(self) -> None:
        """Mark the reply as complete."""
        self._is_whole = self._status != 0
        self._is_kept = self._parser.should_keep_alive()

    def _begin(self) -> None:
        self._status = self._most = self._wire_bytes = self._body_bytes = 0
        self._headers = {}
        self._body = []
        self._packing = b""
        self._is_framed = self._is_whole = self._is_kept = self._has_more = False

    def _finish(self, *, is_reusable: bool) -> None:
        future, self._future = self._future, None
        if not is_reusable:
            self.abort()
        if future is not None and not future.done():
            headers, body = limit_headers(self._headers), b"".join(self._body)
            future.set_result(WireReply(self._status, headers, body, self._packing))
        self._begin()  # an idle connection keeps no references

    def _fail(self, error: OSError) -> None:
        if self._status and not is_success(self._status):
            self._finish(is_reusable=False)  # the status is enough
            return
        future, self._future = self._future, None
        self.abort()
        if future is not None and not future.done():
            future.set_exception(error)
        self._begin()
