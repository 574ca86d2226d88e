"""A client over the openai SDK: uses its connections, addresses and authentication only.

Its retries are off, since each retry must pass the gate. Its request and response types are not
used, since building them costs several times what sending does: bytes go in, bytes come out.
"""

from __future__ import annotations

import logging
import os
import socket
import ssl
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, NoReturn

import anyio
import httpx2

from pairmill.errors import ProviderError
from pairmill.llm.masking import hide_in_headers
from pairmill.llm.providers import failures
from pairmill.llm.providers.bodies import unpack
from pairmill.llm.providers.endpoint import RenewedKey, secrets_of
from pairmill.llm.providers.network import make_client
from pairmill.llm.providers.provider import Mode, ProviderReply
from pairmill.llm.providers.replies import body_limit, decode, limit_headers
from pairmill.llm.providers.requests import RequestEncoder, send

if TYPE_CHECKING:
    from collections.abc import Iterator

    from openai import AsyncOpenAI

    from pairmill.clock import Clock
    from pairmill.llm.providers.endpoint import Endpoint
    from pairmill.records import Request

__all__ = ["SdkProvider"]

_CONNECT_S = 30.0  # with a thousand calls in flight, a busy event loop alone exceeds 5 s
_KEEP_ALIVE_S = 60.0
_SPARE_CONNECTIONS = 16  # for connections that are closing while new ones open
_OF_THE_SDK = ("Authorization", "Bearer ")
_UNUSED_KEY = "unused"  # the SDK requires a key; an endpoint without one ignores it


class SdkProvider:
    """A `Provider` over ``openai.AsyncOpenAI``.

    Args:
        endpoint: Address and key.
        clock: Clock to date answers with.
        concurrency: Maximum calls in flight: sizes the connection pool.
        timeout_s: Maximum silence of the server, once the request is sent.
        connect_timeout_s: Maximum time to get a connection. Both together bound a whole call.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        clock: Clock,
        *,
        concurrency: int,
        timeout_s: float = 120.0,
        connect_timeout_s: float = _CONNECT_S,
        encoder: RequestEncoder | None = None,
    ) -> None:
        from openai import AsyncOpenAI, Omit  # noqa: PLC0415 (0.5 s; not every command asks a model)

        for name in ("httpx2", "httpcore2", "openai"):
            logger = logging.getLogger(name)  # a line per call, some of which include the address
            if logger.level == logging.NOTSET:
                logger.setLevel(logging.WARNING)
        self._clock = clock
        self._endpoint = endpoint
        self._encoder = encoder or RequestEncoder(endpoint.profile, endpoint.options)
        self._keys = RenewedKey(endpoint.profile.key, clock) if endpoint.profile.key else None
        self._deadline_s = timeout_s + connect_timeout_s
        self._secrets = secrets_of(endpoint)
        self._headers: dict[str, str | Omit] = {
            "Content-Type": "application/json",
            **endpoint.headers(os.environ),
        }
        key = endpoint.key.reveal()
        if key and (endpoint.profile.auth_header, endpoint.profile.auth_prefix) != _OF_THE_SDK:
            name, value = endpoint.key_header(key)
            self._headers |= {"Authorization": Omit(), name: value}
        connections = concurrency + _SPARE_CONNECTIONS
        http = make_client(
            is_loopback=endpoint.is_loopback,
            base_url=endpoint.base_url,
            timeout=httpx2.Timeout(timeout_s, connect=connect_timeout_s, pool=connect_timeout_s),
            limits=httpx2.Limits(
                max_connections=connections,
                max_keepalive_connections=connections,
                keepalive_expiry=_KEEP_ALIVE_S,
            ),
            follow_redirects=False,
            event_hooks={"response": [self._refuse_failure]},
        )
        self._client: AsyncOpenAI = AsyncOpenAI(
            api_key=endpoint.key.reveal() or _UNUSED_KEY,
            base_url=endpoint.base_url,
            max_retries=0,
            timeout=http.timeout,
            http_client=http,
        )

    async def complete(self, request: Request, mode: Mode) -> ProviderReply:
        """See `Provider`. A parameter that the model refuses is left out from then on."""
        ask = self._ask if self._keys is None else self._ask_with_fresh_key
        return await send(self._encoder, request, mode, ask)

    async def aclose(self) -> None:
        """See `Provider`."""
        await self._client.close()

    async def _ask_with_fresh_key(self, content: bytes) -> ProviderReply:
        assert self._keys is not None  # noqa: S101 (else this is not called)
        return await self._keys.ask(self._renew, partial(self._ask, content))

    def _renew(self, key: str) -> bool:
        """Renew the key; return whether it changed."""
        if key in self._secrets:
            return False
        self._secrets = (*self._secrets[-3:], key)
        name, value = self._endpoint.key_header(key)
        self._headers |= {name: value}
        return True

    async def _ask(self, content: bytes) -> ProviderReply:
        from openai import OpenAIError  # noqa: PLC0415 (already loaded)

        try:
            with anyio.fail_after(self._deadline_s):
                # As a stream, so that we decide how much of it is read, not the library.
                response = await self._client.post(
                    self._endpoint.url,
                    cast_to=httpx2.Response,
                    content=content,
                    options={"headers": self._headers},
                    stream=True,
                )
                try:
                    body = await _read(response)
                finally:
                    await response.aclose()
        except TimeoutError:
            failures.raise_timeout(sent=True)
        except (OpenAIError, httpx2.HTTPError, ssl.SSLError, anyio.EndOfStream) as error:
            _raise_transport(error)
        now = self._clock.time()
        headers = hide_in_headers(limit_headers(response.headers), self._secrets)
        completion = decode(
            response.status_code,
            headers,
            body,
            now,
            self._secrets,
            keep_reasoning=self._endpoint.options.keep_reasoning,
        )
        return ProviderReply(completion, headers)

    async def _refuse_failure(self, response: httpx2.Response) -> None:
        """Read and name a failure before the SDK builds its own error, whose size is unbounded."""
        if response.is_success:
            return
        body = b""
        with suppress(ProviderError):  # the status says enough
            body = await _read(response)
        headers = hide_in_headers(limit_headers(response.headers), self._secrets)
        if response.is_redirect:
            failures.raise_redirect(response.status_code, headers.get("location", ""))
        now = self._clock.time()
        decode(response.status_code, headers, body, now, self._secrets)


async def _read(response: httpx2.Response) -> bytes:
    """Read a body; only the beginning if the call failed."""
    parts: list[bytes] = []
    size, limit = 0, body_limit(response.status_code)
    async for part in response.aiter_raw():
        parts.append(part)
        size += len(part)
        if size > limit:
            if not response.is_success:
                break
            kept = limit_headers(response.headers)
            failures.raise_too_large(limit, response.status_code, kept)
    packing = response.headers.get("content-encoding", "")
    body = unpack(b"".join(parts), packing, limit + 1)
    if len(body) > limit and response.is_success:
        failures.raise_too_large(limit, response.status_code, limit_headers(response.headers))
    return body


def _chain(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    link: BaseException | None = error
    while link is not None and id(link) not in seen:
        seen.add(id(link))
        yield link
        link = link.__cause__ or link.__context__


def _raise_transport(error: BaseException) -> NoReturn:
    """Name a failure below HTTP. Only the type of the library's error is used, never its text."""
    links = list(_chain(error))

    def seen(*kinds: type[BaseException]) -> bool:
        return any(isinstance(link, kinds) for link in links)

    if seen(httpx2.ConnectTimeout, httpx2.PoolTimeout, httpx2.WriteTimeout):
        failures.raise_timeout(sent=False)
    if seen(httpx2.TimeoutException):
        failures.raise_timeout(sent=True)
    if seen(ssl.SSLError) and seen(httpx2.ConnectError) and not seen(ssl.SSLEOFError):
        failures.raise_no_tls()
    if seen(httpx2.UnsupportedProtocol, httpx2.InvalidURL, httpx2.ProxyError):
        failures.raise_bad_address()
    if seen(socket.gaierror):
        failures.raise_unknown_host()
    if seen(ConnectionRefusedError) or seen(httpx2.ConnectError):
        failures.raise_refused()
    failures.raise_broken(sent=not seen(httpx2.WriteError))
