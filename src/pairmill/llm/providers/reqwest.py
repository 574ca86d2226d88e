"""HTTP by a client written in Rust: TLS, proxies, compressed bodies, deadlines.

pyreqwest (over hyper and rustls) handles connections, outside Python. TLS uses the system's trust
store, and proxies come from the environment, as with the SDK.

A cancelled call ends at once, but pyreqwest keeps its connection until the reply or the timeout.
Calls are cancelled only when a run ends, and its process with it.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import timedelta
from typing import TYPE_CHECKING, NoReturn

from anyio.lowlevel import checkpoint
from pyreqwest.client import ClientBuilder
from pyreqwest.exceptions import BodyDecodeError, BuilderError, RequestError, RequestTimeoutError
from pyreqwest.http import Url

from pairmill.errors import ProviderError
from pairmill.llm.limits.headers import LIMIT_HEADERS
from pairmill.llm.providers import failures
from pairmill.llm.providers.bodies import unpack
from pairmill.llm.providers.provider import RawReply
from pairmill.llm.providers.replies import body_limit, is_success, limit_headers

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pyreqwest.client import Client
    from pyreqwest.response import Response

__all__ = ["ReqwestTransport"]

_KEEP_ALIVE_S = 60.0


class ReqwestTransport:
    """A `Transport` over pyreqwest.

    Args:
        url: Address.
        headers: Headers for every call.
        concurrency: Number of connections to keep.
        timeout_s: Maximum silence of the server, once the request is sent.
        connect_timeout_s: Maximum time to get a connection. Both together bound a whole call.
        is_direct: True to use no proxy, whatever the environment.

    Raises:
        ProviderError: The address cannot be used.
    """

    def __init__(
        self,
        url: str,
        headers: Mapping[str, str],
        *,
        concurrency: int,
        timeout_s: float,
        connect_timeout_s: float,
        is_direct: bool,
    ) -> None:
        self._changed: dict[str, str] = {}
        try:
            builder = (
                ClientBuilder()
                .default_headers(dict(headers))
                .follow_redirects(enable=False)
                .pool_max_idle_per_host(concurrency)
                .pool_idle_timeout(timedelta(seconds=_KEEP_ALIVE_S))
                .connect_timeout(timedelta(seconds=connect_timeout_s))
                .deflate(enable=False)  # decompressed here: servers use two formats under this name
                .read_timeout(timedelta(seconds=timeout_s))
                .timeout(timedelta(seconds=timeout_s + connect_timeout_s))
            )
            if is_direct:
                builder = builder.no_proxy()
            self._url = Url(url)
            self._client: Client = builder.build()
        except (BuilderError, ValueError):
            failures.raise_bad_address()

    async def post(self, content: bytes) -> RawReply:
        """See `Transport`."""
        request = self._client.post(self._url).body_bytes(content)
        if self._changed:
            request = request.headers(self._changed)
        # The body is not read before status and headers are known.
        call = request.streamed_read_buffer_limit(0).build_streamed()
        headers: Mapping[str, str] = {}
        status, packing = 0, ""
        try:
            # As a stream, so that we decide how much of it is read, not the library.
            async with call as response:
                status, headers = response.status, _limits(response)
                packing = _packing(response)
                found = await response.body_reader.read(body_limit(status) + 1)
        except asyncio.CancelledError:
            # The library raises its own; the caller must get the original cancellation.
            await checkpoint()
            raise
        except RequestError as error:
            if status and not is_success(status):
                return RawReply(status, headers, b"")  # the status says enough
            _raise(error)
        body = found.to_bytes() if found is not None else b""
        try:
            body = unpack(body, packing, body_limit(status) + 1)
        except ProviderError:
            if is_success(status):
                raise
            body = b""  # the status says enough
        return RawReply(status, headers, body)

    def set_header(self, name: str, value: str) -> None:
        """See `Transport`."""
        self._changed[name] = value

    async def aclose(self) -> None:
        """See `Transport`."""
        await self._client.close()


def _packing(response: Response) -> str:
    """Return the remaining content encoding: the library removes the header if it decompresses."""
    try:
        return response.headers.get("content-encoding") or ""
    except ValueError:
        return "unknown"


def _limits(response: Response) -> Mapping[str, str]:
    """Return the headers about limits. Only those are decoded: others may hold arbitrary bytes."""
    kept: dict[str, str] = {}
    for name in response.headers:  # hyper gives them in lower case
        if name.startswith(LIMIT_HEADERS):
            with suppress(ValueError):
                kept[name] = response.headers[name]
    return limit_headers(kept)


def _raise(error: RequestError) -> NoReturn:
    """Name a failure below HTTP.

    The exception's type does not tell whether the request was sent (a server that closes without a
    response is a ConnectError too), so its causes are matched with fixed phrases of reqwest, hyper,
    rustls, and the operating system. None of them enters our message.
    """
    causes = [cause["message"] for cause in error.details["causes"] or ()]
    if isinstance(error, BuilderError):
        failures.raise_bad_address()
    unsent = "client error (Connect)" in causes
    if isinstance(error, RequestTimeoutError):
        failures.raise_timeout(sent=not unsent)
    if unsent:
        _raise_unsent(causes)
    is_body = isinstance(error, BodyDecodeError) or "request or response body error" in causes
    if is_body and "error reading a body from connection" not in causes:
        failures.raise_bad_encoding()
    failures.raise_broken(sent=True)


def _raise_unsent(causes: list[str]) -> NoReturn:
    last = causes[-1]
    if any("socks" in cause.lower() or "proxy" in cause.lower() for cause in causes[1:]):
        failures.raise_no_proxy()
    if "dns error" in causes:
        failures.raise_unknown_host()
    if "tcp connect error" in causes or "(os error " in last or last.endswith(" eof"):
        failures.raise_refused()
    if last.startswith("tunnel error"):
        failures.raise_bad_address()
    failures.raise_no_tls()
