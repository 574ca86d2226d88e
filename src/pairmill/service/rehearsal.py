"""Which questions a recipe would ask about a chunk, without asking any model.

The recipe really runs; it is answered with values that fit what it asks for, made from the prompt's
own passage as the simulated endpoint makes them. So a chain of questions is followed to its end.
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
    """What a recipe would do with a chunk: the prompts that it sends, the rows that it writes."""

    prompts: list[Prompt]
    rows: int


async def rehearse_unit(recipe: Recipe, chunk: Chunk) -> Rehearsal:
    """Run a recipe on a chunk as if each answer were good at once."""
    ask = ScriptedAsk()
    rows = 0
    with suppress(RejectedError):  # what it asked until then is what such a chunk costs
        rows = len(await recipe.write(chunk, ask))
    return Rehearsal(ask.prompts, rows)


async def rehearse(recipe: Recipe, chunk: Chunk) -> list[Prompt]:
    """Return the prompts that the recipe sends for a chunk if every answer is good at once."""
    return (await rehearse_unit(recipe, chunk)).prompts
