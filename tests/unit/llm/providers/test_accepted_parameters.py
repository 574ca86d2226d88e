"""Refusals of a word, in the sentences of many servers: the next request does without it."""

from __future__ import annotations

import json
from typing import Any

import orjson
import pytest
from tests.support.questions import request

from pairmill.errors import ProviderError
from pairmill.llm.providers.profile import ModelParameters, ProviderProfile, RequestOptions
from pairmill.llm.providers.provider import Mode, ProviderReply
from pairmill.llm.providers.replies import decode
from pairmill.llm.providers.requests import RequestEncoder, send
from pairmill.records import Completion, Request, Usage

OBJECT = {"type": "object", "additionalProperties": False}
PAIRS = {
    **OBJECT,
    "properties": {
        "score": {"type": "integer", "enum": [1, 2, 3, 4, 5]},
        "minItems": {"type": "array", "items": {"type": "string"}, "minItems": 1, "maxItems": 3},
    },
    "required": ["score", "minItems"],
}
RUN = RequestOptions(temperature=0.8)


def error_of(body: Any, status: int = 400) -> ProviderError:
    data = body if isinstance(body, bytes) else orjson.dumps(body)
    with pytest.raises(ProviderError) as caught:
        decode(status, {}, data, now=5.0)
    return caught.value


def taught(
    body: Any, status: int = 400, *, asked: Request | None = None, mode: Mode = Mode.JSON_SCHEMA,
    encoder: RequestEncoder | None = None,
) -> dict[str, Any] | None:  # fmt: skip
    """The next body after a refusal; None where it teaches nothing."""
    encoder = encoder or RequestEncoder(options=RUN)
    asked = asked or request(schema=PAIRS)
    error = error_of(body, status)
    if not encoder.learn(encoder.accepted(asked.model), error, asked, mode):
        return None
    found = orjson.loads(encoder.encode(asked, mode))
    assert isinstance(found, dict)
    return found


def said(message: str, **more: Any) -> dict[str, Any]:
    return {"error": {"message": message, **more}}


NESTED = json.dumps(said("temperature is not supported", code=400))


@pytest.mark.parametrize(
    ("body", "status", "gone"),
    [
        (said("invalid top_p: only 1 is allowed for this model"), 400, "top_p"),
        (said("`seed` is deprecated for this model."), 400, "seed"),
        (said("Bad value", param="seed"), 400, "seed"),
        ({"detail": [{"loc": ["body", "seed"], "msg": "Extra inputs", "input": 3}]}, 422, "seed"),
        ([said('Unknown name "seed": Cannot find field.', code=400)], 400, "seed"),
        (said("Provider returned error", metadata={"raw": NESTED}), 400, "temperature"),
        (said(f"upstream said: {NESTED}"), 400, "temperature"),
        (said("Unknown field: stream", param="stream"), 400, "stream"),
        (b"unsupported: seed", 422, "seed"),
        ({"error": {"code": 400, "message": "seed must be null"}}, 200, "seed"),
        (said("temperature is not implemented"), 500, "temperature"),
        (said("BedrockException: `top_p` is deprecated for this model"), 502, "top_p"),
        (said("Bad value", param="seed"), 500, "seed"),
        (said("seed not acceptable"), 406, "seed"),
        (said("seed conflicts with the model"), 409, "seed"),
        (said("\u4e0d\u652f\u6301\u7684\u53c2\u6570\uff1atemperature"), 400, "temperature"),
        (said("Invalid value at 'generation_config.seed' (TYPE_INT32), 7"), 400, "seed"),
        ({"detail": json.dumps({"error": json.dumps({"msg": "top_p > 0"})})}, 400, "top_p"),
    ],
)
def test_a_field_that_is_named_is_left_out(body: Any, status: int, gone: str) -> None:
    encoder = RequestEncoder(options=RequestOptions(temperature=0.5, top_p=0.9))
    sent = taught(body, status, encoder=encoder)
    assert sent is not None
    kept = {"temperature", "top_p", "seed", "stream", "max_tokens"} - {gone}
    assert gone not in sent
    assert kept <= sent.keys()


@pytest.mark.parametrize("message", ["stream error in the worker", "worker seed failed", "sorry"])
def test_a_failure_that_names_a_word_by_chance_teaches_nothing(message: str) -> None:
    assert taught(said(message), 500) is None


def test_what_a_server_repeats_of_the_request_names_nothing() -> None:
    echo = {"detail": [{"loc": ["body"], "msg": "no", "input": {"seed": 3, "temperature": 0.5}}]}
    assert taught(echo, 422) is None


@pytest.mark.parametrize(
    "message",
    [
        "temperature is not supported for reasoning models; max_tokens neither",
        "Unsupported value: 'temperature' does not support 0.5 with this model. seed is fine",
    ],
)
def test_of_several_names_the_one_in_its_own_field_counts(message: str) -> None:
    sent = taught(said(message, param="temperature"), encoder=RequestEncoder())
    assert sent is not None
    assert "temperature" not in sent
    assert {"seed", "max_tokens"} <= sent.keys()


def test_a_temperature_of_our_own_gives_way_to_the_users_and_then_to_none() -> None:
    encoder = RequestEncoder(options=RequestOptions(temperature=1.0))
    body = said("invalid temperature: only 1 is allowed for this model")
    first = taught(body, encoder=encoder)
    assert first is not None
    assert first["temperature"] == 1.0
    second = taught(body, encoder=encoder)
    assert second is not None
    assert "temperature" not in second


def test_a_temperature_that_must_be_positive_is_nearly_nothing() -> None:
    greedy = request(schema=PAIRS)
    greedy = Request(
        type(greedy.prompt)(greedy.prompt.template, "x", type(greedy.prompt.sampling)(0.0, 64)),
        "m", greedy.schema,
    )  # fmt: skip
    body = said("`temperature` must be strictly positive")
    sent = taught(
        body, 422, asked=greedy, encoder=RequestEncoder(options=RequestOptions(temperature=0.0))
    )
    assert sent is not None
    assert sent["temperature"] == 0.01


@pytest.mark.parametrize(
    ("message", "field", "value"),
    [
        ("'max_tokens' is not supported. Use 'max_completion_tokens'", "max_completion_tokens", 64),
        ("max_tokens is too large: 640. At most 64 completion tokens", "max_tokens", 64),
        ("Requested generation length 640 exceeds the limit of 400 tokens", "max_tokens", 400),
        ("maximum new tokens is 512", "max_tokens", 512),
        ("The output length must not be above 256", "max_tokens", 256),
        ("This model supports at most 2,048 completion tokens", "max_completion_tokens", 5000),
        ("Unrecognized request argument supplied: max_tokens", "max_completion_tokens", 64),
    ],
)
def test_the_bound_of_an_answer_takes_its_other_name_or_its_bound(
    message: str, field: str, value: int
) -> None:
    asked = request(schema=PAIRS)
    size = value if value in {64, 5000} and "640" not in message else 640
    asked = Request(
        type(asked.prompt)(asked.prompt.template, "x", type(asked.prompt.sampling)(0.5, size)),
        "m", asked.schema,
    )  # fmt: skip
    sent = taught(said(message), asked=asked)
    assert sent is not None
    if "2,048" in message:
        assert sent["max_tokens"] == 2048
    else:
        assert sent[field] == value


def test_a_prompt_that_is_too_long_is_no_matter_of_words() -> None:
    for message in (
        "max_tokens must be at least 1, got -7584",
        "This model's maximum context length is 4096 tokens; max_tokens is 1380",
    ):
        assert taught(said(message)) is None


@pytest.mark.parametrize(
    ("message", "gone"),
    [
        ("Unknown name \"additionalProperties\" at 'generation_config.response_schema'",
         {"additionalProperties"}),
        ("Unsupported JSON schema fields: {'minItems', 'maxItems'}", {"minItems", "maxItems"}),
        ("'max_items' is not permitted in response_format", {"maxItems"}),
    ],
)  # fmt: skip
def test_a_keyword_of_the_schema_is_left_out_of_what_is_sent(message: str, gone: set[str]) -> None:
    sent = taught(said(message))
    assert sent is not None
    schema = sent["response_format"]["json_schema"]["schema"]
    listed = schema["properties"]["minItems"]  # a property of that name stays
    found = {"additionalProperties", "minItems", "maxItems"} - (set(schema) | set(listed))
    assert found == gone


def test_a_list_of_numbers_becomes_a_range_where_only_texts_may_be_listed() -> None:
    message = "response_schema.properties[score].enum: only allowed for STRING type"
    sent = taught(said(message))
    assert sent is not None
    score = sent["response_format"]["json_schema"]["schema"]["properties"]["score"]
    assert score == {"type": "integer", "minimum": 1, "maximum": 5}


@pytest.mark.parametrize(
    ("message", "status"),
    [
        ("The compiled grammar is too large", 400),
        ("No endpoints found that can handle the requested parameters.", 404),
        ("response_format json_schema is unavailable now", 400),
        ("'response_format.type' must be 'text'", 422),
    ],
)
def test_a_way_of_sending_a_schema_gives_way_to_a_weaker_one(message: str, status: int) -> None:
    encoder = RequestEncoder()
    first = taught(said(message), status, encoder=encoder)
    assert first is not None
    assert first["response_format"] == {"type": "json_object"}
    second = taught(said(message), status, encoder=encoder)
    assert second is not None
    assert "response_format" not in second
    assert "must fit this JSON schema" in second["messages"][0]["content"]
    probing = RequestEncoder()
    probing.may_weaken = False
    assert taught(said(message), status, encoder=probing) is None


@pytest.mark.parametrize(
    ("message", "status"),
    [
        ("Conversation roles must alternate user/assistant/user/assistant/...", 400),
        ("System role not supported", 400),
        ("system messages are not supported by this model", 422),
        ("Conversation roles must alternate", 500),
    ],
)
def test_a_system_message_opens_the_users_turn_where_it_is_refused(
    message: str, status: int
) -> None:
    sent = taught(said(message), status)
    assert sent is not None
    assert sent["messages"] == [{"role": "user", "content": "Be brief.\n\nHm?\n\nhello"}]


def test_a_word_of_the_users_own_is_never_left_out() -> None:
    encoder = RequestEncoder(options=RequestOptions(body={"seed": 7, "top_k": 5}))
    sent = orjson.loads(encoder.encode(request(), Mode.PROMPT))
    assert (sent["seed"], sent["top_k"]) == (7, 5)
    assert taught(said("seed is not supported"), encoder=encoder) is None


def profile(**more: Any) -> ProviderProfile:
    off = ({"reasoning_effort": "none"}, {"enable_thinking": False}, {"reasoning_effort": "low"})
    return ProviderProfile(name="p", reasoning={"off": off}, **more)


def test_each_form_of_not_thinking_is_tried_until_one_is_taken() -> None:
    thinker = profile(models=(ModelParameters(match=("m",), thinks=True),))
    encoder = RequestEncoder(thinker, RequestOptions(temperature=0.5))
    start = orjson.loads(encoder.encode(request(), Mode.PROMPT))
    assert start["reasoning_effort"] == "none"
    second = taught(said("'reasoning_effort' does not support 'none'"), encoder=encoder)
    assert second is not None
    assert second["enable_thinking"] is False
    assert "reasoning_effort" not in second
    third = taught(said("Unknown name enable_thinking"), encoder=encoder)
    assert third is not None
    assert third["reasoning_effort"] == "low"


def test_a_form_that_a_server_asks_for_is_taken_at_once() -> None:
    message = "parameter.enable_thinking must be set to false for non-streaming calls"
    sent = taught(said(message), encoder=RequestEncoder(profile()))
    assert sent is not None
    assert sent["enable_thinking"] is False


def test_the_users_own_word_for_thinking_ends_the_search() -> None:
    own = RequestOptions(body={"reasoning_effort": "high"})
    encoder = RequestEncoder(profile(models=(ModelParameters(match=("m",), thinks=True),)), own)
    sent = orjson.loads(encoder.encode(request(), Mode.PROMPT))
    assert sent["reasoning_effort"] == "high"
    encoder.saw("m", encoder.accepted("m"), 5000)
    assert encoder.accepted("m").form == 0


class Thinker:
    """Thinks unless a word that it honours says otherwise; takes a temperature only then."""

    def __init__(self, honours: str, thoughts: int = 900, least: int = 0) -> None:
        self.honours, self.thoughts, self.least = honours, thoughts, least
        self.bodies: list[dict[str, Any]] = []

    async def __call__(self, content: bytes) -> ProviderReply:
        body = orjson.loads(content)
        self.bodies.append(body)
        thought = self.least if self.honours in body else self.thoughts
        if thought and "temperature" in body:
            raise error_of(said("Unsupported value: 'temperature'", param="temperature"))
        return ProviderReply(Completion("{}", "stop", "m", Usage(10, thought + 5, 0, thought), 1.0))


async def test_a_model_that_thinks_is_told_not_to_and_gets_its_temperature_back() -> None:
    model, encoder = Thinker("enable_thinking"), RequestEncoder(profile())
    for _ in range(6):
        await send(encoder, request(), Mode.PROMPT, model)
    assert model.bodies[-1]["enable_thinking"] is False
    assert model.bodies[-1]["temperature"] == 0.5
    thinking = [body for body in model.bodies if "enable_thinking" not in body]
    assert len(thinking) <= 4  # nothing said, one other form, each once for its temperature


async def test_a_model_that_never_stops_is_told_what_makes_it_think_least() -> None:
    model, encoder = Thinker("reasoning_effort", least=300), RequestEncoder(profile())
    for _ in range(8):
        await send(encoder, request(), Mode.PROMPT, model)
    assert "reasoning_effort" in model.bodies[-1]
    assert encoder.reasoning("m").is_over


async def test_a_model_that_heeds_nothing_is_told_nothing() -> None:
    model, encoder = Thinker("telepathy"), RequestEncoder(profile())
    for _ in range(60):
        await send(encoder, request(), Mode.PROMPT, model)
    assert not {"reasoning_effort", "enable_thinking"} & model.bodies[-1].keys()


def test_what_was_learned_is_kept_between_runs() -> None:
    encoder = RequestEncoder(profile())
    taught(said("seed is not supported"), encoder=encoder)
    taught(said("enable_thinking must be false"), encoder=encoder)
    later = RequestEncoder(profile())
    assert later.restore("m", encoder.dump("m"))
    assert later.encode(request(), Mode.PROMPT) == encoder.encode(request(), Mode.PROMPT)
    assert not later.restore("m", "{")


def test_a_setting_that_a_server_does_not_take_is_left_out_and_told() -> None:
    options = RequestOptions(temperature=0.8, top_p=0.9, service_tier="flex")
    encoder = RequestEncoder(options=options)
    told: list[str] = []
    encoder.on_left_out = told.append
    sent = taught(said("Invalid service_tier argument", param="service_tier"), encoder=encoder)
    assert sent is not None
    assert "service_tier" not in sent
    sent = taught(said("`top_p` cannot be set for this model"), encoder=encoder)
    assert sent is not None
    assert "top_p" not in sent
    assert "temperature" in sent
    assert told == ["service_tier", "top_p"]


def test_a_403_is_about_the_request_only_where_it_names_a_part_of_it() -> None:
    sent = taught(said("Structured outputs are not enabled for your plan"), 403)
    assert sent is not None
    assert sent["response_format"] == {"type": "json_object"}
    assert taught(said("You may not stream from this region"), 403) is None
