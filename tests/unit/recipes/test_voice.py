from __future__ import annotations

import pytest
from tests.support.asks import LAW, ScriptedAsk, make_chunk, reply, settings

from pairmill.recipes.prompts import load_template
from pairmill.recipes.registry import make_recipe
from pairmill.recipes.voice import style_mode
from pairmill.recipes.writing import CANARY

pytestmark = pytest.mark.anyio

TEMPLATES = ("answers", "backtranslate", "evolve")
GIVEN = {"canary": CANARY, "style": ""}


def constant(name: str, voice: str) -> str:
    turns = load_template(name, GIVEN, voice=voice).template.messages
    return "\n".join(turn.content for turn in turns)


@pytest.mark.parametrize("name", TEMPLATES)
@pytest.mark.parametrize("voice", ["neutral", "assistant"])
def test_a_prompt_for_another_voice_never_asks_for_the_authors(name: str, voice: str) -> None:
    assert "author's voice" in constant(name, "author")
    asked = constant(name, voice)
    for theirs in ("keeps the author's voice", "author's own manner", "in the author's voice,",
                   "as the author would"):  # fmt: skip
        assert theirs not in asked
    assert voice in asked or "plain" in asked


@pytest.mark.parametrize("name", TEMPLATES)
def test_the_authors_voice_leaves_every_prompt_as_it_was(name: str) -> None:
    assert load_template(name, GIVEN, voice="author") == load_template(name, GIVEN)


@pytest.mark.parametrize("mode", ["one_step", "two_step"])
def test_each_voice_is_a_recipe_of_its_own(mode: str) -> None:
    voices = ("author", "neutral", "assistant")
    found = {make_recipe(settings(mode=mode, voice=voice)).identity for voice in voices}
    assert len(found) == 3
    assert make_recipe(settings(mode=mode)).identity in found


async def test_only_the_authors_voice_gets_a_style_card() -> None:
    text = "I tell you what we did. I walked to the river and saw that we had lost the boat. " * 60
    for voice, has_card in (("author", True), ("neutral", False)):
        ask = ScriptedAsk([reply(LAW)] * 4)
        chunk = make_chunk(text=text, author="Ann")
        await make_recipe(settings(voice=voice, checks="off")).write(chunk, ask)
        asked = ask.prompts[0].template.messages[0].content
        assert ("How this author writes" in asked) == has_card
    assert style_mode(settings(style_card="model", voice="assistant")) == "off"
