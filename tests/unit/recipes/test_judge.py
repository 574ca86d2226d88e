from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Any, TypeVar

import pytest
from msgspec.structs import replace
from pydantic import ValidationError
from tests.support.asks import COPPER, KETTLES, LAW, ScriptedAsk, make_chunk, reply, settings

from pairmill.events import Notice, PairJudged
from pairmill.recipes.answers import AnswerModel, json_schema
from pairmill.recipes.controls import (
    ENOUGH,
    FAULTS,
    MOST_MISSED,
    add_foreign_sentence,
    cut,
    faulty_replies,
    negate,
    swap,
    wrong_number,
)
from pairmill.recipes.judge import Judge, Rating, Ratings, make_judge
from pairmill.recipes.make import make_recipe
from pairmill.records import Alternative, Chunk, Pair, Request

if TYPE_CHECKING:
    from collections.abc import Callable

    from pairmill.config import Settings
    from pairmill.records import Prompt

Answer = TypeVar("Answer", bound=AnswerModel)

PAIRS = [
    Pair(LAW["instruction"], LAW["answer"], 0, "why"),
    Pair(COPPER["instruction"], COPPER["answer"], 1, "explain"),
    Pair("What did iron kettles do to the grain?", "Iron kettles scorched it.", 2, "explain"),
]


def rating(number: int, *scores: int | None, **changes: Any) -> dict[str, Any]:
    names = ("instruction_following", "truthfulness", "honesty", "helpfulness")
    given = dict(zip(names, scores or (4, 5, None, 3), strict=True))
    return {"number": number, "critique": "c", **given, "self_contained": True, **changes}


def ratings(*given: dict[str, Any]) -> str:
    return json.dumps({"ratings": given})


def judge(**given: Any) -> Judge:
    found = make_judge(settings(**{"judge": "all", "judge_trust": 0.0, **given}))
    assert found is not None
    return found


class KnowingJudge(ScriptedAsk):
    """Rates what each example of a prompt is worth: a function of request and reply.

    One that reads rates everything as low as it can beside another passage.
    """

    def __init__(self, worth: Callable[[str, str], int], *, reads: bool = False) -> None:
        super().__init__([])
        self.worth = worth
        self.reads = reads

    async def __call__(
        self, prompt: Prompt, answer: type[Answer], *rest: Any, **given: Any
    ) -> Answer:
        shown = [json.loads(line) for line in prompt.text.splitlines() if line.startswith('{"num')]
        scores = [(item["number"], self.worth(item["request"], item["reply"])) for item in shown]
        if self.reads and KETTLES not in prompt.text:
            scores = [(number, 1) for number, _ in scores]
        self.replies = [ratings(*(rating(n, s, s, None, s) for n, s in scores))]
        return await super().__call__(prompt, answer, *rest, **given)


@pytest.mark.parametrize("score", [1, 2, 3, 4, 5])
def test_a_rating_stays_what_it_is_and_1_stays_1(score: int) -> None:
    given = Ratings.model_validate_json(ratings(rating(1, score, score, score, score)))
    assert set(given.ratings[0].scores().values()) == {score}
    assert given.ratings[0].overall == score


@pytest.mark.parametrize("score", [0, 6, 10, 28, 4.5, "5", None, True])
def test_nothing_but_1_to_5_is_a_rating(score: object) -> None:
    bad = {**rating(1), "truthfulness": score}
    with pytest.raises(ValidationError):
        Rating.model_validate_json(json.dumps(bad))


def test_criticism_is_written_before_figures_and_the_figures_are_bounded_integers() -> None:
    """Gemini takes no enumeration of integers."""
    item = json_schema(Ratings).schema["properties"]["ratings"]["items"]
    names = list(item["properties"])
    assert names.index("critique") < names.index("instruction_following")
    assert item["properties"]["truthfulness"] == {"type": "integer", "minimum": 1, "maximum": 5}
    assert {"type": "null"} in item["properties"]["honesty"]["anyOf"]


async def test_three_pairs_are_rated_in_one_call_and_otherwise_left_as_they_are() -> None:
    ask = KnowingJudge(lambda request, _: 1 if "iron" in request else 5)
    rated = await judge().rate(PAIRS, make_chunk(), ask)
    assert len(ask.prompts) == 1
    assert KETTLES in ask.prompts[0].text
    assert ask.prompts[0].sampling.temperature == 0
    assert [pair.scores and pair.scores["truthfulness"] for pair in rated] == [5, 5, 1]
    assert rated[0].scores == {
        "instruction_following": 5, "truthfulness": 5, "honesty": None, "helpfulness": 5,
    }  # fmt: skip
    assert [replace(pair, scores=None) for pair in rated] == PAIRS


async def test_the_order_is_shuffled_by_the_chunks_hash() -> None:
    orders = set()
    for number in range(30):
        ask = KnowingJudge(lambda *_: 3)
        await judge().rate(PAIRS, make_chunk(f"{number} {KETTLES}"), ask)
        text = ask.prompts[0].text
        orders.add(tuple(sorted(range(3), key=lambda at: text.index(PAIRS[at].instruction))))
    assert len(orders) == 6


async def test_what_a_judge_leaves_out_is_asked_for_singly_and_else_unscored() -> None:
    first = ratings(rating(1), rating(3), rating(3, 1, 1, 1, 1), rating(9))
    ask = ScriptedAsk([first, ratings(rating(2))])
    rated = await judge().rate(PAIRS, make_chunk(), ask)
    assert "N=1" in ask.prompts[1].text
    missing = [pair for pair in rated if pair.scores is None]
    assert [pair.flags for pair in missing] == [("unscored",)]
    assert all(pair.scores == rated[0].scores for pair in rated if pair.scores)


@pytest.mark.parametrize("nonsense", ["", "Great pairs! 10/10", '{"ratings": []}', "[5, 5, 5]"])
async def test_a_judge_that_answers_nonsense_leaves_pairs_unscored(nonsense: str) -> None:
    rated = await judge().rate(PAIRS, make_chunk(), ScriptedAsk([nonsense] * 9))
    assert [pair.scores for pair in rated] == [None, None, None]
    assert all(pair.flags == ("unscored",) for pair in rated)
    assert [pair.answer for pair in rated] == [pair.answer for pair in PAIRS]


async def test_a_request_that_needs_its_source_is_flagged() -> None:
    ask = ScriptedAsk([ratings(rating(1, self_contained=False))])
    (pair,) = await judge().rate(PAIRS[:1], make_chunk(), ask)
    assert pair.flags == ("judged_not_self_contained",)
    assert pair.scores is not None


async def test_second_answers_are_rated_with_the_first_and_never_by_name() -> None:
    bearing = replace(PAIRS[0], alternative=Alternative("Because of fires.", "samples"))
    ask = KnowingJudge(lambda _, answer: 2 if answer == "Because of fires." else 5)
    (pair,) = await judge().rate([bearing], make_chunk(), ask)
    assert pair.alternative is not None
    assert pair.alternative.score == 2.0
    assert pair.scores is not None
    assert pair.scores["helpfulness"] == 5


async def test_only_a_share_of_the_chunks_is_judged_and_always_the_same_one() -> None:
    some = judge(judge="sample", judge_share=0.2)
    taken = []
    for number in range(300):
        ask = KnowingJudge(lambda *_: 3)
        await some.rate(PAIRS[:1], make_chunk(str(number)), ask)
        taken.append(len(ask.prompts))
    assert 35 < sum(taken) < 85
    again = KnowingJudge(lambda *_: 3)
    await some.rate(PAIRS[:1], make_chunk("0"), again)
    assert len(again.prompts) == taken[0]
    assert make_judge(settings()) is None


def judged(ask: ScriptedAsk) -> list[PairJudged]:
    """The ratings that were told."""
    return [event for event in ask.told if isinstance(event, PairJudged)]


async def test_trust_is_measured_by_asking_twice_and_by_planted_faults() -> None:
    known = {pair.answer for pair in PAIRS}
    ask = KnowingJudge(lambda _, answer: 5 if answer in known else 1)
    await judge(judge_trust=1.0).rate(PAIRS, make_chunk(), ask)
    trials = [event.trial for event in judged(ask)]
    assert trials[:6] == ["", "", "", "again", "again", "again"]
    assert trials[6] in FAULTS
    assert len(ask.prompts) == 3
    first, second, third = ask.prompts
    assert second.sampling.seed != first.sampling.seed
    assert "N=3" in third.text  # in the same company as before: only the fault is new
    assert third.sampling.seed == first.sampling.seed
    assert [event.position for event in judged(ask)[:3]] == [1, 2, 3]


async def test_the_judge_may_be_another_model_than_the_one_that_writes() -> None:
    ask = ScriptedAsk([reply(LAW), ratings(rating(1))])
    await make_recipe(settings(judge="all", judge_trust=0, judge_model="wise")).write(
        make_chunk(), ask
    )
    assert ask.models == [None, "wise"]


async def _generation(given: Settings) -> str:
    ask = ScriptedAsk([reply(LAW), *["no"] * 5])
    await make_recipe(given).write(make_chunk(), ask)
    return Request(ask.prompts[0], "m").id


async def test_no_step_behind_it_changes_what_the_generator_asks() -> None:
    plain = await _generation(settings())
    for given in (
        settings(judge="all"),
        settings(judge="sample", judge_share=0.5, judge_model="wise"),
        settings(evolve="on"),
        settings(preference="samples"),
        settings(checks={"near_copy": "flag"}),
    ):
        assert await _generation(given) == plain


def test_what_the_judge_is_told_changes_the_recipe() -> None:
    made = [
        make_recipe(settings(**given)).identity
        for given in (
            {},
            {"judge": "all"},
            {"judge": "all", "judge_model": "wise"},
            {"judge": "sample"},
            {"judge": "sample", "judge_share": 0.5},
            {"evolve": "on"},
            {"preference": "samples"},
            {"preference": "closed_book"},
        )
    ]
    assert len(set(made)) == len(made)


REPLY = "In 1874 the town of Hallstein passed a law about kettles, and fires fell by a third."


def test_planted_faults_are_what_they_say() -> None:
    assert cut(REPLY) == "In 1874 the town of Hallstein passed a"
    assert cut("Too short.") is None
    assert wrong_number(REPLY) == REPLY.replace("1874", "5629")
    assert wrong_number("none") is None
    assert wrong_number("1. First this.\n2. Then that.\n(3) At last.") is None
    assert wrong_number("1. Wait 20 minutes.\n2. Stir.") == "1. Wait 67 minutes.\n2. Stir."
    assert negate("Iron is heavy. It was cheap.") == "Iron is not heavy. It was cheap."
    assert negate("Iron is not heavy and wasn't cheap") is None
    foreign = add_foreign_sentence("Copper spreads heat. Iron does not.")
    assert foreign.startswith("Copper spreads heat. ")
    assert foreign.endswith(" Iron does not.")
    assert swap([REPLY, "other"], 1) == REPLY
    assert swap([REPLY], 0) not in {REPLY, ""}
    told = f"{REPLY} It was wise."
    assert set(faulty_replies([told, "other"], 0, 0)) == set(FAULTS)
    assert set(faulty_replies(["tiny", "other"], 0, 0)) == {"swapped", "foreign", "exchanged"}


async def test_each_kind_of_fault_is_planted_often_enough_however_small_the_share() -> None:
    some = judge(judge_trust=0.01)
    told: Counter[str] = Counter()
    for number in range(ENOUGH * len(FAULTS) + 50):
        ask = KnowingJudge(lambda *_: 3)
        await some.rate(PAIRS, make_chunk(f"{number} {KETTLES}"), ask)
        told.update(event.trial for event in judged(ask) if event.trial in FAULTS)
    # A number and a plain statement do not stand in every reply, so those kinds come later.
    assert sum(told.values()) >= ENOUGH * len(FAULTS)
    assert min(told[kind] for kind in ("swapped", "cut", "foreign")) >= ENOUGH - 1


async def test_without_trials_nothing_is_planted() -> None:
    ask = KnowingJudge(lambda *_: 3)
    await judge(judge_trust=0.0).rate(PAIRS, make_chunk(), ask)
    assert len(ask.prompts) == 1


async def test_no_pairs_cost_nothing() -> None:
    assert await judge().rate([], Chunk("c", "t", "d", 0, 1, "s"), ScriptedAsk([])) == []


async def test_a_judge_that_never_answers_is_not_paid_to_the_end() -> None:
    ask, silent = ScriptedAsk(["I cannot rate that."] * 200), judge(judge_trust=1.0)
    rated = []
    for number in range(2 * MOST_MISSED):
        rated += await silent.rate(PAIRS, make_chunk(f"{number} {KETTLES}"), ask)
    assert len(ask.prompts) == MOST_MISSED
    assert [pair.flags for pair in rated] == [("unscored",)] * len(PAIRS) * 2 * MOST_MISSED
    assert [event.scores for event in ask.told if isinstance(event, PairJudged)] == [None] * len(
        rated
    )
    (notice,) = (event.text for event in ask.told if isinstance(event, Notice))
    assert "the judge gave no usable answer to 20 questions in a row" in notice


async def test_a_judge_that_answers_now_and_then_is_asked_on() -> None:
    nonsense = ["I cannot rate that."] * (MOST_MISSED - 1)
    good = ratings(rating(1), rating(2), rating(3))
    ask, careless = ScriptedAsk([*nonsense, good, *nonsense, good]), judge()
    for number in range(2 * MOST_MISSED):
        await careless.rate(PAIRS, make_chunk(f"{number} {KETTLES}"), ask)
    assert len(ask.prompts) == 2 * MOST_MISSED
    assert not any(isinstance(event, Notice) for event in ask.told)
