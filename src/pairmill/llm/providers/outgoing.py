"""Makes httpx2 clients: which certificates they trust, and which proxy they use.

Both come from the environment (``SSL_CERT_FILE``, ``SSL_CERT_DIR``; ``HTTPS_PROXY``,
``HTTP_PROXY``, ``ALL_PROXY``, ``NO_PROXY``), but this machine is always reached without a proxy.
"""

from __future__ import annotations

from typing import Any

import httpx2

from pairmill.errors import ConfigError
from pairmill.llm.providers.network_environment import NO_PROXY

__all__ = ["make_client"]

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
