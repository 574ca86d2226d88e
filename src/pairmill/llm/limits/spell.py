"""A spell: a time in which hardly anything is taken, as a quota is used up. Pure.

It begins with a pause, and goes on with each refusal since which next to nothing was taken: a
server that counts by the second, or in a bucket, takes a few calls beside its refusals.
"""

from __future__ import annotations

__all__ = ["Spell"]

_TRICKLE = 0.05  # of a pace: what is taken beside refusals while a quota is used up
_MOST_TRICKLE = 10.0  # calls; more show a server that takes some all the time
_FLOW_S = 0.3  # of a pace, taken beyond that: calls flow again
_FEEDS, _FAR_BELOW = 3, 0.5  # times that calls are taken in a spell; of a pace that is wrong


class Spell:
    """The present spell, or the last one.

    Attributes:
        since: When it began; None while calls flow.
        mark: Calls that had been taken when it, or the last one, began.
    """

    __slots__ = ("_fed_mark", "_feeds", "mark", "since")

    def __init__(self) -> None:
        self.since: float | None = None
        self.mark = 0
        self._feeds = self._fed_mark = 0  # pauses between which some were taken

    def begin(self, now: float, taken: int) -> None:
        """Begin, after ``taken`` calls."""
        self.since, self.mark = now, taken
        self._feeds, self._fed_mark = 0, taken

    def end(self) -> None:
        """End: calls flow again."""
        self.since = None

    def is_same(self, now: float, taken: int, pace: float | None) -> bool:
        """Return whether hardly anything was taken since this, or the last, began."""
        return taken <= self.mark + self._trickle(now, pace)

    def is_over(self, now: float, taken: int, pace: float, lately: float) -> bool:
        """Return whether calls flow again.

        Args:
            now: The time.
            taken: Calls taken so far.
            pace: Calls a second that are allowed.
            lately: What is used of that.
        """
        return taken > self.mark + self._trickle(now, pace) + _FLOW_S * lately

    def fed(self, now: float, taken: int, pace: float) -> float:
        """Calls a second that are taken all through it; 0.0 if they tell nothing.

        Where nothing was measured yet the pace may be far too high, and its trickle is all that the
        server allows: then that is the measure.
        """
        if self.since is None:
            return 0.0
        self._feeds += taken > self._fed_mark
        self._fed_mark = max(self._fed_mark, taken)
        rate = (taken - self.mark) / max(1.0, now - self.since)
        return rate if self._feeds >= _FEEDS and rate < _FAR_BELOW * pace else 0.0

    def _trickle(self, now: float, pace: float | None) -> float:
        """Calls that a server takes beside its refusals while its quota is used up."""
        if self.since is None or pace is None:
            return 0.0
        return 1.0 + min(_MOST_TRICKLE, _TRICKLE * pace * (now - self.since))
