"""A recipe's own question about a fixed passage, to probe an endpoint."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any, NoReturn

from pairmill.errors import RejectedError
from pairmill.recipes.answers import AnswerModel, json_schema, read
from pairmill.recipes.recipe import NullContext
from pairmill.records import Chunk, Request, digest

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pairmill.events import Event
    from pairmill.recipes.recipe import Recipe, RecipeContext
    from pairmill.records import Prompt, Rejection

__all__ = ["PASSAGE", "first_question", "is_answer", "sample_question"]

PASSAGE = (
    "A bicycle stays upright because its rider steers it under the fall. When it begins to lean to"
    " the left, a small turn of the handlebars to the left moves the wheels back below the rider's"
    " weight. Above walking pace the front wheel does part of this by itself: it touches the ground"
    " behind the point at which the steering axis meets it, so that a lean turns the wheel into the"
    " fall, as the castors of a trolley turn into its direction. Builders call this distance trail."
    " A bicycle with little trail answers quickly and wants attention; one with much trail runs"
    " straight on and turns slowly, which is why touring frames have more of it than racing ones."
    "\n\n"
    "The gears do not add strength. They let the rider keep turning the pedals at the rate that"
    " costs the least effort, some eighty turns a minute, whatever the road does. On a climb a"
    " small chainring and a large sprocket move the bicycle about two metres with each turn of the"
    " pedals; on the flat a large chainring and a small sprocket move it eight. Chains lose two to"
    " four parts in a hundred of the work that goes through them, and twice as much when dry, so"
    " that oil is the cheapest way to ride faster."
)
"""Prose of a typical chunk's size, about something that every model knows."""


class _AskedError(Exception):
    """Raised to end a recipe once its first question is known."""


class _Listener:
    """An `Ask` that keeps the first question and ends the recipe."""

    def __init__(self) -> None:
        self.first: tuple[Prompt, type[AnswerModel]] | None = None

    async def __call__(
        self,
        prompt: Prompt,
        answer: type[Any],
        again: Callable[[int], Prompt] | None = None,  # noqa: ARG002 (the protocol's)
        *,
        model: str | None = None,  # noqa: ARG002
        mend: bool = True,  # noqa: ARG002
    ) -> NoReturn:
        """Keep the question."""
        self.first = (prompt, answer)
        raise _AskedError

    @property
    def around(self) -> RecipeContext:
        """Return an empty context."""
        return NullContext()

    async def claim(self, names: Sequence[str]) -> list[bool]:
        """Treat every name as new."""
        return [True] * len(names)

    def is_answered(
        self,
        prompt: Prompt,  # noqa: ARG002
        answer: type[AnswerModel],  # noqa: ARG002
        *,
        model: str | None = None,  # noqa: ARG002
    ) -> bool:
        """Treat no question as answered before."""
        return False

    def drop(self, rejection: Rejection) -> None:
        """Do nothing."""

    def tell(self, event: Event, /) -> None:
        """Do nothing."""


async def sample_question(
    recipe: Recipe, model: str, variant: int = 0
) -> tuple[Request, type[AnswerModel]] | None:
    """Return a recipe's first request about `PASSAGE` and its answer type; None if it asks nothing.

    Args:
        recipe: Recipe that is run up to its first question.
        model: Model to ask.
        variant: Above 0, a sentence with this number ends the passage, so that the request differs.
    """
    text = PASSAGE if not variant else f"{PASSAGE} This is said in note {variant} on bicycles."
    chunk = Chunk(digest(text), text, "sample", 0, len(text), "sample")
    question = await first_question(recipe, chunk)
    if question is None:
        return None
    prompt, answer = question
    return Request(prompt, model, json_schema(answer)), answer


async def first_question(recipe: Recipe, chunk: Chunk) -> tuple[Prompt, type[AnswerModel]] | None:
    """Run a recipe on a chunk up to its first question; None if it asks nothing."""
    listener = _Listener()
    with suppress(_AskedError, RejectedError):
        await recipe.write(chunk, listener)
    return listener.first


def is_answer(text: str, answer: type[AnswerModel]) -> bool:
    """Return whether a recipe could use a text as its answer without repair."""
    reading = read(text, answer)
    return reading.value is not None and not reading.faults
