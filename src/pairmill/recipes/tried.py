"""What one unit came to when a recipe was tried."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pairmill.records import Chunk, Completion, Pair, Rejection, Request, Usage

__all__ = ["TriedUnit"]


class TriedUnit(Struct, frozen=True):
    """A unit with all that was asked for it, in order, and all that became of the answers."""

    chunk: Chunk
    exchanges: Sequence[tuple[Request, Completion]]
    pairs: Sequence[Pair]
    dropped: Sequence[Rejection]
    usage: Usage
