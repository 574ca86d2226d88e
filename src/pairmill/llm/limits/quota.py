"""The remaining quota of a provider: buckets, and recent sends. Pure.

Providers differ: some count the tokens used, some hold ``max_tokens`` until the answer is complete,
some never return the unused part. No header says which. So the most lenient way is assumed until
the server contradicts it, by saying that (nearly) nothing is left, or by refusing, although by our
own count there was room. A stricter assumption is dropped if the server says, during a whole minute
of full use, that much is left.
"""

from __future__ import annotations

import math
from dataclasses import (
    dataclass,
    replace,
)
from enum import (
    StrEnum,
)
from typing import (
    TYPE_CHECKING,
)

from msgspec import (
    Struct,
)

from pairmill.errors import (
    Kind,
)
from pairmill.llm.limits.headers import (
    Unit,
)
from pairmill.llm.limits.headroom import HeadroomTest, Step
from pairmill.llm.limits.windows import (
    Bucket,
    MinuteLog,
    SecondLog,
)

if TYPE_CHECKING:
    from collections.abc import (
        Mapping,
    )

    from pairmill.llm.limits.headers import (
        HeaderReading,
        LimitHint,
    )
    from pairmill.records import (
        Usage,
    )

__all__ = [
    "HELD",
    "NOTHING",
    "Amounts",
    "Charge",
    "ChargeWatch",
    "Cost",
    "Limits",
    "Quota",
]

_SPENT = 0.008  # of the limit
_COUNTED = 0.9  # of the limit; with nothing left and less than that counted, the count is wrong
_MINUTE_S = 60.0
_PATIENCE_S = 75.0  # of full use with much left, until a milder count is tried; doubles each time
_LEFT = {"reserved": 0.15, "reconciled": 0.01}  # of the limit: much, by this belief
_OF_HELD = 0.5  # a more lenient count would leave all that is held; half of it is no coincidence

Amounts = tuple[float, float, float, float, float]
"""Requests, input, output and all tokens of a call, by ``Unit``; then, at ``HELD``, the tokens that
it may write but is not expected to."""

HELD = 4

NOTHING: Amounts = (0.0, 0.0, 0.0, 0.0, 0.0)


class Charge(StrEnum):
    """What a server counts against a token quota."""

    ACTUAL = "actual"  # what was used, as ``usage`` says
    RECONCILED = "reconciled"  # prompt and max_tokens while under way, then what was used
    RESERVED = "reserved"  # prompt and max_tokens, never returned


class Cost(Struct, frozen=True):
    """Expected usage of a call.

    Attributes:
        input_tokens: Of the prompt.
        output_tokens: Of the answer (expected).
        max_output_tokens: Maximum of the answer, as requested.
    """

    input_tokens: float = 0.0
    output_tokens: float = 0.0
    max_output_tokens: float = 0.0


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of a provider; None if a limit is unknown or does not exist.

    The rate of tokens is ``1 - burst_s / 60`` of the limit: with a bucket of ``burst_s`` seconds no
    minute, wherever it begins, can then exceed the limit, provided that single calls are small
    compared with it. The rate of requests is the limit less the margin of ``SecondLog``; above
    2,000 per second it is computed like that of tokens.

    Attributes:
        share: This process's share of the quota, if several processes use it.
        charge: What the server counts; None to detect it.
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
        """Return the units per second to use of a limit per minute."""
        return per_min / 60.0 * (1.0 - self.burst_s / 60.0) * self.share

    def per_min(self) -> dict[Unit, float]:
        """Return the limits that are set, by unit."""
        values = {unit: getattr(self, name) for unit, name in _FIELDS.items()}
        return {unit: limit for unit, limit in values.items() if limit is not None}

    def with_per_min(self, found: Mapping[Unit, float]) -> Limits:
        """Return these limits with some replaced."""
        named = {_FIELDS[unit]: limit for unit, limit in found.items()}
        return replace(self, **named)  # type: ignore[arg-type]

    def learn(self, declared: Limits, hint: LimitHint) -> Limits:
        """Return these limits, with those of ``hint`` for undeclared ones."""
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
    """Assumes one way of counting until the server's figures contradict it.

    Attributes:
        charge: The current assumption.
    """

    __slots__ = ("_is_fixed", "_patience_s", "_roomy_since", "_since", "_suspended", "charge")

    def __init__(self, given: Charge | None, now: float) -> None:
        self.charge = given or Charge.ACTUAL
        self._is_fixed = given is not None
        self._since = now  # what was sent before, perhaps by others, counts for a minute
        self._roomy_since: float | None = None
        self._patience_s = _PATIENCE_S
        self._suspended: Charge | None = None

    @property
    def is_strict(self) -> bool:
        """True if more is counted than was used, and nobody said so."""
        return not self._is_fixed and self.charge is not Charge.ACTUAL

    def suspend(self, now: float) -> bool:
        """Assume that what is used is charged, to see whether more is refused then.

        Only where the server's figures do not tell; returns whether the assumption changed.
        """
        if self._is_fixed or self.charge is not Charge.RECONCILED:
            return False
        self._suspended = self.charge
        self._believe(Charge.ACTUAL, now)
        return True

    def resume(self, now: float) -> bool:
        """Return to what was assumed before; return whether the assumption changed."""
        before, self._suspended = self._suspended, None
        if before is None or before is self.charge:
            return False
        self._believe(before, now)
        return True

    def on_refused(self, now: float, *, is_much: bool) -> bool:
        """Record a refusal of tokens that our count had; return True if the assumption changed.

        Args:
            now: The time.
            is_much: More is missing than the calls in flight may use.
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
        """Record the remaining amount from the server; return True if the assumption changed.

        Args:
            now: The time.
            left: Remaining share of the limit.
            counted: Share of the limit that we used in the last minute, at most.
            held: Share of the limit that the calls in flight may still return.
            is_in_use: Calls are waiting for tokens and nothing else.
        """
        if left < _SPENT:
            self._roomy_since = None
            return counted < _COUNTED and self.on_refused(now, is_much=True)
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


_ONE_REQUEST: Amounts = (1.0, 0.0, 0.0, 0.0, 0.0)
_REFUSED = frozenset(kind for kind in Kind if not kind.meaning.used_tokens)
_PACE_BURST_S = 0.1
_SHORT_S = 1.0  # a wait that tells of a quota dealt out by the second
_BURST_CUT = 0.25
_LEAST_BURST_S = 0.01
_LATE_S = 0.05  # what a late timer may carry over; the log of the last second stays in force
_MOST_LOGGED_PER_S = 2_000.0  # the log grows with the limit; above, an average is kept as of tokens
_FULL = 0.997  # of a limit, counted by the minute and with all that calls under way may use
_NEARLY = 0.02  # of a limit: less is left than a call or two may need
_CREDIBLE = 0.9  # of a limit; refused with less than that by our own count, that count is wrong


class Quota:
    """The buckets of one pool, tested and used together.

    Attributes:
        declared: The configured limits.
        limits: The limits in force: configured, and added from headers.
        pace: Maximum requests per second, regardless of the limits; None: unlimited.
        sent: Calls admitted so far, less those returned unused.
        reserved: Tokens reserved so far, likewise.
    """

    __slots__ = (
        "_buckets",
        "_dims",
        "_headroom",
        "_held",
        "_minute",
        "_pace",
        "_second",
        "_watch",
        "declared",
        "limits",
        "pace",
        "reserved",
        "sent",
    )

    def __init__(self, limits: Limits, now: float) -> None:
        self.declared = limits
        self.limits = limits
        self.sent = 0
        self.reserved = 0.0
        self._held = 0.0  # what calls under way may write beyond what is expected
        self._minute: MinuteLog | None = None  # kept where tokens are limited
        self._second: SecondLog | None = None
        self._watch = ChargeWatch(limits.charge, now)
        self._headroom = HeadroomTest()
        self._buckets: dict[Unit, Bucket] = {}
        self.pace: float | None = None
        self._pace: Bucket | None = None
        self._dims: tuple[tuple[int, Bucket], ...] = ()
        self.set_limits(limits, now)

    @property
    def requests_per_s(self) -> float | None:
        """Current rate of requests; None if there is none."""
        rates = [bucket.rate for unit, bucket in self._dims if unit == Unit.REQUESTS]
        return min(rates, default=None)

    def amounts(self, cost: Cost) -> Amounts:
        """Return the amounts that a call of this cost reserves."""
        is_kept = self._watch.charge is Charge.RESERVED
        output = cost.max_output_tokens if is_kept else cost.output_tokens
        held = max(0.0, cost.max_output_tokens - output)
        return (1.0, cost.input_tokens, output, cost.input_tokens + output, held)

    def wait_s(self, amounts: Amounts, now: float) -> float:
        """Return the seconds until all of ``amounts`` are available at once; 0.0 means now."""
        longest = 0.0
        for unit, bucket in self._dims:
            wait_s = bucket.wait_s(amounts[unit], now)
            if wait_s > longest:  # noqa: PLR1730 (a third of the cost of max)
                longest = wait_s
        if longest == 0.0 and self._second is not None:
            longest = self._second.wait_s(now)
        if longest == 0.0 and self._watch.charge is Charge.RECONCILED:
            return self._minute_wait_s(amounts, now)
        return longest

    def _minute_wait_s(self, amounts: Amounts, now: float) -> float:
        """Return the seconds until the last minute has room, whatever the calls in flight use."""
        limit = self.limits.tokens_per_min
        if limit is None or self._minute is None:
            return 0.0
        self._minute.trim(now)
        taken = self._minute.total + self._held
        worst = amounts[Unit.TOKENS] + amounts[HELD]
        if taken <= 0.0 or taken + worst <= limit * self.limits.share * _FULL:
            return 0.0
        return self._minute.wait_s(now)

    def backlog_s(self, amounts: Amounts, ahead: list[float], now: float) -> float:
        """Return the seconds until ``amounts`` are available after a queue of ``ahead``."""
        longest = self.wait_s(amounts, now)  # which knows the last second and minute too
        for unit, bucket in self._dims:
            bucket.refill(now)
            missing = ahead[unit] + min(amounts[unit], bucket.capacity) - bucket.level
            longest = max(longest, missing / bucket.rate)
        return longest

    def take(self, amounts: Amounts, now: float) -> None:
        """Reserve ``amounts``. The caller has checked ``wait_s`` at the same time."""
        for unit, bucket in self._dims:
            bucket.take(amounts[unit])
        if self._second is not None:
            self._second.add(now)
        if self._minute is not None:
            self._minute.add(amounts[Unit.TOKENS], now)
        self._held += amounts[HELD]
        self.sent += 1
        self.reserved += amounts[Unit.TOKENS]

    def untake(self, amounts: Amounts, since: float, now: float) -> None:
        """Undo the ``take`` of time ``since``: nothing was sent."""
        self.sent -= 1
        self.reserved -= amounts[Unit.TOKENS]
        if self._second is not None:
            self._second.remove(since)
        self._settle(amounts, NOTHING, since, now)

    def settle(
        self,
        amounts: Amounts,
        kind: Kind | None,
        usage: Usage | None,
        since: float,
        now: float,
    ) -> None:
        """Replace the amounts reserved at ``since`` by what the server counted, as far as known."""
        if kind is not None and kind in _REFUSED:
            self._settle(amounts, _ONE_REQUEST, since, now)
        elif usage is not None:
            prompt = float(usage.prompt_tokens)
            if self.limits.cached_free:
                prompt -= usage.cached_tokens
            output = float(usage.completion_tokens)
            if self._watch.charge is Charge.RESERVED:
                output = amounts[Unit.OUTPUT]
            self._settle(amounts, (1.0, prompt, output, prompt + output, 0.0), since, now)
        else:
            requests, prompt, output, tokens, _ = amounts
            self._settle(amounts, (requests, prompt, output, tokens, 0.0), since, now)

    def on_refused(self, now: float, hint: LimitHint | None, retry_after_s: float | None) -> bool:
        """Empty the buckets, like the server's, and allow smaller bursts of requests.

        A server that enforces a limit per minute by the second refuses bursts, not rates.

        Returns:
            Whether ``amounts`` differ from now on, because tokens are counted differently.
        """
        if self._second is not None and retry_after_s is not None and retry_after_s <= _SHORT_S:
            self._second.on_refused()
        is_new = self._doubt(now, hint)
        for _, bucket in self._dims:
            bucket.lower(0.0, now)
        requests = self._buckets.get(Unit.REQUESTS)
        if requests is not None:
            least = 1.0 + requests.rate * _LEAST_BURST_S
            capacity = min(requests.capacity, max(least, requests.capacity * _BURST_CUT))
            requests.retune(requests.rate, capacity, now)
        return is_new

    def on_doubtful(
        self,
        now: float,
        index: int,
        hint: LimitHint | None,
        retry_after_s: float | None,
        *,
        is_cluster: bool,
    ) -> bool:
        """Learn of a refusal of call number ``index`` under limits that were given.

        They may have been overdrawn by a little, or it may be noise.

        Returns:
            Whether ``amounts`` differ from now on, because tokens are counted differently.
        """
        is_wider = self._second is not None and self._second.is_wider
        is_strict = is_wider or self._watch.is_strict
        step = self._headroom.on_refused(index, is_strict=is_strict, is_cluster=is_cluster)
        if step is Step.STRICTER:
            return self.on_refused(now, hint, retry_after_s)
        if step is Step.SUSPEND:
            if self._second is not None:
                self._second.suspend()
            is_told = hint is not None and bool(hint.minute)
            return not is_told and self._watch.suspend(now)
        if step is Step.RESUME:
            if self._second is not None:
                self._second.resume()
            return self._watch.resume(now)
        return False

    def set_limits(self, limits: Limits, now: float) -> None:
        """Replace the limits; buckets keep their levels."""
        self.limits = limits
        requests = limits.requests_per_min
        per_s = math.inf if requests is None else requests / 60.0 * limits.share
        if per_s > _MOST_LOGGED_PER_S:
            self._second = None
        elif self._second is None:
            self._second = SecondLog(per_s)
        else:
            self._second.retune(per_s)
        buckets: dict[Unit, Bucket] = {}
        for unit, per_min in limits.per_min().items():
            rate = limits.rate(per_min)
            capacity = rate * limits.burst_s
            level = capacity / 2.0
            if unit is Unit.REQUESTS and self._second is not None:
                rate, capacity, level = per_s, 1.0 + per_s * _LATE_S * limits.burst_s, 1.0
            if unit is Unit.TOKENS and self._minute is None:
                self._minute = MinuteLog()
            bucket = self._buckets.get(unit) or Bucket(rate, capacity, level=level, now=now)
            bucket.retune(rate, capacity, now)
            buckets[unit] = bucket
        self._buckets = buckets
        self._set_dims()

    def set_pace(self, pace: float | None, now: float) -> None:
        """Limit requests to ``pace`` per second, whatever else is allowed; None: no such limit."""
        self.pace = pace
        if pace is None:
            self._pace = None
            self._set_dims()
            return
        capacity = max(1.0, pace * _PACE_BURST_S)
        if self._pace is None:
            self._pace = Bucket(pace, capacity, level=0.0, now=now)
            self._set_dims()
        else:
            self._pace.retune(pace, capacity, now)

    def apply_hint(
        self,
        hint: LimitHint,
        *,
        sent_since: int,
        reserved_since: float,
        seconds: float,
        now: float,
    ) -> bool:
        """Lower levels to what the server says remains; never raise one.

        Args:
            hint: From a reply's headers.
            sent_since: Calls admitted after that reply's call, which the reply does not include.
            reserved_since: Tokens reserved by those.
            seconds: Time since that call was sent; refills since then are not included either.
            now: The time.

        Returns:
            Whether ``amounts`` differ from now on, because tokens are counted differently.
        """
        is_new = False
        for unit, reading in hint.minute.items():
            bucket = self._buckets.get(unit)
            if bucket is None or reading.remaining is None:
                continue
            if unit is Unit.TOKENS:
                is_new = self._compare(reading, now)
            unseen = sent_since if unit is Unit.REQUESTS else reserved_since
            bucket.lower(max(0.0, reading.remaining + seconds * bucket.rate - unseen), now)
        return is_new

    def _settle(self, reserved: Amounts, charged: Amounts, since: float, now: float) -> None:
        self._held = max(0.0, self._held - reserved[HELD])
        if self._minute is not None:
            self._minute.correct(charged[Unit.TOKENS] - reserved[Unit.TOKENS], since)
        for unit, bucket in self._dims:
            back = reserved[unit] - charged[unit]
            if back:
                bucket.give(back, now)

    def on_lag(self, seconds: float) -> None:
        """Record how late a timer ran."""
        if self._second is not None:
            self._second.on_lag(seconds)

    def _counted(self, now: float) -> float:
        """Return the share of the token limit used in the last minute, at most.

        More than 1 if there is no such limit: then no refusal is a surprise.
        """
        limit = self.limits.tokens_per_min
        if not limit or self._minute is None:
            return math.inf
        self._minute.trim(now)
        return (self._minute.total + self._held) / (limit * self.limits.share)

    def _doubt(self, now: float, hint: LimitHint | None) -> bool:
        """Check whether a refusal means that the server counts tokens differently."""
        tokens, requests = self._buckets.get(Unit.TOKENS), self._buckets.get(Unit.REQUESTS)
        limit, counted = self.limits.tokens_per_min, self._counted(now)
        if tokens is None or not limit:
            return False
        if hint is None or not hint.minute:  # whose fault it was, only our own levels can tell
            is_tokens = requests is None or tokens.level < _CREDIBLE * tokens.capacity
            is_full = is_tokens and counted >= _CREDIBLE
            return is_full and self._watch.on_refused(now, is_much=False)
        reading = hint.minute.get(Unit.TOKENS)
        left = None if reading is None else reading.remaining
        is_spent = left is not None and left < _NEARLY * limit
        return is_spent and self._watch.on_refused(now, is_much=counted < _CREDIBLE)

    def _compare(self, reading: HeaderReading, now: float) -> bool:
        """Check whether the remaining amount fits our assumption about the server's counting."""
        limit, bucket = self.limits.tokens_per_min, self._buckets[Unit.TOKENS]
        if not limit or reading.remaining is None:
            return False
        counted = self._counted(now)
        # What blocks is the bucket; under RECONCILED it is the minute, and the bucket stays full.
        is_blocked = self._watch.charge is Charge.RECONCILED and counted >= _CREDIBLE
        return self._watch.on_remaining(
            now,
            reading.remaining / limit,
            counted=counted,
            held=self._held / limit,
            is_in_use=is_blocked or bucket.level < _CREDIBLE * bucket.capacity,
        )

    def _set_dims(self) -> None:
        dims: list[tuple[int, Bucket]] = [
            (int(unit), bucket) for unit, bucket in self._buckets.items()
        ]
        if self._pace is not None:
            dims.append((int(Unit.REQUESTS), self._pace))
        self._dims = tuple(dims)
