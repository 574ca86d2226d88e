from __future__ import annotations

import orjson
import pytest
from tests.support.questions import SCHEMA, TEMPLATE, request
from tests.support.scripted import answer

from pairmill.errors import Kind, ProviderError
from pairmill.llm.providers.provider import Mode
from pairmill.llm.providers.replies import clean_text, decode, limit_headers
from pairmill.llm.providers.requests import AcceptedParameters, RequestEncoder
from pairmill.records import Completion, Template


def read(body: object) -> Completion:
    data = body if isinstance(body, bytes) else orjson.dumps(body)
    return decode(200, {}, data, now=5.0)


def refused(message: str, status: int = 400) -> ProviderError:
    with pytest.raises(ProviderError) as caught:
        decode(status, {}, orjson.dumps({"error": {"message": message}}), now=5.0)
    return caught.value


def test_equal_requests_have_equal_bytes_and_the_text_stands_last() -> None:
    body = RequestEncoder().encode(request("the chunk"), Mode.JSON_SCHEMA)
    assert body == RequestEncoder().encode(request("the chunk"), Mode.JSON_SCHEMA)
    sent = orjson.loads(body)
    assert sent["messages"][-1] == {"role": "user", "content": "the chunk"}
    assert (sent["model"], sent["max_tokens"], sent["temperature"], sent["seed"]) == (
        "m",
        64,
        0.5,
        3,
    )
    assert sent["response_format"]["json_schema"] == {
        "name": "An_answer",
        "schema": SCHEMA,
        "strict": True,
    }


def test_requests_of_one_template_share_their_beginning() -> None:
    encoder = RequestEncoder()
    first, second = (encoder.encode(request(text), Mode.PROMPT) for text in ("abc", "xyz"))
    start = first.index(b'"abc"')
    assert first[:start] == second[:start]
    assert b"Be brief." in first[:start]


@pytest.mark.parametrize("mode", [Mode.JSON_OBJECT, Mode.PROMPT])
def test_other_modes_tell_the_schema_in_the_system_message(mode: Mode) -> None:
    sent = orjson.loads(RequestEncoder().encode(request(), mode))
    assert sent["messages"][0]["content"].startswith("Be brief.\n\nAnswer with one JSON object")
    assert orjson.dumps(SCHEMA).decode() in sent["messages"][0]["content"]
    assert sent.get("response_format") == (
        {"type": "json_object"} if mode is Mode.JSON_OBJECT else None
    )


def test_a_template_without_messages_gets_a_system_message_for_the_schema() -> None:
    bare = Template("bare", "1", ())
    told = orjson.loads(RequestEncoder().encode(request(template=bare), Mode.PROMPT))
    assert [turn["role"] for turn in told["messages"]] == ["system", "user"]
    held = orjson.loads(RequestEncoder().encode(request(template=bare), Mode.JSON_SCHEMA))
    assert [turn["role"] for turn in held["messages"]] == ["user"]


@pytest.mark.parametrize("mode", list(Mode))
def test_without_a_schema_nothing_is_said_of_one(mode: Mode) -> None:
    sent = orjson.loads(RequestEncoder().encode(request(schema=None), mode))
    assert sent["messages"][0]["content"] == "Be brief."
    assert "response_format" not in sent


def test_a_schema_with_optional_properties_is_not_called_strict() -> None:
    schema = {**SCHEMA, "required": []}
    sent = orjson.loads(RequestEncoder().encode(request(schema=schema), Mode.JSON_SCHEMA))
    assert "strict" not in sent["response_format"]["json_schema"]


def test_lone_surrogates_do_not_stop_a_request() -> None:
    sent = orjson.loads(RequestEncoder().encode(request("a\ud800b\U0001f600"), Mode.PROMPT))
    assert sent["messages"][-1]["content"] == "a?b\U0001f600"


def test_what_is_kept_of_templates_is_bounded() -> None:
    encoder = RequestEncoder()
    for number in range(200):
        template = Template("many", str(number), TEMPLATE.messages)
        encoder.encode(request(template=template), Mode.PROMPT)
    assert len(encoder._frames) <= 64


def test_a_word_learned_by_another_call_is_worth_a_try() -> None:
    encoder = RequestEncoder()
    error = refused("Unknown parameter: 'seed'")
    used = encoder.accepted("m")
    assert encoder.learn(used, error, request(), Mode.JSON_SCHEMA)
    assert encoder.learn(used, error, request(), Mode.JSON_SCHEMA)  # sent before it came back
    assert not encoder.learn(encoder.accepted("m"), error, request(), Mode.JSON_SCHEMA)
    assert encoder.accepted("other") == AcceptedParameters()


@pytest.mark.parametrize(
    ("message", "status"),
    [
        ("the context length 4096 of max_tokens is exceeded", 400),
        ("unknown model; temperature 0", 404),
        ("top_k is not supported", 400),
        ("seed is not supported", 503),
    ],
)
def test_other_refusals_teach_nothing(message: str, status: int) -> None:
    encoder = RequestEncoder()
    error = refused(message, status)
    assert not encoder.learn(encoder.accepted("m"), error, request(), Mode.JSON_SCHEMA)


def test_an_answer_is_read_with_surrogates_and_nul_removed() -> None:
    raw = orjson.dumps(answer("X")).replace(b'"X"', b'"a\\ud83d\\ude00b\\ud800c\\u0000d"')
    assert read(raw).text == "a\U0001f600b�cd"
    assert clean_text("\ud83d\ude00") == "\U0001f600"


def test_content_in_parts_is_joined() -> None:
    parts = [{"type": "text", "text": "a"}, {"type": "thinking"}, {"type": "text", "text": "b"}]
    assert read(answer(parts)).text == "ab"


def test_the_reason_for_the_end_is_kept() -> None:
    assert read(answer("cut", finish="length")).finish_reason == "length"
    assert read(answer("x", finish="content_filter")).finish_reason == "content_filter"


@pytest.mark.parametrize(
    "usage",
    [None, [], {"prompt_tokens": "9.5"}, {"prompt_tokens": -1}, {"prompt_tokens": 1e300}, {}],
)
def test_a_usage_that_makes_no_sense_counts_as_none(usage: object) -> None:
    body = {**answer("x"), "usage": usage}
    assert read(body).usage.prompt_tokens == 0


@pytest.mark.parametrize(
    ("body", "kind", "code"),
    [
        (b"", Kind.LOST, "empty_body"),
        (b"  <!DOCTYPE html><p>", Kind.FOREIGN, "html"),
        (b'{"choices": [', Kind.LOST, "not_json"),
        (b"[" * 100_000, Kind.LOST, "not_json"),
        (b"null", Kind.LOST, "not_json"),
        (b"[]", Kind.FOREIGN, "no_choices"),
        ({"choices": None}, Kind.OVERLOAD, "no_choices"),
        ({"choices": []}, Kind.OVERLOAD, "no_choices"),
        ({"choices": [None]}, Kind.OVERLOAD, "no_choices"),
        ({"choices": [{"message": None}]}, Kind.BADOUT, "empty"),
        (answer(None), Kind.BADOUT, "empty"),
        (answer(" \n"), Kind.BADOUT, "empty"),
        (answer(None, refusal="I cannot"), Kind.BADOUT, "refusal"),
        (answer("", finish="length"), Kind.BADOUT, "length"),
        (answer(None, finish="content_filter"), Kind.CHUNK, "content_filter"),
        ({"error": {"message": "slow down", "code": 429}}, Kind.RATE, "error_in_success"),
        ({"error": {"message": "no credit", "code": 402}}, Kind.QUOTA, "error_in_success"),
        ({"error": "something"}, Kind.OVERLOAD, "error_in_success"),
        (
            {"choices": [{"error": {"code": 502, "message": "upstream"}, "message": None}]},
            Kind.OVERLOAD,
            "error_in_success",
        ),
    ],
)
def test_a_success_that_is_no_answer_is_named(body: object, kind: Kind, code: str) -> None:
    with pytest.raises(ProviderError) as caught:
        read(body)
    assert (caught.value.kind, caught.value.code) == (kind, code)


def test_a_refusal_says_what_it_cost() -> None:
    with pytest.raises(ProviderError) as caught:
        read(answer(None, refusal="I cannot"))
    assert (caught.value.prompt_tokens, caught.value.completion_tokens) == (12, 5)
    assert caught.value.maybe_paid


def test_of_the_headers_only_those_about_limits_are_kept() -> None:
    headers = {
        "Authorization": "Bearer x",
        "X-RateLimit-Limit-Tokens": "1" * 500,
        "anthropic-ratelimit-requests-limit": "5",
        "RateLimit-Reset": "3",
        "x-should-retry": "false",
        "x-request-id": "1",
    }
    kept = limit_headers(headers)
    assert sorted(kept) == [
        "anthropic-ratelimit-requests-limit",
        "ratelimit-reset",
        "x-ratelimit-limit-tokens",
        "x-should-retry",
    ]
    assert len(kept["x-ratelimit-limit-tokens"]) == 200
    assert len(limit_headers({f"x-ratelimit-{n}": "1" for n in range(1000)})) <= 64
