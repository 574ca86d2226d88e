"""Selects the fault of each call: by the script first, then by chance.

Chance depends on the seed, the question and its attempt, never on the order of arrival, so that a
killed and restarted client gets the same faults again.
"""

from __future__ import annotations

from bisect import bisect_right
from itertools import accumulate
from typing import TYPE_CHECKING

from pairmill.simulator.faults import check_fault
from pairmill.simulator.rng import Rng

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pairmill.simulator.settings import Faults, ScheduledStep

__all__ = ["FaultPicker", "Script"]


class FaultPicker:
    """Chooses faults by their rates.

    Raises:
        ConfigError: A rate names an unknown fault.
    """

    def __init__(self, faults: Faults) -> None:
        for name in faults.rates:
            check_fault(name)
        self._names = sorted(faults.rates)
        self._bounds = list(accumulate(faults.rates[name] for name in self._names))
        self._attempts = faults.attempts

    def choose(self, digest: int, attempt: int) -> str | None:
        """Return the fault for this attempt (from 1) at this question, or None."""
        if not self._names or (self._attempts is not None and attempt > self._attempts):
            return None
        at = bisect_right(self._bounds, Rng(digest ^ (attempt * 0x5851F42D4C957F2D)).share())
        return self._names[at] if at < len(self._names) else None


class Script:
    """Scripted replies, each with a number of turns.

    Raises:
        ConfigError: A step names an unknown fault.
    """

    def __init__(self, steps: Iterable[ScheduledStep]) -> None:
        self._steps: list[tuple[ScheduledStep, list[int | None]]] = []
        for step in steps:
            if step.fault is not None:
                check_fault(step.fault)
            self._steps.append((step, [step.times]))

    def __bool__(self) -> bool:
        return bool(self._steps)

    def extend(self, other: Script) -> None:
        """Append another script's steps."""
        self._steps += other._steps

    def take(self, call: int, user: str) -> ScheduledStep | None:
        """Return the step that answers call number ``call`` (from 1); use up one of its turns."""
        for entry in self._steps:
            step, left = entry
            if call < step.from_call or (step.match is not None and step.match not in user):
                continue
            if left[0] is not None:
                left[0] -= 1
                if left[0] <= 0:
                    self._steps.remove(entry)
            return step
        return None
