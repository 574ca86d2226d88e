"""Interface of transports: send a request's bytes to an endpoint, and receive a reply's bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["RawReply", "Transport"]


class RawReply(Struct, frozen=True):
    """A reply as received.

    Attributes:
        headers: Headers about limits, names in lower case (`replies.limit_headers`).
        body: Decompressed; of a body that exceeds its limit, at least one byte more than that.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes


class Transport(Protocol):
    """Persistent connections to one endpoint."""

    async def post(self, content: bytes) -> RawReply:
        """Send a JSON body once, and return the reply, whatever its status.

        Raises:
            ProviderError: There is no reply; see ``failures``.
        """
        ...

    def set_header(self, name: str, value: str) -> None:
        """Send a header with all calls from now on, such as a renewed key."""
        ...

    async def aclose(self) -> None:
        """Close all connections."""
        ...
