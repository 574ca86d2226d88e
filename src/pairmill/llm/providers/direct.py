"""The direct wire: bytes out and bytes in, without the openai library.

For endpoints that take a plain key. A call takes a small fraction of the CPU time of the SDK. The
address decides the transport: plain HTTP runs on the event loop itself (`plain_http`), everything
else through an HTTP client in Rust (`reqwest`). Failures have the same names on every wire.
"""

from __future__ import annotations

import os
from functools import partial
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from pairmill.llm.masking import hide_in_headers
from pairmill.llm.providers import failures
from pairmill.llm.providers.endpoint import RenewedKey, secrets_of
from pairmill.llm.providers.provider import Mode, ProviderReply
from pairmill.llm.providers.replies import body_limit, decode, is_success
from pairmill.llm.providers.requests import RequestEncoder, send

if TYPE_CHECKING:
    from collections.abc import Coroutine, Mapping

    from pairmill.clock import Clock
    from pairmill.llm.providers.endpoint import Endpoint
    from pairmill.llm.providers.provider import Transport
    from pairmill.records import Request

__all__ = ["DirectProvider", "account_headers"]

_CONNECT_S = 30.0
# maximum share of the read timeout: which one fires first shows whether it was sent
_CONNECT_SHARE = 0.9
_REDIRECTS = range(300, 400)
_ACCOUNT = {"OPENAI_ORG_ID": "OpenAI-Organization", "OPENAI_PROJECT_ID": "OpenAI-Project"}


def account_headers(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the headers for organization and project, from the openai SDK's variables."""
    found = {header: environ.get(name, "").strip() for name, header in _ACCOUNT.items()}
    return {header: value for header, value in found.items() if value}


class DirectProvider:
    """A `Provider` that speaks HTTP without the openai library.

    Args:
        endpoint: Address and key.
        clock: Clock to date answers with.
        encoder: Encodes requests; one for the endpoint's profile if None.
        concurrency: Maximum calls in flight, and thus connections to keep.
        timeout_s: Maximum silence of the server, once the request is sent.
        connect_timeout_s: Maximum time to get a connection. Both together bound a whole call.
        headers: More headers for every call, such as those of ``account_headers``.
        plain: True to use the event loop itself for plain HTTP; by default if the extra ``fast``
            is installed.

    Raises:
        ProviderError: The address cannot be used.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        clock: Clock,
        *,
        concurrency: int,
        timeout_s: float = 120.0,
        connect_timeout_s: float = _CONNECT_S,
        headers: Mapping[str, str] | None = None,
        plain: bool | None = None,
        encoder: RequestEncoder | None = None,
    ) -> None:
        self._clock = clock
        self._endpoint = endpoint
        self._encoder = encoder or RequestEncoder(endpoint.profile, endpoint.options)
        self._keys = RenewedKey(endpoint.profile.key, clock) if endpoint.profile.key else None
        key = endpoint.key.reveal()
        self._secrets = secrets_of(endpoint)
        given = {
            "User-Agent": "pairmill",
            "Content-Type": "application/json",
            "Accept": "application/json",
            **(headers or {}),
            **endpoint.headers(os.environ),
        }
        if key:
            name, value = endpoint.key_header(key)
            given[name] = value
        self._transport = _transport(
            endpoint,
            given,
            concurrency=concurrency,
            timeout_s=timeout_s,
            connect_timeout_s=min(connect_timeout_s, _CONNECT_SHARE * timeout_s),
            plain=find_spec("httptools") is not None if plain is None else plain,
        )

    def complete(self, request: Request, mode: Mode) -> Coroutine[Any, Any, ProviderReply]:
        """See `Provider`. A parameter that the model refuses is left out from then on."""
        ask = self._ask if self._keys is None else self._ask_with_fresh_key
        return send(self._encoder, request, mode, ask)

    async def aclose(self) -> None:
        """See `Provider`."""
        await self._transport.aclose()

    async def _ask_with_fresh_key(self, content: bytes) -> ProviderReply:
        assert self._keys is not None  # noqa: S101 (else this is not called)
        return await self._keys.ask(self._renew, partial(self._ask, content))

    def _renew(self, key: str) -> bool:
        """Renew the key; return whether it changed."""
        if key in self._secrets:
            return False
        self._secrets = (*self._secrets[-3:], key)
        self._transport.set_header(*self._endpoint.key_header(key))
        return True

    async def _ask(self, content: bytes) -> ProviderReply:
        call = self._transport.post(content)
        del content  # some 8 KB that each call would keep while it waits
        reply = await call
        status, headers = reply.status, hide_in_headers(reply.headers, self._secrets)
        if status in _REDIRECTS:
            failures.raise_redirect(status, headers.get("location", ""))
        if is_success(status) and len(reply.body) > body_limit(status):
            failures.raise_too_large(body_limit(status), status, headers)
        now = self._clock.time()
        keep = self._endpoint.options.keep_reasoning
        completion = decode(status, headers, reply.body, now, self._secrets, keep_reasoning=keep)
        return ProviderReply(completion, headers)


def _transport(
    endpoint: Endpoint,
    headers: Mapping[str, str],
    *,
    concurrency: int,
    timeout_s: float,
    connect_timeout_s: float,
    plain: bool,
) -> Transport:
    url = endpoint.url
    if plain:
        from pairmill.llm.providers.plain_http import PlainTransport, is_plain  # noqa: PLC0415

        if is_plain(url, is_loopback=endpoint.is_loopback):
            return PlainTransport(
                url, headers, timeout_s=timeout_s, connect_timeout_s=connect_timeout_s
            )
    from pairmill.llm.providers.reqwest import ReqwestTransport  # noqa: PLC0415 (only if needed)

    return ReqwestTransport(
        url,
        headers,
        concurrency=concurrency,
        timeout_s=timeout_s,
        connect_timeout_s=connect_timeout_s,
        is_direct=endpoint.is_loopback,  # loopback needs no proxy
    )
