"""The recipes that there are, by name."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

from pairmill.errors import ConfigError
from pairmill.recipes.backtranslate import backtranslate
from pairmill.recipes.extractive import extractive

if TYPE_CHECKING:
    from collections.abc import Callable

    from pairmill.config import Settings
    from pairmill.recipes.recipe import Recipe

__all__ = ["RECIPES", "make_recipe"]

RECIPES: dict[str, Callable[..., Recipe]] = {
    "backtranslate": backtranslate,
    "extractive": extractive,
}


def make_recipe(settings: Settings) -> Recipe:
    """Make the recipe that the settings name.

    Raises:
        ConfigError: There is none of that name.
    """
    name = settings.recipe_name
    if name not in RECIPES:
        near = difflib.get_close_matches(name, RECIPES, n=1)
        hint = f"did you mean '{near[0]}'?" if near else f"known: {', '.join(RECIPES)}"
        raise ConfigError(f"unknown recipe '{name}'; {hint}")
    return RECIPES[name](
        pairs_per_chunk=settings.pairs_per_chunk,
        temperature=settings.temperature,
        seed=settings.seed,
    )
