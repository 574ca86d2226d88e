"""What a provider allows, and the cost of a call."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from msgspec import Struct

from pairmill.llm.limits.headers import Unit

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pairmill.llm.limits.charging import Charge
    from pairmill.llm.limits.headers import LimitHint

__all__ = ["HELD", "NOTHING", "Amounts", "Cost", "Limits"]

Amounts = tuple[float, float, float, float, float]
"""Requests, input, output and all tokens of a call, by ``Unit``; then, at ``HELD``, the tokens that
it may write but is not expected to."""

HELD = 4

NOTHING: Amounts = (0.0, 0.0, 0.0, 0.0, 0.0)


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
