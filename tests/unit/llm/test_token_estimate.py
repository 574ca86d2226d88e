from __future__ import annotations

import importlib.util
import random
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from tests.support.questions import request
from tests.unit.quality.languages import TEXTS

from pairmill.errors import Kind, ProviderError
from pairmill.llm.limits.quota import Cost
from pairmill.llm.token_estimate import (
    MOST,
    AnswerTokens,
    Estimator,
    Forecast,
    fewest_tokens,
    prompt_chars,
    worst_prompt_tokens,
)
from pairmill.records import Completion, Message, Prompt, Request, Sampling, Template, Usage

TEMPLATE = Template("write", "1", (Message("system", "s" * 400),))


def prompt(text: str = "x" * 1600) -> Prompt:
    return Prompt(TEMPLATE, text, Sampling(0.8, 1000))


def cost(forecast: Forecast, most: int = 1000) -> Cost:
    return forecast.cost(prompt_chars(prompt()), most)


def learn(forecast: Forecast, usage: Usage) -> None:
    forecast.learn(prompt_chars(prompt()), usage)


def test_before_the_first_answer_the_worst_is_expected() -> None:
    assert prompt_chars(prompt()) == 2000
    assert cost(Forecast()) == Cost(500, 1000, 1000)


def test_answers_teach_the_length_of_tokens_and_of_answers() -> None:
    forecast = Forecast()
    rng = random.Random(1)
    for _ in range(300):
        learn(forecast, Usage(400, max(1, round(rng.gauss(300, 50)))))
    found = cost(forecast)
    assert found.input_tokens == pytest.approx(400, rel=0.01)
    assert 360 <= found.output_tokens <= 385  # the middle one is 300: a quarter above, or the p90


def test_each_template_and_each_model_has_a_forecast_of_its_own() -> None:
    estimator = Estimator()
    known = estimator.forecast(TEMPLATE, "m")
    assert estimator.forecast(TEMPLATE, "m") is known
    assert estimator.forecast(TEMPLATE, "other") is not known
    assert estimator.forecast(Template("judge", "1", ()), "m") is not known


def test_a_short_answer_limit_caps_what_is_expected() -> None:
    forecast = Forecast()
    learn(forecast, Usage(400, 300))
    assert cost(forecast, most=100).output_tokens == 100


def test_the_last_two_hundred_count() -> None:
    forecast = Forecast()
    for _ in range(500):
        learn(forecast, Usage(400, 900))
    for _ in range(216):
        learn(forecast, Usage(400, 100))
    assert cost(forecast).output_tokens == 125


def test_a_missing_usage_teaches_nothing() -> None:
    forecast = Forecast()
    learn(forecast, Usage())
    assert cost(forecast) == Cost(500, 1000, 1000)


@pytest.mark.parametrize("text", ["plain prose", "汉字" * 50, "👩‍👩‍👧" * 9, "\ud800", ""])
def test_the_worst_case_is_above_any_byte_tokenizer(text: str) -> None:
    size = len(text.encode("utf-8", "surrogatepass"))
    assert worst_prompt_tokens(prompt(text)) > size + 400
    assert worst_prompt_tokens(prompt(text), "{}" * 50) >= size + 500


def _real_tokenizer() -> Any:
    tokenizers = pytest.importorskip("tokenizers")
    package = importlib.util.find_spec("wordllama")
    if package is None or package.origin is None:
        pytest.skip("wordllama, which brings a tokenizer of 32,000 tokens, is not installed")
    path = Path(package.origin).parent / "tokenizers" / "l2_supercat_tokenizer_config.json"
    return tokenizers.Tokenizer.from_file(str(path))


def test_no_text_is_said_to_need_more_tokens_than_it_has() -> None:
    tokenizer = _real_tokenizer()
    code = "def f(x):\n        return  x\n\n" * 20 + "# ---------------- \n" * 5
    for text in [*(texts.passage for texts in TEXTS.values()), code, "   a   b", ""]:
        count = len(tokenizer.encode(text, add_special_tokens=False).ids)
        assert fewest_tokens(text) <= count, text[:60]


@pytest.mark.parametrize(
    ("text", "fewest"),
    [
        ("", 0),
        ("a", 1),
        ("seven words that stand in one line", 7),
        ("a  b", 1),  # a run of spaces may be one token
        ("x" * 80, 10),
        ("тридцать слов" * 2, 3),
        ("港" * 30, 10),
        ("ก" * 30, 10),
        ("한국어 문장은 띄어쓰기를 한다", 4),
    ],
)
def test_a_text_has_as_many_tokens_as_words_or_a_third_of_its_characters(
    text: str, fewest: int
) -> None:
    assert fewest_tokens(text) == fewest
    assert fewest_tokens(text, fewest) == fewest
    assert fewest_tokens(text, max(0, fewest - 1)) == fewest
    assert fewest_tokens(text, 1000) <= 1000


def size(room: AnswerTokens) -> int:
    return room.grant(request()).prompt.sampling.max_tokens


def test_a_model_that_does_not_think_gets_what_its_answer_needs() -> None:
    room = AnswerTokens()
    asked = request()
    assert room.grant(asked) is asked


async def test_room_is_made_for_thoughts_and_the_request_keeps_its_name() -> None:
    room = AnswerTokens()
    seen: list[Request] = []

    async def complete(granted: Request) -> Completion:
        seen.append(granted)
        return Completion("{}", "stop", "m", Usage(9, 1010, 0, 1000), 1.0)

    for _ in range(2):
        await room.ask(request(), complete)
    assert [it.prompt.sampling.max_tokens for it in seen] == [64, 64 + 4000]
    assert request().id == request().id


async def test_an_answer_without_room_makes_more_than_twice_as_much_for_all() -> None:
    room = AnswerTokens()

    async def complete(granted: Request) -> Completion:
        raise ProviderError(Kind.BADOUT, "thinking took all", code="length")

    sizes = []
    for _ in range(12):
        sizes.append(size(room))
        with pytest.raises(ProviderError):
            await room.ask(request(), complete)
    assert all(b > 2 * a or b >= MOST for a, b in pairwise(sizes))
    assert size(room) <= MOST + 64


def test_what_the_user_set_stands() -> None:
    room = AnswerTokens(5000)
    room.saw("m", 90_000)
    assert size(room) == 5000


def test_room_shrinks_again_when_thoughts_do() -> None:
    room = AnswerTokens()
    room.saw("m", 8000)
    before = size(room)
    for _ in range(240):
        room.saw("m", 100)
    assert size(room) < before / 10
