"""How fast a held pace creeps up, as nobody objects. Pure."""

from __future__ import annotations

from pairmill.llm.limits.rate_test import LONG_PATIENCE_S

__all__ = ["RARE", "crept"]

RARE = 0.007
"""Share of the calls: refusals of a quota, at a pace that creeps around it."""

_BELOW = 0.98  # of what is allowed, soon after; from there on it creeps
_GROWTH_PER_S = 0.001
_GROWTH_PER_CALL = 0.0003  # a slow pool creeps slowly, so that a 429 stays rare per call
_FASTEST_GROWTH = 60.0  # times the above, after a minute or more without a refusal
_NOISY_GROWTH = 1.0  # and beside noise
_CATCH_UP = 20.0  # times the above, while below what is known to be allowed
_PATIENCE_S = 10.0  # without a refusal, until growth is twice as fast
_LONG_GROWTH = 5.0  # the fastest growth where a server counts by the minute


def crept(
    pace: float,
    allowed: float,
    *,
    calls: int,
    seconds: float,
    quiet_s: float,
    noise: float,
    is_long: bool,
) -> float:
    """Return a pace that is used, raised by a little: the faster, the longer nobody objected.

    Args:
        pace: Calls a second.
        allowed: Calls a second that the server is known to allow.
        calls: Made since the pace was last raised.
        seconds: Since then.
        quiet_s: Seconds since the last objection.
        noise: Share of the calls that is refused by chance.
        is_long: The server counts by the minute.
    """
    fastest = _FASTEST_GROWTH
    if is_long:
        quiet_s, fastest = max(0.0, quiet_s - LONG_PATIENCE_S), _LONG_GROWTH
    haste = min(fastest, 1.0 + (quiet_s / _PATIENCE_S) ** 2)
    if pace < _BELOW * allowed:
        haste = _CATCH_UP
    elif noise >= RARE:
        haste = _NOISY_GROWTH  # whether it goes too fast is hard to see
    return pace * (1.0 + haste * min(_GROWTH_PER_S * seconds, _GROWTH_PER_CALL * calls))
