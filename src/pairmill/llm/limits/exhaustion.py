"""Exhaustion: a time in which a used-up quota lets hardly any call through. Pure.

It begins with a pause, and each further refusal extends it as long as hardly anything was accepted:
a server that counts by the second, or by a bucket, accepts a trickle of calls between refusals.
"""

from __future__ import annotations

__all__ = ["Exhaustion"]

_TRICKLE = 0.05  # share of the pace that is accepted while a quota is used up
_MOST_TRICKLE = 10.0  # calls; beyond that the server accepts some all the time
_FLOW_S = 0.3  # seconds' worth of the pace, accepted beyond the trickle, that end it
_FEEDS = 3  # pauses with calls accepted between them, before the trickle counts as the rate
_FAR_BELOW = 0.5  # share of the pace below which the pace itself is wrong


class Exhaustion:
    """The present exhaustion, or the last one.

    Attributes:
        since: When it began; None while calls flow.
        mark: Calls accepted before it, or the last one, began.
    """

    __slots__ = ("_fed_mark", "_feeds", "mark", "since")

    def __init__(self) -> None:
        self.since: float | None = None
        self.mark = 0
        self._feeds = self._fed_mark = 0  # pauses with some accepted between them

    def begin(self, now: float, taken: int) -> None:
        """Begin, after ``taken`` accepted calls."""
        self.since, self.mark = now, taken
        self._feeds, self._fed_mark = 0, taken

    def end(self) -> None:
        """End: calls flow again."""
        self.since = None

    def is_same(self, now: float, taken: int, pace: float | None) -> bool:
        """Return True if hardly anything was accepted since this, or the last, began."""
        return taken <= self.mark + self._trickle(now, pace)

    def is_over(self, now: float, taken: int, pace: float, lately: float) -> bool:
        """Return True if calls flow again.

        Args:
            now: The time.
            taken: Calls accepted so far.
            pace: Calls a second that are allowed.
            lately: Calls a second made recently.
        """
        return taken > self.mark + self._trickle(now, pace) + _FLOW_S * lately

    def fed(self, now: float, taken: int, pace: float) -> float:
        """Return the calls a second accepted throughout; 0.0 if they are no evidence.

        Before anything was measured the pace may be far too high. Then the trickle is all that the
        server allows, and becomes the measured rate.
        """
        if self.since is None:
            return 0.0
        self._feeds += taken > self._fed_mark
        self._fed_mark = max(self._fed_mark, taken)
        rate = (taken - self.mark) / max(1.0, now - self.since)
        return rate if self._feeds >= _FEEDS and rate < _FAR_BELOW * pace else 0.0

    def _trickle(self, now: float, pace: float | None) -> float:
        """Return how many calls a server may accept while its quota is used up."""
        if self.since is None or pace is None:
            return 0.0
        return 1.0 + min(_MOST_TRICKLE, _TRICKLE * pace * (now - self.since))
