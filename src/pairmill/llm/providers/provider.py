"""Interfaces of a provider, which completes requests, and of its transport, which sends bytes."""

from __future__ import annotations

from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING, Protocol

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pairmill.records import Completion, Request

__all__ = ["Mode", "Provider", "ProviderReply", "RawReply", "Transport"]


class Mode(StrEnum):
    """Structured-output mode, from the strongest to the weakest."""

    JSON_SCHEMA = "json_schema"  # the server enforces the schema
    JSON_OBJECT = "json_object"  # the server promises some JSON; the prompt describes the schema
    PROMPT = "prompt"  # the prompt describes the schema; the server promises nothing


class ProviderReply(Struct, frozen=True):
    """A completion, and the reply's rate-limit headers.

    Attributes:
        headers: Only the rate-limit headers, names in lower case, for the gate.
    """

    completion: Completion
    headers: Mapping[str, str] = MappingProxyType({})


class Provider(Protocol):
    """A client of one endpoint. It does not wait, limit or retry: it sends each request once."""

    async def complete(self, request: Request, mode: Mode) -> ProviderReply:
        """Send a request once, and return the reply.

        Raises:
            ProviderError: There was no usable reply; failed calls raise nothing else.
        """
        ...

    async def aclose(self) -> None:
        """Close all connections."""
        ...


class RawReply(Struct, frozen=True):
    """A reply as received.

    Attributes:
        headers: Headers about limits, names in lower case (`replies.limit_headers`).
        body: Decompressed body; of one that exceeds its limit, at least one byte more than that.
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
