"""What a provider allows, and how much of it is left: limits, costs and their buckets. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

from pairmill.errors import Kind
from pairmill.llm.bucket import Bucket
from pairmill.llm.headers import Unit

if TYPE_CHECKING:
    from pairmill.llm.headers import LimitHint
    from pairmill.records import Usage

__all__ = ["NOTHING", "Amounts", "Charge", "Cost", "Limits", "Quota"]

Amounts = tuple[float, float, float, float]
"""Requests, input, output and all tokens of a call: indexed by ``Unit``."""

NOTHING: Amounts = (0.0, 0.0, 0.0, 0.0)

_REFUSED = frozenset({Kind.RATE, Kind.QUOTA, Kind.AUTH, Kind.CONFIG})  # no tokens were used
_PACE_BURST_S = 0.1
_BURST_CUT = 0.25
_LEAST_BURST_S = 0.01
_TIMER_SLACK_S = 0.016  # less than the sixtieth that the rate stays below the limit


class Charge(StrEnum):
    """What a server counts against a token quota."""

    ACTUAL = "actual"  # what was used, as ``usage`` says
    RESERVED = "reserved"  # prompt and max_tokens, for good


class Cost(NamedTuple):
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

    The rate that is used is ``1 - burst_s / 60`` of the limit: with a bucket of ``burst_s`` seconds
    no minute, wherever it begins, can then exceed the limit, so long as single calls are small
    beside it.

    Attributes:
        share: This process's part of the quota, where several share it.
        charge: What the server counts.
        cached_free: Prompt tokens read from the provider's cache do not count.
    """

    requests_per_min: float | None = None
    tokens_per_min: float | None = None
    input_per_min: float | None = None
    output_per_min: float | None = None
    burst_s: float = 1.0
    share: float = 1.0
    charge: Charge = Charge.ACTUAL
    cached_free: bool = False

    def rate(self, per_min: float) -> float:
        """Units a second to use of a limit per minute."""
        return per_min / 60.0 * (1.0 - self.burst_s / 60.0) * self.share

    def per_min(self) -> dict[Unit, float]:
        """The limits that are set, by what they count."""
        values = {unit: getattr(self, name) for unit, name in _FIELDS.items()}
        return {unit: limit for unit, limit in values.items() if limit is not None}

    def learn(self, declared: Limits, hint: LimitHint) -> Limits:
        """These limits with those of ``hint``, where none was declared."""
        fixed = declared.per_min()
        learned = {
            _FIELDS[unit]: reading.limit
            for unit, reading in hint.minute.items()
            if reading.limit and unit not in fixed
        }
        return replace(self, **learned) if learned else self  # type: ignore[arg-type]


class Quota:
    """The buckets of one pool, tested and taken from together.

    Attributes:
        declared: The limits that were given.
        limits: Those in force: as given, and what headers have added.
        sent: Calls ever admitted, less those that were given back unused.
        reserved: Tokens ever reserved, likewise.
    """

    __slots__ = ("_buckets", "_dims", "_pace", "declared", "limits", "reserved", "sent")

    def __init__(self, limits: Limits, now: float) -> None:
        self.declared = limits
        self.limits = limits
        self.sent = 0
        self.reserved = 0.0
        self._buckets: dict[Unit, Bucket] = {}
        self._pace: Bucket | None = None
        self._dims: tuple[tuple[int, Bucket], ...] = ()
        self.set_limits(limits, now)

    @property
    def requests_per_s(self) -> float | None:
        """The rate of requests in force; None where there is none."""
        rates = [bucket.rate for unit, bucket in self._dims if unit == Unit.REQUESTS]
        return min(rates, default=None)

    def amounts(self, cost: Cost) -> Amounts:
        """What a call of this cost reserves."""
        is_kept = self.limits.charge is Charge.RESERVED
        output = cost.max_output_tokens if is_kept else cost.output_tokens
        return (1.0, cost.input_tokens, output, cost.input_tokens + output)

    def wait_s(self, amounts: Amounts, now: float) -> float:
        """Seconds until all of ``amounts`` may be taken at once; 0.0 means now."""
        longest = 0.0
        for unit, bucket in self._dims:
            wait_s = bucket.wait_s(amounts[unit], now)
            if wait_s > longest:  # noqa: PLR1730 (a third of the cost of max)
                longest = wait_s
        return longest

    def backlog_s(self, amounts: Amounts, ahead: list[float], now: float) -> float:
        """Seconds until ``amounts`` may be taken behind a line that takes ``ahead``."""
        longest = 0.0
        for unit, bucket in self._dims:
            bucket.refill(now)
            missing = ahead[unit] + min(amounts[unit], bucket.capacity) - bucket.level
            longest = max(longest, missing / bucket.rate)
        return longest

    def take(self, amounts: Amounts) -> None:
        """Reserve ``amounts``. The caller has asked ``wait_s`` at the same moment."""
        for unit, bucket in self._dims:
            bucket.take(amounts[unit])
        self.sent += 1
        self.reserved += amounts[Unit.TOKENS]

    def untake(self, amounts: Amounts, now: float) -> None:
        """Undo ``take``: nothing was sent."""
        self.sent -= 1
        self.reserved -= amounts[Unit.TOKENS]
        self._settle(amounts, NOTHING, now)

    def settle(self, amounts: Amounts, kind: Kind | None, usage: Usage | None, now: float) -> None:
        """Replace the reservation by what the server counted, as far as is known."""
        if kind in _REFUSED:
            self._settle(amounts, (1.0, 0.0, 0.0, 0.0), now)
        elif usage is not None:
            prompt = float(usage.prompt_tokens)
            if self.limits.cached_free:
                prompt -= usage.cached_tokens
            output = float(usage.completion_tokens)
            if self.limits.charge is Charge.RESERVED:
                output = amounts[Unit.OUTPUT]
            self._settle(amounts, (1.0, prompt, output, prompt + output), now)

    def on_refused(self, now: float) -> None:
        """Empty the buckets, as the server's are; and save up less for bursts of requests.

        A server that counts a minute's limit by the second refuses bursts, not rates.
        """
        for _, bucket in self._dims:
            bucket.lower(0.0, now)
        requests = self._buckets.get(Unit.REQUESTS)
        if requests is not None:
            least = 1.0 + requests.rate * _LEAST_BURST_S
            capacity = min(requests.capacity, max(least, requests.capacity * _BURST_CUT))
            requests.retune(requests.rate, capacity, now)

    def set_limits(self, limits: Limits, now: float) -> None:
        """Put other limits in force; what a bucket holds already it keeps."""
        self.limits = limits
        buckets: dict[Unit, Bucket] = {}
        for unit, per_min in limits.per_min().items():
            rate = limits.rate(per_min)
            capacity = rate * limits.burst_s
            level = capacity / 2.0
            if unit is Unit.REQUESTS:
                # For servers that count by the second: one request, and what a late timer may
                # carry over; together no second, wherever it begins, holds more than its quota.
                capacity = 1.0 + rate * _TIMER_SLACK_S * limits.burst_s
                level = 1.0
            bucket = self._buckets.get(unit) or Bucket(rate, capacity, level=level, now=now)
            bucket.retune(rate, capacity, now)
            buckets[unit] = bucket
        self._buckets = buckets
        self._set_dims()

    def set_pace(self, pace: float, now: float) -> None:
        """Send at most ``pace`` requests a second, whatever else allows more."""
        capacity = max(1.0, pace * _PACE_BURST_S)
        if self._pace is None:
            self._pace = Bucket(pace, capacity, level=0.0, now=now)
            self._set_dims()
        elif self._pace.rate != pace:
            self._pace.retune(pace, capacity, now)

    def heed(
        self,
        hint: LimitHint,
        *,
        sent_since: int,
        reserved_since: float,
        seconds: float,
        now: float,
    ) -> None:
        """Let what the server says remains lower a level; it never raises one.

        Args:
            hint: What a reply said.
            sent_since: Calls admitted after that reply's call: the reply knows nothing of them.
            reserved_since: Tokens that those reserved.
            seconds: Time since that call went out: what flowed in since, it does not know either.
            now: The time.
        """
        for unit, reading in hint.minute.items():
            bucket = self._buckets.get(unit)
            if bucket is None or reading.remaining is None:
                continue
            unseen = sent_since if unit is Unit.REQUESTS else reserved_since
            bucket.lower(max(0.0, reading.remaining + seconds * bucket.rate - unseen), now)

    def _settle(self, reserved: Amounts, charged: Amounts, now: float) -> None:
        for unit, bucket in self._dims:
            back = reserved[unit] - charged[unit]
            if back:
                bucket.give(back, now)

    def _set_dims(self) -> None:
        dims: list[tuple[int, Bucket]] = [
            (int(unit), bucket) for unit, bucket in self._buckets.items()
        ]
        if self._pace is not None:
            dims.append((int(Unit.REQUESTS), self._pace))
        self._dims = tuple(dims)


_FIELDS = {
    Unit.REQUESTS: "requests_per_min",
    Unit.INPUT: "input_per_min",
    Unit.OUTPUT: "output_per_min",
    Unit.TOKENS: "tokens_per_min",
}
