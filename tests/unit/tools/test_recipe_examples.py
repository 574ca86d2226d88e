"""The example rows in the docs are what the library's recipes make of the recorded answers."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from tools.recipe_examples import (
    ARTICLES,
    DOCS,
    RUN,
    Recording,
    examples,
    name_of,
    page,
    rows_of,
)

from pairmill.chunking.reader import read_chunks
from pairmill.config import load
from pairmill.recipes.load import library_names
from pairmill.recipes.make import for_unit, make_recipe
from pairmill.records import Usage
from pairmill.store.columns import RowOrigin
from pairmill.store.row_encoding import encode_row
from pairmill.testing import ScriptedAsk

if TYPE_CHECKING:
    from pathlib import Path

    from pairmill.records import Prompt

pytestmark = pytest.mark.anyio


class ReplayAsk(ScriptedAsk):
    """Answers from a recording, by the exact messages that an endpoint would be sent."""

    def __init__(self, recording: Recording) -> None:
        super().__init__()
        self.recording = recording

    async def __call__(self, prompt: Prompt, *others: Any, **named: Any) -> Any:
        turns = [{"role": turn.role, "content": turn.content} for turn in prompt.template.messages]
        turns.append({"role": "user", "content": prompt.text})
        self._left.append(self.recording.reply({"messages": turns}))
        return await super().__call__(prompt, *others, **named)


@pytest.mark.parametrize("name", library_names())
async def test_the_examples_in_the_docs_are_what_each_recipe_makes_today(
    name: str, tmp_path: Path
) -> None:
    recording = Recording.of(name)
    inputs, output = tuple(ARTICLES), str(tmp_path / "out")
    settings = load(given={**RUN, "recipe": name, "inputs": inputs, "output": output})
    recipe = make_recipe(settings)
    rows = []
    for chunk in read_chunks(for_unit(settings, recipe), lambda _note: None):
        for pair in await recipe.write(chunk, ReplayAsk(recording)):
            origin = RowOrigin(chunk.id, name, "1", "recorded", 1, Usage(), 0.0)
            rows.append(json.loads(encode_row(pair, chunk, origin, 0, 0)))
    assert not recording.unknown, "see tools/recipe_examples.py"
    assert not recording.unused
    text = DOCS.read_text("utf-8")
    assert page(name, examples(rows), text) == text, "run tools/recipe_examples.py"


@pytest.mark.slow
@pytest.mark.parametrize("name", library_names())
def test_a_run_over_http_makes_the_same_examples(name: str, tmp_path: Path) -> None:
    recording = Recording.of(name)
    rows = rows_of(name, recording, tmp_path)
    assert not recording.unknown
    text = DOCS.read_text("utf-8")
    assert page(name, examples(rows), text) == text


def test_a_changed_prompt_has_no_answer_until_it_is_asked_again() -> None:
    asked = [{"role": "user", "content": "Name one kettle."}]
    recording = Recording({name_of(asked): [{"kettle": "copper"}]})
    assert json.loads(recording.reply({"messages": asked})) == {"kettle": "copper"}
    recording.reply({"messages": asked})
    other = [{"role": "user", "content": "Name a kettle."}]
    recording.reply({"messages": other})
    assert [messages for _, messages in recording.unknown] == [asked, other]
