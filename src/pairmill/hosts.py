"""Which ``Host`` headers a server on this machine answers to; the view and the status server ask.

A page in somebody's browser may point a name of its own at this machine, and would then count as
coming from here (DNS rebinding). It still sends its own name, so that a server which takes numeric
addresses and names that it knows is not reached that way.
"""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection

__all__ = ["is_address", "is_known", "is_loopback", "split_host"]


def split_host(host: str) -> tuple[str, str]:
    """Return a ``Host`` header's name, in lower case, and its port; HTTP's own if it names none."""
    host = host.strip().lower()
    if host.startswith("["):
        name, bracket, rest = host[1:].partition("]")
        if not bracket or (rest and not rest.startswith(":")):
            return "", ""
        return name, rest.removeprefix(":") or "80"
    name, _, port = host.partition(":")
    return name, port or "80"


def is_known(host: str, names: Collection[str], *, any_address: bool, port: int | None) -> bool:
    """Return whether a ``Host`` header names this server.

    Args:
        host: As it came.
        names: Names and addresses under which the server may be called, in lower case.
        any_address: Every numeric address is taken too.
        port: The only one that is taken; None: any, since a proxy may be before it.
    """
    name, given = split_host(host)
    if port is not None and given != str(port):
        return False
    return name.rstrip(".") in names or (any_address and is_address(name))


def is_address(name: str) -> bool:
    """Return whether it is a numeric address, which cannot be rebound by DNS."""
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def is_loopback(host: str) -> bool:
    """Return whether an address or a name means this machine only."""
    return host == "localhost" or (is_address(host) and ipaddress.ip_address(host).is_loopback)
