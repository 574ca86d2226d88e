"""Interface of providers: a client of one endpoint, for single calls."""

from __future__ import annotations

from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING, Protocol

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pairmill.records import Completion, Request

__all__ = ["Mode", "Provider", "ProviderReply"]


class Mode(StrEnum):
    """Structured-output mode, from the strongest to the weakest."""

    JSON_SCHEMA = "json_schema"  # the server enforces the schema
    JSON_OBJECT = "json_object"  # the server promises some JSON; the prompt describes the schema
    PROMPT = "prompt"  # the prompt describes the schema, nothing is promised


class ProviderReply(Struct, frozen=True):
    """A completion, and the reply's rate-limit headers.

    Attributes:
        headers: Only the rate-limit headers, names in lower case, for the gate.
    """

    completion: Completion
    headers: Mapping[str, str] = MappingProxyType({})


class Provider(Protocol):
    """A client of one endpoint. It does not wait, limit or retry: it asks once."""

    async def complete(self, request: Request, mode: Mode) -> ProviderReply:
        """Ask once, and return the reply.

        Raises:
            ProviderError: There was no usable reply; failed calls raise nothing else.
        """
        ...

    async def aclose(self) -> None:
        """Close all connections."""
        ...
