"""What earlier versions bought is found again: the same questions under the same names."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.support.asks import KETTLES, ScriptedAsk, make_chunk, settings

from pairmill.recipes.answers import AnswerModel, json_schema
from pairmill.recipes.make import make_recipe
from pairmill.records import Prompt, Request

pytestmark = pytest.mark.anyio

FORMER = json.loads((Path(__file__).parents[2] / "fixtures/calls-1.json").read_text("utf-8"))
CODE = f"Run it:\n\n```\nmash(kettle)\n```\n\n{KETTLES}"
CHUNKS = (
    make_chunk(),
    make_chunk(KETTLES * 3, author="An author", title="Kettles", section=("A", "B")),
    make_chunk(CODE, language="en"),
)


class NamedCalls(ScriptedAsk):
    """Answers by the model that is wanted, and keeps the name of each call."""

    def __init__(self) -> None:
        super().__init__([])
        self.names: list[str] = []

    async def __call__(self, prompt: Prompt, answer: type[AnswerModel], *_: Any, **__: Any) -> Any:
        self.names.append(Request(prompt, "m", json_schema(answer)).id)
        self.replies.append(json.dumps(FORMER["replies"][answer.__name__.replace("Listed", "")]))
        return await super().__call__(prompt, answer)


@pytest.mark.parametrize("name", FORMER["recipes"])
async def test_the_first_recipes_ask_what_they_always_asked_under_the_same_names(name: str) -> None:
    former = FORMER["recipes"][name]
    recipe = make_recipe(settings(**former["settings"], prompts="1"), checks_table="1")
    ask = NamedCalls()
    for chunk in CHUNKS:
        await recipe.write(chunk, ask)
    assert ask.names == former["calls"]
    assert recipe.identity == former["identity"]
