"""What a provider allows, what a call costs of it, and what the server counts of that. Pure.

Providers differ: some count what was used, some hold ``max_tokens`` until the answer is there, some
never give back what was not used. Nobody says so in a header. So the mildest is believed until the
server contradicts it: it says that (nearly) nothing is left, or refuses, where by our own count
there was room. And a stricter belief is given up when the server says, for a whole minute of full
use, that much is left.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING

from msgspec import Struct

from pairmill.llm.limits.headers import Unit

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pairmill.llm.limits.headers import LimitHint

__all__ = ["HELD", "NOTHING", "Amounts", "Charge", "ChargeWatch", "Cost", "Limits"]

_SPENT = 0.008  # of the limit
_CREDIBLE = 0.9  # of the limit; with nothing left and less than that counted, the count is wrong
_MINUTE_S = 60.0
_PATIENCE_S = 75.0  # of full use with much left, until a milder count is tried; doubles each time
_LEFT = {"reserved": 0.15, "reconciled": 0.01}  # of the limit: much, by this belief
_OF_HELD = 0.5  # a milder count would leave all that is held; half of it is no chance

Amounts = tuple[float, float, float, float, float]
"""Requests, input, output and all tokens of a call, by ``Unit``; then, at ``HELD``, the tokens that
it may write but is not expected to."""

HELD = 4

NOTHING: Amounts = (0.0, 0.0, 0.0, 0.0, 0.0)


class Charge(StrEnum):
    """What a server counts against a token quota."""

    ACTUAL = "actual"  # what was used, as ``usage`` says
    RECONCILED = "reconciled"  # prompt and max_tokens while under way, then what was used
    RESERVED = "reserved"  # prompt and max_tokens, for good


class Cost(Struct, frozen=True):
    """What a call is expected to use.

    Attributes:
        input_tokens: Of the prompt.
        output_tokens: Of the answer, as expected.
        max_output_tokens: The most that it may write, as the request says.
    """

    input_tokens: float = 0.0
    output_tokens: float = 0.0
    max_output_tokens: float = 0.0


@dataclass(frozen=True, slots=True)
class Limits:
    """What a provider allows; None where a limit is unknown or does not exist.

    The rate of tokens is ``1 - burst_s / 60`` of the limit: with a bucket of ``burst_s`` seconds
    no minute, wherever it begins, can then exceed the limit, so long as single calls are small
    beside it. The rate of requests is the limit's, less the margin of ``SecondLog``; above 2,000 a
    second it is as that of tokens.

    Attributes:
        share: This process's part of the quota, where several share it.
        charge: What the server counts; None: found out.
        cached_free: Prompt tokens read from the provider's cache do not count.
    """

    requests_per_min: float | None = None
    tokens_per_min: float | None = None
    input_per_min: float | None = None
    output_per_min: float | None = None
    burst_s: float = 1.0
    share: float = 1.0
    charge: Charge | None = None
    cached_free: bool = False

    def rate(self, per_min: float) -> float:
        """Units a second to use of a limit per minute."""
        return per_min / 60.0 * (1.0 - self.burst_s / 60.0) * self.share

    def per_min(self) -> dict[Unit, float]:
        """Return the limits that are set, by unit."""
        values = {unit: getattr(self, name) for unit, name in _FIELDS.items()}
        return {unit: limit for unit, limit in values.items() if limit is not None}

    def with_per_min(self, found: Mapping[Unit, float]) -> Limits:
        """These limits with others in the place of some."""
        named = {_FIELDS[unit]: limit for unit, limit in found.items()}
        return replace(self, **named)  # type: ignore[arg-type]

    def learn(self, declared: Limits, hint: LimitHint) -> Limits:
        """These limits with those of ``hint``, where none was declared."""
        fixed = declared.per_min()
        learned = {
            _FIELDS[unit]: reading.limit
            for unit, reading in hint.minute.items()
            if reading.limit and unit not in fixed
        }
        return replace(self, **learned) if learned else self  # type: ignore[arg-type]


_FIELDS = {
    Unit.REQUESTS: "requests_per_min",
    Unit.INPUT: "input_per_min",
    Unit.OUTPUT: "output_per_min",
    Unit.TOKENS: "tokens_per_min",
}


_MILDER = {Charge.RESERVED: Charge.RECONCILED, Charge.RECONCILED: Charge.ACTUAL}


class ChargeWatch:
    """Assumes one way of counting, until the server's figures contradict it.

    Attributes:
        charge: The belief.
    """

    __slots__ = ("_is_fixed", "_patience_s", "_roomy_since", "_since", "charge")

    def __init__(self, given: Charge | None, now: float) -> None:
        self.charge = given or Charge.ACTUAL
        self._is_fixed = given is not None
        self._since = now  # what was sent before, perhaps by others, counts for a minute
        self._roomy_since: float | None = None
        self._patience_s = _PATIENCE_S

    def on_refused(self, now: float, *, is_much: bool) -> bool:
        """Learn that tokens were refused which by our count were there; True: a new belief.

        Args:
            now: The time.
            is_much: What is missing is more than calls under way may use.
        """
        self._roomy_since = None
        if self._is_fixed or now < self._since + _MINUTE_S:
            return False
        stricter = Charge.RESERVED if is_much else Charge.RECONCILED
        if stricter is self.charge or self.charge is Charge.RESERVED:
            return False
        self._believe(stricter, now)
        return True

    def on_remaining(
        self, now: float, left: float, *, counted: float, held: float, is_in_use: bool
    ) -> bool:
        """Learn what the server says is left; True: a new belief.

        Args:
            now: The time.
            left: Share of the limit.
            counted: Share of the limit that we used in the last minute, at worst.
            held: Share of the limit that calls under way may still give back.
            is_in_use: Calls wait for tokens, and nothing else.
        """
        if left < _SPENT:
            self._roomy_since = None
            return counted < _CREDIBLE and self.on_refused(now, is_much=True)
        milder = None if self._is_fixed else _MILDER.get(self.charge)
        if milder is None:
            return False
        if not is_in_use or left < _LEFT[self.charge] + _OF_HELD * held:
            self._roomy_since = None
        elif self._roomy_since is None:
            self._roomy_since = now
        elif now >= self._roomy_since + self._patience_s:
            self._patience_s *= 2.0
            self._believe(milder, now)
            return True
        return False

    def _believe(self, charge: Charge, now: float) -> None:
        self.charge = charge
        self._since = now
        self._roomy_since = None
