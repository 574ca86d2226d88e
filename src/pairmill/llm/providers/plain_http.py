"""Plain HTTP/1.1 on the event loop itself, for servers without TLS or proxy.

llhttp (by httptools) parses the replies; this module manages connections and deadlines. It takes
half the CPU time of the client in Rust, and avoids passing the GIL between its thread and the event
loop (docs/decisions/0006). Anything else (TLS, a proxy) uses `reqwest`. Both make the same promises
and pass the same tests.
"""

from __future__ import annotations

import asyncio
import re
import select
import socket
from collections import deque
from typing import TYPE_CHECKING, cast
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import httptools
from msgspec import Struct

from pairmill.errors import ProviderError
from pairmill.llm.limits.headers import LIMIT_HEADERS
from pairmill.llm.providers import failures
from pairmill.llm.providers.bodies import unpack
from pairmill.llm.providers.provider import RawReply
from pairmill.llm.providers.replies import body_limit, is_success, limit_headers

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["PlainConnection", "PlainTransport", "WireReply", "is_plain"]

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
        """Return whether it is open with nothing to read; also asks the operating system."""
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


_KEEP_ALIVE_S = 60.0
_LOOK_S = 1.0  # maximum time between checks of the deadlines
_LOOKS = 10  # checks per timeout: the precision of the deadlines
_RESOLVED_S = 10.0  # a thousand connections at the start share one name look-up
_HEADER_VALUE = re.compile(r"[\x20-\x7e]*")


def is_plain(url: str, *, is_loopback: bool) -> bool:
    """Return whether an address can be reached in this way: plain http without a proxy."""
    parts = urlsplit(url)
    if parts.scheme != "http" or not url.isascii():
        return False
    has_proxy = not {"http", "all"}.isdisjoint(getproxies())
    return is_loopback or not has_proxy or bool(proxy_bypass(parts.netloc))


class PlainTransport:
    """A `Transport` over plain HTTP/1.1.

    Args:
        url: Address; `is_plain` must be true for it.
        headers: Headers for every call.
        timeout_s: Maximum silence of the server, once the request is sent.
        connect_timeout_s: Maximum time to get a connection. Both together bound a whole call.

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
        self._addresses = _Addresses(parts.hostname, parts.port or 80)
        self._headers = {"Host": parts.netloc, **headers, "Accept-Encoding": "identity"}
        self._target = f"{parts.path}?{parts.query}" if parts.query else parts.path
        self._head = self._make_head()
        self._timeout_s = timeout_s
        self._connect_timeout_s = connect_timeout_s
        self._idle: deque[PlainConnection] = deque()  # most recently used on the right
        self._busy: set[PlainConnection] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._is_closed = False

    async def post(self, content: bytes) -> RawReply:
        """See `Transport`. A call that is cancelled ends at once, with its connection."""
        began_at = asyncio.get_running_loop().time()
        connection = self._take_idle() or await self._connect()
        if self._is_closed:
            connection.abort()
            failures.raise_broken(sent=False)
        self._busy.add(connection)
        if self._timer is None:
            self._set_timer()
        data = b"%b%d\r\n\r\n%b" % (self._head, len(content), content)
        try:
            answer = connection.ask(data, began_at)
            del content, data  # not needed while waiting for the answer
            try:
                reply = await answer
            finally:
                del answer  # the exception refers to this frame, which would refer to it
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
        return RawReply(reply.status, reply.headers, _unpacked(reply))

    def set_header(self, name: str, value: str) -> None:
        """See `Transport`."""
        if not _HEADER_VALUE.fullmatch(value):
            failures.raise_bad_address()
        self._headers[name] = value
        self._head = self._make_head()

    def _make_head(self) -> bytes:
        fields = "".join(f"{name}: {value}\r\n" for name, value in self._headers.items())
        return f"POST {self._target} HTTP/1.1\r\n{fields}Content-Length: ".encode()

    async def aclose(self) -> None:
        """See `Transport`."""
        self._is_closed = True
        if self._timer is not None:
            self._timer.cancel()
        for connection in (*self._idle, *self._busy):
            connection.abort()
        self._idle.clear()
        await asyncio.sleep(0)  # the event loop closes them now

    def _take_idle(self) -> PlainConnection | None:
        """Take the most recently used idle connection, which the server most likely kept open."""
        while self._idle:
            connection = self._idle.pop()
            if connection.is_quiet():
                return connection
            connection.abort()
        return None

    async def _connect(self) -> PlainConnection:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self._connect_timeout_s):
                addresses = await self._addresses.find()
                share_s = self._connect_timeout_s / len(addresses)
                for host, port in addresses[:-1]:
                    try:
                        async with asyncio.timeout(share_s):
                            return await _open(loop, host, port)
                    except OSError:
                        continue  # a host may have an unreachable address and a good one
                return await _open(loop, *addresses[-1])
        except TimeoutError:
            failures.raise_timeout(sent=False)
        except (socket.gaierror, UnicodeError):
            failures.raise_unknown_host()
        except OSError:
            failures.raise_refused()

    def _set_timer(self) -> None:
        wait_s = min(_LOOK_S, self._timeout_s / _LOOKS)
        self._timer = asyncio.get_running_loop().call_later(wait_s, self._look)

    def _look(self) -> None:
        """Time out overdue calls, and close connections that were idle for long. One timer."""
        now = asyncio.get_running_loop().time()
        total_s = self._timeout_s + self._connect_timeout_s
        for connection in tuple(self._busy):
            if now >= min(connection.heard_at + self._timeout_s, connection.asked_at + total_s):
                connection.time_out()
        while self._idle and now >= self._idle[0].heard_at + _KEEP_ALIVE_S:
            self._idle.popleft().abort()
        self._timer = None
        if self._busy or self._idle:
            self._set_timer()


class _Addresses:
    """Name look-up of a host, shared by connections made at about the same time."""

    def __init__(self, host: str, port: int) -> None:
        self._host = host
        self._port = port
        self._lock = asyncio.Lock()
        self._found: list[tuple[str, int]] = []
        self._good_until = float("-inf")

    async def find(self) -> list[tuple[str, int]]:
        """Resolve the host's addresses and port, the preferred first.

        Raises:
            OSError: It has none.
        """
        loop = asyncio.get_running_loop()
        if loop.time() < self._good_until:
            return self._found
        async with self._lock:
            if loop.time() >= self._good_until:
                infos = await loop.getaddrinfo(self._host, self._port, type=socket.SOCK_STREAM)
                self._found = [(str(info[4][0]), self._port) for info in infos]
                self._good_until = loop.time() + _RESOLVED_S
            return self._found


async def _open(loop: asyncio.AbstractEventLoop, host: str, port: int) -> PlainConnection:
    _, connection = await loop.create_connection(lambda: PlainConnection(loop), host, port)
    return connection


def _unpacked(reply: WireReply) -> bytes:
    """Return the body read so far, decompressed if the server compressed it unasked."""
    try:
        packing = reply.packing.decode("latin-1")
        return unpack(reply.body, packing, body_limit(reply.status) + 1)
    except ProviderError:
        if is_success(reply.status):
            raise
        return b""  # the status says enough
