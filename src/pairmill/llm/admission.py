"""Admission of calls: grants a turn, which is given back after the call."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from pairmill.errors import ProviderError
    from pairmill.llm.budget import PricedUsage
    from pairmill.llm.providers.provider import Mode, Provider, ProviderReply
    from pairmill.records import Request

__all__ = ["Admission", "Flight", "SendLog", "Turn"]


class Turn(Protocol):
    """The right to make one call, and where to make it. Ended once, in one of four ways."""

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
        """Request to send: the question, with the model's name as this server knows it."""
        ...

    def answered(self, reply: ProviderReply) -> PricedUsage:
        """End with an answer; returns what it is charged."""
        ...

    @property
    def pool(self) -> str:
        """Name of the pool that was asked."""
        ...

    @property
    def charge(self) -> PricedUsage | None:
        """Charge of the call, once it has ended; None: nothing."""
        ...

    def failed(self, error: ProviderError) -> bool:
        """End with a failure; returns whether the pool answers others meanwhile."""
        ...

    @property
    def is_held(self) -> bool:
        """After ``failed``: whether the pool's gate makes all calls wait, this one included."""
        ...

    def abandoned(self) -> None:
        """End without knowing: it was sent, and cancelled before an answer came."""
        ...

    def give_back(self) -> None:
        """End unused: nothing was sent."""
        ...


class Admission(Protocol):
    """Decides when a call may go, and where."""

    async def admit(
        self, request: Request, *, is_retry: bool, avoid: frozenset[str] = frozenset()
    ) -> Turn:
        """Wait for a turn. Cancelling the wait leaves nothing behind.

        Args:
            request: What is to be asked.
            is_retry: It was asked before.
            avoid: Pools that failed at it: asked again only where there is no other.

        Raises:
            StoppedError: No turn will come any more.
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
        """Return once all that was counted is durable."""
        ...

    @property
    def is_behind(self) -> bool:
        """True if nothing may be bought now, since it could not be kept."""
        ...

    async def wait_for_room(self) -> None:
        """Return once what is bought can be kept."""
        ...


class Flight(Protocol):
    """Tracks who waits for an answer, and whether anything may still be sent."""

    def check(self) -> None:
        """Raise whatever ends the caller's work, if nothing may be sent any more."""
        ...

    def begin(self) -> None:
        """Record that the calling task sends something now; raises like ``check``."""
        ...

    def end(self) -> None:
        """Record that the calling task no longer waits."""
        ...
