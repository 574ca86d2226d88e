"""Slowly raises a held pace while the server does not object. Pure."""

from __future__ import annotations

from pairmill.llm.limits.rate_test import LONG_PATIENCE_S

__all__ = ["RARE", "increased"]

RARE = 0.007
"""Share of calls that a quota refuses while a pace rises slowly around it."""

_BELOW = 0.98  # share of the allowed rate below which it catches up; above, it rises slowly
_GROWTH_PER_S = 0.001
_GROWTH_PER_CALL = 0.0003  # a slow pool rises more slowly, so that a 429 stays rare per call
_FASTEST_GROWTH = 60.0  # factor on these after a minute or more without a refusal
_NOISY_GROWTH = 1.0  # factor beside noise
_CATCH_UP = 20.0  # factor while below the allowed rate
_PATIENCE_S = 10.0  # seconds without a refusal after which growth is twice as fast
_LONG_GROWTH = 5.0  # largest factor if the server counts by the minute


def increased(
    pace: float,
    allowed: float,
    *,
    calls: int,
    seconds: float,
    quiet_s: float,
    noise: float,
    is_long: bool,
) -> float:
    """Return the pace, raised slightly: more, the longer nothing was refused.

    Args:
        pace: Calls a second.
        allowed: Calls a second that the server is known to allow.
        calls: Made since the pace was last raised.
        seconds: Since then.
        quiet_s: Seconds since the last objection.
        noise: Share of calls refused by chance.
        is_long: The server counts by the minute.
    """
    fastest = _FASTEST_GROWTH
    if is_long:
        quiet_s, fastest = max(0.0, quiet_s - LONG_PATIENCE_S), _LONG_GROWTH
    haste = min(fastest, 1.0 + (quiet_s / _PATIENCE_S) ** 2)
    if pace < _BELOW * allowed:
        haste = _CATCH_UP
    elif noise >= RARE:
        haste = _NOISY_GROWTH  # too high a pace is hard to see there
    return pace * (1.0 + haste * min(_GROWTH_PER_S * seconds, _GROWTH_PER_CALL * calls))
