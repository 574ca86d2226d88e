"""Where an answer may stand in a reply, and what its tokens are."""

from __future__ import annotations

import base64
import json
from typing import Any
from urllib.parse import quote

import orjson
import pytest
from tests.support.scripted import answer

from pairmill.errors import Kind, ProviderError
from pairmill.llm.masking import hide, mask
from pairmill.llm.providers.replies import decode
from pairmill.records import Completion, Usage

JSON = '{"a": 1}'
KEY = "sk-Kq7/TqZ-91Xw.Lm_40"


def read(body: Any, status: int = 200, *, keep_reasoning: bool = False) -> Completion:
    data = body if isinstance(body, bytes) else orjson.dumps(body)
    return decode(status, {}, data, now=5.0, keep_reasoning=keep_reasoning)


@pytest.mark.parametrize(
    "message",
    [
        {"content": None, "reasoning_content": JSON},
        {"content": "", "reasoning": JSON},
        {"content": None, "tool_calls": [{"function": {"name": "f", "arguments": JSON}}]},
        {"content": None, "tool_calls": [{"function": {"arguments": {"a": 1}}}]},
        {"content": "I call it.", "tool_calls": [{"function": {"arguments": JSON}}]},
        {"content": None, "function_call": {"name": "f", "arguments": JSON}},
        {"content": None, "parsed": {"a": 1}},
        {"content": "", "reasoning_details": [{"type": "reasoning.text", "text": JSON}]},
        {"content": [JSON[:3], {"type": "text", "text": JSON[3:]}]},
        {"content": [{"type": "reasoning", "text": "{"}, {"type": "output_text", "text": JSON}]},
        {"content": {"type": "text", "text": JSON}},
        {"content": {"a": 1}},
        {"content": "\ufeff" + JSON},
        {"content": "", "reasoning_text": JSON},
        {"content": None, "tool_calls": [{"type": "custom", "custom": {"input": JSON}}]},
        {"content": None, "tool_calls": [{"name": "f", "arguments": {"a": 1}}]},
        {"content": [{"type": "text", "text": {"value": JSON}}]},
        {"content": [{"type": "text", "content": JSON}]},
        {"content": [{"type": "tool_use", "name": "f", "input": {"a": 1}}]},
        JSON,
    ],
)
def test_an_answer_in_another_field_is_taken(message: dict[str, Any]) -> None:
    body = answer()
    body["choices"][0]["message"] = message
    assert json.loads(read(body).text) == {"a": 1}


def test_a_draft_in_the_thoughts_is_no_answer_beside_a_call() -> None:
    call = {"function": {"arguments": JSON}}
    message = {"content": "", "reasoning": '{"a": 0}', "tool_calls": [call]}
    assert read({"choices": [{"message": message}]}).text == JSON
    parts = [{"type": "thinking", "thinking": '{"a": 0}'}, {"type": "text", "content": JSON}]
    assert read({"choices": [{"message": {"content": parts}}]}).text == JSON


@pytest.mark.parametrize(
    "wrap",
    [
        lambda body: [body],
        lambda body: {"code": 0, "data": body, "msg": "ok"},
        lambda body: {"success": True, "result": body, "errors": []},
        lambda body: {"statusCode": 200, "body": json.dumps(body)},
        json.dumps,
        lambda body: {**body, "choices": body["choices"][0]},
    ],
    ids=["list", "data", "result", "gateway", "text", "one choice"],
)
def test_a_reply_in_an_envelope_is_taken_out(wrap: Any) -> None:
    found = read(wrap(answer(JSON)))
    assert (found.text, found.usage.completion_tokens, found.model) == (JSON, 5, "served-model")


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-32"])
def test_a_reply_is_read_in_any_encoding_of_unicode(encoding: str) -> None:
    body = json.dumps(answer('{"a": "\u00e9\u4f59"}'), ensure_ascii=False).encode(encoding)
    assert json.loads(read(body).text) == {"a": "\u00e9\u4f59"}


def test_a_reply_in_latin_1_is_read_and_a_cut_character_spoils_only_itself() -> None:
    body = json.dumps(answer('{"a": "d\u00e9j\u00e0 vu"}'), ensure_ascii=False)
    assert json.loads(read(body.encode("latin-1")).text) == {"a": "d\u00e9j\u00e0 vu"}
    cut = body.encode().replace("\u00e0".encode(), b"\xc3")
    assert json.loads(read(cut).text) == {"a": "d\u00e9j\ufffd vu"}


def test_the_text_of_a_plain_completion_is_read() -> None:
    assert read({"choices": [{"content": JSON}]}).text == JSON
    assert read({"choices": [{"text": JSON, "finish_reason": "stop"}]}).text == JSON


def test_a_stream_that_a_relay_collected_into_one_reply_is_read() -> None:
    assert read({"choices": [{"delta": {"content": JSON}, "finish_reason": "stop"}]}).text == JSON


@pytest.mark.parametrize(
    "told",
    [
        {"promptFeedback": {"blockReason": "OTHER"}},
        {"prompt_feedback": {"block_reason": "SAFETY"}, "choices": []},
    ],
)
def test_a_prompt_that_was_blocked_is_not_asked_again(told: dict[str, Any]) -> None:
    with pytest.raises(ProviderError) as raised:
        read(told)
    assert (raised.value.kind, raised.value.reason) == (Kind.CHUNK, "content_filter")


def test_a_thought_that_was_cut_is_no_answer() -> None:
    with pytest.raises(ProviderError, match=r"thinking took all.*reasoning: off.*answer_tokens"):
        read(answer(None, finish="length", reasoning_content=f"Let me draft {JSON}"))
    with pytest.raises(ProviderError, match="answered with nothing"):
        read(answer(None, reasoning_content="I have nothing to say"))


def test_what_groq_refused_of_its_own_model_is_read_all_the_same() -> None:
    error = {"message": "Failed to generate JSON", "code": "json_validate_failed"}
    assert read({"error": {**error, "failed_generation": JSON}}, 400).text == JSON
    inner = json.dumps({"error": {**error, "failed_generation": JSON}})
    passed_on = {"message": "Provider returned error", "metadata": {"raw": inner}}
    assert read({"error": passed_on}, 400).text == JSON
    assert read({"error": {"message": f"GroqException - {inner}"}}, 500).text == JSON
    with pytest.raises(ProviderError) as caught:
        read({"error": {**error, "failed_generation": ""}}, 400)
    assert caught.value.kind is Kind.BADOUT


@pytest.mark.parametrize(
    "finish",
    [
        *("SAFETY", "RECITATION", "PROHIBITED_CONTENT", "refusal", "content_filtered"),
        *("guardrail_intervened", "content_filter: RECITATION"),
    ],
)
def test_what_a_provider_withholds_is_content_filter_in_every_word(finish: str) -> None:
    assert read(answer("x", finish=finish)).finish_reason == "content_filter"
    with pytest.raises(ProviderError) as caught:
        read(answer(None, finish=finish))
    assert (caught.value.kind, caught.value.code) == (Kind.CHUNK, "content_filter")


@pytest.mark.parametrize(
    "finish", ["error", "network_error", "insufficient_system_resource", "abort", "cancelled"]
)
def test_an_answer_that_the_server_broke_off_is_no_chunks_fault(finish: str) -> None:
    with pytest.raises(ProviderError, match="broke the answer off") as caught:
        read(answer("", finish=finish))
    assert (caught.value.kind, caught.value.is_billed) == (Kind.LOST, True)


def test_thinking_that_ends_in_nothing_is_told() -> None:
    usage = {"completion_tokens": 900, "completion_tokens_details": {"reasoning_tokens": 900}}
    with pytest.raises(ProviderError, match="900 tokens of thinking; set reasoning: off") as caught:
        read({**answer("", reasoning="hm"), "usage": {"prompt_tokens": 10, **usage}})
    assert (caught.value.kind, caught.value.code) == (Kind.BADOUT, "empty")


def test_the_end_for_length_has_several_names() -> None:
    assert read(answer("x", finish="MAX_TOKENS")).finish_reason == "length"
    assert read(answer("x", finish="model_context_window_exceeded")).finish_reason == "length"
    assert read(answer("x", finish="STOP")).finish_reason == "stop"
    assert read(answer("x", finish="something else")).finish_reason == "something else"


@pytest.mark.parametrize(
    ("usage", "counted"),
    [
        (
            {"completion_tokens": 90, "completion_tokens_details": {"reasoning_tokens": 70}},
            Usage(10, 90, 0, 70),
        ),
        ({"completion_tokens": 0, "total_tokens": 110}, Usage(10, 100, 0, 100)),  # Gemini
        (
            {  # xAI
                "completion_tokens": 20,
                "total_tokens": 100,
                "completion_tokens_details": {"reasoning_tokens": 70},
            },
            Usage(10, 90, 0, 70),
        ),
        ({"completion_tokens": 20, "total_tokens": 30}, Usage(10, 20, 0, 0)),
        (
            {"completion_tokens": 90, "completion_tokens_details": {"thinking_tokens": 70}},
            Usage(10, 90, 0, 70),
        ),
        (
            {"output_tokens": 90, "output_tokens_details": {"reasoning_tokens": 70}},
            Usage(10, 90, 0, 70),
        ),
        ({"completion_tokens": 90, "thinking_tokens": 70}, Usage(10, 90, 0, 70)),
        ({"completion_tokens": "90", "reasoning_tokens": "70"}, Usage(10, 90, 0, 70)),
        ({"completion_tokens": "9" * 99}, Usage(10, 0, 0, 0)),
        ({"completion_tokens": 20, "total_tokens": 5}, Usage(10, 20, 0, 0)),
    ],
)
def test_thoughts_are_counted_wherever_they_stand(usage: dict[str, Any], counted: Usage) -> None:
    assert read({**answer(JSON), "usage": {"prompt_tokens": 10, **usage}}).usage == counted


def test_counts_are_read_in_the_names_of_other_interfaces() -> None:
    counts = {"promptTokenCount": 10, "candidatesTokenCount": 20, "thoughtsTokenCount": 70}
    gemini = {**answer(JSON), "usage": {**counts, "totalTokenCount": 100}}
    assert read(gemini).usage == Usage(10, 90, 0, 70)
    ollama = {**answer(JSON), "usage": {"prompt_eval_count": 10, "eval_count": 20}}
    assert read(ollama).usage == Usage(10, 20, 0, 0)


def test_thoughts_that_nobody_counts_are_guessed_from_their_text() -> None:
    usage = {"prompt_tokens": 10, "completion_tokens": 150}
    apart = {**answer(JSON, reasoning_content="hmm " * 100), "usage": usage}
    assert read(apart).usage.reasoning_tokens == 100
    within = {**answer(f"{'hmm ' * 100}</think>{JSON}"), "usage": usage}
    assert read(within).usage.reasoning_tokens == 100
    assert read({**answer(JSON), "usage": usage}).usage.reasoning_tokens == 0
    many = {"prompt_tokens": 10, "completion_tokens": 1000}
    assert read({**answer(JSON), "usage": many}).usage.reasoning_tokens == 998
    assert read({**answer("\u0939" * 400), "usage": many}).usage.reasoning_tokens == 0


def test_thoughts_are_kept_only_if_asked_for() -> None:
    body = answer(JSON, reasoning_content="hmm")
    assert read(body).reasoning == ""
    assert read(body, keep_reasoning=True).reasoning == "hmm"
    parts = [{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]},
             {"type": "text", "text": JSON}]  # fmt: skip
    assert read(answer(parts), keep_reasoning=True).reasoning == "hm"


def event(**choice: Any) -> bytes:
    return b"data: " + orjson.dumps({"model": "m", "choices": [{"index": 0, **choice}]}) + b"\n\n"


END = b"data: [DONE]\n\n"


def test_a_stream_is_read_although_none_was_asked_for() -> None:
    body = (
        b": OPENROUTER PROCESSING\n\n"
        + event(delta={"role": "assistant", "reasoning_content": "hm"})
        + event(delta={"content": '{"a"'})
        + event(delta={"content": ": 1}"})
        + event(delta={}, finish_reason="stop")
        + b'data: {"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 4}}\n\n'
        + END
    )
    got = read(body, keep_reasoning=True)
    assert (got.text, got.finish_reason, got.model) == (JSON, "stop", "m")
    assert (got.usage.prompt_tokens, got.reasoning) == (3, "hm")


@pytest.mark.parametrize(
    "body",
    [
        orjson.dumps(answer(JSON)) + b"\n\n" + END,
        b": OPENROUTER PROCESSING\n\n: OPENROUTER PROCESSING\n" + orjson.dumps(answer(JSON)),
        b"data: " + orjson.dumps(answer(JSON)) + b"\n\n" + END,
        json.dumps(answer(JSON), indent=1).encode() + b"\ndata: [DONE]",
    ],
)
def test_marks_of_a_stream_around_a_body_are_read_over(body: bytes) -> None:
    got = read(body)
    assert (got.text, got.usage.prompt_tokens) == (JSON, 12)


def chunks(*pieces: str, **last: Any) -> list[bytes]:
    """The events of an answer in pieces, as JSON."""
    made: list[dict[str, Any]] = [
        {"choices": [{"index": 0, "delta": {"content": it}}]} for it in pieces
    ]
    if last:
        made.append({"choices": [], **last})
    return [json.dumps(it).encode() for it in made]


USED = {"prompt_tokens": 9, "completion_tokens": 4, "total_tokens": 13}


@pytest.mark.parametrize(
    "body",
    [
        b"\n".join(chunks(*JSON, usage=USED)),  # one object a line
        b"\r\n\r\n".join(b"data: " + it for it in chunks(*JSON, usage=USED)),
        b"\r".join(b"data:" + it for it in chunks(*JSON, usage=USED)),
        b"\xef\xbb\xbf: hi\n\n" + b"\n".join(b"data: " + it for it in chunks(*JSON, usage=USED)),
        b"id: 1\nevent: message\nretry: 5\n"
        + b"\n\n".join(b"data: " + it for it in chunks(*JSON, usage=USED)),
        b"\n\n".join(  # an event's data on several lines
            b"data: " + b"\ndata: ".join(json.dumps(json.loads(it), indent=1).encode().split(b"\n"))
            for it in chunks(*JSON, usage=USED)
        ),
        b"\n\n".join(  # the text so far, each time
            b"data: " + it
            for it in chunks(*(JSON[: end + 1] for end in range(len(JSON))), usage=USED)
        ),
        b"\n\n".join(b"data: " + it for it in chunks(*JSON, JSON, usage=USED)),  # and all again
    ],
    ids=["lines", "crlf", "cr", "bom", "fields", "multi-line", "cumulative", "repeated"],
)
def test_a_stream_is_read_whatever_its_lines_look_like(body: bytes) -> None:
    found = read(body)
    assert (found.text, found.usage.completion_tokens) == (JSON, 4)
    assert read(body + b"\n\ndata: [DONE]\n\n").text == JSON


def test_a_stream_without_its_end_is_a_broken_connection() -> None:
    torn = b"\n\n".join(b"data: " + it for it in chunks(*JSON[:-1]))
    with pytest.raises(ProviderError) as caught:
        read(torn)
    assert (caught.value.kind, caught.value.is_billed) == (Kind.LOST, True)
    assert read(torn + b"\n\ndata: [DONE]").text == JSON[:-1]  # said to be all


@pytest.mark.parametrize(
    "last",
    [
        b'data: {"error": {"message": "upstream broke", "code": 502}}',
        b'event: error\ndata: {"message": "upstream broke", "status": 502}',
        b'data: {"error": {"message": "upstream broke", "code": 502}, "choices": [{"delta": {}}]}',
    ],
)
def test_an_error_behind_half_an_answer_is_an_error(last: bytes) -> None:
    half = b"\n\n".join(b"data: " + it for it in chunks(*JSON[:4]))
    with pytest.raises(ProviderError, match="upstream broke") as caught:
        read(half + b"\n\n" + last + b"\n\n")
    assert caught.value.kind is Kind.OVERLOAD


def test_a_stream_of_another_interface_is_told_as_such() -> None:
    lines = [{"message": {"content": it}, "done": it == "}"} for it in JSON]
    with pytest.raises(ProviderError, match="Ollama") as caught:
        read(b"\n".join(json.dumps(it).encode() for it in lines))
    assert caught.value.kind is Kind.FOREIGN


def test_parts_and_calls_are_joined_over_a_stream() -> None:
    parts = [{"type": "text", "text": it} for it in (JSON[:4], JSON[4:])]
    events: list[Any] = [{"choices": [{"delta": {"content": [part]}}]} for part in parts]
    events.append({"choices": [{"delta": {}, "finish_reason": "stop"}]})
    assert read(b"\n".join(json.dumps(it).encode() for it in events)).text == JSON


def test_an_error_in_the_middle_of_a_stream_is_an_error() -> None:
    body = event(delta={"content": '{"a"'}) + b'data: {"error": {"message": "gone", "code": 502}}\n'
    with pytest.raises(ProviderError, match="gone") as caught:
        read(body)
    assert caught.value.kind is Kind.OVERLOAD


def test_calls_of_a_tool_are_joined_over_a_stream() -> None:
    parts = [{"tool_calls": [{"function": {"arguments": it}}]} for it in ('{"a"', ": 1}")]
    assert read(b"".join(event(delta=part) for part in parts)).text == JSON
    old = [{"function_call": part["tool_calls"][0]["function"]} for part in parts]
    assert read(b"".join(event(delta=part) for part in old)).text == JSON


def test_a_key_that_is_a_word_blanks_no_hint() -> None:
    said = "use max_completion_tokens; the token x is at its max"
    assert mask(said, ["token", "x", "max", ""]) == said
    assert mask("my-secret is my-secrets", ["my-secret"]) == "*** is my-secrets"
    assert mask("xx0123456789abcdefxx", ["0123456789abcdef"]) == "xx***xx"


@pytest.mark.parametrize(
    "spelt",
    [
        KEY.upper(),
        KEY.swapcase(),
        "\u200b".join(KEY),
        "\u00ad".join(KEY.upper()),
        "".join(f"\\u{ord(char):04x}" for char in KEY),
        "".join(f"\\u{ord(char):04X}" for char in KEY),
        "\\u200b".join(KEY),
        KEY.replace("/", "\\/"),
        json.dumps(json.dumps("\u2060".join(KEY)))[3:-3],
        KEY[:9] + "".join(f"\\\\u{ord(char):04x}" for char in KEY[9:]),
        quote(KEY, safe=""),
        "".join(f"%{ord(char):02x}" for char in KEY),
        "".join(f"%{ord(char):02X}" for char in KEY.swapcase()),
        "".join(f"%2525{ord(char):02X}" for char in KEY),
        "".join(f"\\x{ord(char):02x}" for char in KEY),
        "".join(f"&#{ord(char)};" for char in KEY),
        "".join(f"&#x{ord(char):04X};" for char in KEY),
        KEY.encode().hex(),
        KEY.encode().hex().upper(),
        *(base64.b64encode(part + KEY.encode()).decode() for part in (b"", b":", b"a:")),
        base64.urlsafe_b64encode(KEY.encode()).decode().rstrip("="),
    ],
)
def test_a_secret_is_found_however_it_is_spelt(spelt: str) -> None:
    for before, after in (("a ", " b"), ("ü", "\u4e2d"), ('{"x": "', '"}')):
        assert hide(f"{before}{spelt}{after}", [KEY]) == f"{before}***{after}"


def test_a_secret_within_other_base64_is_found_wherever_it_begins() -> None:
    """As in ``Basic``, or a body that was logged: nothing of it is left to be read."""
    cores = [base64.b64encode(bytes(n) + KEY.encode()).decode()[4:-4] for n in range(3)]
    cores += [core.translate(str.maketrans("+/", "-_")) for core in cores]
    parts = {core[at : at + 5] for core in cores for at in range(len(core) - 4)}
    for before in range(7):
        for after in range(4):
            whole = b"u" * before + KEY.encode() + b"v" * after
            for encode in (base64.b64encode, base64.urlsafe_b64encode):
                text = f"got {encode(whole).decode()} there"
                assert any(part in text for part in parts)
                found = hide(text, [KEY])
                assert "***" in found
                assert not any(part in found for part in parts)


@pytest.mark.parametrize("status", [429, 500, 502, 503])
def test_a_failure_that_carries_an_answer_or_its_count_may_be_billed(status: int) -> None:
    """A gateway that fails behind the model: nobody works for nothing."""
    whole = answer()
    counted = {"error": {"message": "upstream"}, "usage": whole["usage"]}
    uncounted = {**whole, "usage": None}
    for body in (whole, counted, uncounted):
        with pytest.raises(ProviderError) as caught:
            read(body, status)
        assert caught.value.is_billed
    with pytest.raises(ProviderError) as caught:
        read({"error": {"message": "upstream"}, "usage": {"completion_tokens": 0}}, status)
    assert not caught.value.is_billed


@pytest.mark.parametrize(
    ("status", "billed"), [(504, True), (524, True), (503, False), (429, False)]
)
def test_an_error_inside_a_success_may_be_billed_as_with_its_own_status(
    status: int, billed: bool
) -> None:
    with pytest.raises(ProviderError) as caught:
        read({"error": {"message": "upstream idle timeout", "code": status}})
    assert caught.value.is_billed == billed


@pytest.mark.parametrize("cached", [None, 0, 7, 900])
@pytest.mark.parametrize("thought", [None, 0, 5, 60])
def test_the_usual_way_of_counting_is_read_as_any_other(
    cached: int | None, thought: int | None
) -> None:
    counts = {
        "prompt_tokens": 100,
        "completion_tokens": 20,
        "total_tokens": 120,
        "prompt_tokens_details": {"cached_tokens": cached, "cache_write_tokens": 3},
        "completion_tokens_details": {"reasoning_tokens": thought},
    }
    body = {**answer(JSON), "usage": counts}
    slower = {**body, "usage": {**counts, "cached_tokens": None}}  # a field of another provider
    assert read(body).usage == read(slower).usage


def test_thoughts_beside_the_count_are_charged_whichever_way_they_are_left_out() -> None:
    said = {"prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120}
    details = {"completion_tokens_details": {"reasoning_tokens": 900}}
    body = answer(JSON)
    body["usage"] = said | details  # more than the whole: they cannot be part of it
    assert read(body).usage.completion_tokens == 920
    body = answer(JSON, reasoning_content="Let me think. " * 200)
    body["usage"] = said  # far fewer than what is there to be read
    assert read(body).usage.completion_tokens == 20 + 700
    body = answer(JSON, reasoning_content="So. " * 10)
    body["usage"] = said
    assert read(body).usage.completion_tokens == 20


def test_a_failure_that_counts_the_prompt_alone_may_be_billed_unless_it_is_a_refusal() -> None:
    usage = {"prompt_tokens": 100, "completion_tokens": 0}
    for status, billed in ((500, True), (429, False)):
        with pytest.raises(ProviderError) as caught:
            read({"error": {"message": "no"}, "usage": usage}, status)
        assert caught.value.is_billed is billed


@pytest.mark.parametrize("key", ["local-key-7", "a1b2c3d4", KEY])
def test_a_key_that_is_no_word_is_found_split_and_inside_of_words(key: str) -> None:
    split = ("\u200b" * 40).join(key)
    assert hide(f"model org_{key}: {split}.", [key]) == "model org_***: ***."
    assert hide("a password is a word", ["password"]) == "a *** is a word"
    assert hide("mypasswords are words", ["password"]) == "mypasswords are words"
