from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

import pytest
from tests.support.asks import COPPER, KETTLES, LAW, ScriptedAsk, make_chunk, reply, settings

from pairmill.errors import RejectedError
from pairmill.events import RepairAsked, RepairEnded
from pairmill.quality.thresholds import override
from pairmill.recipes.checks import CheckJob, Checks, Verdict, view_of
from pairmill.recipes.make import make_recipe
from pairmill.recipes.recipe import NullContext
from pairmill.recipes.refine import inspect_pair, refine
from pairmill.recipes.writing import CANARY, TERMS
from pairmill.records import Pair

CHECKS = Checks(terms=TERMS)


def pair_of(written: dict[str, str], index: int = 0, **changes: str) -> Pair:
    values = {**written, **changes}
    return Pair(values["instruction"], values["answer"], index, values["type"], values["evidence"])


async def refined(
    *pairs: Pair, checks: Checks = CHECKS, **given: Any
) -> tuple[list[Pair], ScriptedAsk]:
    ask = ScriptedAsk([], **given)
    return await refine(pairs, make_chunk(), ask, checks), ask


async def test_good_pairs_pass_with_their_grounding_and_without_flags() -> None:
    kept, ask = await refined(pair_of(LAW), pair_of(COPPER, 1))
    assert [pair.index for pair in kept] == [0, 1]
    assert [pair.flags for pair in kept] == [(), ()]
    assert all(pair.grounding is not None and pair.grounding > 0.8 for pair in kept)
    assert ask.dropped == []


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"answer": "The lighthouse keeper trimmed his wick every evening and wound the clock. "
          "Fishermen steered home by the note of a horn, and children told the weather."},
         "ungrounded"),
        ({"answer": KETTLES[:400].rpartition(". ")[0] + "."}, "near_copy"),
        ({"answer": "I'm sorry, but I cannot help with kettles in the brewery of Hallstein."},
         "refusal"),
        ({"answer": f"{LAW['answer']} {CANARY}."}, "prompt_leak"),
        ({"answer": f"Bread dough rises. {LAW['answer']}"}, "prompt_leak"),
        ({"answer": "Die Brauer im Tal mussten einen zweiten Kessel mit Wasser haben, weil es oft "
          "brannte und die Dächer nicht weit von einander waren und nur aus Holz."}, "language"),
        ({"instruction": "According to the passage, why was a second kettle kept?"},
         "points_at_source"),
    ],
)  # fmt: skip
async def test_a_fault_drops_its_pair_alone(changes: dict[str, str], reason: str) -> None:
    kept, ask = await refined(pair_of(LAW, 0, **changes), pair_of(COPPER, 1))
    assert [pair.instruction for pair in kept] == [COPPER["instruction"]]
    (rejection,) = ask.dropped
    if reason != "language":  # an answer in another language is also ungrounded
        assert rejection.reason == reason
    assert not rejection.whole_unit
    assert rejection.grounding is not None  # a person who accepts it anyway sees how it was judged
    assert json.loads(rejection.raw)["instruction"] == pair_of(LAW, 0, **changes).instruction


async def test_mild_finds_become_flags() -> None:
    short = "Because of 77 fires in Hallstein, where wooden roofs stood close."
    kept, _ = await refined(pair_of(LAW, 0, answer=short, evidence="not in there at all"))
    assert set(kept[0].flags) == {"unseen_number", "answer_length", "evidence_missing"}


async def test_of_two_twins_the_first_stays() -> None:
    kept, ask = await refined(pair_of(LAW), pair_of(LAW, 1))
    assert [pair.index for pair in kept] == [0]
    assert ask.reasons == ["twin"]


async def test_personal_data_is_kept_out_of_a_pair_that_is_kept() -> None:
    told = f"{LAW['answer']} Write to jane.roe@brewers-guild.org about it."
    kept, _ = await refined(pair_of(LAW, 0, answer=told))
    assert kept[0].flags == ("personal_data",)
    assert "jane.roe" not in kept[0].answer
    assert "[EMAIL]" in kept[0].answer


async def test_policies_are_settings() -> None:
    told = f"{LAW['answer']} Write to jane.roe@brewers-guild.org about it."
    strict = Checks(override({"personal_data": "drop"}))
    kept, ask = await refined(pair_of(LAW, 0, answer=told), checks=strict)
    assert (kept, ask.reasons) == ([], ["personal_data"])
    lax = Checks(override({"personal_data": "keep"}))
    kept, _ = await refined(pair_of(LAW, 0, answer=told), checks=lax)
    assert kept[0].answer == told


@dataclass(frozen=True)
class Witness(NullContext):
    seen: list[int] = field(default_factory=list)
    most: int = 99
    instructions: list[str] = field(default_factory=list)

    async def check(self, job: CheckJob) -> list[Verdict]:
        self.seen.append(len(job.texts))
        return await super().check(job)

    def admit(self, instruction: str) -> bool:
        self.instructions.append(instruction)
        return self.instructions.count(instruction) <= self.most


async def test_the_run_sees_every_pair_before_any_is_dropped() -> None:
    witness = Witness()
    await refined(
        pair_of(LAW, 0, answer="Nothing of that sort."), pair_of(COPPER, 1), around=witness
    )
    assert witness.seen == [2]


async def test_an_instruction_that_the_run_has_enough_of_is_dropped() -> None:
    witness = Witness(most=0)
    kept, ask = await refined(pair_of(LAW), around=witness)
    assert (kept, ask.reasons) == ([], ["repeated"])


BAD = {**LAW, "instruction": "Why, according to the author, was a second kettle kept?"}
SETTINGS = settings(style_card="off")


async def _write(*replies: str) -> tuple[list[Pair], ScriptedAsk]:
    ask = ScriptedAsk(list(replies))
    return await make_recipe(SETTINGS).write(make_chunk(KETTLES + " " + KETTLES[:300]), ask), ask


async def test_a_pair_that_points_at_its_source_is_asked_for_once_more() -> None:
    pairs, ask = await _write(reply(BAD, COPPER), reply(LAW))
    assert [(pair.instruction, pair.index) for pair in pairs] == [
        (LAW["instruction"], 0),
        (COPPER["instruction"], 1),
    ]
    assert ask.told == [RepairAsked("points_at_source"), RepairEnded("mended")]
    assert "the instruction says" in ask.prompts[1].text


async def test_it_is_dropped_when_the_other_one_is_no_better() -> None:
    pairs, ask = await _write(reply(BAD, COPPER), reply(BAD))
    assert [pair.instruction for pair in pairs] == [COPPER["instruction"]]
    assert ask.reasons == ["points_at_source"]
    assert ask.told[-1] == RepairEnded("failed")
    assert len(ask.prompts) == 2


async def test_a_chunk_none_of_whose_pairs_pass_is_rejected_as_a_whole() -> None:
    with pytest.raises(RejectedError, match="none of 1 pairs"):
        await _write(reply({**LAW, "answer": "Quite another subject altogether, I fear."}))


async def test_checks_that_are_off_look_at_nothing() -> None:
    witness = Witness()
    ask = ScriptedAsk([reply(BAD)], around=witness)
    recipe = make_recipe(settings(checks="off", style_card="off"))
    (pair,) = await recipe.write(make_chunk(), ask)
    assert (pair.flags, pair.grounding) == ((), None)
    assert witness.seen == []


async def test_the_text_itself_is_no_copy_where_it_is_the_answer() -> None:
    recipe = make_recipe(settings(recipe="extractive"))
    asked = json.dumps({"instruction": "Why did the brewers of the northern valley use copper?"})
    pairs = await recipe.write(make_chunk(), ScriptedAsk([asked] * 20))
    assert pairs
    assert pairs[0].answer in KETTLES


def test_a_single_pair_can_be_inspected_by_itself() -> None:
    view = view_of(make_chunk())
    passed, fault = inspect_pair(pair_of(LAW), view, CHECKS)
    assert fault is None
    assert passed.grounding is not None
    _, fault = inspect_pair(pair_of(BAD), view, CHECKS)
    assert fault is not None
    assert fault.check == "points_at_source"
