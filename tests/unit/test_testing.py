from __future__ import annotations

import pytest

from pairmill.errors import RejectedError
from pairmill.recipes.answers import AnswerModel
from pairmill.records import Prompt, Sampling, Template
from pairmill.testing import FakeClock, ScriptedAsk, make_chunk

pytestmark = pytest.mark.anyio


class Quiz(AnswerModel):
    question: str
    level: int


def question(text: str) -> Prompt:
    return Prompt(Template("t", "1", ()), text, Sampling(0.0, 100))


async def test_a_scripted_ask_gives_its_replies_in_order_and_keeps_the_questions() -> None:
    ask = ScriptedAsk([{"question": "Why?", "level": 2}, '{"question": "How?", "level": 3}'])
    assert (await ask(question("one"), Quiz)).question == "Why?"
    assert (await ask(question("two"), Quiz, model="judge")).level == 3
    assert [prompt.text for prompt in ask.prompts] == ["one", "two"]
    assert ask.models == [None, "judge"]


async def test_without_a_script_an_answer_is_made_from_the_passage() -> None:
    chunk = make_chunk(
        "The mill at the ford was built in 1820. It ground rye for the whole valley."
    )
    made = await ScriptedAsk()(question(f"<<<PASSAGE\n{chunk.text}\nPASSAGE>>>"), Quiz)
    assert made.question.endswith("?")


async def test_a_reply_that_is_no_answer_is_rejected_as_in_a_run() -> None:
    ask = ScriptedAsk(["I'm sorry, I cannot.", ValueError("mine")])
    with pytest.raises(RejectedError) as told:
        await ask(question("one"), Quiz)
    assert told.value.reason == "refusal"
    with pytest.raises(ValueError, match="mine"):
        await ask(question("two"), Quiz)


async def test_a_fake_clock_moves_by_what_is_slept() -> None:
    clock = FakeClock(10.0)
    await clock.sleep(5.0)
    assert (clock.monotonic(), clock.slept) == (15.0, [5.0])
