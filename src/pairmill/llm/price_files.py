"""Reads price tables: pairmill's own form, LiteLLM's cost map, and models.dev's ``api.json``."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import date, datetime
from decimal import ROUND_CEILING, Decimal, InvalidOperation
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any

import orjson

from pairmill.errors import ConfigError
from pairmill.llm.prices import PICO, PeakHours, Price, PriceTable, PriceTier, pico, scale
from pairmill.yaml_files import load_yaml

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

__all__ = ["load_prices"]

_TOKENS = 10**6  # our prices are per million tokens
_AMOUNTS = frozenset({"input", "cached", "cache_write", "output", "reasoning"})
_NAMES = _AMOUNTS | {"bands", "peaks", "tiers", "from", "shutdown"}
_AS_OF = "as_of"
_DAYS = {name: at for at, name in enumerate(("mon", "tue", "wed", "thu", "fri", "sat", "sun"))}
_CLOCK = re.compile(r"([01]\d|2[0-4]):([0-5]\d)-([01]\d|2[0-4]):([0-5]\d)")
_ABOVE = re.compile(r"_above_(\d+)(k?)_tokens$")
_TIERS = ("flex", "priority", "batches")
_MOST_BYTES = 64 * 2**20
_OF_NEED = (
    "needs 'input' and 'output', may have 'cached', 'cache_write', 'reasoning', 'bands', 'peaks',"
    " 'tiers', 'from' and 'shutdown'; amounts are dollars per million tokens"
)


def load_prices(override: Path | None = None) -> PriceTable:
    """Read the bundled table, and over it the user's own.

    Args:
        override: A file in our form, LiteLLM's ``model_prices_and_context_window.json``, or
            models.dev's ``api.json``; told apart by what is in it.

    Raises:
        ConfigError: The user's file cannot be read, or holds no prices.
    """
    origin = "pairmill's own table"
    table, as_of = _bundled()
    if override is None:
        return PriceTable(table, as_of, origin)
    given, given_as_of = _read(override)
    for name, price in given.items():
        if price.shutdown is None and name in table:
            given[name] = replace(price, shutdown=table[name].shutdown)
    return PriceTable(
        {**table, **given}, given_as_of or as_of, str(override) if given_as_of else origin
    )


@cache
def _bundled() -> tuple[Mapping[str, Price], date | None]:
    text = resources.files("pairmill.llm").joinpath("prices.yaml").read_text("utf-8")
    return _own(_loads(text, "prices.yaml"), "prices.yaml")


def _read(path: Path) -> tuple[dict[str, Price], date | None]:
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise ConfigError(f"cannot read prices from {path}: larger than 64 MiB")
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError):
        raise ConfigError(f"cannot read prices from {path}") from None
    data = _loads(text, str(path))
    read = _form_of(data)
    if read is None:
        return _own(data, str(path))
    table = dict(read(data))
    if not table:
        raise ConfigError(f"{path}: it contains no price of a model that writes text")
    return table, None


def _loads(text: str, where: str) -> Any:
    if text.lstrip().startswith("{"):
        try:
            return orjson.loads(text)  # a public table has megabytes, which YAML takes minutes for
        except orjson.JSONDecodeError:
            if len(text) > 2**20:
                raise ConfigError(f"{where}: not valid JSON") from None
    try:
        return load_yaml(text)
    except ValueError:
        raise ConfigError(f"{where}: not valid YAML") from None


def _form_of(data: Any) -> Any:
    """Return the reader of a public table; None if it is not one."""
    values = [value for value in data.values() if isinstance(value, dict)] if _is_map(data) else []
    if any(isinstance(value.get("models"), dict) for value in values):
        return _models_dev
    if any("litellm_provider" in v or "input_cost_per_token" in v for v in values):
        return _litellm
    return None


def _is_map(data: Any) -> bool:
    return isinstance(data, dict)


# pairmill's own form


def _own(data: Any, where: str) -> tuple[dict[str, Price], date | None]:
    if data is None:
        return {}, None
    if not isinstance(data, dict):
        raise ConfigError(f"{where}: expected 'model: {{input: ..., output: ...}}' lines")
    as_of = _day(data[_AS_OF], f"{where}: {_AS_OF}") if data.get(_AS_OF) is not None else None
    table = {
        str(name): _price(value, f"{where}: {name}")
        for name, value in data.items()
        if name != _AS_OF
    }
    return table, as_of


def _price(value: Any, where: str) -> Price:
    if not isinstance(value, dict) or not {"input", "output"} <= set(value) <= _NAMES:
        raise ConfigError(f"{where}: {_OF_NEED}")
    amounts = _amounts(value, where)
    price = Price(
        input=amounts["input"],
        cached=amounts.get("cached", amounts["input"]),
        output=amounts["output"],
        cache_write=amounts.get("cache_write"),
        reasoning=amounts.get("reasoning"),
        bands=tuple(_bands(value.get("bands"), where)),
        peaks=tuple(_peaks(value.get("peaks"), where)),
    )
    changes = value.get("from") or {}
    if not isinstance(changes, dict):
        raise ConfigError(
            f"{where}: 'from' has lines such as '2027-01-01: {{input: ..., output: ...}}'"
        )
    dated = sorted((_day(day, where), _price(new, where)) for day, new in changes.items())
    price = replace(price, changes=tuple(dated))
    if value.get("shutdown") is not None:
        price = replace(price, shutdown=_day(value["shutdown"], where))
    return replace(price, tiers=_tiers(value.get("tiers"), price, where))


def _amounts(value: Mapping[str, Any], where: str) -> dict[str, int]:
    try:
        amounts = {name: pico(value[name]) for name in _AMOUNTS if name in value}
    except ValueError:
        raise ConfigError(f"{where}: prices are numbers of dollars per million tokens") from None
    if any(amount % _TOKENS for amount in amounts.values()):
        raise ConfigError(f"{where}: a price has more than six decimals")
    return {name: amount // _TOKENS for name, amount in amounts.items()}


def _bands(value: Any, where: str) -> Iterator[PriceTier]:
    wrong = f"{where}: 'bands' is a list of {{above: TOKENS, input: ..., output: ...}}"
    for item in sorted(_list(value, wrong), key=lambda band: str(band.get("above")).zfill(12)):
        above = item.get("above")
        if type(above) is not int or above < 0 or not set(item) <= _AMOUNTS | {"above"}:
            raise ConfigError(wrong)
        amounts = _amounts(item, where)
        amounts.pop("reasoning", None)
        yield PriceTier(above, **amounts)


def _peaks(value: Any, where: str) -> Iterator[PeakHours]:
    wrong = f"{where}: 'peaks' is a list of {{factor: 2, days: mon-fri, utc: \"01:00-04:00\"}}"
    for item in _list(value, wrong):
        clock = _CLOCK.fullmatch(str(item.get("utc", "00:00-24:00")))
        days = _weekdays(str(item.get("days", "mon-sun")))
        if not clock or not days or not set(item) <= {"factor", "days", "utc"}:
            raise ConfigError(wrong)
        start, end = (int(clock[at]) * 60 + int(clock[at + 1]) for at in (1, 3))
        yield PeakHours(_factor(item.get("factor"), wrong), days, start, end)


def _weekdays(text: str) -> frozenset[int]:
    """``mon-fri`` or ``sat,sun`` as numbers from 0; empty if it is neither."""
    found: set[int] = set()
    for part in text.lower().split(","):
        first, dash, last = part.strip().partition("-")
        if first not in _DAYS or (dash and last not in _DAYS):
            return frozenset()
        start, end = _DAYS[first], _DAYS[last] if dash else _DAYS[first]
        found.update((start + step) % 7 for step in range((end - start) % 7 + 1))
    return frozenset(found)


def _tiers(value: Any, price: Price, where: str) -> tuple[tuple[str, Price], ...]:
    """Return each tier's own price: a factor of the standard price, or amounts."""
    if value is None:
        return ()
    if not isinstance(value, dict):
        raise ConfigError(f"{where}: 'tiers' has lines such as 'flex: 0.5'")
    wrong = f"{where}: 'tiers' has lines such as 'flex: 0.5'"
    return tuple(
        (str(name), _price(it, where) if isinstance(it, dict) else scale(price, _factor(it, wrong)))
        for name, it in value.items()
    )


def _list(value: Any, wrong: str) -> list[dict[str, Any]]:
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise ConfigError(wrong)
    return value


def _factor(value: Any, wrong: str) -> Decimal:
    try:
        factor = Decimal(str(value))
    except InvalidOperation:
        raise ConfigError(wrong) from None
    if isinstance(value, bool) or not factor.is_finite() or not 0 <= factor <= 1000:  # noqa: PLR2004
        raise ConfigError(wrong)
    return factor


def _day(value: Any, where: str) -> date:
    found = _day_or_none(value)
    if found is None:
        raise ConfigError(f"{where}: dates are written 2027-01-14")
    return found


def _day_or_none(value: Any) -> date | None:
    if isinstance(value, datetime):
        return value.date()
    if isinstance(value, date):
        return value
    try:
        return date.fromisoformat(str(value)[:10])
    except ValueError:
        return None


# public tables: a line that cannot be used is passed over


def _litellm(data: Mapping[str, Any]) -> Iterator[tuple[str, Price]]:
    """``model_prices_and_context_window.json`` of BerriAI/litellm: dollars per token."""
    for name, line in data.items():
        if not isinstance(line, dict) or name == "sample_spec":
            continue
        price = _of_litellm(line)
        if price is not None:
            yield str(name), price


def _of_litellm(line: Mapping[str, Any]) -> Price | None:
    steps = _litellm_steps(line)
    usual = _litellm_amounts(line, "") or steps.pop(min(steps, default=0), None)
    bands = _litellm_bands(line)
    bands += [
        PriceTier(above, step.input, step.cached, None, step.output)
        for above, step in steps.items()
        if above
    ]
    if usual is None:
        return None
    price = replace(
        usual,
        bands=tuple(sorted(bands, key=lambda band: band.above)),
        shutdown=_day_or_none(line.get("deprecation_date")),
    )
    tiers = tuple(
        ("batch" if tier == "batches" else tier, found)
        for tier in _TIERS
        if (found := _litellm_amounts(line, f"_{tier}")) is not None
    )
    return replace(price, tiers=tiers)


def _litellm_amounts(line: Mapping[str, Any], ending: str) -> Price | None:
    fresh = _per_token(line.get(f"input_cost_per_token{ending}"))
    answer = _per_token(line.get(f"output_cost_per_token{ending}"))
    if fresh is None or answer is None:
        return None
    cached = _per_token(line.get(f"cache_read_input_token_cost{ending}"))
    return Price(
        fresh,
        fresh if cached is None else cached,
        answer,
        _per_token(line.get(f"cache_creation_input_token_cost{ending}")),
        _per_token(line.get(f"output_cost_per_reasoning_token{ending}")),
    )


def _litellm_steps(line: Mapping[str, Any]) -> dict[int, Price]:
    """Return prices by the length of the prompt from which they hold (Qwen's)."""
    found: dict[int, Price] = {}
    listed = line.get("tiered_pricing")
    for step in listed if isinstance(listed, list) else ():
        span = step.get("range") if isinstance(step, dict) else None
        above = _number(span[0]) if isinstance(span, list) and span else None
        price = _litellm_amounts(step, "") if above is not None else None
        if above is not None and price is not None:
            found[int(above)] = price
    return found


def _litellm_bands(line: Mapping[str, Any]) -> list[PriceTier]:
    fields = {
        "input_cost_per_token": "input",
        "output_cost_per_token": "output",
        "cache_read_input_token_cost": "cached",
        "cache_creation_input_token_cost": "cache_write",
    }
    found: dict[int, dict[str, int]] = {}
    for name, value in line.items():
        match = _ABOVE.search(str(name))
        amount = _per_token(value)
        ours = fields.get(str(name)[: match.start()]) if match else None
        if match and ours and amount is not None:
            above = int(match[1]) * (1000 if match[2] else 1)
            found.setdefault(above, {})[ours] = amount
    return [PriceTier(above, **amounts) for above, amounts in found.items()]


def _models_dev(data: Mapping[str, Any]) -> Iterator[tuple[str, Price]]:
    """``api.json`` of models.dev: providers, their models, dollars per million tokens."""
    for provider, line in data.items():
        models = line.get("models") if isinstance(line, dict) else None
        for name, model in models.items() if isinstance(models, dict) else ():
            cost = model.get("cost") if isinstance(model, dict) else None
            price = _of_models_dev(cost) if isinstance(cost, dict) else None
            if price is not None:
                yield f"{provider}/{name}", price


def _of_models_dev(cost: Mapping[str, Any]) -> Price | None:
    fresh, answer = _per_million(cost.get("input")), _per_million(cost.get("output"))
    if fresh is None or answer is None:
        return None
    cached = _per_million(cost.get("cache_read"))
    bands = []
    for name, long in cost.items():
        match = re.fullmatch(r"context_over_(\d+)k", str(name))
        if match and isinstance(long, dict):
            amounts = [
                _per_million(long.get(part))
                for part in ("input", "cache_read", "cache_write", "output")
            ]
            bands.append(PriceTier(int(match[1]) * 1000, *amounts))
    return Price(
        fresh,
        fresh if cached is None else cached,
        answer,
        _per_million(cost.get("cache_write")),
        _per_million(cost.get("reasoning")),
        tuple(sorted(bands, key=lambda band: band.above)),
    )


def _per_token(value: Any) -> int | None:
    """Dollars a token as picodollars, rounded up; None if it is no price."""
    number = _number(value)
    return None if number is None else int((number * PICO).to_integral_value(ROUND_CEILING))


def _per_million(value: Any) -> int | None:
    number = _number(value)
    return None if number is None else _per_token(number / _TOKENS)


def _number(value: Any) -> Decimal | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str | Decimal):
        return None
    try:
        number = Decimal(str(value))
    except InvalidOperation:
        return None
    return number if number.is_finite() and 0 <= number <= PICO else None
