from __future__ import annotations

import dataclasses
from typing import Any

import orjson
import pytest

from pairmill.simulator import Reply, Rule, When
from pairmill.simulator.calls import encode_reply, fill_places
from pairmill.simulator.rules import CallFacts, RuleBook
from pairmill.simulator.wire import encode_events, parse_chat

SCHEMA = {"type": "object", "properties": {"maxItems": {"type": "array", "minItems": 2}}}


def facts(number: int = 1, **fields: Any) -> CallFacts:
    told = {"path", "key", "now", "attempt", "has_passage", "chunk", "good", "thinks"}
    body = {
        "model": "m",
        "messages": [
            {"role": "system", "content": "s"},
            {"role": "user", "content": f"u {number}"},
        ],
        **{key: value for key, value in fields.items() if key not in told},
    }
    own = {key: value for key, value in fields.items() if key in told}
    base: dict[str, Any] = {"path": "/v1/chat/completions", "key": "k", "now": 0.0}
    return CallFacts(
        number=number, request=parse_chat(orjson.dumps(body), 0), chunk_digest=number, **base | own
    )


def holds(when: When, call: CallFacts) -> bool:
    return RuleBook([Rule(when=when)], seed=0).take(call) is not None


@pytest.mark.parametrize(
    ("when", "yes", "no"),
    [
        (When(passage=True), {"has_passage": True}, {}),
        (When(match="u 1"), {}, {"number": 2}),
        (When(chunk=7), {"chunk": 7}, {"chunk": 6}),
        (When(chunk=(1, 3)), {"chunk": 3}, {"chunk": 2}),
        (When(after=5), {"good": 5}, {"good": 4}),
        (When(attempt_from=2), {"attempt": 2}, {}),
        (When(attempt_to=1), {}, {"attempt": 2}),
        (When(since_s=2, until_s=4), {"now": 2.0}, {"now": 4.0}),
        (When(period_s=4, on_s=1), {"now": 8.5}, {"now": 9.5}),
        (When(key="a"), {"key": "a"}, {}),
        (When(model="m"), {}, {"model": "n"}),
        (When(parameter="seed"), {"seed": 0}, {}),
        (When(parameter="temperature", not_value=1), {"temperature": 0.0}, {"temperature": 1.0}),
        (When(parameter="temperature", value=0), {"temperature": 0.0}, {"temperature": 0.1}),
        (When(parameter="max_tokens", above=9), {"max_tokens": 10}, {"max_tokens": 9}),
        (When(parameter="stream", value=False), {"stream": False}, {"stream": True}),
        (When(role="system"), {}, {"messages": [{"role": "user", "content": "u"}]}),
        (When(alternating=True), {"messages": [{"role": "user", "content": "u"}]}, {}),
        (When(thinks=True), {"thinks": True}, {}),
        (When(path="/chat/*"), {"path": "/chat/completions"}, {}),
    ],
)
def test_each_condition_holds_where_it_says(
    when: When, yes: dict[str, Any], no: dict[str, Any]
) -> None:
    assert holds(when, facts(**yes))
    assert not holds(when, facts(**no))


def test_a_keyword_of_a_schema_is_told_from_a_property_of_its_name() -> None:
    asked = {"type": "json_schema", "json_schema": {"name": "x", "schema": SCHEMA}}
    assert holds(When(schema_keyword="minItems"), facts(response_format=asked))
    assert not holds(When(schema_keyword="maxItems"), facts(response_format=asked))


def test_the_first_rule_with_turns_left_decides() -> None:
    once, always = Rule(times=1), Rule(about="always")
    book = RuleBook([once, always], seed=0)
    assert [book.take(facts()) for _ in range(3)] == [once, always, always]


def test_unless_wins_over_when() -> None:
    rule = Rule(unless=When(parameter="stream", value=False))
    book = RuleBook([rule], seed=0)
    assert book.take(facts(stream=False)) is None
    assert book.take(facts()) is rule


def test_every_counts_only_what_else_fits() -> None:
    book = RuleBook([Rule(when=When(passage=True, every=3))], seed=0)
    struck = [
        book.take(facts(number, has_passage=number % 2 == 0)) is not None for number in range(12)
    ]
    assert [number for number, is_struck in enumerate(struck) if is_struck] == [4, 10]


def test_a_share_strikes_the_same_calls_for_a_seed_and_about_so_many() -> None:
    book = RuleBook([Rule(when=When(share=0.2))], seed=0)
    first = [book.take(facts(number)) is not None for number in range(500)]
    again = [book.take(facts(number)) is not None for number in range(500)]
    assert first == again
    assert 70 < sum(first) < 130
    other = [book.take(facts(number, attempt=2)) is not None for number in range(500)]
    assert first != other


def test_a_share_of_passages_is_struck_at_every_attempt() -> None:
    when = When(chunk_share=0.3)
    struck = {number for number in range(200) if holds(when, facts(number, chunk=number + 1))}
    assert 40 < len(struck) < 80
    again = {
        number for number in range(200) if holds(when, facts(number, chunk=number + 1, attempt=3))
    }
    assert struck == again


def test_places_take_facts_and_keep_numbers() -> None:
    value = {"n": "${n}", "text": "at most ${n} ${unknown}", "list": ["${s}"]}
    filled = fill_places(value, {"n": 5, "s": "x"})
    assert filled == {"n": 5, "text": "at most 5 ${unknown}", "list": ["x"]}


def body_of(response: bytes) -> tuple[bytes, Any]:
    head, _, body = response.partition(b"\r\n\r\n")
    return head, body


def test_fields_of_the_envelope_are_set_and_dropped_by_path() -> None:
    envelope = {"id": "1", "choices": [{"message": {"content": "a"}}], "usage": {"total": 1}}
    reply = Reply(
        set={"choices.0.message.reasoning": "${answer}", "new.field": 1},
        drop=("usage.total", "choices.0.message.content", "nowhere.at.all"),
        headers={"x-key": "${key}"},
        after="\ndata: [DONE]",
    )
    head, body = body_of(
        encode_reply(reply, {"answer": "A", "key": "k"}, envelope, [], stream=False)
    )
    assert b"x-key: k" in head
    assert body.endswith(b"data: [DONE]")
    assert orjson.loads(body.partition(b"\n")[0]) == {
        "id": "1",
        "choices": [{"message": {"reasoning": "A"}}],
        "usage": {},
        "new": {"field": 1},
    }


@pytest.mark.parametrize(
    ("body", "kind"),
    [("<html>", b"text/html"), ("not found", b"text/plain"), ({"a": 1}, b"application/json")],
)
def test_a_body_goes_as_what_it_is(body: Any, kind: bytes) -> None:
    head, sent = body_of(encode_reply(Reply(status=404, body=body), {}, {}, [], stream=False))
    assert head.startswith(b"HTTP/1.1 404 ")
    assert b"content-type: " + kind in head
    assert sent == (body.encode() if isinstance(body, str) else orjson.dumps(body))


def test_a_stream_holds_the_whole_answer_and_its_usage() -> None:
    envelope = {
        "id": "1",
        "choices": [
            {"message": {"role": "assistant", "content": "abcdefghij"}, "finish_reason": "stop"}
        ],
        "usage": {"total_tokens": 3},
    }
    lines = encode_events(envelope).decode().split("\n\n")
    assert lines[-2:] == ["data: [DONE]", ""]
    chunks = [orjson.loads(line.removeprefix("data: ")) for line in lines[:-2]]
    deltas = [choice for chunk in chunks for choice in chunk["choices"]]
    assert "".join(delta["delta"].get("content", "") for delta in deltas) == "abcdefghij"
    assert deltas[-1]["finish_reason"] == "stop"
    assert chunks[-1]["usage"] == {"total_tokens": 3}


def test_every_field_of_a_rule_has_a_default() -> None:
    assert dataclasses.asdict(Rule())["reply"]["status"] == 200
