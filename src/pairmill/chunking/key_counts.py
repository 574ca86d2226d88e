"""Counts of keys of which most are seen once: those take eight bytes each, in a table apart."""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["KeyCounts"]

_ROOM = 3  # places for each key, so that the first or second one that is looked at is the one
_MOST_FILLED = 0.6


class KeyCounts:
    """Counts 64-bit keys other than 0, in bounded memory.

    Of more than ``most`` keys it forgets those that were seen least, down to half of that. The
    memory is there from the beginning: a table for keys seen once (open addressing with linear
    probing: Knuth, "The Art of Computer Programming", volume 3, 6.4, algorithm L), and a dictionary
    of the others.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._repeated: dict[int, int] = {}
        self._clear()

    def __len__(self) -> int:
        return len(self._repeated) + self._single

    def add(self, keys: Iterable[int]) -> None:
        """Count each key again, and only then forget what is too much."""
        repeated = self._repeated
        for key in keys:
            if key in repeated:
                repeated[key] += 1
                continue
            place = self._place_of(key)
            if self._once[place]:
                repeated[key] = 2
                self._single -= 1
                continue
            self._once[place] = key
            self._single += 1
            self._filled += 1
            if self._filled > _MOST_FILLED * len(self._once):  # one text with so many lines
                self._widen()
        if len(self) > self._most:
            self._forget()

    def _place_of(self, key: int) -> int:
        once, mask = self._once, len(self._once) - 1
        place = key & mask
        while (held := once[place]) != key and held:
            place = (place + 1) & mask
        return place

    def has(self, key: int, least: float) -> bool:
        """Return whether a key was seen at least ``times`` times, which must be more than 1."""
        return self._repeated.get(key, 1) >= least

    def _clear(self) -> None:
        self._once = array("q", bytes(8 * 2 ** (_ROOM * self._most).bit_length()))
        self._single = self._filled = 0

    def _widen(self) -> None:
        held, self._once = self._once, array("q", bytes(16 * len(self._once)))
        for key in filter(None, held):
            self._once[self._place_of(key)] = key

    def _forget(self) -> None:
        """Keep the keys that were seen most, down to half of what is held."""
        self._clear()
        least = 3
        while len(self._repeated) > self._most // 2:
            self._repeated = {key: seen for key, seen in self._repeated.items() if seen >= least}
            least += 1
