"""The direct wire: bytes in and bytes out, over an HTTP client that is written in Rust.

For endpoints that take a plain key. Connections, TLS, proxies, unpacking and deadlines are the work
of pyreqwest (over hyper and rustls), outside Python: a call costs a small part of the processor
time that the SDK takes for it. TLS trusts what the system trusts, and proxies come from the
environment, as in the SDK's wire. Whatever goes wrong has the same name on both.

One difference: a call that is cancelled is let go at once, but pyreqwest keeps its connection until
the reply or the timeout. Calls are cancelled only when a run ends, and with its process they end.
"""

from __future__ import annotations

from contextlib import suppress
from datetime import timedelta
from typing import TYPE_CHECKING, NoReturn

from pyreqwest.client import ClientBuilder
from pyreqwest.exceptions import (
    BodyDecodeError,
    BuilderError,
    RequestError,
    RequestTimeoutError,
)
from pyreqwest.http import Url

from pairmill.llm.providers import failures
from pairmill.llm.providers.provider import Mode, Reply
from pairmill.llm.providers.replies import (
    BODY_LIMIT_BYTES,
    ERROR_LIMIT_BYTES,
    LIMIT_HEADERS,
    decode,
    limit_headers,
)
from pairmill.llm.providers.wire import Encoder, send

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pyreqwest.client import Client
    from pyreqwest.response import Response

    from pairmill.clock import Clock
    from pairmill.llm.endpoint import Endpoint
    from pairmill.records import Request

__all__ = ["DirectProvider", "account_headers"]

_CONNECT_S = 30.0
_KEEP_ALIVE_S = 60.0
_CONNECT_SHARE = 0.9  # of the read timeout, at most: what fires first tells whether it was sent
_SUCCESS = range(200, 300)
_REDIRECTS = range(300, 400)
_ACCOUNT = {"OPENAI_ORG_ID": "OpenAI-Organization", "OPENAI_PROJECT_ID": "OpenAI-Project"}


def account_headers(environ: Mapping[str, str]) -> dict[str, str]:
    """The headers that name an account's parts, from where the openai SDK takes them too."""
    return {header: value for name, header in _ACCOUNT.items() if (value := environ.get(name, ""))}


class DirectProvider:
    """A `Provider` over pyreqwest.

    Args:
        endpoint: Where to, and with which key.
        clock: For the moment that an answer is dated with.
        concurrency: The most calls that will ever be in flight: so many connections are kept.
        timeout_s: Longest silence of the server, once the request is sent.
        connect_timeout_s: Longest time to get a connection. Both together bound a whole call.
        headers: More headers for every call, such as those of ``account_headers``.

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
    ) -> None:
        self._clock = clock
        self._encoder = Encoder()
        key = endpoint.key.reveal()
        self._secrets = tuple(filter(None, (key,)))
        given = {
            "Content-Type": "application/json",
            "Accept": "application/json",
            **(headers or {}),
        }
        if key:
            given["Authorization"] = f"Bearer {key}"
        builder = (
            ClientBuilder()
            .default_headers(given)
            .user_agent("pairmill")
            .follow_redirects(enable=False)
            .pool_max_idle_per_host(concurrency)
            .pool_idle_timeout(timedelta(seconds=_KEEP_ALIVE_S))
            .connect_timeout(timedelta(seconds=min(connect_timeout_s, _CONNECT_SHARE * timeout_s)))
            .read_timeout(timedelta(seconds=timeout_s))
            .timeout(timedelta(seconds=timeout_s + connect_timeout_s))
        )
        if endpoint.is_loopback:
            builder = builder.no_proxy()  # a proxy is of no use on the way to ourselves
        try:
            self._url = Url(f"{endpoint.base_url}/chat/completions")
            self._client: Client = builder.build()
        except (BuilderError, ValueError):
            failures.raise_bad_address()

    async def complete(self, request: Request, mode: Mode) -> Reply:
        """See `Provider`. A word that the model refuses is left out from then on."""
        return await send(self._encoder, request, mode, self._ask)

    async def aclose(self) -> None:
        """See `Provider`."""
        await self._client.close()

    async def _ask(self, content: bytes) -> Reply:
        call = self._client.post(self._url).body_bytes(content).build_streamed()
        try:
            # As a stream, so that we and not the library decide how much of it is read.
            async with call as response:
                status, headers = response.status, _limits(response)
                limit = BODY_LIMIT_BYTES if status in _SUCCESS else ERROR_LIMIT_BYTES
                found = await response.body_reader.read(limit + 1)
        except RequestError as error:
            _raise(error)
        body = found.to_bytes() if found is not None else b""
        if status in _REDIRECTS:
            failures.raise_redirect(status)
        if status in _SUCCESS and len(body) > limit:
            failures.raise_too_large(limit, status, headers)
        now = self._clock.time()
        return Reply(decode(status, headers, body, now, self._secrets), headers)


def _limits(response: Response) -> Mapping[str, str]:
    """The headers about limits. Only those are decoded: any other may hold any bytes."""
    kept: dict[str, str] = {}
    for name in response.headers:  # hyper gives them in lower case
        if name.startswith(LIMIT_HEADERS):
            with suppress(ValueError):
                kept[name] = response.headers[name]
    return limit_headers(kept)


def _raise(error: RequestError) -> NoReturn:
    """Name a failure below HTTP.

    The exception's type does not say whether the request was sent (a server that closes without a
    word is a ConnectError too), so the causes are asked: fixed phrases of reqwest, hyper and
    rustls, the last one the operating system's. None of them gets into our text.
    """
    causes = [cause["message"] for cause in error.details["causes"] or ()]
    if isinstance(error, BuilderError):
        failures.raise_bad_address()
    unsent = "client error (Connect)" in causes
    if isinstance(error, RequestTimeoutError):
        failures.raise_timeout(sent=not unsent)
    if unsent:
        _raise_unsent(causes)
    if isinstance(error, BodyDecodeError) and "error reading a body from connection" not in causes:
        failures.raise_bad_encoding()
    failures.raise_broken(sent=True)


def _raise_unsent(causes: list[str]) -> NoReturn:
    last = causes[-1]
    if "dns error" in causes:
        failures.raise_unknown_host()
    if "tcp connect error" in causes or "(os error " in last or last.endswith(" eof"):
        failures.raise_refused()
    if last.startswith("tunnel error"):
        failures.raise_bad_address()
    failures.raise_no_tls()
