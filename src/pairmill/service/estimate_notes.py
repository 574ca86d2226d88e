"""Caveats of an estimate, as plain lines. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pairmill.config import Settings
    from pairmill.service.estimate import Estimate

__all__ = ["notes_on"]


def notes_on(total: Estimate, settings: Settings) -> list[str]:
    """Return the caveats, one line each."""
    notes = []
    known = total.survey.measured
    if total.is_measured:
        notes.append(
            f"from {known.units:,} finished units: {known.prompt_tokens.value:,.0f} prompt and"
            f" {known.completion_tokens.value:,.0f} answer tokens and {known.pairs.value:.1f} pairs"
            f" per chunk, {known.repaired:.0%} of the chunks took more than one answer"
        )
    else:
        notes.append(
            "based on rules of thumb: --pilot 50 asks about 50 chunks, keeps the answers, and"
            " measures"
        )
        if total.survey.varies:
            notes.append(
                "the recipe asks once for each item that the model writes: only a pilot shows how"
                " many those are"
            )
    if total.usd is None:
        notes.append(
            f"no price is known for '{settings.model}'; give one in a price file (prices: FILE)"
        )
    if total.hours is None:
        notes.append(
            "to estimate hours, give limits (--rpm, --tpm; with pools, for each) or use --pilot"
        )
    elif total.pace is not None:
        notes.append(
            f"hours based on the pilot's {total.pace.likely:,.1f} calls a second; a longer run may"
            " be faster, and with --rpm and --tpm the quota decides"
        )
    notes.extend(_caps(total, settings))
    return notes


def _caps(total: Estimate, settings: Settings) -> list[str]:
    """Return warnings about caps below the likely figure. Caps hold over all starts of a run."""
    tokens = total.prompt_tokens.likely + total.output_tokens.likely
    caps = [
        (settings.max_usd, total.usd.likely if total.usd else 0.0, "max_usd", "dollars"),
        (settings.max_total_tokens, tokens, "max_total_tokens", "tokens"),
        (settings.max_hours, total.hours.likely if total.hours else 0.0, "max_hours", "hours"),
    ]
    return [
        f"{name} {cap:,g} will end the run early: about {likely:,.2f} {what} are still needed"
        for cap, likely, name, what in caps
        if cap is not None and likely > cap
    ]
