"""What a server counts against a token quota, and how to find out. Pure.

Providers differ: some count what was used, some hold ``max_tokens`` until the answer is there, some
never give back what was not used. Nobody says so in a header. So the mildest is believed until the
server contradicts it: it says that (nearly) nothing is left, or refuses, where by our own count
there was room. And a stricter belief is given up when the server says, for a whole minute of full
use, that much is left.
"""

from __future__ import annotations

from enum import StrEnum

__all__ = ["Charge", "ChargeWatch"]

_SPENT = 0.008  # of the limit
_CREDIBLE = 0.9  # of the limit; with nothing left and less than that counted, the count is wrong
_MINUTE_S = 60.0
_PATIENCE_S = 75.0  # of full use with much left, until a milder count is tried; doubles each time
_LEFT = {"reserved": 0.15, "reconciled": 0.01}  # of the limit: much, by this belief
_OF_HELD = 0.5  # a milder count would leave all that is held; half of it is no chance


class Charge(StrEnum):
    """What a server counts against a token quota."""

    ACTUAL = "actual"  # what was used, as ``usage`` says
    RECONCILED = "reconciled"  # prompt and max_tokens while under way, then what was used
    RESERVED = "reserved"  # prompt and max_tokens, for good


_MILDER = {Charge.RESERVED: Charge.RECONCILED, Charge.RECONCILED: Charge.ACTUAL}


class ChargeWatch:
    """Assumes one way of counting, until the server's figures contradict it.

    Attributes:
        charge: The belief.
    """

    __slots__ = ("_is_fixed", "_patience_s", "_roomy_since", "_since", "charge")

    def __init__(self, given: Charge | None, now: float) -> None:
        self.charge = given or Charge.ACTUAL
        self._is_fixed = given is not None
        self._since = now  # what was sent before, perhaps by others, counts for a minute
        self._roomy_since: float | None = None
        self._patience_s = _PATIENCE_S

    def on_refused(self, now: float, *, is_much: bool) -> bool:
        """Learn that tokens were refused which by our count were there; True: a new belief.

        Args:
            now: The time.
            is_much: What is missing is more than calls under way may use.
        """
        self._roomy_since = None
        if self._is_fixed or now < self._since + _MINUTE_S:
            return False
        stricter = Charge.RESERVED if is_much else Charge.RECONCILED
        if stricter is self.charge or self.charge is Charge.RESERVED:
            return False
        self._believe(stricter, now)
        return True

    def on_remaining(
        self, now: float, left: float, *, counted: float, held: float, is_in_use: bool
    ) -> bool:
        """Learn what the server says is left; True: a new belief.

        Args:
            now: The time.
            left: Share of the limit.
            counted: Share of the limit that we used in the last minute, at worst.
            held: Share of the limit that calls under way may still give back.
            is_in_use: Calls wait for tokens, and nothing else.
        """
        if left < _SPENT:
            self._roomy_since = None
            return counted < _CREDIBLE and self.on_refused(now, is_much=True)
        milder = None if self._is_fixed else _MILDER.get(self.charge)
        if milder is None:
            return False
        if not is_in_use or left < _LEFT[self.charge] + _OF_HELD * held:
            self._roomy_since = None
        elif self._roomy_since is None:
            self._roomy_since = now
        elif now >= self._roomy_since + self._patience_s:
            self._patience_s *= 2.0
            self._believe(milder, now)
            return True
        return False

    def _believe(self, charge: Charge, now: float) -> None:
        self.charge = charge
        self._since = now
        self._roomy_since = None
