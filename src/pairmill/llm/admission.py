"""What stands before each call: somebody who grants a turn, and the turn that is given back."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from pairmill.llm.budget import (
    Budget,
    CallOutcome,
    Caps,
    charge_answer,
    charge_lost,
    is_answer,
    worst_tokens,
)
from pairmill.llm.estimate import CHARS_PER_TOKEN, prompt_chars
from pairmill.records import Usage

if TYPE_CHECKING:
    from pairmill.errors import ProviderError
    from pairmill.llm.budget import Charge, Reservation
    from pairmill.llm.prices import Price
    from pairmill.llm.providers.provider import Mode, Provider, Reply
    from pairmill.records import Request

__all__ = ["Admission", "Flight", "Free", "FreeTurn", "Turn"]


class Turn(Protocol):
    """The right to make one call, and where to make it. Ended once, in one of four ways."""

    @property
    def provider(self) -> Provider:
        """The wire to use."""
        ...

    @property
    def mode(self) -> Mode:
        """How the answer's schema reaches this server."""
        ...

    @property
    def request(self) -> Request:
        """What to send: the question, with the model's name as this server knows it."""
        ...

    def answered(self, reply: Reply) -> Charge:
        """End with an answer; returns what it is charged."""
        ...

    def failed(self, error: ProviderError) -> Charge | None:
        """End with a failure; returns what it is charged all the same, if anything."""
        ...

    def abandoned(self) -> Charge:
        """End without knowing: it was sent, and cancelled before an answer came."""
        ...

    def give_back(self) -> None:
        """End unused: nothing was sent."""
        ...


class Admission(Protocol):
    """Decides when a call may go, and where."""

    async def admit(self, request: Request, *, is_retry: bool) -> Turn:
        """Wait for a turn. Cancelling the wait leaves nothing behind.

        Raises:
            StoppedError: No turn will come any more.
        """
        ...

    def has_other(self, error: ProviderError, request: Request) -> bool:
        """Whether somebody else can answer what failed for good with ``error``."""
        ...


class Flight(Protocol):
    """Knows who waits for an answer, and whether anything may still be sent."""

    def check(self) -> None:
        """Raise whatever ends the caller's work, if nothing may be sent any more."""
        ...

    def begin(self) -> None:
        """The calling task sends something now; raises as ``check`` does."""
        ...

    def end(self) -> None:
        """The calling task waits for nothing any more."""
        ...


@dataclass(frozen=True, slots=True)
class FreeTurn:
    """A turn that waits at no gate. It is charged, and covered by the budget, as any other."""

    provider: Provider
    mode: Mode
    request: Request
    _budget: Budget
    _price: Price | None
    _reservation: Reservation | None

    def answered(self, reply: Reply) -> Charge:
        """See `Turn`."""
        return self._paid(reply.completion.usage, len(reply.completion.text))

    def failed(self, error: ProviderError) -> Charge | None:
        """See `Turn`."""
        if is_answer(error):
            return self._paid(Usage(error.prompt_tokens, error.completion_tokens), 0)
        if error.maybe_paid:
            return self.abandoned()
        self.give_back()
        return None

    def abandoned(self) -> Charge:
        """See `Turn`."""
        if self._reservation is not None:
            self._budget.settle(self._reservation, CallOutcome.MAYBE_PAID)
        return charge_lost(self._price, worst_tokens(self.request), time.time())

    def give_back(self) -> None:
        """See `Turn`."""
        if self._reservation is not None:
            self._budget.settle(self._reservation, CallOutcome.FREE)

    def _paid(self, said: Usage, answer_chars: int) -> Charge:
        charge = charge_answer(
            said,
            self._price,
            prompt_chars=prompt_chars(self.request.prompt),
            answer_chars=answer_chars,
            chars_per_token=CHARS_PER_TOKEN,
            worst=lambda: worst_tokens(self.request),
            at=time.time(),
        )
        if self._reservation is not None:
            outcome = CallOutcome.ANSWERED
            self._budget.settle(self._reservation, outcome, charge, is_probe=True)
        return charge


class Free:
    """Admits every call at once, to one provider: for a handful of calls before a run begins.

    Args:
        budget: Covers them; None: a budget without caps.
        price: Of the provider's model, where it is known.

    Attributes:
        mode: How schemas are sent; may be changed between calls.
    """

    def __init__(
        self,
        provider: Provider,
        mode: Mode,
        budget: Budget | None = None,
        price: Price | None = None,
    ) -> None:
        self._provider = provider
        self.mode = mode
        self._budget = budget or Budget(Caps())
        self._price = price

    async def admit(self, request: Request, *, is_retry: bool) -> Turn:  # noqa: ARG002
        """See `Admission`."""
        reservation = None
        if self._budget.is_capped:
            reservation = await self._budget.reserve(request, self._price)
        return FreeTurn(self._provider, self.mode, request, self._budget, self._price, reservation)

    def has_other(self, error: ProviderError, request: Request) -> bool:  # noqa: ARG002
        """See `Admission`."""
        return False
