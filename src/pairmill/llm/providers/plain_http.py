"""Plain HTTP/1.1 on the event loop itself, for a server that is reached without TLS or proxy.

llhttp (by httptools) reads the replies; here are only the connections and their deadlines. It costs
half of what the client in Rust does, and spares the passing of the interpreter's lock between its
thread and the event loop (docs/decisions/0006). Whatever needs more than this (TLS, a proxy) goes
by `reqwest`. Both hold the same promises; the same tests try them.
"""

from __future__ import annotations

import asyncio
import re
import socket
import zlib
from collections import deque
from typing import TYPE_CHECKING, cast
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import httptools

from pairmill.llm.providers import failures
from pairmill.llm.providers.replies import LIMIT_HEADERS, body_limit, limit_headers
from pairmill.llm.providers.transport import RawReply

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["PlainTransport", "is_plain"]

_KEEP_ALIVE_S = 60.0
_LOOK_S = 1.0  # between looks at the deadlines, at most
_LOOKS = 10  # in one timeout: so exact are the deadlines
_HEAD_LIMIT_BYTES = 2**18
_LIMIT_HEADERS = tuple(name.encode() for name in LIMIT_HEADERS)
_FRAMES = frozenset({b"content-length", b"transfer-encoding"})
_INTERIM = range(100, 200)
_HEADER_VALUE = re.compile(r"[\x20-\x7e]*")
_WINDOW_BITS = {b"gzip": 31, b"x-gzip": 31, b"deflate": 15}  # as zlib names the envelopes


def is_plain(url: str, *, is_loopback: bool) -> bool:
    """Whether an address can be reached in this way: plain http, and no proxy before it."""
    parts = urlsplit(url)
    if parts.scheme != "http" or not url.isascii():
        return False
    has_proxy = not {"http", "all"}.isdisjoint(getproxies())
    return is_loopback or not has_proxy or bool(proxy_bypass(parts.netloc))


class PlainTransport:
    """A `Transport` over plain HTTP/1.1.

    Args:
        url: Where to; `is_plain` must hold.
        headers: For every call.
        timeout_s: Longest silence of the server, once the request is sent.
        connect_timeout_s: Longest time to get a connection. Both together bound a whole call.

    Raises:
        ProviderError: The address or a header cannot be used.
    """

    def __init__(
        self,
        url: str,
        headers: Mapping[str, str],
        *,
        timeout_s: float,
        connect_timeout_s: float,
    ) -> None:
        parts = urlsplit(url)
        if not parts.hostname or not all(map(_HEADER_VALUE.fullmatch, headers.values())):
            failures.raise_bad_address()
        self._host = parts.hostname
        self._port = parts.port or 80
        lines = {"Host": parts.netloc, **headers, "Accept-Encoding": "identity"}
        fields = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
        self._head = f"POST {parts.path} HTTP/1.1\r\n{fields}Content-Length: ".encode()
        self._timeout_s = timeout_s
        self._connect_timeout_s = connect_timeout_s
        self._idle: deque[_Connection] = deque()  # the latest used on the right
        self._busy: set[_Connection] = set()
        self._timer: asyncio.TimerHandle | None = None

    async def post(self, content: bytes) -> RawReply:
        """See `Transport`. A call that is cancelled ends at once, with its connection."""
        connection = self._take_idle() or await self._connect()
        self._busy.add(connection)
        if self._timer is None:
            self._set_timer()
        future = connection.ask(b"%b%d\r\n\r\n%b" % (self._head, len(content), content))
        try:
            reply = await future
        except ConnectionError:
            failures.raise_broken(sent=True)
        except TimeoutError:
            failures.raise_timeout(sent=True)
        except BaseException:
            connection.abort()
            raise
        finally:
            self._busy.discard(connection)
        if connection.is_open:
            self._idle.append(connection)
        return reply if not connection.packing else _unpacked(reply, connection.packing)

    async def aclose(self) -> None:
        """See `Transport`."""
        if self._timer is not None:
            self._timer.cancel()
        for connection in (*self._idle, *self._busy):
            connection.abort()
        self._idle.clear()
        await asyncio.sleep(0)  # the loop closes them now

    def _take_idle(self) -> _Connection | None:
        """The connection that was used last: of those that the server keeps, the likeliest."""
        while self._idle:
            connection = self._idle.pop()
            if connection.is_open:
                return connection
        return None

    async def _connect(self) -> _Connection:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self._connect_timeout_s):
                _, connection = await loop.create_connection(
                    lambda: _Connection(loop), self._host, self._port
                )
        except TimeoutError:
            failures.raise_timeout(sent=False)
        except (socket.gaierror, UnicodeError):
            failures.raise_unknown_host()
        except OSError:
            failures.raise_refused()
        return connection

    def _set_timer(self) -> None:
        wait_s = min(_LOOK_S, self._timeout_s / _LOOKS)
        self._timer = asyncio.get_running_loop().call_later(wait_s, self._look)

    def _look(self) -> None:
        """End what is overdue, and let go what was idle for long. One timer for all calls."""
        now = asyncio.get_running_loop().time()
        total_s = self._timeout_s + self._connect_timeout_s
        for connection in self._busy:
            if now >= min(connection.heard_at + self._timeout_s, connection.asked_at + total_s):
                connection.time_out()
        while self._idle and now >= self._idle[0].heard_at + _KEEP_ALIVE_S:
            self._idle.popleft().abort()
        self._timer = None
        if self._busy or self._idle:
            self._set_timer()


class _Connection(asyncio.Protocol):
    """One connection, with at most one question on its way.

    Attributes:
        asked_at: When the last question was sent, by the loop's clock.
        heard_at: When the last bytes came, or the question was sent.
        is_open: Another question may be sent.
        packing: The last reply's content encoding; empty where it has none.
    """

    packing: bytes
    _status: int  # 0: the reply's head is not complete
    _headers: dict[str, str]
    _body: list[bytes]
    _size: int
    _most: int
    _head_bytes: int
    _is_framed: bool
    _is_whole: bool
    _is_kept: bool
    _has_more: bool

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._parser = httptools.HttpResponseParser(self)
        self._future: asyncio.Future[RawReply] | None = None
        self.asked_at = self.heard_at = 0.0
        self.is_open = False
        self._begin()

    def ask(self, data: bytes) -> asyncio.Future[RawReply]:
        """Send a question. The future gives the reply, a ConnectionError or a TimeoutError."""
        self._begin()
        self.asked_at = self.heard_at = self._loop.time()
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

    # What the event loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._socket = cast("asyncio.Transport", transport)  # uvloop's is none by name
        self.is_open = True

    def data_received(self, data: bytes) -> None:
        if self._future is None:  # nobody asked
            self.abort()
            return
        self.heard_at = self._loop.time()
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            if not self._is_whole:
                self._fail(ConnectionError())
                return
            self._has_more = True  # garbage behind a good reply
        if self._is_whole:
            self._finish(is_reusable=self._is_kept and not self._has_more)
        elif self._status:
            if self._size > self._most:
                self._finish(is_reusable=False)
        else:
            self._head_bytes += len(data)
            if self._head_bytes > _HEAD_LIMIT_BYTES:
                self._fail(ConnectionError())

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_open = False
        if self._future is None:
            return
        if exc is None and self._status and not self._is_framed:
            self._finish(is_reusable=False)  # a body that lasts as long as the connection
        else:
            self._fail(ConnectionError())

    # What the parser calls.

    def on_message_begin(self) -> None:
        self._has_more = self._is_whole

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._has_more:
            return
        name = name.lower()
        if name.startswith(_LIMIT_HEADERS):
            if value.isascii():
                self._headers[name.decode()] = value.decode()
        elif name in _FRAMES:
            self._is_framed = True
        elif name == b"content-encoding":
            packing = value.strip().lower()
            self.packing = b"" if packing == b"identity" else packing

    def on_headers_complete(self) -> None:
        if self._has_more:
            return
        status = self._parser.get_status_code()
        if status in _INTERIM:
            self._headers.clear()
            return
        self._status = status
        self._most = body_limit(status)

    def on_body(self, body: bytes) -> None:
        if not self._has_more:
            self._size += len(body)
            self._body.append(body)

    def on_message_complete(self) -> None:
        self._is_whole = self._status != 0
        self._is_kept = self._parser.should_keep_alive()

    def _begin(self) -> None:
        self._status = self._size = self._most = self._head_bytes = 0
        self._headers = {}
        self._body = []
        self.packing = b""
        self._is_framed = self._is_whole = self._is_kept = self._has_more = False

    def _finish(self, *, is_reusable: bool) -> None:
        future, self._future = self._future, None
        if not is_reusable:
            self.abort()
        if future is not None and not future.done():
            future.set_result(self._reply())

    def _fail(self, error: OSError) -> None:
        future, self._future = self._future, None
        self.abort()
        if future is not None and not future.done():
            future.set_exception(error)

    def _reply(self) -> RawReply:
        body = self._body[0] if len(self._body) == 1 else b"".join(self._body)
        return RawReply(self._status, limit_headers(self._headers), body)


def _unpacked(reply: RawReply, packing: bytes) -> RawReply:
    """A reply that was packed though nobody asked for it; no more of it than is read."""
    try:
        unpacker = zlib.decompressobj(_WINDOW_BITS[packing])
        body = unpacker.decompress(reply.body, body_limit(reply.status) + 1)
    except (KeyError, zlib.error):
        failures.raise_bad_encoding()
    return reply._replace(body=body)
