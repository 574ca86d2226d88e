"""Prices of tokens, exact: whole picodollars (1e-12 dollars), never a float.

A million tokens at 0.15 dollars are 150,000 picodollars a token; so are all list prices of today
whole numbers, and sums over millions of calls stay exact.

A price can depend on more than the number of tokens: on what a cache served or took in, on the
length of the prompt, on the service tier, on the hour, and on the date.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from decimal import ROUND_CEILING, Decimal, InvalidOperation
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from pairmill.records import Usage

__all__ = ["PICO", "PeakHours", "Price", "PriceTable", "PriceTier", "dollars", "pico", "scale"]

PICO = 10**12
"""Picodollars in a dollar."""

_DATED = re.compile(r"-(\d{4}-\d{2}-\d{2}|\d{4}|\d{8}|latest)$")
_SOON_S = 900.0  # a call that is reserved now may be billed this much later
_OLD_DAYS = 90  # a price table of this age is worth a warning


@dataclass(frozen=True, slots=True)
class PriceTier:
    """Prices of a whole call whose prompt has more than ``above`` tokens, in picodollars a token.

    None: as in the price that the band belongs to.
    """

    above: int
    input: int | None = None
    cached: int | None = None
    cache_write: int | None = None
    output: int | None = None


@dataclass(frozen=True, slots=True)
class PeakHours:
    """Hours of the week, in UTC, at which everything costs ``factor`` times as much.

    Attributes:
        days: 0 (Monday) to 6.
        start: Minutes since midnight, inclusive.
        end: Likewise, exclusive; not after ``start`` where the hours pass midnight.
    """

    factor: Decimal
    days: frozenset[int]
    start: int
    end: int

    def holds(self, moment: datetime) -> bool:
        """Return whether a moment (UTC) falls into them."""
        minute = moment.hour * 60 + moment.minute
        today = moment.weekday()
        if self.start < self.end:
            return today in self.days and self.start <= minute < self.end
        if minute >= self.start:
            return today in self.days
        return minute < self.end and (today - 1) % 7 in self.days


@dataclass(frozen=True, slots=True)
class Price:
    """Picodollars a token.

    Attributes:
        input: Of the prompt.
        cached: Of the prompt's part that the provider's cache served.
        output: Of the answer, thoughts included.
        cache_write: Of the prompt's part that the cache took in; None: as ``input``.
        reasoning: Of thoughts, where they have a price of their own; None: as ``output``.
        bands: For long prompts, by rising bound.
        peaks: Hours at which it is dearer.
        tiers: Service tiers (``flex``, ``batch``, ``priority``), each with its own price.
        changes: Prices that hold from a date on, by rising date.
        shutdown: When the model is switched off, where that is announced.
    """

    input: int
    cached: int
    output: int
    cache_write: int | None = None
    reasoning: int | None = None
    bands: tuple[PriceTier, ...] = ()
    peaks: tuple[PeakHours, ...] = ()
    tiers: tuple[tuple[str, Price], ...] = ()
    changes: tuple[tuple[date, Price], ...] = ()
    shutdown: date | None = None

    def cost(self, usage: Usage, at: float | None = None) -> int:
        """Return the cost of a call, in picodollars.

        Args:
            usage: Its tokens; cached and written ones are a part of the prompt's, thoughts a part
                of the answer's.
            at: When it was answered, in seconds since the epoch; None: at the undated price.
        """
        price = self.at(at) if at is not None and (self.peaks or self.changes) else self
        if price.bands:
            price = _for_prompt(price, usage.prompt_tokens)
        prompt, answer = usage.prompt_tokens, usage.completion_tokens
        cached = max(0, min(usage.cached_tokens, prompt))
        total = (prompt - cached) * price.input + cached * price.cached + answer * price.output
        if price.cache_write is not None and usage.cache_write_tokens:
            written = max(0, min(usage.cache_write_tokens, prompt - cached))
            total += written * (price.cache_write - price.input)
        if price.reasoning is not None and usage.reasoning_tokens:
            thoughts = max(0, min(usage.reasoning_tokens, answer))
            total += thoughts * (price.reasoning - price.output)
        return total

    def worst(self, prompt_tokens: int, max_tokens: int, at: float | None = None) -> int:
        """Return the maximum cost of a call sent at ``at``, in picodollars."""
        prices: Iterable[Price] = (self,)
        if at is not None and (self.peaks or self.changes):
            prices = (self.at(at), self.at(at + _SOON_S))
        return max(_worst(price, prompt_tokens, max_tokens) for price in prices)

    def at(self, moment: float) -> Price:
        """Return the price at a moment (Unix seconds): its dated change, then its hours."""
        when = datetime.fromtimestamp(moment, UTC)
        price = self
        for since, changed in self.changes:
            if when.date() >= since:
                price = replace(changed, peaks=changed.peaks or self.peaks, tiers=self.tiers)
        for peak in price.peaks:
            if peak.holds(when):
                return scale(price, peak.factor)
        return price

    def for_tier(self, tier: str | None) -> Price:
        """Return the price at a service tier; the standard price if the tier has none."""
        return next((price for name, price in self.tiers if name == tier), self)


class PriceTable:
    """A table of prices by model.

    Args:
        table: Model to price. A name may have its provider before it (``groq/llama-3``).
        as_of: Date of the prices; None if unknown.
        origin: What the table is called, for people.
    """

    def __init__(
        self, table: Mapping[str, Price], as_of: date | None = None, origin: str = ""
    ) -> None:
        self._table = dict(table)
        self.as_of = as_of
        self.origin = origin
        self._by_tail: dict[str, list[str]] = {}
        for name in self._table:
            head, slash, tail = name.rpartition("/")
            if slash and head:
                self._by_tail.setdefault(tail, []).append(name)

    def find(self, model: str, *, tier: str | None = None, host: str = "") -> Price | None:
        """Return the price of a model; None if it is unknown, which is not the same as free.

        A name with a date at its end counts as the name without it, and a provider's prefix
        (``openai/gpt-4o``) as none. A bare name also finds the lines that have it behind a
        provider's name: the one whose provider the host names, else the dearest of them. No other
        likeness counts: a ``gpt-5-pro`` is no ``gpt-5``.

        Args:
            model: As requests or replies name it.
            tier: The service tier that calls ask for.
            host: The endpoint's host, to tell providers of one model apart.
        """
        found = self._find(model, host)
        return found.for_tier(tier) if found else None

    def cost_of(self, usages: Mapping[str, Usage]) -> int | None:
        """Return the total cost of models' tokens, in picodollars; None unless all are known."""
        total = 0
        for model, usage in usages.items():
            price = self.find(model)
            if price is None:
                return None
            total += price.cost(usage)
        return total

    def _find(self, model: str, host: str) -> Price | None:
        for name in (model, model.rpartition("/")[2]):
            for candidate in (name, _DATED.sub("", name)):
                if candidate in self._table:
                    return self._table[candidate]
                if candidate in self._by_tail:
                    return self._of_providers(self._by_tail[candidate], host)
            if name.partition(":")[0] == "local" and "local" in self._table:
                return self._table["local"]
        return None

    def _of_providers(self, names: list[str], host: str) -> Price:
        asked = [name for name in names if _provider_word(name) in host] if host else []
        prices = [self._table[name] for name in asked or names]
        return max(prices, key=lambda price: price.worst(1, 1))

    def age_warning(self, today: date) -> str:
        """One line where the prices are older than 90 days; else ``""``."""
        if self.as_of is None or (today - self.as_of).days <= _OLD_DAYS:
            return ""
        return (
            f"the prices of {self.origin} are of {self.as_of} and may have changed:"
            " give newer ones with prices: FILE"
        )


def scale(price: Price, factor: Decimal) -> Price:
    """Multiply a price by a factor, each amount rounded up to whole picodollars."""

    def times(amount: int | None) -> int | None:
        return None if amount is None else _up(amount * factor)

    bands = tuple(
        PriceTier(b.above, times(b.input), times(b.cached), times(b.cache_write), times(b.output))
        for b in price.bands
    )
    changes = tuple((since, scale(changed, factor)) for since, changed in price.changes)
    return replace(
        price,
        input=_up(price.input * factor),
        cached=_up(price.cached * factor),
        output=_up(price.output * factor),
        cache_write=times(price.cache_write),
        reasoning=times(price.reasoning),
        bands=bands,
        changes=changes,
        tiers=(),
    )


def pico(amount: str | Decimal | float) -> int:
    """Dollars as picodollars, rounded down.

    Raises:
        ValueError: It is no number of dollars: negative, infinite, or words.
    """
    try:
        value = Decimal(str(amount))
    except InvalidOperation:
        raise ValueError(f"not an amount of dollars: {amount!r}") from None
    if not value.is_finite() or value < 0:
        raise ValueError(f"not an amount of dollars: {amount!r}")
    return int(value * PICO)


def dollars(picodollars: int, places: int = 4) -> str:
    """Picodollars for people: "$0.0123", with more places where the first ones would be zeros."""
    value = Decimal(picodollars) / PICO
    if 0 < value < Decimal(1).scaleb(-places):
        return f"${value:.2g}" if value >= Decimal("1e-6") else f"${value:.12f}".rstrip("0")
    return f"${value:,.{places}f}"


def _for_prompt(price: Price, tokens: int) -> Price:
    """Return the price of a call with a prompt of this many tokens."""
    reached = [band for band in price.bands if tokens > band.above]
    return _in_band(price, reached[-1]) if reached else price


def _worst(price: Price, prompt_tokens: int, max_tokens: int) -> int:
    """By the dearest band that the prompt may reach."""
    reached = [_in_band(price, band) for band in price.bands if prompt_tokens > band.above]
    return max(
        prompt_tokens * max(it.input, it.cached, it.cache_write or 0)
        + max_tokens * max(it.output, it.reasoning or 0)
        for it in (price, *reached)
    )


def _in_band(price: Price, band: PriceTier) -> Price:
    return replace(
        price,
        input=price.input if band.input is None else band.input,
        cached=price.cached if band.cached is None else band.cached,
        cache_write=price.cache_write if band.cache_write is None else band.cache_write,
        output=price.output if band.output is None else band.output,
        bands=(),
    )


def _up(amount: Decimal) -> int:
    return math.ceil(amount.to_integral_value(ROUND_CEILING))


def _provider_word(name: str) -> str:
    """Return the provider in a line's name: ``groq`` of ``groq/llama-3``."""
    return re.split(r"[^a-z0-9]", name.lower(), maxsplit=1)[0]
