from __future__ import annotations

import pytest
from tests.support.asks import settings

from pairmill.output.formats.registry import FORMATS
from pairmill.recipes.load import library_names
from pairmill.recipes.registry import make_recipe
from pairmill.run.summary import Summary, fitting_formats

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
    recipe = make_recipe(settings(recipe=name))
    assert fitting_formats(recipe) == EXPECTED[name]
    tasks = {rule.task for rule in recipe.origin.rows} if recipe.origin else {"pair"}
    held = set().union(*(FORMATS[it].tasks for it in fitting_formats(recipe)))
    assert tasks <= held


def test_the_next_line_lists_them() -> None:
    given = settings()
    summary = Summary(
        given.output, 0, "", asked=True, chunks=1, pairs=2, formats=("text", "messages")
    )
    commands = [line.split("  ")[1] for line in summary.lines()[-2:]]
    assert commands == [
        f"pairmill export {given.output} --to text",
        f"pairmill export {given.output} --to messages",
    ]
