from __future__ import annotations

import json

import pytest
from tests.support.asks import ScriptedAsk, make_chunk, settings

from pairmill.errors import RejectedError
from pairmill.recipes.extractive import SAMPLES, extractive, spans_of

TEXT = (
    "I am only going to talk about one kind of socket (i.e. the stream socket), because it "
    "accounts for nearly all sockets in use today, whatever people say about the others. "
    "A server socket is more like a switchboard operator, who hands every caller on to a line "
    "of their own and then waits for the next one to ring, day and night, without a pause."
)
CODE = "```python\nprint('no prose')\n```"


def test_a_span_is_whole_sentences_of_the_text() -> None:
    spans = spans_of(TEXT, 3)
    assert len(spans) == 2
    assert all(span in TEXT and span.endswith(".") for span in spans)
    assert "(i.e. the stream socket)" in spans[0]


def test_code_headings_and_lists_are_no_answers() -> None:
    text = f"# Sockets\n\n{TEXT}\n\n{CODE}\n\n- a list\n- of things\n"
    assert spans_of(text, 9) == spans_of(TEXT, 9)


def test_more_spans_than_wanted_are_spread_over_the_text() -> None:
    text = "\n\n".join(TEXT.replace("socket", f"socket{number}") for number in range(6))
    spans = spans_of(text, 3)
    assert len(spans) == 3
    assert "socket0" in spans[0]
    assert "socket4" in spans[2]


def _question(text: str) -> str:
    return json.dumps({"instruction": text})


GOOD = "Why is a server socket like a switchboard operator who hands on every caller?"
OTHER = "Which one kind of socket accounts for nearly all sockets in use today?"
VAGUE = "What do you mean?"
TORN = "How does it go on and on about the sockets and the operators and" + " on" * 30 + "?"


async def test_the_question_that_is_nearest_to_its_span_is_kept() -> None:
    ask = ScriptedAsk([_question(q) for q in (VAGUE, "What is the problem?", OTHER, GOOD)])
    (first, second) = await extractive(settings(pairs_per_chunk=2)).write(make_chunk(TEXT), ask)
    assert first.instruction == OTHER
    assert second.instruction == GOOD
    assert first.answer == spans_of(TEXT, 2)[0]
    assert (first.grounding, first.index, second.index) == (1.0, 0, 1)
    seeds = [prompt.sampling.seed for prompt in ask.prompts]
    assert seeds == [0, 1, 2, 0]  # a good one ends the drawing


async def test_where_no_question_fits_nothing_is_written() -> None:
    poor = [_question(VAGUE), _question(TORN)] * SAMPLES
    ask = ScriptedAsk(poor)
    with pytest.raises(RejectedError, match="no_usable_pair"):
        await extractive(settings(pairs_per_chunk=2)).write(make_chunk(TEXT), ask)
    assert ask.reasons == ["vague_question"] * 2


async def test_an_answer_that_is_none_costs_one_sample_only() -> None:
    ask = ScriptedAsk(["no json", _question(OTHER), _question(GOOD)])
    pairs = await extractive(settings(pairs_per_chunk=2)).write(make_chunk(TEXT), ask)
    assert [pair.instruction for pair in pairs] == [OTHER, GOOD]
    assert ask.reasons == ["no_json"]


async def test_a_chunk_without_prose_has_no_pairs() -> None:
    with pytest.raises(RejectedError, match="no_usable_pair"):
        await extractive(settings()).write(make_chunk(CODE), ScriptedAsk([]))
