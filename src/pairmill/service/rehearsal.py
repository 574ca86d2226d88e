"""Which questions a recipe would ask about a chunk, without asking any model.

The recipe really runs; it is answered with values that fit what it asks for, made from the prompt's
own passage as the simulated endpoint makes them. So a chain of questions is followed to its end.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from pairmill.errors import RejectedError
from pairmill.testing import ScriptedAsk

if TYPE_CHECKING:
    from pairmill.recipes.recipe import Recipe
    from pairmill.records import Chunk, Prompt

__all__ = ["rehearse"]


async def rehearse(recipe: Recipe, chunk: Chunk) -> list[Prompt]:
    """The prompts that the recipe would send for a chunk if each answer were good at once."""
    ask = ScriptedAsk()
    with suppress(RejectedError):  # what it asked until then is what such a chunk costs
        await recipe.write(chunk, ask)
    return ask.prompts
