"""Names of all faults that the simulated endpoint can show."""

from __future__ import annotations

from pairmill.errors import ConfigError
from pairmill.simulator.envelopes import ENVELOPE_FAULTS
from pairmill.simulator.mangle import TEXT_FAULTS
from pairmill.simulator.refusals import REFUSALS

__all__ = ["CONNECTION_FAULTS", "FAULTS", "check_fault"]

CONNECTION_FAULTS = frozenset(
    {
        "close",  # the connection is closed cleanly, without a byte
        "close_after",  # the answer is good; then the connection is closed without notice
        "close_mid_body",  # the connection is closed cleanly, but before the end of the body
        "drip",  # the body comes in small parts
        "garbage",  # the reply is not HTTP
        "hang",  # no byte comes
        "hang_mid_body",  # half the body comes, then nothing
        "reset",  # TCP reset before the first byte
        "reset_mid_body",
    }
)
"""Faults of the transport."""

_OTHERS = frozenset({"rate_limit", "truncated"})
FAULTS = tuple(sorted({*CONNECTION_FAULTS, *_OTHERS, *REFUSALS, *ENVELOPE_FAULTS, *TEXT_FAULTS}))
"""Names of all faults."""


def check_fault(name: str) -> None:
    """Raise ``ConfigError`` unless there is a fault of this name."""
    if name not in FAULTS:
        raise ConfigError(f"simulator: no fault is called {name!r}; known: {', '.join(FAULTS)}")
