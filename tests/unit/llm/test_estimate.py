from __future__ import annotations

import random

import pytest

from pairmill.llm.estimate import Estimator, prompt_chars, worst_prompt_tokens
from pairmill.llm.quota import Cost
from pairmill.records import Message, Prompt, Sampling, Template, Usage

TEMPLATE = Template("write", "1", (Message("system", "s" * 400),))


def prompt(text: str = "x" * 1600, most: int = 1000) -> Prompt:
    return Prompt(TEMPLATE, text, Sampling(0.8, most))


def test_before_the_first_answer_the_worst_is_expected() -> None:
    cost = Estimator().cost(prompt(), "m")
    assert cost == Cost(500, 1000, 1000)
    assert prompt_chars(prompt()) == 2000


def test_answers_teach_the_length_of_tokens_and_of_answers() -> None:
    estimator = Estimator()
    rng = random.Random(1)
    for _ in range(300):
        estimator.learn(prompt(), "m", Usage(400, max(1, round(rng.gauss(300, 50)))))
    cost = estimator.cost(prompt(), "m")
    assert cost.input_tokens == pytest.approx(400, rel=0.01)
    assert 360 <= cost.output_tokens <= 385  # the middle one is 300: a quarter above, or the p90
    assert estimator.cost(prompt(), "other").output_tokens == 1000


def test_a_short_answer_limit_caps_what_is_expected() -> None:
    estimator = Estimator()
    estimator.learn(prompt(), "m", Usage(400, 300))
    assert estimator.cost(prompt(most=100), "m").output_tokens == 100


def test_the_last_two_hundred_count() -> None:
    estimator = Estimator()
    for _ in range(500):
        estimator.learn(prompt(), "m", Usage(400, 900))
    for _ in range(216):
        estimator.learn(prompt(), "m", Usage(400, 100))
    assert estimator.cost(prompt(), "m").output_tokens == 125


def test_a_missing_usage_teaches_nothing() -> None:
    estimator = Estimator()
    estimator.learn(prompt(), "m", Usage())
    assert estimator.cost(prompt(), "m") == Cost(500, 1000, 1000)


@pytest.mark.parametrize("text", ["plain prose", "汉字" * 50, "👩‍👩‍👧" * 9, "\ud800", ""])
def test_the_worst_case_is_above_any_byte_tokenizer(text: str) -> None:
    size = len(text.encode("utf-8", "surrogatepass"))
    assert worst_prompt_tokens(prompt(text)) > size + 400
    assert worst_prompt_tokens(prompt(text), "{}" * 50) >= size + 500
