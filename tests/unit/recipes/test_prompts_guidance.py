from __future__ import annotations

from typing import Any

import pytest
from tests.support.asks import COPPER, LAW, ScriptedAsk, make_chunk, reply, settings

from pairmill.errors import ConfigError
from pairmill.recipes.make import make_recipe

pytestmark = pytest.mark.anyio

FRENCH = {
    "type": "why",
    "evidence": "a second kettle filled with clean water",
    "instruction": "Pourquoi la ville de Hallstein a-t-elle exigé une seconde cuve pleine d'eau ?",
    "answer": "Les incendies étaient fréquents et les toits de bois se touchaient presque, de sorte"
    " que les étincelles passaient de l'un à l'autre. Depuis 1874, toute brasserie de plus de 12"
    " ouvriers devait donc garder une seconde cuve remplie d'eau claire, et les pertes ont baissé"
    " d'un tiers en cinq ans.",
}


async def write(*pairs: dict[str, Any], **given: Any) -> tuple[list[Any], ScriptedAsk]:
    ask = ScriptedAsk([reply(*pairs)] * 4)
    return await make_recipe(settings(**given)).write(make_chunk(), ask), ask


async def test_guidance_stands_in_the_constant_part_and_changes_the_recipe() -> None:
    _, ask = await write(LAW, guidance="Speak to apprentices.")
    assert ask.prompts[0].template.messages[0].content.endswith("Speak to apprentices.")
    _, plain = await write(LAW)
    assert "keep to this" not in plain.prompts[0].template.messages[0].content
    base = make_recipe(settings()).identity
    assert make_recipe(settings(guidance="Speak to apprentices.")).identity != base


@pytest.mark.parametrize("language", ["fr", "French", "fr-CA"])
async def test_rows_are_in_the_language_that_is_set_whatever_the_text_is_in(language: str) -> None:
    [pair], ask = await write(FRENCH, language=language, pairs_per_chunk=1)
    assert "in French" in ask.prompts[0].template.messages[0].content
    assert pair.answer == FRENCH["answer"]
    assert pair.grounding is None  # words of two languages: not checked, and not called good


async def test_an_answer_in_the_texts_language_is_dropped_where_another_is_set() -> None:
    ask = ScriptedAsk([reply(LAW)] * 4)
    with pytest.raises(Exception, match="none of 1 pairs"):
        await make_recipe(settings(language="fr", pairs_per_chunk=1)).write(make_chunk(), ask)
    assert ask.reasons == ["language"]


async def test_a_system_prompt_is_fixed_or_drawn_for_each_row() -> None:
    both, _ = await write(LAW, COPPER, pairs_per_chunk=2, system_prompt="Be brief.")
    assert {pair.system for pair in both} == {"Be brief."}
    prompts = tuple(f"prompt {number}" for number in range(50))
    drawn, _ = await write(LAW, COPPER, pairs_per_chunk=2, system_prompt=prompts)
    again, _ = await write(LAW, COPPER, pairs_per_chunk=2, system_prompt=prompts)
    assert [pair.system for pair in drawn] == [pair.system for pair in again]
    assert {pair.system for pair in drawn} <= set(prompts)
    assert make_recipe(settings(system_prompt="a")).identity != make_recipe(settings()).identity


async def test_the_plan_is_drawn_from_the_users_own_texts_and_weights() -> None:
    plan = {"types": {"riddle": 1, "recital": 0}, "askers": ["a pilot"], "forms": ["a haiku"]}
    _, ask = await write(LAW, plan=plan, pairs_per_chunk=2)
    assert "1. riddle; a haiku; answer: " in ask.prompts[0].text
    assert "Asker: a pilot" in ask.prompts[0].text
    assert make_recipe(settings(plan=plan)).identity != make_recipe(settings()).identity


@pytest.mark.parametrize(
    ("plan", "told"),
    [
        ({"typs": ["a"]}, "typs"),
        ({"types": []}, "at least one text"),
        ({"types": {"a": -1}}, "greater than or equal"),
    ],
)
def test_a_plan_that_cannot_be_drawn_from_is_refused(plan: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        settings(plan=plan)
