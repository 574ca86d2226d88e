from __future__ import annotations

from collections import Counter

import pytest
from tests.support.asks import make_chunk

from pairmill.config import PlanSettings
from pairmill.recipes.plan import TYPES, count_pairs, plan_pairs, traits_of

SPEECH = (
    "Fellow citizens, it was a year of peace. The harvest was good, and the people were content. "
    "When the envoys came home they told us that the treaty had been signed in spring. I was glad "
    "of it, and so were you. The old soldiers went back to their farms, and their sons took the "
    "trades that the war had taken from them. "
)
STEPS = "Set it up:\n\n1. Open the box.\n2. Press the key.\n3. Wait until the lamp is green."
CODE = "Call it so, and it prints the sum:\n\n```python\nprint(1 + 1)\n```\n"
COMPARED = (
    "Copper is dearer than iron, whereas iron is heavier than copper. Unlike tin, both of them "
    "hold the heat, but copper spreads it better than either. "
)
ARGUED = (
    "We should keep the law, because it works. The reason is plain: losses fell, and therefore "
    "the argument of its enemies must fail. However dear it is, we ought to pay for it. "
)
FIGURES = "In 1990 there were 12,400 of them, 13,250 in 1995, 14,100 in 2000 and 16,800 by 2010."


@pytest.mark.parametrize(
    ("text", "trait"),
    [
        (SPEECH, "narrative"),
        (STEPS, "steps"),
        (CODE, "code"),
        (COMPARED, "comparison"),
        (ARGUED, "argument"),
        (FIGURES, "numbers"),
    ],
)
def test_what_a_passage_is_is_seen(text: str, trait: str) -> None:
    assert trait in (traits_of(text) or ())


@pytest.mark.parametrize(
    "text", ["铜壶的底很宽。它使热量均匀。", "Der Kessel ist aus Kupfer und hält."]
)
def test_words_of_other_languages_tell_nothing_and_everything_is_offered(text: str) -> None:
    assert traits_of(text) is None
    kinds = {kind for seed in range(200) for kind in plan_pairs(make_chunk(text), 3, seed).types}
    assert {"how_to", "compare", "explain", "critique"} <= kinds
    assert "code_task" not in kinds


def test_a_speech_is_not_asked_for_steps_nor_for_cures() -> None:
    plans = [plan_pairs(make_chunk(f"{number} {SPEECH}"), 3, 0) for number in range(300)]
    kinds = Counter(kind for plan in plans for kind in (*plan.types, *plan.others))
    assert not kinds.keys() & {"how_to", "troubleshoot", "code_task", "compare", "extract"}
    assert {"explain", "why", "fact", "write_in_style"} <= kinds.keys()
    steps = [plan_pairs(make_chunk(f"{number} {STEPS}"), 3, 0) for number in range(300)]
    assert sum("how_to" in plan.types for plan in steps) > 150


def test_forms_and_lengths_of_answers_vary_and_suit_their_type() -> None:
    long = SPEECH * 5
    texts = (long, STEPS, CODE, COMPARED, FIGURES)
    plans = [plan_pairs(make_chunk(f"{n} {text}"), 3, 0) for n in range(200) for text in texts]
    told = Counter(answer for plan in plans for answer in plan.answers)
    forms = {answer.split(",")[0] for answer in told}
    assert forms == {"prose", "a list", "steps", "a table", "code with a few words"}
    assert {answer.split(", ")[1] for answer in told} >= {
        "one or two sentences", "40 to 80 words", "80 to 160 words", "160 to 250 words",
        "250 to 400 words",
    }  # fmt: skip
    for plan in plans:
        for kind, answer in zip(plan.types, plan.answers, strict=True):
            assert kind != "fact" or answer == "prose, one or two sentences"
            assert not answer.startswith("steps") or kind in {"how_to", "troubleshoot"}
    short = [plan_pairs(make_chunk(f"{number} {SPEECH}"), 3, 0) for number in range(200)]
    assert not any("400" in answer for plan in short for answer in plan.answers)


def test_weights_of_ones_own_decide_forms_and_lengths() -> None:
    choices = PlanSettings(answers={"a poem": 1}, lengths={"two lines": 1, "ten lines": 0})
    plans = [plan_pairs(make_chunk(str(number)), 2, 0, choices) for number in range(50)]
    assert {answer for plan in plans for answer in plan.answers} <= {
        "a poem, two lines",
        "prose, one or two sentences",
    }


def test_settings_that_an_earlier_version_did_not_know_are_not_told_unless_they_are_set() -> None:
    assert set(PlanSettings(types={"why": 1}).model_dump()) == {
        "types", "askers", "difficulties", "forms",
    }  # fmt: skip
    assert "answers" in PlanSettings(answers={"a list": 1}).model_dump(mode="json")


@pytest.mark.parametrize(
    ("chars", "most", "count"),
    [
        (1, 3, 1),
        (600, 3, 1),
        (900, 3, 2),
        (1800, 3, 3),
        (2800, 3, 3),
        (2800, 10, 5),
        (9000, 10, 10),
    ],
)
def test_one_pair_for_every_150_tokens(chars: int, most: int, count: int) -> None:
    assert count_pairs("x" * chars, most) == count


def test_scripts_of_more_bytes_a_character_hold_more_in_less() -> None:
    assert count_pairs("水" * 600, 10) == 3


def test_a_plan_is_drawn_anew_for_each_chunk_and_seed_and_is_always_the_same() -> None:
    chunk, other = make_chunk(), make_chunk("something else")
    assert plan_pairs(chunk, 3, 1) == plan_pairs(chunk, 3, 1)
    assert plan_pairs(chunk, 3, 1) != plan_pairs(chunk, 3, 2)
    assert plan_pairs(chunk, 3, 1) != plan_pairs(other, 3, 1)


def test_the_types_of_a_chunk_differ_and_all_of_them_come_up_by_their_weights() -> None:
    plans = [plan_pairs(make_chunk(str(number)), 3, 0, prompts="1") for number in range(3000)]
    assert all(len(set(plan.types)) == 3 for plan in plans)
    first = Counter(plan.types[0] for plan in plans)
    total = sum(weight for _, weight in TYPES)
    for name, weight in TYPES:
        assert first[name] / 3000 == pytest.approx(weight / total, abs=0.03)
    assert len({plan.asker for plan in plans}) == 5
    assert len({plan.difficulty for plan in plans}) == 3
    assert len({form for plan in plans for form in plan.forms}) == 5


def test_a_code_task_needs_code() -> None:
    prose = [plan_pairs(make_chunk(str(n)), 5, 0) for n in range(200)]
    code = [plan_pairs(make_chunk(f"Run it:\n```\ncall({n})\n```"), 5, 0) for n in range(200)]
    assert not any("code_task" in plan.types for plan in prose)
    assert sum("code_task" in plan.types for plan in code) > 50


def test_what_is_left_of_a_plan_keeps_its_order() -> None:
    former = plan_pairs(make_chunk(), 3, 0, prompts="1")
    assert former.after(1).lines().startswith(f"Pairs: 1. {former.types[1]}, {former.forms[1]}; 2.")
    plan = plan_pairs(make_chunk(), 3, 0)
    assert plan.after(1).types == plan.types[1:]
    assert plan.after(7).types == plan.types[2:]
    kind, other, form, answer = plan.types[1], plan.others[1], plan.forms[1], plan.answers[1]
    line = f"Pairs:\n1. {kind} or {other}; {form}; answer: {answer}\n2. "
    assert line in plan.after(1).lines()


def test_the_largest_count_has_enough_types() -> None:
    assert len(plan_pairs(make_chunk(), 10, 0).types) == 10
    assert len(plan_pairs(make_chunk(), 10, 0).forms) == 10
