"""HTTP clients, with certificates and proxies from the environment.

The variables are the usual ones (``SSL_CERT_FILE``, ``SSL_CERT_DIR``; ``HTTPS_PROXY``,
``HTTP_PROXY``, ``ALL_PROXY``, ``NO_PROXY``), but servers on this machine are always reached without
a proxy.
"""

from __future__ import annotations

import os
import ssl
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import httpx2

from pairmill.display import sanitize
from pairmill.errors import ConfigError

__all__ = ["NO_PROXY", "check_environment", "make_client"]

_PROXIES = frozenset({"http", "https", "socks4", "socks4a", "socks5", "socks5h"})
NO_PROXY = (
    "the environment names a proxy (ALL_PROXY, HTTPS_PROXY or HTTP_PROXY) that is not an address"
    " such as http://host:3128"
)


def check_environment(url: str, *, is_loopback: bool) -> None:
    """Refuse unreadable certificates, and a proxy that is not an address.

    Otherwise one client would raise its library's error, and another would ignore them.

    Raises:
        ConfigError: A file or proxy cannot be used. The message never contains a proxy's address,
            which may include a password.
    """
    parts = urlsplit(url)
    path = os.environ.get("SSL_CERT_FILE", "")
    if parts.scheme == "https" and path:
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cafile=path)
        except OSError as error:
            is_read = isinstance(error, ssl.SSLError)
            reason = "it holds no certificates (PEM)" if is_read else error.strerror
            raise ConfigError(f"SSL_CERT_FILE: {sanitize(path, 200)}: {reason}") from None
    if is_loopback or proxy_bypass(parts.netloc):
        return
    proxies = getproxies()
    proxy = proxies.get(parts.scheme) or proxies.get("all")
    if proxy and not _is_proxy(proxy):
        raise ConfigError(NO_PROXY)


def _is_proxy(value: str) -> bool:
    try:
        parts = urlsplit(value if "://" in value else f"http://{value}")
        parts.port  # noqa: B018 (it raises if it is not a number)
    except ValueError:
        return False
    has_host = bool(parts.hostname) and not set(parts.netloc) & set(" \t\r\n")
    return has_host and parts.scheme.lower() in _PROXIES


_LIMITS = httpx2.Limits()


def make_client(
    *, is_loopback: bool, limits: httpx2.Limits = _LIMITS, **options: Any
) -> httpx2.AsyncClient:
    """Return a client.

    Args:
        is_loopback: True if the server is on this machine.
        limits: Limits of its connections.
        options: More arguments of ``httpx2.AsyncClient``.

    Raises:
        ConfigError: The environment names a proxy that cannot be used.
    """
    try:
        if is_loopback:  # an explicit transport ignores proxies, but not certificates
            transport = httpx2.AsyncHTTPTransport(limits=limits)
            return httpx2.AsyncClient(transport=transport, **options)
        return httpx2.AsyncClient(limits=limits, **options)
    except ImportError:
        raise ConfigError(
            "the environment names a SOCKS proxy (ALL_PROXY, HTTPS_PROXY or HTTP_PROXY), which"
            " needs: pip install 'pairmill[socks]'"
        ) from None
    except (ValueError, httpx2.InvalidURL):
        raise ConfigError(NO_PROXY) from None
