"""Duplicates among all rows of an export, by shared words and, on request, by meaning."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from pairmill.errors import UsageError
from pairmill.output.rows import key_text, mean_score
from pairmill.quality.duplicates import Item, find_duplicates
from pairmill.quality.embedding import find_alike, load_embedder
from pairmill.quality.thresholds import LEAST_JACCARD

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from pairmill.output.rows import Row
    from pairmill.quality.embedding import Embed

__all__ = ["NEAR", "choose_embedder", "choose_repeats", "near_repeats"]

NEAR = ("words", "embed")
"""How near-duplicates are told: by shared words; by these and by embeddings."""


def choose_embedder(near: str) -> Embed | None:
    """Return the embeddings that ``--near`` asks for, or None for words only.

    Raises:
        UsageError: It is none of ``NEAR``.
        ConfigError: The extra is not installed.
    """
    if near not in NEAR:
        raise UsageError(f"--near: needs one of {', '.join(NEAR)}")
    return load_embedder() if near == "embed" else None


def choose_repeats(near: str) -> Callable[[Iterable[Row]], Mapping[str, str]]:
    """``near_repeats`` as ``--near`` asks for it; errors as of ``choose_embedder``."""
    return partial(near_repeats, embed=choose_embedder(near))


def near_repeats(
    rows: Iterable[Row], *, least: float = LEAST_JACCARD, embed: Embed | None = None
) -> dict[str, str]:
    """Map the rows whose instruction repeats a better or an earlier one: id to reason.

    Of two alike the one that a judge rated higher stays; an unscored one counts as least. Holds
    every instruction in memory. With ``embed``, what the words leave is compared by meaning too.
    """
    items = [Item(row["id"], key_text(row), mean_score(row) or 0.0) for row in rows]
    found = find_duplicates(items, least=least)
    reasons = {
        name: "same_instruction" if duplicate.similarity == 1 else "near_duplicate"
        for name, duplicate in found.items()
    }
    if embed is not None:
        rest = [item for item in items if item.id not in reasons]
        reasons |= dict.fromkeys(find_alike(rest, embed), "same_meaning")
    return reasons
