from __future__ import annotations

import json
from typing import Any

import pytest
from msgspec.structs import replace
from tests.support.asks import COPPER, KETTLES, LAW, ScriptedAsk, make_chunk, reply, settings

from pairmill.events import PairEvolved
from pairmill.recipes.backtranslate import backtranslate
from pairmill.recipes.checks import Checks, view_of
from pairmill.recipes.evolve import (
    ANSWER_OPERATORS,
    CHILD_INDEX,
    INSTRUCTION_OPERATORS,
    Evolution,
    why_not,
)
from pairmill.recipes.make import make_checks, make_recipe
from pairmill.records import Chunk, Pair

PARENT = Pair(LAW["instruction"], LAW["answer"], 0, "why", LAW["evidence"])
VIEW = view_of(make_chunk())
EVOLVED: dict[str, Any] = {
    "number": 1,
    "evidence": "the wooden roofs stood so close that sparks jumped from one to the next",
    "instruction": "A brewery of 20 workers opens in Hallstein in 1875. What does the law ask of "
    "its owner, and which danger does that guard against?",
    "answer": "With more than 12 workers the brewery must keep a second kettle filled with clean "
    "water. The danger is fire: roofs there are wooden and stand so close together that sparks "
    "can jump across. An owner who cannot pay for that kettle may borrow one from the parish.",
}


def evolution(**given: Any) -> Evolution:
    told = settings(evolve="on", **given)
    made = Evolution.of(told, make_checks(backtranslate(told), told))
    assert made is not None
    return made


def evolved(*pairs: dict[str, Any]) -> str:
    return json.dumps({"pairs": pairs})


def chunk_for(kind: tuple[str, ...]) -> Chunk:
    """A chunk whose hash draws one of these operators for its first pair."""
    for number in range(200):
        chunk = make_chunk(KETTLES, id=f"{number:032x}")
        if _drawn(chunk) in kind:
            return chunk
    raise AssertionError(kind)


def _drawn(chunk: Chunk) -> str:
    from pairmill.recipes.evolve import _operator

    return _operator(chunk, PARENT, 0)


async def test_a_child_stands_behind_its_parent_and_names_it() -> None:
    chunk = chunk_for(INSTRUCTION_OPERATORS)
    ask = ScriptedAsk([evolved(EVOLVED)])
    parent, child = await evolution().evolve([PARENT], chunk, ask)
    assert parent == PARENT
    assert (child.parent, child.index, child.kind) == (0, CHILD_INDEX, _drawn(chunk))
    assert child.instruction == EVOLVED["instruction"]
    assert child.grounding is not None
    assert ask.told == [PairEvolved(_drawn(chunk), "kept")]
    assert KETTLES in ask.prompts[0].text
    assert f'"operator": "{_drawn(chunk)}"' in ask.prompts[0].text


async def test_an_operator_on_the_answer_leaves_the_request_word_for_word() -> None:
    chunk = chunk_for(ANSWER_OPERATORS)
    _, child = await evolution().evolve([PARENT], chunk, ScriptedAsk([evolved(EVOLVED)]))
    assert child.instruction == PARENT.instruction
    assert child.answer == EVOLVED["answer"]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"instruction": LAW["instruction"].replace("larger", "larger,")}, "nothing_gained"),
        ({"answer": "I am sorry, Hallstein kettle water."}, "excuse"),
        ({"answer": "... ?!"}, "nothing_said"),
        ({"answer": "The and of it is that."}, "nothing_said"),
        ({"answer": f"As the given prompt says: {LAW['answer']}"}, "task_talk"),
        ({"instruction": " ".join(["Why did the town keep kettles so near?"] * 5)}, "too_long"),
        ({"answer": "Lighthouse keepers trim wicks and wind clocks while fishermen steer home."},
         "too_far_from_text"),
        ({"instruction": f"{LAW['instruction']} Please answer in detail, step by step."},
         "only_rephrased"),
        ({"instruction": " ".join(LAW["instruction"].split()[::-1][:6])}, "only_rephrased"),
        ({"instruction": "For what reason did Hallstein oblige bigger brewhouses to hold an extra"
          " vessel of water?", "answer": LAW["answer"]}, "only_rephrased"),
        ({"instruction": "What made Hallstein force its sizeable breweries into having a reserve"
          " kettle?", "answer": LAW["answer"].replace("Fires", "Blazes")}, "only_rephrased"),
        ({"answer": " ".join(LAW["answer"].split()[: len(LAW["answer"].split()) // 4]) + "."},
         "shorter_answer"),
    ],
)  # fmt: skip
def test_what_gains_nothing_is_left_out(changes: dict[str, str], reason: str) -> None:
    child = Pair(EVOLVED["instruction"], EVOLVED["answer"], CHILD_INDEX, parent=0)
    assert why_not(child, PARENT, VIEW) is None
    assert why_not(replace(child, **changes), PARENT, VIEW) == reason


def test_a_request_in_other_words_with_an_answer_of_its_own_is_kept() -> None:
    asked = "Which danger did Hallstein fear most in bigger brewhouses, and what came of the law?"
    answer = (
        "Sparks were feared: the wooden roofs stood close together and fires were common. Once the"
        " law of 1874 asked for a second kettle of clean water, losses fell by a third in five"
        " years; owners who could not pay borrowed a kettle from the parish."
    )
    child = Pair(asked, answer, CHILD_INDEX, parent=0)
    assert why_not(child, PARENT, VIEW) is None


async def test_a_child_passes_the_same_checks_as_any_pair() -> None:
    pointing = {**EVOLVED, "instruction": f"According to the passage: {EVOLVED['instruction']}"}
    ask = ScriptedAsk([evolved(pointing)])
    kept = await evolution().evolve([PARENT], chunk_for(INSTRUCTION_OPERATORS), ask)
    assert kept == [PARENT]
    assert [event.outcome for event in ask.told if isinstance(event, PairEvolved)] == [
        "points_at_source"
    ]


@pytest.mark.parametrize("said", ["no", '{"pairs": []}', evolved({**EVOLVED, "number": 7})])
async def test_parents_survive_whatever_the_model_says(said: str) -> None:
    ask = ScriptedAsk([said])
    assert await evolution().evolve([PARENT], make_chunk(), ask) == [PARENT]
    assert [event.outcome for event in ask.told if isinstance(event, PairEvolved)] == ["missing"]


def test_a_pieces_of_input_are_only_put_in_where_there_is_one() -> None:
    from pairmill.recipes.evolve import INPUT_OPERATOR, _operator

    with_code = make_chunk(f"{KETTLES}\n```\ncode\n```\n")
    drawn = {_operator(replace(with_code, id=str(n)), PARENT, 0) for n in range(200)}
    plain = {_operator(make_chunk(id=str(n)), PARENT, 0) for n in range(200)}
    assert drawn - plain == {INPUT_OPERATOR}
    assert len(plain) == len(INSTRUCTION_OPERATORS) + len(ANSWER_OPERATORS)


async def test_a_recipe_evolves_what_passed() -> None:
    ask = ScriptedAsk([reply(LAW, COPPER), evolved(EVOLVED)])
    recipe = make_recipe(settings(evolve="on", style_card="off"))
    chunk = replace(chunk_for(INSTRUCTION_OPERATORS), text=KETTLES + " " + KETTLES[:300])
    pairs = await recipe.write(chunk, ask)
    assert [(pair.index, pair.parent) for pair in pairs] == [(0, None), (1, None), (100, 0)]


async def test_a_child_that_is_the_twin_of_a_sibling_is_left_out() -> None:
    copied = {name: COPPER[name] for name in ("instruction", "answer")}
    twin = {"number": 1, "evidence": LAW["evidence"], **copied}
    other = Pair(COPPER["instruction"], COPPER["answer"], 1)
    told: list[str] = []
    for seed in range(30):
        found = Evolution.of(settings(evolve="on", seed=seed), Checks())
        assert found is not None
        ask = ScriptedAsk([json.dumps({"pairs": [twin]})])
        assert await found.evolve([PARENT, other], make_chunk(), ask) == [PARENT, other]
        told += [event.outcome for event in ask.told if isinstance(event, PairEvolved)]
    assert "kept" not in told
    assert told.count("twin") > 10
