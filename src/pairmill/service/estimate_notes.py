"""What to know before one believes an estimate, in plain lines. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pairmill.config import Settings
    from pairmill.service.estimate import Estimate

__all__ = ["notes_on"]


def notes_on(total: Estimate, settings: Settings) -> list[str]:
    """One line a caveat."""
    notes = []
    known = total.survey.measured
    if total.is_measured:
        notes.append(
            f"from {known.units:,} finished units: {known.prompt_tokens.value:,.0f} prompt and"
            f" {known.completion_tokens.value:,.0f} answer tokens and {known.pairs.value:.1f} pairs"
            f" a chunk, {known.repaired:.0%} of the chunks took more than one answer"
        )
    else:
        notes.append("by rules of thumb: --pilot 50 asks about 50 chunks, keeps them, and measures")
        if total.survey.varies:
            notes.append(
                "the recipe asks once for each item of what the model writes: how many those are,"
                " only a pilot tells"
            )
    if total.usd is None:
        notes.append(
            f"no price is known for '{settings.model}'; give one in a price file (prices: FILE)"
        )
    if total.hours is None:
        notes.append("hours need limits (--rpm, --tpm), or those of every pool, or a --pilot")
    elif total.pace is not None:
        notes.append(
            f"hours by the pilot's {total.pace.likely:,.1f} calls a second; a longer run may find"
            " that more go, and with --rpm and --tpm the quota decides"
        )
    notes.extend(_caps(total, settings))
    return notes


def _caps(total: Estimate, settings: Settings) -> list[str]:
    """Caps that the likely figure passes. They hold for all starts of a run together."""
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
