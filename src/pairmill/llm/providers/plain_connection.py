"""One plain HTTP/1.1 connection: a question out, a reply in, and everything that can be wrong."""

from __future__ import annotations

import asyncio
import select
from typing import TYPE_CHECKING, cast

import httptools
from msgspec import Struct

from pairmill.llm.providers.replies import LIMIT_HEADERS, body_limit, is_success, limit_headers

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["PlainConnection", "WireReply"]

_HEAD_LIMIT_BYTES = 2**18
_LIMIT_HEADERS = tuple(name.encode() for name in LIMIT_HEADERS)
_FRAMES = frozenset({b"content-length", b"transfer-encoding"})
_LEAST_STATUS = 100
_INTERIM = range(_LEAST_STATUS, 200)


class WireReply(Struct, frozen=True):
    """A reply as it came over the wire.

    Attributes:
        headers: Those about limits.
        body: Still packed; of a body beyond its limit only the beginning.
        packing: Its content encoding, in lower case; empty where it has none.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes
    packing: bytes


class PlainConnection(asyncio.Protocol):
    """One connection, with at most one question on its way.

    Attributes:
        asked_at: When the call began that has it now, by the loop's clock.
        heard_at: When the last bytes came, or the question was sent.
        is_open: Another question may be sent, for all that the event loop was told.
    """

    _socket: asyncio.Transport
    _status: int  # 0: the reply's head is not complete
    _headers: dict[str, str]
    _body: list[bytes]  # mostly one piece, which is then never copied
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
        """Ask the system as well: the other side may have hung up since the loop last looked."""
        return self.is_open and not self._news.poll(0)

    def ask(self, data: bytes, began_at: float) -> asyncio.Future[WireReply]:
        """Send a question. The future gives the reply, a ConnectionError or a TimeoutError."""
        self.asked_at = began_at
        self.heard_at = self._loop.time()
        self._future = self._loop.create_future()
        self._socket.write(data)
        return self._future

    def time_out(self) -> None:
        """Give the question up."""
        self._fail(TimeoutError())

    def abort(self) -> None:
        """Close at once."""
        self.is_open = False
        self._socket.abort()

    # What the event loop calls: see asyncio.Protocol.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the socket."""
        self._socket = cast("asyncio.Transport", transport)  # uvloop's is none by name
        self._news.register(transport.get_extra_info("socket").fileno(), select.POLLIN)
        self.is_open = True

    def data_received(self, data: bytes) -> None:
        """Read on; hand the reply over once it is whole, or too much."""
        if self._future is None:  # nobody asked
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
            self._has_more = True  # garbage behind a good reply
        if self._is_whole:
            is_sent = not self._socket.get_write_buffer_size()  # else: answered before it was asked
            self._finish(is_reusable=self._is_kept and is_sent and not self._has_more)
        elif self._body_bytes > self._most:
            self._finish(is_reusable=False)
        elif self._wire_bytes > 2 * self._most + _HEAD_LIMIT_BYTES:
            self._fail(ConnectionError())  # a head, trailers or chunk marks without end

    def connection_lost(self, exc: Exception | None) -> None:
        """Take note that there is no more to come."""
        self.is_open = False
        if self._future is not None:
            if exc is None and self._status and not self._is_framed:
                self._finish(is_reusable=False)  # a body that lasts as long as the connection
            else:
                self._fail(ConnectionError())
        del self._parser  # it holds this connection, and would keep both from being freed

    # What the parser calls: see httptools.HttpResponseParser.

    def on_message_begin(self) -> None:
        """Take note of a second reply behind a whole one."""
        self._has_more = self._is_whole

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep what is about limits, framing and packing."""
        if self._status:  # a trailer, or another reply that nobody asked for
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
        """Take the status; news on the way to a reply is passed over."""
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
        """Take a piece of the body."""
        if not self._has_more:
            self._body.append(body)
            self._body_bytes += len(body)

    def on_message_complete(self) -> None:
        """Take note that the reply is whole."""
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
        self._begin()  # what is idle holds on to nothing

    def _fail(self, error: OSError) -> None:
        if self._status and not is_success(self._status):
            self._finish(is_reusable=False)  # the status says enough
            return
        future, self._future = self._future, None
        self.abort()
        if future is not None and not future.done():
            future.set_exception(error)
        self._begin()
