"""How long a server asks us to wait before the next call."""

from __future__ import annotations

import email.utils
import math
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pairmill.llm.bodies import Facts

__all__ = ["retry_after_s"]

_DAY_S = 86_400.0
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h)")
_UNITS_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_TRY_AGAIN = re.compile(r"(?:try again|retry) in ((?:\d+(?:\.\d+)?(?:ms|s|m|h) ?)+)", re.IGNORECASE)


def retry_after_s(headers: Mapping[str, str], facts: Facts, now: float) -> float | None:
    """Seconds to wait: from the headers, else from the body's fields, else from its text.

    Args:
        headers: Names in lower case.
        facts: Of the body.
        now: Seconds since the epoch, for a date.

    Returns:
        At most a day; None where the server asks for nothing that can be understood.
    """
    milliseconds = _number(headers.get("retry-after-ms"))
    if milliseconds is not None:
        return min(milliseconds / 1000, _DAY_S)
    value = headers.get("retry-after")
    seconds = _number(value) if value else None
    if seconds is None and value:
        seconds = _until(value, now)
    if seconds is None:
        seconds = _from_body(facts)
    return None if seconds is None else min(seconds, _DAY_S)


def _from_body(facts: Facts) -> float | None:
    error = facts.error if isinstance(facts.error, dict) else {}
    details = error.get("details")
    for item in details if isinstance(details, list) else []:
        delay = item.get("retryDelay") if isinstance(item, dict) else None
        if isinstance(delay, str) and (seconds := _duration(delay)) is not None:
            return seconds
    metadata = error.get("metadata")
    if isinstance(metadata, dict):
        seconds = _number(str(metadata.get("retry_after_seconds")))
        if seconds is not None:
            return seconds
    said = _TRY_AGAIN.search(facts.message[:4000])
    return _duration(said[1]) if said else None


def _number(value: str | None) -> float | None:
    try:
        number = float(value) if value else math.nan
    except ValueError:
        return None
    return number if math.isfinite(number) and number >= 0 else None


def _duration(value: str) -> float | None:
    parts = _DURATION.findall(value)
    return sum(float(number) * _UNITS_S[unit] for number, unit in parts) if parts else None


def _until(value: str, now: float) -> float | None:
    try:
        moment = email.utils.parsedate_to_datetime(value)
    except (ValueError, IndexError):
        return None
    return max(0.0, moment.timestamp() - now)
