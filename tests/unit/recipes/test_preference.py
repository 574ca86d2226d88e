from __future__ import annotations

import json
from typing import Any

import pytest
from msgspec.structs import replace
from tests.support.asks import COPPER, KETTLES, LAW, ScriptedAsk, make_chunk, settings

from pairmill.recipes.checks import Checks
from pairmill.recipes.preference import Preference
from pairmill.records import Alternative, Pair

PAIRS = [
    Pair(LAW["instruction"], LAW["answer"], 0),
    Pair(COPPER["instruction"], COPPER["answer"], 1),
]
OTHER = (
    "Because fires were common in Hallstein, and sparks jumped from roof to roof. A kettle of "
    "water kept ready in every brewery cut the losses by a third."
)


def preference(route: str, **given: Any) -> Preference:
    made = Preference.of(settings(preference=route, **given), Checks())
    assert made is not None
    return made


def answers(*given: str) -> str:
    listed = [{"number": n, "answer": text} for n, text in enumerate(given, 1)]
    return json.dumps({"answers": listed})


async def test_a_second_sample_is_drawn_from_the_same_text_and_hotter() -> None:
    ask = ScriptedAsk([answers(OTHER, OTHER.replace("Hallstein", "the valley"))])
    first, second = await preference("samples").add(PAIRS, make_chunk(), ask)
    assert first.alternative == Alternative(OTHER, "samples")
    assert second.alternative is not None
    assert KETTLES in ask.prompts[0].text
    assert ask.prompts[0].sampling.temperature == pytest.approx(1.1)
    assert [replace(pair, alternative=None) for pair in (first, second)] == PAIRS


async def test_a_closed_book_answer_is_written_without_the_text_by_whom_one_likes() -> None:
    ask = ScriptedAsk([answers(OTHER)])
    first, second = await preference("closed_book", preference_model="small").add(
        PAIRS, make_chunk(title="Kettles of the north"), ask
    )
    assert ask.models == ["small"]
    assert KETTLES[:60] not in ask.prompts[0].text
    assert "Kettles of the north" not in ask.prompts[0].text
    assert first.alternative == Alternative(OTHER, "closed_book")
    assert second.alternative is None


@pytest.mark.parametrize(
    "useless",
    [
        "I'm sorry, but I cannot answer that question about Hallstein.",
        "Sure, here is the answer: fires were common in Hallstein at the time.",
        "Because fires were common in Hallstein and the roofs stood so",
        LAW["answer"].upper(),
    ],
)
async def test_a_useless_second_answer_is_left_out(useless: str) -> None:
    ask = ScriptedAsk([answers(useless)])
    (pair,) = await preference("samples").add(PAIRS[:1], make_chunk(), ask)
    assert pair == PAIRS[0]


async def test_no_reply_leaves_the_pairs_as_they_are() -> None:
    assert await preference("samples").add(PAIRS, make_chunk(), ScriptedAsk(["?"])) == PAIRS


async def test_a_pair_that_was_evolved_gets_none_its_child_does() -> None:
    child = replace(PAIRS[1], index=100, parent=0)
    ask = ScriptedAsk([answers(OTHER)])
    first, second = await preference("samples").add([PAIRS[0], child], make_chunk(), ask)
    assert first.alternative is None
    assert second.alternative is not None


async def test_personal_data_is_taken_out_of_it() -> None:
    ask = ScriptedAsk([answers(f"{OTHER} Ask jane@brewers-guild.org.")])
    (pair,) = await preference("closed_book").add(PAIRS[:1], make_chunk(), ask)
    assert pair.alternative is not None
    assert pair.alternative.answer.endswith("Ask [EMAIL].")
