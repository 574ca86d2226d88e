"""Caps on dollars, tokens and hours.

The worst case is reserved before a call goes, so that however many are in flight, what is really
spent never passes the cap.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto
from typing import TYPE_CHECKING

from pairmill.errors import ConfigError
from pairmill.llm.prices import dollars

if TYPE_CHECKING:
    from pairmill.llm.prices import Price
    from pairmill.records import Usage

__all__ = ["Budget", "CallOutcome", "Caps", "Reservation", "Spent"]


@dataclass(frozen=True, slots=True)
class Caps:
    """What a run may use up in all its starts together; None: as much as it likes."""

    picodollars: int | None = None
    tokens: int | None = None
    seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Spent:
    """What has been used up. Maybe-paid calls are in it at their worst."""

    picodollars: int = 0
    tokens: int = 0
    seconds: float = 0.0


class CallOutcome(Enum):
    """How a call ended, for the purse."""

    FREE = auto()  # it failed for nothing, or was never sent: all is given back
    MAYBE_PAID = auto()  # no one knows: the reservation is spent
    ANSWERED = auto()  # the usage says what it cost


@dataclass(slots=True)
class Reservation:
    """The most that one call may use, set aside. Settle it once; a second time does nothing."""

    price: Price | None
    picodollars: int
    tokens: int
    is_open: bool = True


class Budget:
    """The run's purse.

    Attributes:
        exhausted: Why no call may be reserved any more, as one line; None while they may.
    """

    def __init__(self, caps: Caps, *, now: float, spent: Spent | None = None) -> None:
        self._caps = caps
        self._spent = spent or Spent()
        self._began_at = now
        self._picodollars = self._spent.picodollars
        self._tokens = self._spent.tokens
        self._reserved_picodollars = 0
        self._reserved_tokens = 0
        self.exhausted: str | None = None

    def check_price(self, model: str, price: Price | None) -> None:
        """Refuse a cap in dollars for a model without a price: it could not be held.

        Raises:
            ConfigError: There is such a cap, and no price.
        """
        if self._caps.picodollars is not None and price is None:
            raise ConfigError(
                f"the price of '{model}' is not known, so a cap in dollars cannot be held; "
                "give its price in a price file, or use a cap in tokens"
            )

    def reserve(
        self, prompt_tokens: int, max_tokens: int, price: Price | None, now: float
    ) -> Reservation | None:
        """Set the worst case of a call aside; None if it does not fit any more.

        Args:
            prompt_tokens: As many as the prompt may have: ``estimate.worst_prompt_tokens``.
            max_tokens: As many as the answer may have.
            price: The model's price; None: not known, it counts no dollars.
            now: The time, on the clock that the constructor was given.
        """
        tokens = prompt_tokens + max_tokens
        cost = price.worst(prompt_tokens, max_tokens) if price else 0
        reason = self._refusal(cost, tokens, now)
        if reason is not None:
            # Calls in flight may still give some back; the run is over only when none are.
            if not self._reserved_tokens or self._is_late(now):
                self.exhausted = reason
            return None
        self._reserved_picodollars += cost
        self._reserved_tokens += tokens
        return Reservation(price, cost, tokens)

    def settle(
        self, reservation: Reservation, fate: CallOutcome, usage: Usage | None = None
    ) -> None:
        """End a reservation: give it back, spend it, or spend what the call really used.

        An answer without a usage is spent as reserved. A usage above the reservation (a server
        that ignores ``max_tokens``) is spent as it is.
        """
        if not reservation.is_open:
            return
        reservation.is_open = False
        self._reserved_picodollars -= reservation.picodollars
        self._reserved_tokens -= reservation.tokens
        if fate is CallOutcome.FREE:
            return
        cost, tokens = reservation.picodollars, reservation.tokens
        if fate is CallOutcome.ANSWERED and usage is not None and usage.prompt_tokens > 0:
            tokens = usage.prompt_tokens + usage.completion_tokens
            cost = reservation.price.cost(usage) if reservation.price else 0
        self._picodollars += cost
        self._tokens += tokens

    def spent(self, now: float) -> Spent:
        """What is used up, to be kept for the next start."""
        seconds = self._spent.seconds + (now - self._began_at)
        return Spent(self._picodollars, self._tokens, seconds)

    @property
    def reserved(self) -> Spent:
        """What the calls in flight may still use."""
        return Spent(self._reserved_picodollars, self._reserved_tokens)

    def _is_late(self, now: float) -> bool:
        cap = self._caps.seconds
        return cap is not None and self.spent(now).seconds >= cap

    def _refusal(self, cost: int, tokens: int, now: float) -> str | None:
        caps = self._caps
        if self._is_late(now):
            return f"the cap of {(caps.seconds or 0.0) / 3600:g} hours is reached"
        if caps.picodollars is not None:
            used = self._picodollars + self._reserved_picodollars
            if used + cost > caps.picodollars:
                return (
                    f"the cap of {dollars(caps.picodollars, 2)} is reached: "
                    f"{dollars(self._picodollars)} spent, the next call may cost {dollars(cost)}"
                )
        used_tokens = self._tokens + self._reserved_tokens
        if caps.tokens is not None and used_tokens + tokens > caps.tokens:
            return (
                f"the cap of {caps.tokens:,} tokens is reached: "
                f"{self._tokens:,} used, the next call may take {tokens:,}"
            )
        return None
