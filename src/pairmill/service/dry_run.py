"""``run --dry-run``: shows what a run would read, plan and ask; no call, no folder."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

import anyio
import typer

from pairmill.chunking.reader import read_chunks
from pairmill.errors import InputError, UsageError
from pairmill.recipes.probe_question import first_question
from pairmill.recipes.registry import for_unit, make_recipe
from pairmill.service.console import tell
from pairmill.service.survey import survey
from pairmill.sources.files import STANDARD_INPUT

if TYPE_CHECKING:
    from pairmill.config import Settings

__all__ = ["print_plan"]


def print_plan(settings: Settings) -> None:
    """Print the plan of a run: counts on standard error, the first prompt on standard output.

    Raises:
        PairmillError: The recipe or the inputs cannot be used, or contain no article.
    """
    if STANDARD_INPUT in settings.inputs:
        raise UsageError("--dry-run reads the input twice: name files or folders instead of -")
    anyio.run(_print_plan, settings)


async def _print_plan(settings: Settings) -> None:
    recipe = make_recipe(settings)
    found = await survey(settings)
    for reason, count in found.reasons.items():
        tell(f"  skipped    {count:,} x {reason}")
    tell(
        f"{found.documents:,} documents, {found.chunks:,} chunks, {found.finished:,} of them done;"
        f" {found.fresh * found.calls:,.0f} calls of recipe {recipe.name}"
        f" {recipe.prompt_version} to {settings.model}",
    )
    chunks = read_chunks(for_unit(settings, recipe), lambda _note: None)
    for chunk in islice(chunks, 1):
        question = await first_question(recipe, chunk)
        if question is None:
            tell("the recipe asks nothing about the first chunk")
            return
        prompt, _ = question
        for message in prompt.template.messages:
            typer.echo(f"--- {message.role}\n{message.content}\n")
        typer.echo(f"--- user\n{prompt.text}")
        return
    raise InputError(f"{', '.join(settings.inputs)}: holds no article")
