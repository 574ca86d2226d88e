"""Access control of the server: this machine's own browser, with the token, from its own page.

No cookie is set: other servers on this machine would get it too, whatever their port. Every
question carries the token in a header, which no foreign page can send.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from typing import TYPE_CHECKING

from starlette.datastructures import Headers, MutableHeaders, QueryParams
from starlette.responses import JSONResponse, PlainTextResponse

from pairmill.hosts import is_known

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ["TOKEN_HEADER", "AccessRules", "Guard"]

TOKEN_HEADER = "X-Pairmill-Token"  # noqa: S105 (a name)
_STRANGER = (
    "The token is missing or wrong. Open the address that 'pairmill view' printed when it was"
    " started; each start has a new one."
)
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-Frame-Options": "DENY",
    "Cache-Control": "no-store",
}
_READS = frozenset({"GET", "HEAD"})


@dataclass(frozen=True, slots=True)
class AccessRules:
    """Rules for accepting requests.

    Attributes:
        token: The secret of this start.
        port: Where it listens.
        names: Names under which it may be called, in lower case, without the port.
        fronts: What else may be in ``Host``, word for word: behind a tunnel or a proxy.
        any_address: Numeric addresses are taken too, as where it listens on all of them: a page
            that points its own name at this machine still comes under that name.
    """

    token: str
    port: int
    names: frozenset[str]
    any_address: bool = False
    fronts: frozenset[str] = frozenset()

    def takes_host(self, host: str) -> bool:
        """Return whether a ``Host`` header names this server."""
        if host.strip().lower() in self.fronts:
            return True
        return is_known(host, self.names, any_address=self.any_address, port=self.port)

    def takes_origin(self, origin: str, host: str) -> bool:
        """Return whether an ``Origin`` header is that of our own page, under its current name."""
        name = host.strip().lower()
        return origin.strip().lower() in {f"http://{name}", f"https://{name}"}

    def takes_token(self, token: str | None) -> bool:
        """Return whether it is the secret, compared in constant time."""
        return token is not None and hmac.compare_digest(
            token.encode("utf-8", "replace"), self.token.encode()
        )


class Guard:
    """ASGI middleware: refuses what the rules do not accept, and adds headers to every answer."""

    def __init__(self, app: ASGIApp, access: AccessRules, policy: str) -> None:
        self._app = app
        self._access = access
        self._headers = {
            **_HEADERS,
            "Content-Security-Policy": f"{policy}; frame-ancestors 'none'",
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            return  # no web sockets here

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(self._headers)
            await send(message)

        refusal = self._refusal(scope)
        await (refusal or self._app)(scope, receive, send_guarded)

    def _refusal(self, scope: Scope) -> PlainTextResponse | JSONResponse | None:
        headers = Headers(scope=scope)
        hosts = headers.getlist("host")
        if len(hosts) != 1 or not self._access.takes_host(hosts[0]):
            return PlainTextResponse("This name is not one of this server.\n", 421)
        origin = headers.get("origin")
        if origin is not None and not self._access.takes_origin(origin, hosts[0]):
            return PlainTextResponse("Only the page of this server may ask.\n", 403)
        if scope["path"] == "/favicon.ico":
            return None
        if scope["path"] == "/":
            given = QueryParams(scope["query_string"]).getlist("token")
            is_known = len(given) == 1 and self._access.takes_token(given[0])
            return None if is_known else PlainTextResponse(f"{_STRANGER}\n", 403)
        return self._refusal_of_question(scope["method"], headers)

    def _refusal_of_question(self, method: str, headers: Headers) -> JSONResponse | None:
        # A browser says where a question comes from; what other pages ask has no business here.
        if headers.get("sec-fetch-site", "same-origin") not in {"same-origin", "none"}:
            return JSONResponse({"error": "only the page of this server may ask"}, 403)
        if not self._access.takes_token(headers.get(TOKEN_HEADER)):
            return JSONResponse({"error": _STRANGER}, 403)
        kind = headers.get("content-type", "").partition(";")[0].strip().lower()
        if method not in _READS and kind != "application/json":
            return JSONResponse({"error": "send JSON"}, 415)
        return None
