"""What tokens cost, exactly: whole picodollars (1e-12 dollars), never a float.

A million tokens at 0.15 dollars are 150,000 picodollars a token; so are all list prices of today
whole numbers, and sums over millions of calls stay exact.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from importlib import resources
from typing import TYPE_CHECKING, Any

import yaml

from pairmill.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from pairmill.records import Usage

__all__ = ["PICO", "Price", "PriceTable", "dollars", "load_prices", "pico"]

PICO = 10**12
"""Picodollars in a dollar."""

_TOKENS = 10**6  # prices are per million tokens
_DATED = re.compile(r"-(\d{4}-\d{2}-\d{2}|\d{4}|\d{8}|latest)$")
_NAMES = frozenset({"input", "cached", "output"})


@dataclass(frozen=True, slots=True)
class Price:
    """Picodollars a token: of the prompt, of its part that a cache served, of the answer."""

    input: int
    cached: int
    output: int

    def cost(self, usage: Usage) -> int:
        """What a call cost, in picodollars. Cached tokens are a part of the prompt's."""
        cached = max(0, min(usage.cached_tokens, usage.prompt_tokens))
        fresh = usage.prompt_tokens - cached
        return fresh * self.input + cached * self.cached + usage.completion_tokens * self.output

    def worst(self, prompt_tokens: int, max_tokens: int) -> int:
        """The most that a call may cost, in picodollars."""
        return prompt_tokens * max(self.input, self.cached) + max_tokens * self.output


class PriceTable:
    """A table of prices by model."""

    def __init__(self, table: Mapping[str, Price]) -> None:
        self._table = dict(table)

    def find(self, model: str) -> Price | None:
        """The price of a model; None where it is not known, which is not the same as free.

        A name with a date at its end counts as the name without it, and a provider's prefix
        (``openai/gpt-4o``) as none. No other likeness does: a ``gpt-5-pro`` is no ``gpt-5``.
        """
        for name in (model, model.rpartition("/")[2]):
            for candidate in (name, _DATED.sub("", name)):
                if candidate in self._table:
                    return self._table[candidate]
            if name.partition(":")[0] == "local" and "local" in self._table:
                return self._table["local"]
        return None


def load_prices(override: Path | None = None) -> PriceTable:
    """Read the bundled table, and over it the user's own.

    Raises:
        ConfigError: The user's file cannot be read, or holds no prices.
    """
    bundled = resources.files("pairmill.llm").joinpath("prices.yaml").read_text("utf-8")
    table = _parse(bundled, "prices.yaml")
    if override is not None:
        try:
            text = override.read_text("utf-8")
        except (OSError, UnicodeDecodeError):
            raise ConfigError(f"cannot read prices from {override}") from None
        table.update(_parse(text, str(override)))
    return PriceTable(table)


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


def _parse(text: str, where: str) -> dict[str, Price]:
    try:
        data = yaml.safe_load(text)
    except yaml.YAMLError:
        raise ConfigError(f"{where}: not valid YAML") from None
    if data is None:
        return {}
    if not isinstance(data, dict):
        raise ConfigError(f"{where}: expected 'model: {{input: ..., output: ...}}' lines")
    return {str(name): _price(value, f"{where}: {name}") for name, value in data.items()}


def _price(value: Any, where: str) -> Price:
    if not isinstance(value, dict) or not {"input", "output"} <= set(value) <= _NAMES:
        raise ConfigError(
            f"{where}: needs 'input' and 'output', may have 'cached', in dollars per million tokens"
        )
    try:
        amounts = {name: pico(amount) for name, amount in value.items()}
    except ValueError:
        raise ConfigError(f"{where}: prices are numbers of dollars per million tokens") from None
    if any(amount % _TOKENS for amount in amounts.values()):
        raise ConfigError(f"{where}: a price has more than six decimals")
    per_token = {name: amount // _TOKENS for name, amount in amounts.items()}
    return Price(
        input=per_token["input"],
        cached=per_token.get("cached", per_token["input"]),
        output=per_token["output"],
    )
