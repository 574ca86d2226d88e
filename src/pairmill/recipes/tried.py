"""Result of trying a recipe on one unit."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pairmill.records import Chunk, Completion, Pair, Rejection, Request, Usage

__all__ = ["TriedUnit"]


class TriedUnit(Struct, frozen=True):
    """A unit with everything that was asked for it, in order, and the outcome of each answer."""

    chunk: Chunk
    exchanges: Sequence[tuple[Request, Completion]]
    pairs: Sequence[Pair]
    dropped: Sequence[Rejection]
    usage: Usage
