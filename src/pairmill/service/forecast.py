"""Predicts, in plain lines, how a run will use what ``doctor`` found. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from pairmill.llm.limits.concurrency import AimdLimit, GradientLimit
from pairmill.llm.limits.headers import Unit
from pairmill.llm.limits.quota import Limits
from pairmill.llm.providers.provider import Mode

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pairmill.config import Settings
    from pairmill.llm.prices import Price
    from pairmill.service.doctor import Findings

__all__ = ["PlannedCall", "calls_per_min", "forecast"]

_UNITS = {
    Unit.REQUESTS: "rpm",
    Unit.INPUT: "input tokens a minute",
    Unit.OUTPUT: "output tokens a minute",
    Unit.TOKENS: "tpm",
}
_MODES = {
    Mode.JSON_SCHEMA: "the server enforces the schema (json_schema)",
    Mode.JSON_OBJECT: "the server promises JSON (json_object), the prompt describes the schema;"
    " what does not fit is healed or asked for again",
    Mode.PROMPT: "the server promises nothing, the prompt describes the schema (prompt);"
    " what does not fit is healed or asked for again",
}


class PlannedCall(NamedTuple):
    """A typical call of a run, in tokens."""

    prompt_tokens: float
    output_tokens: float


def forecast(
    found: Findings, settings: Settings, call: PlannedCall, price: Price | None
) -> list[str]:
    """Describe what a run will do, and why; one line per subject.

    Args:
        found: Findings about a working endpoint.
        settings: The user's settings, which take precedence over the findings.
        call: A typical call of the recipe.
        price: Price of the model, if known.
    """
    lines = [_pace(found, settings, call)]
    if found.mode is not None:
        lines.append(_MODES[found.mode])
    if found.has_usage is False:
        lines.append(
            "replies do not report token counts: they are estimated from characters,"
            " and caps count the maximum for each call"
        )
    if price is None:
        lines.append(
            f"the price of '{settings.model}' is not known: estimates are in tokens,"
            " and --max-usd is refused until a price file names it"
        )
    if found.is_listed is False:
        lines.append("the endpoint does not list the model, but answers")
    return lines


def calls_per_min(limits: Mapping[Unit, float], call: PlannedCall) -> tuple[float, Unit] | None:
    """Return how many such calls a minute the limits allow and which one binds; None: no limit."""
    size = {
        Unit.REQUESTS: 1.0,
        Unit.INPUT: call.prompt_tokens,
        Unit.OUTPUT: call.output_tokens,
        Unit.TOKENS: call.prompt_tokens + call.output_tokens,
    }
    usable = Limits()
    rates = [(60.0 * usable.rate(limit) / size[unit], unit) for unit, limit in limits.items()]
    return min(rates, default=None)


def declared_limits(settings: Settings) -> dict[Unit, float]:
    """Return this process's share of the limits in the settings."""
    given = {
        Unit.REQUESTS: settings.rpm,
        Unit.INPUT: settings.input_tpm,
        Unit.OUTPUT: settings.output_tpm,
        Unit.TOKENS: settings.tpm,
    }
    return {unit: limit * settings.rate_share for unit, limit in given.items() if limit}


def learned_limits(found: Findings) -> dict[Unit, float]:
    """Return the limits, per minute, that response headers stated."""
    return {unit: reading.limit for unit, reading in found.hint.minute.items() if reading.limit}


def _pace(found: Findings, settings: Settings, call: PlannedCall) -> str:
    declared = declared_limits(settings)
    share = settings.rate_share
    learned = {unit: limit * share for unit, limit in learned_limits(found).items()}
    limits = {**learned, **declared}
    if limits:
        origin = "limits as given" if declared else "limits by headers"
        if declared and limits != declared:
            origin = "limits as given and by headers"
        told = ", ".join(f"{limit:,.0f} {_UNITS[unit]}" for unit, limit in sorted(limits.items()))
        return f"{origin}: {told} -> {_rate(limits, call, found, settings)}"
    fixed = settings.concurrency
    if fixed:
        return f"no limits known -> {fixed} calls in flight, as given"
    if not found.is_private:
        return (
            f"no limit headers -> will go from 8 to at most {AimdLimit.CEILING} calls in flight,"
            " and after a refusal keep the rate that was accepted"
        )
    how = "its waiting gauge" if found.has_gauge else "the time per token"
    return (
        "no limit headers and a private address -> will look for the concurrency that"
        f" saturates it (8 to {GradientLimit.CEILING}) by {how}"
    )


def _rate(
    limits: Mapping[Unit, float], call: PlannedCall, found: Findings, settings: Settings
) -> str:
    allowed = calls_per_min(limits, call)
    assert allowed is not None  # noqa: S101 (there are limits)
    rate, unit = allowed
    size = call.prompt_tokens + call.output_tokens
    line = f"about {rate:,.0f} calls a minute of {size:,.0f} tokens ({_UNITS[unit]} decides)"
    if found.round_trip_s is None or not found.tokens_per_s:
        return line
    seconds = found.round_trip_s + call.output_tokens / found.tokens_per_s
    needed = max(1, round(rate * seconds / 60.0))
    if settings.concurrency and settings.concurrency < needed:
        return f"{line}; that takes {needed:,} in flight, and {settings.concurrency} are allowed"
    return f"{line}, {needed:,} in flight"
