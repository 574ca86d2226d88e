"""Repeats among all rows of an export, as ``pairmill.quality.duplicates`` finds them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pairmill.dataset.rows import mean_score
from pairmill.quality.duplicates import LEAST_JACCARD, Item, find_duplicates

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pairmill.dataset.rows import Row

__all__ = ["near_repeats"]


def near_repeats(rows: Iterable[Row], *, least: float = LEAST_JACCARD) -> dict[str, str]:
    """The rows whose instruction repeats a better or an earlier one: id to the reason.

    Of two alike the one that a judge rated higher stays; an unscored one counts as least. Holds
    every instruction in memory.
    """
    items = [Item(row["id"], row["instruction"], mean_score(row) or 0.0) for row in rows]
    found = find_duplicates(items, least=least)
    return {
        name: "same_instruction" if duplicate.similarity == 1 else "near_duplicate"
        for name, duplicate in found.items()
    }
