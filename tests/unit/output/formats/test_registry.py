from __future__ import annotations

import pytest
from tests.support.asks import settings

from pairmill.output.formats.registry import FORMATS, choose_formats
from pairmill.recipes.load import library_names
from pairmill.recipes.make import make_recipe

EXPECTED = {
    "backtranslate": ("messages",),
    "conversation": ("messages",),
    "evaluation": ("question",),
    "extractive": ("messages",),
    "facts": ("text", "messages"),
    "handbook": ("messages",),
    "quiz": ("question",),
    "reasoning": ("reasoning",),
    "rewrite": ("text",),
    "strategies": ("text",),
    "triplets": ("triplets",),
    "unanswerable": ("messages",),
}


@pytest.mark.parametrize("name", ["backtranslate", "extractive", *library_names()])
def test_the_end_of_a_run_names_the_formats_that_hold_its_rows(name: str) -> None:
    assert name in EXPECTED, f"add the export format of the new recipe '{name}' to EXPECTED"
    recipe = make_recipe(settings(recipe=name))
    assert choose_formats(recipe) == EXPECTED[name]
    tasks = {rule.task for rule in recipe.origin.rows} if recipe.origin else {"pair"}
    held = set().union(*(FORMATS[it].tasks for it in choose_formats(recipe)))
    assert tasks <= held
