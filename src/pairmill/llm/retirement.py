"""Retirement dates of models, from the price table and the endpoint."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from pairmill.errors import ConfigError
from pairmill.llm.price_files import load_prices
from pairmill.llm.providers.endpoint import DEFAULT_BASE_URL, is_private_host

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pairmill.config import Settings
    from pairmill.llm.prices import PriceTable

__all__ = ["check_model_is_named", "end_of", "today", "warnings_on"]

SOON_DAYS = 90


def today(now: float) -> date:
    """Return the day of a moment (seconds since the epoch), in UTC."""
    return datetime.fromtimestamp(now, UTC).date()


def end_of(model: str, shutdown: date | None, day: date) -> str:
    """One line on a model that is switched off within 90 days, or was; else ``""``."""
    if shutdown is None:
        return ""
    days = (shutdown - day).days
    if days < 0:
        return f"{model} was switched off on {shutdown}: name another one with --model"
    if days <= SOON_DAYS:
        left = "today" if not days else f"in {days} day{'s' * (days != 1)}"
        return f"{model} is switched off on {shutdown}, {left}: choose another one before"
    return ""


def warnings_on(
    model: str, prices: PriceTable, host: str, day: date, told: date | None = None
) -> list[str]:
    """Return warnings about a model of a remote server before it is used.

    Args:
        model: As requests name it.
        prices: The price table, which knows of ends too.
        host: The endpoint's; servers of one's own switch off what their owners switch off.
        day: Today.
        told: When the endpoint itself says that it ends the model, which counts more.
    """
    if told is not None:
        return [line for line in (end_of(model, told, day),) if line]
    if is_private_host(host):
        return []
    price = prices.find(model, host=host)
    found = (end_of(model, price.shutdown if price else None, day), prices.age_warning(day))
    return [line for line in found if line]


def check_model_is_named(
    settings: Settings, environ: Mapping[str, str], now: float, *, is_begun: bool
) -> None:
    """Ask for a model's name where the default would be used, and is switched off or soon will be.

    A folder that was begun with the default goes on with it until its last day.

    Args:
        settings: Of the start.
        environ: For the endpoint's address.
        now: Seconds since the epoch.
        is_begun: The run folder holds an earlier start's settings.

    Raises:
        ConfigError: No model was named.
    """
    is_named = "model" in settings.model_fields_set or settings.is_local
    if is_named or (settings.pools and all(pool.model for pool in settings.pools)):
        return
    address = settings.base_url or environ.get("OPENAI_BASE_URL", "").strip() or DEFAULT_BASE_URL
    host, day = urlsplit(address).hostname or "", today(now)
    if is_private_host(host) or not environ.get(settings.api_key_env, "").strip():
        return  # without a key, that is the first thing to say
    price = load_prices(settings.prices).find(settings.model, host=host)
    end = price.shutdown if price else None
    if not end_of(settings.model, end, day) or (is_begun and end is not None and end >= day):
        return
    raise ConfigError(
        f"name a model with --model: without it {settings.model} would be used, whose last day is"
        f" {end}; 'pairmill doctor --model NAME' tries one, such as gpt-6-luna"
    )
