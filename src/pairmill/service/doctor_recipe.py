"""Tests whether an endpoint accepts the schemas of a recipe file: one short call per step."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pairmill.errors import Kind, ProviderError
from pairmill.plain import plain
from pairmill.recipes.answer_fields import make_model
from pairmill.recipes.answers import json_schema, read
from pairmill.recipes.engine import step_template
from pairmill.recipes.prompts import fence
from pairmill.records import Prompt, Request, Sampling

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from pairmill.llm.providers.provider import Mode, ProviderReply
    from pairmill.recipes.recipe_file import RecipeFile, RecipeStep

__all__ = ["schema_lines"]

_MAX_TOKENS = 400
_MOST_CHARS = 200
_TEXT = (
    "The lighthouse at the end of the harbour wall was built in 1874. Its lamp burned oil for"
    " thirty years before paraffin took its place, and a keeper climbed 112 steps each evening."
)


async def schema_lines(
    recipe: RecipeFile,
    complete: Callable[[Request, Mode], Awaitable[ProviderReply]],
    model: str,
    mode: Mode,
) -> list[str]:
    """Report for each step in a line whether the endpoint accepts its schema and enforces it.

    Args:
        recipe: Recipe with the steps.
        complete: Makes one call.
        model: Model to ask; roles of steps are ignored.
        mode: Structured-output mode.
    """
    return [await _line(step, complete, model, mode) for step in recipe.steps]


async def _line(
    step: RecipeStep,
    complete: Callable[[Request, Mode], Awaitable[ProviderReply]],
    model: str,
    mode: Mode,
) -> str:
    answer = make_model(step.name, step.answer)
    prompt = Prompt(step_template(step), fence(_TEXT), Sampling(0.0, _MAX_TOKENS))
    label = f"recipe step {step.name}"
    try:
        reply = await complete(Request(prompt, model, json_schema(answer)), mode)
    except ProviderError as error:
        if error.kind is Kind.BADOUT:
            return f"{label}: schema accepted ({mode}); the trial answer was empty or cut off"
        return f"{label}: schema refused ({mode}): {plain(error, _MOST_CHARS)}"
    completion = reply.completion
    if completion.finish_reason == "length":
        return f"{label}: schema accepted ({mode}); the trial answer was cut off"
    reading = read(completion.text, answer)
    if reading.value is None:
        told = plain(reading.faults[0].detail, _MOST_CHARS) if reading.faults else "no answer"
        return f"{label}: schema accepted ({mode}), but not enforced: {told}"
    return f"{label}: schema accepted and enforced ({mode})"
