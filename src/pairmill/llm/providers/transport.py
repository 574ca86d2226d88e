"""What carries a request's bytes to an endpoint, and a reply's bytes back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["RawReply", "Transport"]


class RawReply(Struct, frozen=True):
    """A reply as it came.

    Attributes:
        headers: Those about limits, names in lower case (`replies.limit_headers`).
        body: Unpacked; of a body beyond its limit, one byte more than that limit at least.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes


class Transport(Protocol):
    """Connections to one endpoint, kept and used again."""

    async def post(self, content: bytes) -> RawReply:
        """Send a JSON body once, and return what came back, whatever its status.

        Raises:
            ProviderError: There is no reply; see ``failures``.
        """
        ...

    def set_header(self, name: str, value: str) -> None:
        """Send a header with all calls from now on, such as a key that was renewed."""
        ...

    async def aclose(self) -> None:
        """Close all connections."""
        ...
