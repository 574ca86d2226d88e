from __future__ import annotations

import statistics
from typing import Any

import orjson
import pytest

from pairmill.simulator import Thinking
from pairmill.simulator.thinking import (
    add_thoughts,
    draw_thoughts,
    effort_of,
    refuse_words,
    think_first,
)
from pairmill.simulator.wire import Answer, ChatRequest, make_envelope, parse_chat

ALWAYS = Thinking(tokens=100, sigma=0)


def request(text: str = "hello", **fields: Any) -> ChatRequest:
    body = {"model": "m", "messages": [{"role": "user", "content": text}], **fields}
    return parse_chat(orjson.dumps(body), 0)


def _envelope(asked: ChatRequest, answer: Answer, thinking: Thinking) -> dict[str, Any]:
    envelope = make_envelope(asked, answer)
    add_thoughts(envelope, answer, thinking)
    return envelope


@pytest.mark.parametrize(
    ("fields", "effort"),
    [
        ({}, "medium"),
        ({"reasoning_effort": "high"}, "high"),
        ({"reasoning_effort": "none"}, "none"),
        ({"reasoning": {"effort": "low"}}, "low"),
        ({"reasoning": {"enabled": False}}, "none"),
        ({"enable_thinking": False}, "none"),
        ({"chat_template_kwargs": {"enable_thinking": False}}, "none"),
        ({"chat_template_kwargs": {"thinking": False}}, "none"),
        ({"thinking": {"type": "disabled"}}, "none"),
        ({"thinking": {"type": "enabled", "budget_tokens": 9}}, "medium"),
        ({"thinking_budget": 0}, "none"),
        ({"extra_body": {"google": {"thinking_config": {"thinking_budget": 0}}}}, "none"),
        ({"text": "hello /no_think"}, "none"),
    ],
)
def test_every_usual_word_is_understood(fields: dict[str, Any], effort: str) -> None:
    assert effort_of(Thinking(), request(**fields).data) == effort
    if fields:
        assert effort_of(Thinking(words=()), request(**fields).data) == "medium"


def test_hidden_tokens_are_lognormal_and_scale_with_the_effort() -> None:
    thinking = Thinking(tokens=700, sigma=0.5)
    drawn = [draw_thoughts(thinking, request(f"question {n}"), 1) for n in range(600)]
    assert 640 < statistics.median(drawn) < 760
    assert max(drawn) > 2 * statistics.median(drawn)
    low = [
        draw_thoughts(thinking, request(f"question {n}", reasoning_effort="low"), 1)
        for n in range(600)
    ]
    assert 0.3 < statistics.median(low) / statistics.median(drawn) < 0.4
    assert draw_thoughts(thinking, request(reasoning_effort="none"), 1) == 0
    assert draw_thoughts(ALWAYS, request(thinking={"budget_tokens": 30}), 1) == 30


def test_thoughts_come_out_of_the_cap() -> None:
    fits = think_first("x" * 200, 100, 200, ALWAYS)
    assert (fits.text, fits.finish_reason, fits.completion_tokens) == ("x" * 200, "stop", 150)
    cut = think_first("x" * 200, 100, 120, ALWAYS)
    assert (len(cut.text), cut.finish_reason, cut.completion_tokens) == (80, "length", 120)
    eaten = think_first("x" * 200, 100, 100, ALWAYS)
    assert (eaten.text, eaten.finish_reason, eaten.completion_tokens) == ("", "length", 100)
    free = think_first("x" * 200, 100, 60, Thinking(capped=False))
    assert (free.finish_reason, free.completion_tokens) == ("stop", 150)


@pytest.mark.parametrize(
    ("thinking", "completion", "total", "details"),
    [
        (Thinking(counted="inside"), 150, 160, 100),
        (Thinking(counted="silent"), 150, 160, None),
        (Thinking(counted="outside"), 50, 160, 100),
        (Thinking(counted="total"), 50, 160, None),
    ],
)
def test_usage_counts_thoughts_as_the_server_does(
    thinking: Thinking, completion: int, total: int, details: int | None
) -> None:
    asked = ChatRequest(1, "m", "user", "", "text", None, 500, 10)
    usage = _envelope(asked, think_first("x" * 200, 100, 500, thinking), thinking)["usage"]
    assert usage["completion_tokens"] == completion
    assert usage["total_tokens"] == total
    assert usage.get("completion_tokens_details", {}).get("reasoning_tokens") == details


@pytest.mark.parametrize(
    ("empty", "message"),
    [
        ("", {"content": ""}),
        ("null", {"content": None}),
        ("absent", {}),
    ],
)
def test_an_answer_that_was_eaten_has_no_text(empty: Any, message: dict[str, Any]) -> None:
    thinking = Thinking(empty=empty)
    asked = ChatRequest(1, "m", "user", "", "text", None, 500, 10)
    made = _envelope(asked, think_first("text", 900, 500, thinking), thinking)
    assert made["choices"][0]["message"] == {"role": "assistant", "refusal": None, **message}


def test_what_is_below_the_least_is_refused_by_name_or_raised() -> None:
    strict = Thinking(least="low", below_least="refuse")
    refusal = refuse_words(strict, {"reasoning_effort": "none"})
    assert refusal is not None
    assert refusal.status == 400
    assert refusal.body["error"]["param"] == "reasoning_effort"
    assert "'low', 'medium'" in refusal.body["error"]["message"]
    assert refuse_words(strict, {"reasoning_effort": "low"}) is None
    assert refuse_words(strict, {"reasoning_effort": "very"}) is not None
    kind = Thinking(least="low", below_least="ignore")
    assert refuse_words(kind, {"reasoning_effort": "none"}) is None
    assert effort_of(kind, {"reasoning_effort": "none"}) == "low"


def test_words_of_others_are_refused_where_the_server_does_so() -> None:
    strict = Thinking(words=("reasoning_effort",), other_words="refuse")
    refusal = refuse_words(strict, {"enable_thinking": False})
    assert refusal is not None
    assert "enable_thinking" in refusal.body["error"]["message"]
    assert refuse_words(strict, {"reasoning_effort": "low"}) is None


def test_shown_thoughts_stand_in_the_content_and_are_cut_with_it() -> None:
    tags = Thinking(shown="tags")
    whole = think_first("answer", 20, 500, tags).text
    assert whole.startswith("<think>\n")
    assert whole.endswith("</think>\n\nanswer")
    assert think_first("answer", 20, 500, Thinking(shown="no_open_tag")).text.count("think>") == 1
    assert "</think>" not in think_first("answer", 900, 500, tags).text
