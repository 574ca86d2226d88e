"""Names failures below HTTP, in the same words for every HTTP client.

Each function raises. Only the type of a library's error is used, never its text or a request.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

from pairmill.errors import Kind, ProviderError
from pairmill.llm.classify import classify
from pairmill.llm.masking import masked_line

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "raise_bad_address",
    "raise_bad_encoding",
    "raise_broken",
    "raise_no_proxy",
    "raise_no_tls",
    "raise_redirect",
    "raise_refused",
    "raise_timeout",
    "raise_too_large",
    "raise_unknown_encoding",
    "raise_unknown_host",
]

_SEE_OTHER = 303
_MOST_CHARS = 200  # longest part of an address


def raise_timeout(*, sent: bool) -> NoReturn:
    """Raise for a timeout: no answer (it may be billed), or not even a connection."""
    if sent:
        raise ProviderError(
            Kind.TIMEOUT, "no answer in time", code="timeout", maybe_paid=True
        ) from None
    raise ProviderError(
        Kind.OVERLOAD, "no connection to the endpoint in time", code="connect_timeout"
    ) from None


def raise_broken(*, sent: bool) -> NoReturn:
    """Raise for a broken connection; if the request was sent, it may be billed."""
    raise ProviderError(
        Kind.LOST if sent else Kind.OVERLOAD,
        "the connection broke before the answer was complete" if sent else "the connection broke",
        code="connection",
        maybe_paid=sent,
    ) from None


def raise_refused() -> NoReturn:
    """Raise for a refused connection."""
    raise ProviderError(
        Kind.OVERLOAD, "the endpoint does not accept connections", code="refused"
    ) from None


def raise_unknown_host() -> NoReturn:
    """Raise for a host name that does not resolve, or an unreachable name server."""
    raise ProviderError(
        Kind.OVERLOAD, "the endpoint's host name cannot be resolved", code="dns"
    ) from None


def raise_no_tls() -> NoReturn:
    """Raise for a server without TLS, or without trusted TLS."""
    raise ProviderError(
        Kind.CONFIG,
        "no trusted TLS connection to the endpoint; check base_url and certificates",
        code="tls",
    ) from None


def raise_bad_address() -> NoReturn:
    """Raise for an invalid address, or a proxy that refuses us."""
    raise ProviderError(
        Kind.CONFIG,
        "the endpoint's address (or the proxy on the way) cannot be used",
        code="address",
    ) from None


def raise_bad_encoding() -> NoReturn:
    """Raise for a reply that cannot be decompressed."""
    raise ProviderError(
        Kind.LOST, "the reply's content encoding is broken", code="encoding", maybe_paid=True
    ) from None


def raise_unknown_encoding(name: str) -> NoReturn:
    """Raise for a reply with an unsupported content encoding, which was not asked for."""
    shown = "".join(char for char in name[:20] if char.isalnum() or char in "-_,") or "something"
    library = {"br": "; 'pip install brotli'", "zstd": "; 'pip install zstandard'"}.get(name, "")
    raise ProviderError(
        Kind.CONFIG,
        f"the endpoint sends its replies as '{shown}', which cannot be decompressed{library}, or"
        " have it (or the proxy in between) send them uncompressed",
        code="encoding",
        maybe_paid=True,
    ) from None


def raise_no_proxy() -> NoReturn:
    """Raise for a proxy from the environment that is unreachable or refuses us."""
    raise ProviderError(
        Kind.OVERLOAD,
        "the proxy that the environment names (ALL_PROXY, HTTPS_PROXY, HTTP_PROXY) does not"
        " connect",
        code="proxy",
    ) from None


def raise_too_large(limit_bytes: int, status: int, headers: Mapping[str, str]) -> NoReturn:
    """Raise for a reply that is too large; ``headers`` are those about limits."""
    raise ProviderError(
        Kind.BADOUT,
        f"the reply is longer than {limit_bytes >> 20} MiB",
        status=status,
        code="too_large",
        maybe_paid=True,
        headers=headers,
    ) from None


def raise_redirect(status: int, location: str = "") -> NoReturn:
    """Raise for a redirect to ``location``. A key is never sent to another address."""
    if status == _SEE_OTHER:
        raise classify(status, {}, None, now=0.0) from None
    place = f" to {masked_line(location, limit=_MOST_CHARS)}" if location else ""
    raise ProviderError(
        Kind.CONFIG,
        f"the endpoint redirects{place} (HTTP {status}); set base_url, or the path in a provider"
        " profile, to its final address",
        status=status,
        code="redirect",
    ) from None
