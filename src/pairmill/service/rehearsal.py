"""Which questions a recipe would ask about a chunk, without asking any model.

The recipe really runs; it is answered with values that fit what it asks for, made from the prompt's
own passage as the simulated endpoint makes them. So a chain of questions is followed to its end.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, TypeVar

import orjson

from pairmill.errors import RejectedError
from pairmill.recipes.answers import AnswerModel, json_schema, read
from pairmill.recipes.recipe import NullContext
from pairmill.simulator.content import draft_pairs, find_passage
from pairmill.simulator.dice import Dice
from pairmill.simulator.schema import Filling, fill

if TYPE_CHECKING:
    from collections.abc import Callable

    from pairmill.events import Topic
    from pairmill.recipes.recipe import Recipe, RecipeContext
    from pairmill.records import Chunk, Prompt, Rejection

__all__ = ["rehearse"]

Answer = TypeVar("Answer", bound=AnswerModel)

_DRAFTS = 3
_SEED = 20


async def rehearse(recipe: Recipe, chunk: Chunk) -> list[Prompt]:
    """The prompts that the recipe would send for a chunk if each answer were good at once."""
    prompter = _Prompter()
    with suppress(RejectedError):  # what it asked until then is what such a chunk costs
        await recipe.write(chunk, prompter)
    return prompter.prompts


class _Prompter:
    """An `Ask` that takes note of each prompt."""

    def __init__(self) -> None:
        self.prompts: list[Prompt] = []

    async def __call__(
        self,
        prompt: Prompt,
        answer: type[Answer],
        again: Callable[[int], Prompt] | None = None,  # noqa: ARG002 (the protocol's)
        *,
        model: str | None = None,  # noqa: ARG002
        mend: bool = True,  # noqa: ARG002
    ) -> Answer:
        """Note the prompt, and answer it.

        Raises:
            RejectedError: No fitting answer can be made up.
        """
        self.prompts.append(prompt)
        passage, _ = find_passage(prompt.text)
        dice = Dice(_SEED)
        filling = Filling(draft_pairs(passage, _DRAFTS, dice), dice, passage)
        made = fill(orjson.dumps(json_schema(answer).schema), filling)
        value = read(orjson.dumps(made).decode(), answer).value
        if value is None:
            raise RejectedError("rehearsal", "no answer could be made up")
        return value

    @property
    def around(self) -> RecipeContext:
        """Nothing is around a rehearsal."""
        return NullContext()

    def drop(self, rejection: Rejection) -> None:
        """Nothing is kept."""

    def tell(self, topic: Topic, /, **fields: object) -> None:
        """Nobody is told."""
