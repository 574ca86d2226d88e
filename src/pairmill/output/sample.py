"""A few random rows of a run folder, while it is being written or later."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Generic, TypeVar

from pairmill.errors import FolderError
from pairmill.output.rows import complete_lines, open_shards, parse, published_shards
from pairmill.store.superseded import read_superseded

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pairmill.output.rows import Row, ShardLine

__all__ = ["Reservoir", "random_rows"]

Item = TypeVar("Item")


class Reservoir(Generic[Item]):
    """Keeps ``size`` of the items offered, each with the same chance (Vitter's algorithm R).

    The same seed and the same items in the same order give the same choice.
    """

    def __init__(self, size: int, seed: int) -> None:
        self.items: list[Item] = []
        self._size = size
        self._random = random.Random(seed)  # noqa: S311 (a choice to look at, no secret)
        self._offered = 0

    def offer(self, item: Item) -> None:
        """Perhaps keep the item, in the place of another."""
        self._offered += 1
        if len(self.items) < self._size:
            self.items.append(item)
            return
        place = self._random.randrange(self._offered)
        if place < self._size:
            self.items[place] = item


def random_rows(folder: Path, count: int, seed: int) -> list[Row]:
    """Up to ``count`` rows, from published shards and from complete lines of open ones.

    Only reads; a run may be writing meanwhile. Holds ``count`` lines in memory, never a shard.

    Raises:
        FolderError: A published shard cannot be read, or a line that is parsed is no row: a chosen
            one; where some rows are superseded, any.
    """
    reservoir: Reservoir[tuple[Path, ShardLine]] = Reservoir(count, seed)
    superseded = read_superseded(folder)
    for shard, line in _all_lines(folder):
        if not superseded or parse(line, shard).get("chunk_id") not in superseded:
            reservoir.offer((shard, line))
    rows = [parse(line, shard) for shard, line in reservoir.items]
    return list({str(row.get("id")): row for row in rows}.values())


def _all_lines(folder: Path) -> Iterator[tuple[Path, ShardLine]]:
    # Open ones first: one that is published meanwhile is then met twice at worst, never missed.
    for shard in open_shards(folder):
        try:
            yield from ((shard, line) for line in complete_lines(shard))
        except FolderError:
            continue  # published, and so renamed, since we looked
    for shard in published_shards(folder):
        yield from ((shard, line) for line in complete_lines(shard))
