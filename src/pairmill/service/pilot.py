"""Measures a pilot's pace, to estimate hours if no limits were given."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

    from pairmill.events import CallAnswered

__all__ = ["Pace", "PilotWatch"]

_LEAST_CALLS = 5  # fewer say too little
_SLOWER = 0.8
_FASTER = 4.0  # a pilot ends while the run is still ramping up its concurrency


class Pace(NamedTuple):
    """Calls per second: minimum, likely, maximum."""

    low: float
    likely: float
    high: float


class PilotWatch:
    """Subscribes to a pilot's answers (`CallAnswered`).

    Args:
        clock: Seconds that never run backwards.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._began_at = clock()
        self._answers: list[tuple[float, float]] = []  # arrival time and duration of each answer

    def __call__(self, event: CallAnswered) -> None:
        """Record an answer."""
        self._answers.append((self._clock(), event.seconds))

    def pace(self, concurrency: int | None) -> Pace | None:
        """Predict the pace of a longer run; None if too few calls were answered.

        With a given concurrency: that many calls at a time, each as long as the pilot's average.
        Otherwise the pace that was reached, over the whole pilot and over the middle half of its
        answers (without the first and the last ones), up to four times that.

        Args:
            concurrency: Calls in flight, if given.
        """
        count = len(self._answers)
        if count < _LEAST_CALLS:
            return None
        times = sorted(at for at, _ in self._answers)
        mean_s = sum(seconds for _, seconds in self._answers) / count
        began_at = max(self._began_at, min(at - seconds for at, seconds in self._answers))
        whole = count / max(times[-1] - began_at, 1e-6)
        if concurrency is not None:
            full = max(whole, concurrency / max(mean_s, 1e-6))
            return Pace(min(whole, _SLOWER * full), full, full / _SLOWER)
        first, last = count // 4, count - 1 - count // 4
        likely = max(whole, (last - first) / max(times[last] - times[first], 1e-6))
        likely = min(likely, _FASTER * whole)  # answers that arrive all at once give no rate
        return Pace(_SLOWER * whole, likely, _FASTER * likely)
