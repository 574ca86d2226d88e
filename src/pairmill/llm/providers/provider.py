"""What a provider is: one wire to one endpoint, for one call at a time."""

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
    """How an answer's schema reaches the server, from the strongest way to the weakest."""

    JSON_SCHEMA = "json_schema"  # the server holds the answer to the schema
    JSON_OBJECT = "json_object"  # the server promises some JSON; the schema is told in words
    PROMPT = "prompt"  # told in words, nothing is promised


class ProviderReply(Struct, frozen=True):
    """A completion, and what the reply said about the endpoint's limits.

    Attributes:
        headers: The rate-limit headers only, names in lower case. They are for the gate.
    """

    completion: Completion
    headers: Mapping[str, str] = MappingProxyType({})


class Provider(Protocol):
    """One wire to one endpoint. It neither waits, limits nor repeats: it asks once."""

    async def complete(self, request: Request, mode: Mode) -> ProviderReply:
        """Ask once, and return what came back.

        Raises:
            ProviderError: Nothing usable came back; nothing else is raised for a failed call.
        """
        ...

    async def aclose(self) -> None:
        """Close all connections."""
        ...
