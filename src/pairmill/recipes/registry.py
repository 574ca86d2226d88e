"""The generators that there are, by name, and the recipe that the settings ask for."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

from pairmill.errors import ConfigError
from pairmill.quality.thresholds import VERSION
from pairmill.recipes.backtranslate import backtranslate
from pairmill.recipes.compose import compose
from pairmill.recipes.extractive import extractive
from pairmill.recipes.two_step import two_step
from pairmill.recipes.verbatim import verbatim

if TYPE_CHECKING:
    from collections.abc import Callable

    from pairmill.config import Settings
    from pairmill.recipes.recipe import Generator, Recipe

__all__ = ["RECIPES", "make_recipe"]

_MODES = {"one_step": backtranslate, "two_step": two_step, "verbatim": verbatim}

RECIPES: dict[str, Callable[[Settings], Generator]] = {
    "backtranslate": lambda settings: _MODES[settings.mode](settings),
    "extractive": extractive,
}


def make_recipe(settings: Settings, *, checks_table: str = VERSION) -> Recipe:
    """Make the recipe that the settings name.

    Args:
        settings: All of them.
        checks_table: Version of the table of checks, for a folder that was begun with an older one.

    Raises:
        ConfigError: There is none of that name, or ``checks`` names what there is not.
    """
    name = settings.recipe_name
    if name not in RECIPES:
        near = difflib.get_close_matches(name, RECIPES, n=1)
        hint = f"did you mean '{near[0]}'?" if near else f"known: {', '.join(RECIPES)}"
        raise ConfigError(f"unknown recipe '{name}'; {hint}")
    return compose(RECIPES[name](settings), settings, checks_table)
