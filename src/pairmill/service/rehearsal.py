"""Finds out which questions a recipe would ask about a chunk, without asking a model.

The recipe really runs; its questions get schema-conforming answers, made from the prompt's own
passage as by the simulated endpoint. So a chain of questions is followed to its end.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from pairmill.errors import RejectedError
from pairmill.testing import ScriptedAsk

if TYPE_CHECKING:
    from pairmill.recipes.recipe import Recipe
    from pairmill.records import Chunk, Prompt

__all__ = ["Rehearsal", "rehearse", "rehearse_unit"]


class Rehearsal(NamedTuple):
    """What a recipe does with a chunk: the prompts that it sends, the rows that it writes."""

    prompts: list[Prompt]
    rows: int


async def rehearse_unit(recipe: Recipe, chunk: Chunk) -> Rehearsal:
    """Run a recipe on a chunk as if every answer were valid at once."""
    ask = ScriptedAsk()
    rows = 0
    with suppress(RejectedError):  # the questions asked so far are what such a chunk costs
        rows = len(await recipe.write(chunk, ask))
    return Rehearsal(ask.prompts, rows)


async def rehearse(recipe: Recipe, chunk: Chunk) -> list[Prompt]:
    """Return the prompts that the recipe sends for a chunk if every answer is valid at once."""
    return (await rehearse_unit(recipe, chunk)).prompts
