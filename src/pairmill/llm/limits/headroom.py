"""Tests whether keeping further below a given quota makes refusals fewer. Pure.

A quota that was given and is kept to is overdrawn by little, if at all: by ways to the server of
unequal length, or because it counts calls in flight otherwise than we do. Each has its remedy, a
wider margin or a stricter count, and each remedy costs a share of the quota. Refusals that have
nothing to do with the quota look the same, and no remedy helps against those. So where refusals go
on, the remedies are suspended for as many calls, and in turns until it is clear: if about as many
are refused without, they are noise.
"""

from __future__ import annotations

from collections import deque
from enum import Enum, auto

__all__ = ["HeadroomTest", "Step"]

_COUNT = 8  # refusals that a share is measured by, at first
_MOST_STEPS = 8  # refusals, until remedies are tested rather than added to
_NO_MORE, _MORE = 1.2, 2.0  # times as many without remedies: it is noise; they help
_LIKELY = 1.5  # the bound between the two, after so many refusals
_LAST = 64  # refusals, after which it is as clear as it gets
_LONGER = 4  # times as many refusals until the next test
_RECENT, _EXCESS = 16, 2.5  # so many refusals, as many times as chance explains: there is more


class Step(Enum):
    """What follows from a refusal."""

    NONE = auto()
    STRICTER = auto()  # a remedy, or more of it
    SUSPEND = auto()  # no remedies for a while
    RESUME = auto()  # the remedies as before


class HeadroomTest:
    """Decides when remedies are applied, and when they are tested."""

    __slots__ = (
        "_at",
        "_calls",
        "_count",
        "_enough",
        "_first_enough",
        "_is_suspended",
        "_recent",
        "_refused",
        "_usual",
    )

    def __init__(self) -> None:
        self._count = 0  # refusals that may be the quota's
        self._first_enough = self._enough = _COUNT  # refused with remedies, until they are tested
        self._at = 0  # first call of this turn
        self._is_suspended = False
        self._calls = [0, 0]  # in earlier turns with remedies, and without
        self._refused = [0, 0]  # of all turns
        self._usual = 0.0  # share that is refused by chance; 0: no noise is known
        self._recent: deque[int] = deque(maxlen=_RECENT)  # refused calls, by number

    def on_refused(self, index: int, *, is_strict: bool, is_cluster: bool) -> Step:
        """Learn that call number ``index`` was refused, while the quota was kept to.

        Args:
            index: In the order of sending.
            is_strict: A remedy is in force.
            is_cluster: So were calls around it.
        """
        if index < self._at or self._is_by_chance(index):
            return Step.NONE
        if is_cluster:
            self._begin(index)
            return Step.STRICTER
        self._refused[self._is_suspended] += 1
        calls = self._calls[self._is_suspended] + index + 1 - self._at
        if self._is_suspended:
            return self._on_suspended(index, calls)
        self._count += 1
        is_power_of_two = self._count & (self._count - 1) == 0
        if is_power_of_two and not (is_strict and self._count > _MOST_STEPS):
            self._begin(index)
            return Step.STRICTER
        if is_strict and self._refused[False] >= self._enough:
            self._turn(index, calls)
            return Step.SUSPEND
        return Step.NONE

    def _on_suspended(self, index: int, calls: int) -> Step:
        with_remedies, without = self._refused
        if calls < self._calls[False] and without < _MORE * with_remedies:
            return Step.NONE
        times = (without / calls) / (with_remedies / self._calls[False])
        if times <= _NO_MORE or (with_remedies >= _LAST and times < _LIKELY):
            self._usual = (with_remedies + without) / (self._calls[False] + calls)
            self._recent.clear()
            self._begin(index)
            return Step.NONE
        if times >= _MORE or with_remedies >= _LAST:
            self._first_enough *= _LONGER
            self._begin(index)
        else:
            self._enough *= 2
            self._turn(index, calls)
        return Step.RESUME

    def _begin(self, index: int) -> None:
        """Measure anew, from the next call on."""
        self._enough, self._is_suspended = self._first_enough, False
        self._at, self._calls, self._refused = index + 1, [0, 0], [0, 0]

    def _turn(self, index: int, calls: int) -> None:
        """End a turn, in which there were so many calls as this with those before."""
        self._calls[self._is_suspended] = calls
        self._is_suspended = not self._is_suspended
        self._at = index + 1

    def _is_by_chance(self, index: int) -> bool:
        """Return whether chance explains a refusal, as far as it is known."""
        if not self._usual:
            return False
        recent = self._recent
        recent.append(index)
        self._refused[False] += 1
        if self._refused[False] >= _LAST:
            self._usual = self._refused[False] / (index + 1 - self._at)
        calls = max(recent) - min(recent) + 1
        if len(recent) < _RECENT or _EXCESS * self._usual * calls > _RECENT:
            return True
        self._usual, self._count = 0.0, 0
        self._begin(index)
        return False
