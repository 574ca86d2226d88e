"""Seeded random numbers, the same on every machine and in every version of Python.

The generator is SplitMix64 (Steele, Lea and Flood, OOPSLA 2014): 64 bits of state, no set-up cost,
which matters when every answer has a generator of its own.
"""

from __future__ import annotations

import hashlib
from statistics import NormalDist
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Rng", "digest_of"]

Item = TypeVar("Item")

_MASK = 2**64 - 1
_STEP = 0x9E3779B97F4A7C15
_NORMAL = NormalDist()


def digest_of(seed: int, data: bytes) -> int:
    """Hash ``data`` under ``seed`` to a 64-bit number (BLAKE2b, keyed)."""
    state = hashlib.blake2b(data, digest_size=8, key=b"%d" % seed)
    return int.from_bytes(state.digest())


class Rng:
    """A stream of random numbers that depends only on its seed."""

    __slots__ = ("_state",)

    def __init__(self, seed: int) -> None:
        self._state = seed & _MASK

    def draw(self) -> int:
        """Return the next number, from 0 to 2**64 - 1."""
        self._state = state = (self._state + _STEP) & _MASK
        state = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
        state = ((state ^ (state >> 27)) * 0x94D049BB133111EB) & _MASK
        return state ^ (state >> 31)

    def below(self, limit: int) -> int:
        """Return a number from 0 to ``limit - 1``; ``limit`` is at least 1."""
        return self.draw() % limit

    def share(self) -> float:
        """Return a number in [0, 1)."""
        return (self.draw() >> 11) * 2.0**-53

    def pick(self, items: Sequence[Item]) -> Item:
        """Return one of the items, which must not be empty."""
        return items[self.draw() % len(items)]

    def normal(self) -> float:
        """Return a number from the standard normal distribution."""
        return _NORMAL.inv_cdf(max(self.share(), 2.0**-53))
