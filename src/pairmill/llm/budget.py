"""Charges of calls, and caps on dollars, tokens and hours.

The worst case of a call is reserved before it is sent, so that spending never exceeds a cap,
however many calls are in flight. Afterwards a call is charged as the server counts; counts that are
missing or cannot be true are replaced.
"""

from __future__ import annotations

import asyncio
import math
import time
from dataclasses import dataclass
from dataclasses import replace as replace_caps
from enum import Enum, auto
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from pairmill.errors import Kind, StoppedError
from pairmill.llm.prices import dollars
from pairmill.llm.token_estimate import worst_constant_tokens, worst_text_tokens
from pairmill.records import Usage

if TYPE_CHECKING:
    from collections.abc import Callable

    from pairmill.errors import ProviderError
    from pairmill.llm.prices import Price
    from pairmill.records import Request

__all__ = [
    "Budget",
    "CallOutcome",
    "Caps",
    "PricedUsage",
    "Reservation",
    "Spent",
    "charge_answer",
    "charge_lost",
    "is_answer",
    "is_understated",
    "worst_tokens",
]

UNPROVEN_TOKENS = 32_768
"""Tokens assumed for an answer until the server was seen to respect ``max_tokens``."""

_MOST_OVER_FEWEST = 3.5  # ratio of a text's tokens to its lower bound; 3.3 for Vietnamese
_OVERRUN = 1.5  # after an answer longer than allowed, allow for longer ones
_MOST_CONSTANTS = 256
_MOST = 2**53  # a server may claim any number of tokens; sums of such charges still fit 64 bits
_NOTHING = Usage()


class CallOutcome(Enum):
    """How a call ended, for the budget."""

    FREE = auto()  # it failed at no cost, or was never sent: release the reservation
    MAYBE_PAID = auto()  # unknown: the reservation is spent
    ANSWERED = auto()  # it was answered, even if empty: spend its charge


@dataclass(frozen=True, slots=True)
class Caps:
    """What a run may spend over all starts; None: no limit."""

    picodollars: int | None = None
    tokens: int | None = None
    seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Spent:
    """What has been spent. Calls that may be billed are included at their maximum."""

    picodollars: int = 0
    tokens: int = 0
    seconds: float = 0.0


class PricedUsage(Struct, frozen=True):
    """Charge of one call.

    Attributes:
        usage: Its tokens as counted by the server, or by pairmill if that cannot be true.
        picodollars: Their cost; None if the price is unknown.
        doubt_tokens: Further tokens at worst, if the server gave no count.
        doubt_picodollars: Cost of those.
    """

    usage: Usage
    picodollars: int | None
    doubt_tokens: int = 0
    doubt_picodollars: int = 0

    @property
    def most_tokens(self) -> int:
        """Tokens at worst."""
        return self.usage.prompt_tokens + self.usage.completion_tokens + self.doubt_tokens

    @property
    def most_picodollars(self) -> int:
        """Its cost at worst."""
        return (self.picodollars or 0) + self.doubt_picodollars


def charge_answer(
    said: Usage,
    price: Price | None,
    *,
    chars: tuple[int, int],
    least: tuple[int, int],
    chars_per_token: float,
    worst: Callable[[], tuple[int, int]],
    at: float,
    most_cached: int | None = None,
) -> PricedUsage:
    """Return the charge of an answer, or of a billed reply without one.

    A count is believed unless it is lower than the text can have. A lower or missing count is
    replaced by our own estimate, and, for caps, by the maximum.

    Args:
        said: Usage in the reply.
        price: The model's; None if unknown.
        chars: Characters of the prompt, and of the answer (0 if there was none).
        least: Minimum tokens of these: ``estimate.fewest_tokens``.
        chars_per_token: Learned from replies with counts.
        worst: Returns the maximum tokens of prompt and answer; called only if the reply has no
            count.
        at: Time of the reply, in seconds since the epoch.
        most_cached: Prompt tokens that a cache may hold, since they were sent before; None: all.
            Caps count the full price for the rest.
    """
    counts_prompt = said.prompt_tokens >= max(1, least[0])
    counts_answer = said.completion_tokens >= max(1, least[1])
    doubted = said if most_cached is None else _without_doubtful_cache(said, most_cached)
    if counts_prompt and counts_answer and doubted is said:
        return PricedUsage(said, _cost(price, said, at))
    usage = said
    if not counts_prompt or not counts_answer:
        prompt, answer = (math.ceil(part / chars_per_token) for part in chars)
        usage = replace(
            said,
            prompt_tokens=said.prompt_tokens if counts_prompt else max(said.prompt_tokens, prompt),
            completion_tokens=said.completion_tokens
            if counts_answer
            else max(said.completion_tokens, answer),
        )
    most = replace(usage, cached_tokens=doubted.cached_tokens)
    if not counts_prompt or not counts_answer:
        most_prompt, most_answer = worst()
        if least[1] > most_answer:  # longer than allowed: only its own length is known
            most_answer = math.ceil(_MOST_OVER_FEWEST * least[1])
        most = replace(
            most,
            prompt_tokens=usage.prompt_tokens
            if counts_prompt
            else max(usage.prompt_tokens, most_prompt),
            completion_tokens=usage.completion_tokens
            if counts_answer
            else max(usage.completion_tokens, most_answer),
        )
    cost, dearest = _cost(price, usage, at), _cost(price, most, at)
    return PricedUsage(
        usage,
        cost,
        _total(most) - _total(usage),
        max(0, (dearest or 0) - (cost or 0)),
    )


def _without_doubtful_cache(said: Usage, most_cached: int) -> Usage:
    if said.cached_tokens <= most_cached:
        return said
    return replace(said, cached_tokens=most_cached)


def is_understated(said: Usage, least: tuple[int, int]) -> bool:
    """Return whether a reply reports fewer tokens than its texts can have."""
    is_counted = said.prompt_tokens > 0 or said.completion_tokens > 0
    return is_counted and (said.prompt_tokens < least[0] or said.completion_tokens < least[1])


def is_answer(error: ProviderError) -> bool:
    """Return True if a failed reply is billed: an empty one, or one with token counts."""
    return error.kind is Kind.BADOUT or error.counts_tokens


def charge_lost(price: Price | None, worst: tuple[int, int], at: float) -> PricedUsage:
    """Return the charge of a call with an unknown end: nothing, or at worst its maximum."""
    dearest = price.worst(*worst, at) if price else 0
    return PricedUsage(_NOTHING, None if price is None else 0, sum(worst), min(dearest, _MOST))


def worst_tokens(request: Request) -> tuple[int, int]:
    """Return the maximum tokens of a request's prompt and answer, including its schema."""
    schema = str(request.schema.schema) if request.schema else ""
    prompt = request.prompt
    constant = worst_constant_tokens(prompt.template, schema)
    return constant + worst_text_tokens(prompt.text), prompt.sampling.max_tokens


@dataclass(slots=True)
class Reservation:
    """Reserved maximum usage of one call. Settle it once; a second time does nothing.

    Attributes:
        asked_tokens: Tokens that the answer may have according to the request, or to earlier
            answers; ``max_tokens`` is larger until the server was seen to respect it.
        is_sent: The call may have gone out, so that it may be billed whatever becomes of us.
    """

    price: Price | None
    picodollars: int
    prompt_tokens: int
    max_tokens: int
    asked_tokens: int
    is_open: bool = True
    is_sent: bool = False

    @property
    def tokens(self) -> int:
        """Prompt and answer together."""
        return self.prompt_tokens + self.max_tokens


class Budget:
    """Reserves the worst case of each call before it is sent.

    A server may exceed ``max_tokens``, or count more prompt tokens than possible. Until an answer
    has shown that it does not, 32,768 tokens are reserved for each answer, if the cap allows; after
    an excessive answer, later calls reserve 1.5 times its length.

    Args:
        caps: Limits over all starts.
        clock: Seconds that never run backwards.
        wall: Seconds since the epoch, for prices that depend on the hour.
        spent: Spent by earlier starts.
        unproven_tokens: Tokens reserved for an answer before the first one came.

    Attributes:
        exhausted: Why no more calls may be reserved, and what to do, in one line; None while they
            may.
        exhausted_cap: Setting to raise; "" while nothing is exhausted.
        wanted: Picodollars and tokens of the last call that a cap that may grow has refused.
        on_change: Called before a call goes out and whenever one has ended; see ``at_risk``.
    """

    def __init__(
        self,
        caps: Caps,
        *,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
        spent: Spent | None = None,
        unproven_tokens: int = UNPROVEN_TOKENS,
    ) -> None:
        self.caps = caps
        self._clock = clock
        self._wall = wall
        self._spent = spent or Spent()
        self._began_at = clock()
        self._picodollars = self._spent.picodollars
        self._tokens = self._spent.tokens
        self._reserved_picodollars = 0
        self._reserved_tokens = 0
        self._sent_picodollars = 0  # of these, for calls that have gone out
        self._sent_tokens = 0
        self._unproven_tokens = unproven_tokens
        self._longest = 0  # tokens of an answer longer than allowed
        self._extra_prompt = 0  # prompt tokens counted beyond the maximum possible
        self._changed = asyncio.Event()
        self._constant: dict[tuple[str, str], int] = {}  # by the ids of template and schema
        self.exhausted: str | None = None
        self.exhausted_cap = ""
        self.wanted = (0, 0)
        self.on_change: Callable[[], None] = _ignore
        self._may_grow = False
        self._told = caps

    def allow(self, picodollars: int | None, tokens: int | None, *, may_grow: bool) -> None:
        """Replace the caps in money by an allowance, which is a part of them.

        Args:
            picodollars: Total that may be spent; None: no limit.
            tokens: Likewise.
            may_grow: True if calls should wait since more may be allowed later.
        """
        self.caps = replace_caps(self.caps, picodollars=picodollars, tokens=tokens)
        self._may_grow = may_grow
        self._wake()

    @property
    def is_capped(self) -> bool:
        """True if there is any cap."""
        return self.caps != Caps()

    async def reserve(self, request: Request, price: Price | None) -> Reservation:
        """Reserve the maximum of a call, waiting while other calls may release some.

        Raises:
            StoppedError: A cap is reached, and no call in flight can change that.
        """
        prompt = request.prompt
        worst = self._constant_tokens(request) + worst_text_tokens(prompt.text)
        while True:
            found = self.try_reserve(worst, prompt.sampling.max_tokens, price)
            if found is not None:
                return found
            if self.exhausted is not None:
                raise StoppedError(self.exhausted)
            await self._changed.wait()

    def try_reserve(
        self, prompt_tokens: int, max_tokens: int, price: Price | None
    ) -> Reservation | None:
        """Reserve the maximum of a call; return None if it does not fit now.

        Args:
            prompt_tokens: Maximum for the prompt: ``estimate.worst_prompt_tokens``.
            max_tokens: Limit for the answer, as sent.
            price: The model's price; None: unknown, no dollars are counted.
        """
        prompt = prompt_tokens + self._extra_prompt
        most = max(max_tokens, self._longest)
        careful = max(most, self._unproven_tokens)
        found = self._reserve(prompt, careful, most, price)
        if found is None and careful > most and not self._reserved_tokens:
            found = self._reserve(prompt, most, most, price)  # alone: nothing to wait for
        return found

    def _reserve(
        self, prompt_tokens: int, max_tokens: int, asked: int, price: Price | None
    ) -> Reservation | None:
        cost = price.worst(prompt_tokens, max_tokens, self._wall()) if price else 0
        refusal = self._refusal(cost, prompt_tokens + max_tokens)
        if refusal is not None:
            # Calls in flight may still release some; the run is over only when there are none.
            is_last = not self._reserved_tokens and max_tokens <= asked
            if self._may_grow and not self._is_late():
                self.wanted = (cost, prompt_tokens + max_tokens)
                return None
            if self.exhausted is None and (is_last or self._is_late()):
                reason, self.exhausted_cap = refusal
                self.exhausted = f"{reason}; raise {self.exhausted_cap} to go on"
            return None
        self.wanted = (0, 0)
        self._reserved_picodollars += cost
        self._reserved_tokens += prompt_tokens + max_tokens
        return Reservation(price, cost, prompt_tokens, max_tokens, asked)

    def send(self, reservation: Reservation) -> None:
        """Take note that a reserved call goes out now: from here on it may be billed."""
        reservation.is_sent = True
        self._sent_picodollars += reservation.picodollars
        self._sent_tokens += reservation.tokens
        self.on_change()

    def settle(
        self,
        reservation: Reservation,
        outcome: CallOutcome,
        charge: PricedUsage | None = None,
        *,
        is_probe: bool = False,
    ) -> None:
        """Settle a reservation: release it, spend it, or spend the call's charge.

        An answer without a charge is spent as reserved. A charge above the reservation (a server
        that ignores ``max_tokens``) is spent as it is, and remembered for later reservations.
        Waiting calls are checked again. A probe's short answer does not tell how long others are.
        """
        if not reservation.is_open:
            return
        reservation.is_open = False
        self._reserved_picodollars -= reservation.picodollars
        self._reserved_tokens -= reservation.tokens
        if reservation.is_sent:
            self._sent_picodollars -= reservation.picodollars
            self._sent_tokens -= reservation.tokens
        if outcome is CallOutcome.ANSWERED and charge is not None:
            self._picodollars += charge.most_picodollars
            self._tokens += charge.most_tokens
            self._learn(reservation, charge, is_probe=is_probe)
        elif outcome is not CallOutcome.FREE:
            self._picodollars += reservation.picodollars
            self._tokens += reservation.tokens
        self.on_change()
        self._wake()

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    def _learn(self, reservation: Reservation, charge: PricedUsage, *, is_probe: bool) -> None:
        """Learn from an answer how long others may be, and how prompts are counted."""
        usage = charge.usage
        if usage.completion_tokens > 0 and not is_probe:
            self._unproven_tokens = 0
        if usage.completion_tokens > reservation.asked_tokens:
            self._longest = math.ceil(_OVERRUN * usage.completion_tokens)
        beyond = usage.prompt_tokens - (reservation.prompt_tokens - self._extra_prompt)
        self._extra_prompt = max(self._extra_prompt, beyond)

    def spend(self, charge: PricedUsage) -> None:
        """Count a charge without a reservation."""
        self._picodollars += charge.most_picodollars
        self._tokens += charge.most_tokens
        self.on_change()

    @property
    def spent(self) -> Spent:
        """Return the amounts spent, to be stored for the next start."""
        seconds = self._spent.seconds + (self._clock() - self._began_at)
        return Spent(self._picodollars, self._tokens, seconds)

    @property
    def reserved(self) -> Spent:
        """Return the amounts that calls may still spend, those that wait to be sent included."""
        return Spent(self._reserved_picodollars, self._reserved_tokens)

    @property
    def at_risk(self) -> Spent:
        """Return what may have been spent if the process ended now: calls in flight at their worst.

        Reservations of calls that wait for their turn are not in it.
        """
        return Spent(
            self._picodollars + self._sent_picodollars,
            self._tokens + self._sent_tokens,
            self.spent.seconds,
        )

    def _constant_tokens(self, request: Request) -> int:
        template, schema = request.prompt.template, request.schema
        key = (template.id, schema.id if schema else "")
        found = self._constant.get(key)
        if found is None:
            if len(self._constant) >= _MOST_CONSTANTS:
                self._constant.clear()
            found = worst_constant_tokens(template, str(schema.schema) if schema else "")
            self._constant[key] = found
        return found

    def _is_late(self) -> bool:
        cap = self.caps.seconds
        return cap is not None and self.spent.seconds >= cap

    def _refusal(self, cost: int, tokens: int) -> tuple[str, str] | None:
        """Return why a call may not be sent now, and the setting to raise; None if it may."""
        caps, told = self.caps, self._told
        if self._is_late():
            return f"the cap of {(caps.seconds or 0.0) / 3600:g} hours is reached", "max_hours"
        if caps.picodollars is not None:
            used = self._picodollars + self._reserved_picodollars
            if used + cost > caps.picodollars:
                return (
                    f"the cap of {dollars(told.picodollars or 0, 2)} is reached: "
                    f"{dollars(self._picodollars)} spent, the next call may cost {dollars(cost)}"
                ), "max_usd"
        used_tokens = self._tokens + self._reserved_tokens
        if caps.tokens is not None and used_tokens + tokens > caps.tokens:
            return (
                f"the cap of {told.tokens or 0:,} tokens is reached: "
                f"{self._tokens:,} used, the next call may take {tokens:,}"
            ), "max_total_tokens"
        return None


def _ignore() -> None:
    """Take no note of a change."""


def _total(usage: Usage) -> int:
    return usage.prompt_tokens + usage.completion_tokens


def _cost(price: Price | None, usage: Usage, at: float) -> int | None:
    return None if price is None else min(price.cost(usage, at), _MOST)
