"""Admission of calls: grants the right to make a call, which is given back after the call."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from pairmill.errors import ProviderError
    from pairmill.llm.budget import PricedUsage
    from pairmill.llm.providers.provider import Mode, Provider, ProviderReply
    from pairmill.records import Request

__all__ = ["Admission", "Flight", "SendLog", "Turn"]


class Turn(Protocol):
    """The right to make one call, and where to make it. Ends once, in one of four ways."""

    @property
    def provider(self) -> Provider:
        """Provider to use."""
        ...

    @property
    def mode(self) -> Mode:
        """Structured-output mode of this server."""
        ...

    @property
    def request(self) -> Request:
        """Request to send, with the model's name at this server."""
        ...

    def answered(self, reply: ProviderReply) -> PricedUsage:
        """End with an answer; return its charge."""
        ...

    @property
    def pool(self) -> str:
        """Name of the pool that was asked."""
        ...

    @property
    def charge(self) -> PricedUsage | None:
        """Charge of the call, once it has ended; None if there is none."""
        ...

    def failed(self, error: ProviderError) -> bool:
        """End with a failure; return whether the pool still answers other calls."""
        ...

    @property
    def is_held(self) -> bool:
        """After ``failed``: True if the pool's gate makes all calls wait, including this one."""
        ...

    def abandoned(self) -> None:
        """End with an unknown outcome: it was sent, but cancelled before an answer came."""
        ...

    def give_back(self) -> None:
        """End unused: nothing was sent."""
        ...


class Admission(Protocol):
    """Decides when a call may go, and where."""

    async def admit(
        self, request: Request, *, is_retry: bool, avoid: frozenset[str] = frozenset()
    ) -> Turn:
        """Wait until the call may be made. Cancelling the wait has no side effects.

        Args:
            request: What to ask.
            is_retry: True if it was sent before.
            avoid: Pools that failed it, used again only if there is no other.

        Raises:
            StoppedError: No call will be admitted any more.
        """
        ...

    def has_other(self, request: Request, tried: frozenset[str]) -> bool:
        """Return whether a pool that was not ``tried`` can be asked.

        Raises:
            StoppedError: None is left at all.
        """
        ...


class SendLog(Protocol):
    """Counts one request's sends that may have been billed without an answer, over all starts."""

    @property
    def count(self) -> int:
        """Number of sends before now."""
        ...

    def failed(self, error: ProviderError) -> None:
        """Count one more."""
        ...

    async def kept(self) -> None:
        """Wait until all counts are durable."""
        ...

    @property
    def is_behind(self) -> bool:
        """True if nothing may be bought now, since it could not be stored."""
        ...

    async def wait_for_room(self) -> None:
        """Wait until answers can be stored."""
        ...


class Flight(Protocol):
    """Tracks tasks that wait for an answer, and whether anything may still be sent."""

    def check(self) -> None:
        """Raise an exception that ends the caller's work if nothing may be sent any more."""
        ...

    def begin(self) -> None:
        """Record that the calling task sends something now; raises like ``check``."""
        ...

    def end(self) -> None:
        """Record that the calling task no longer waits."""
        ...
