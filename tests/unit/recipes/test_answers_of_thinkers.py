"""Answers of models that think aloud: the draft is never the answer."""

from __future__ import annotations

import json

import pytest

from pairmill.recipes.answers import ParseStep, read
from pairmill.recipes.backtranslate import WrittenAnswer

HARMONY = "<|start|>assistant<|channel|>"
HARMONY_JSON = "<|constrain|>json<|message|>"
FORM = '{"instruction": "...", "answer": "..."}'


def reply(word: str, *more: str) -> str:
    pairs = [{"instruction": f"Why {it}?", "answer": f"Because of {it}."} for it in (word, *more)]
    return json.dumps({"skip": None, "pairs": pairs})


DRAFT, ANSWER = reply("draft"), reply("answer", "more")


def instructions(text: str, *, cut: bool = False) -> list[str]:
    value = read(text, WrittenAnswer, cut=cut).value
    return [pair.instruction for pair in value.pairs] if value else []


@pytest.mark.parametrize(
    "text",
    [
        f"<think>{DRAFT} No.</think>{ANSWER}",
        f"Let me draft. {DRAFT} No.\n</think>\n\n{ANSWER}",
        f"{DRAFT} not good enough\n</think>\n{ANSWER}",
        f"[THINK]{DRAFT}[/THINK]{ANSWER}",
        f"{DRAFT}[/THINK]```json\n{ANSWER}\n```",
        f"◁think▷{DRAFT}◁/think▷{ANSWER}",
        f"{HARMONY}analysis<|message|>{DRAFT}<|end|>{HARMONY}final {HARMONY_JSON}{ANSWER}",
        f"<seed:think>{DRAFT}</seed:think>{ANSWER}",
        f"<|begin_of_thought|>{DRAFT}<|end_of_thought|>{ANSWER}",
        f"<reasoning>{DRAFT}</reasoning>\n{ANSWER}",
        f"First: {DRAFT}\nThat is not good enough. Better: {ANSWER}",
        f"The form is {FORM}, so: {ANSWER}\nI kept to {FORM}.",
        f"<think>one</think>{DRAFT}<think>{{no}}</think>{ANSWER}",
        f"</think>The set {{1, 2 is not closed. {ANSWER}",
        f"{DRAFT}{ANSWER}",
    ],
)
def test_the_last_valid_object_behind_the_last_mark_is_the_answer(text: str) -> None:
    assert instructions(text) == ["Why answer?", "Why more?"]


@pytest.mark.parametrize(
    "text",
    [
        f"<think>Let me draft: {DRAFT} Better would be",
        f"  <|channel|>analysis<|message|>{DRAFT}",
        f"[THINK]{DRAFT}",
        f"{DRAFT} no</think>",
        f"{DRAFT} no</think>\nHere it is:",
    ],
)
def test_a_draft_without_an_answer_behind_it_is_none(text: str) -> None:
    assert instructions(text, cut=True) == []


def test_a_thought_that_never_ends_is_an_answer_that_was_cut_off() -> None:
    reading = read(f"<think>{DRAFT}", WrittenAnswer)
    assert [fault.reason for fault in reading.faults] == ["cut_off"]


def test_of_an_answer_that_is_cut_off_behind_its_draft_only_its_own_pairs_count() -> None:
    torn = ANSWER[: ANSWER.index("Why more")]
    reading = read(f"Draft: {DRAFT} Better: {torn}", WrittenAnswer, cut=True)
    assert reading.how is ParseStep.SALVAGED
    assert instructions(f"Draft: {DRAFT} Better: {torn}", cut=True) == ["Why answer?"]


def test_a_mark_that_an_answer_quotes_ends_no_thought() -> None:
    quoting = reply("</think>", "more")
    assert instructions(quoting) == ["Why </think>?", "Why more?"]
    assert instructions(f"```json\n{quoting}\n```") == ["Why </think>?", "Why more?"]
    assert instructions(f"{quoting[:-2]},]}}") == ["Why </think>?", "Why more?"]


def test_a_text_of_nothing_but_braces_is_given_up_soon() -> None:
    assert instructions("{" * 200_000) == []
    assert instructions("{}" * 100_000) == []
    assert instructions("</think>" * 20_000 + "[{" * 20_000) == []


@pytest.mark.parametrize(
    "text",
    [
        f"<think>x</think>{ANSWER}\n<think>was that good? {DRAFT}",
        f"{ANSWER}\n<think>was that good? {DRAFT}",
        f"```json\n{ANSWER}\n```\n[THINK]Perhaps {DRAFT}",
    ],
)
def test_a_thought_that_begins_behind_the_answer_and_never_ends_is_none(text: str) -> None:
    assert instructions(text) == ["Why answer?", "Why more?"]


def test_a_mark_that_is_quoted_in_an_answer_does_not_cut_it() -> None:
    quoted = reply("<think>", "more")
    assert instructions(f"```json\n{quoted}\n```") == ["Why <think>?", "Why more?"]


@pytest.mark.parametrize(
    "text",
    [
        json.dumps(json.dumps(json.dumps(json.loads(ANSWER)))),
        json.dumps({"writtenanswer": json.loads(ANSWER)}),
        json.dumps({"name": "f", "arguments": ANSWER}),
        json.dumps({"type": "object", "properties": json.loads(ANSWER)}),
        f"<tool_call>\n{json.dumps({'name': 'f', 'arguments': json.loads(ANSWER)})}\n</tool_call>",
        json.dumps({"skip": None, "pairs": json.dumps(json.loads(ANSWER)["pairs"])}),
        json.dumps({"skip": None, "pairs": [json.dumps(it) for it in json.loads(ANSWER)["pairs"]]}),
    ],
)
def test_an_answer_that_is_wrapped_or_encoded_once_more_is_unpacked(text: str) -> None:
    assert instructions(text) == ["Why answer?", "Why more?"]
