"""Decodes chat completions: from bytes to a completion, or to a named failure."""

from __future__ import annotations

import json
import math
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import orjson
from msgspec.structs import replace

from pairmill.llm.classify import FAILED, classify, classify_empty
from pairmill.llm.limits.headers import LIMIT_HEADERS
from pairmill.llm.masking import hide
from pairmill.llm.providers.accepted_parameters import read_refusal
from pairmill.llm.providers.bodies import read_stream
from pairmill.llm.providers.messages import (
    content_text,
    elsewhere,
    failed_generation,
    first_choice,
    message_of,
    thoughts_of,
    unwrapped,
)
from pairmill.records import Completion, Usage

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from pairmill.errors import ProviderError

__all__ = [
    "BODY_LIMIT_BYTES",
    "ERROR_LIMIT_BYTES",
    "body_limit",
    "clean_text",
    "decode",
    "is_success",
    "limit_headers",
]

BODY_LIMIT_BYTES = 32 * 2**20
"""Maximum bytes of a reply, decompressed. 32 MiB is a thousand times the size of a long answer."""

ERROR_LIMIT_BYTES = 2**18
"""Maximum bytes of a failed reply's body that are read."""

_HEADER_LIMIT = 64
_VALUE_LIMIT = 200
_UNCOUNTED = Usage()
_PROMPT_DETAILS, _ANSWER_DETAILS = "prompt_tokens_details", "completion_tokens_details"
_PROMPT = ("prompt_tokens", "input_tokens", "promptTokenCount", "prompt_eval_count")
_WRITTEN = ("completion_tokens", "output_tokens", "candidatesTokenCount", "eval_count")
_TOTAL = ("total_tokens", "totalTokenCount")
_THOUGHT = ("reasoning_tokens", "thinking_tokens", "thoughtsTokenCount", "thoughts_token_count")
_CACHED = (
    *("prompt_cache_hit_tokens", "cache_read_input_tokens", "cached_tokens"),
    *("cache_read_tokens", "cachedContentTokenCount"),
)
_STORED = ("cache_creation_input_tokens", "cache_write_tokens", "cache_creation_tokens")
_OTHER_COUNTS = frozenset({*_PROMPT[1:], *_WRITTEN[1:], *_THOUGHT, *_CACHED, *_STORED})
_NO_DETAILS: Mapping[str, Any] = MappingProxyType({})
_CHARS_PER_TOKEN = 4
_MOST_CHARS_PER_TOKEN = 8
_CERTAIN = 200  # tokens beyond those of the text that count as thinking
_THOUGHT_ENDS = ("</think>", "</thinking>", "[/THINK]", "\u25c1/think\u25b7", "<|message|>")
_OWN_FINISHES = frozenset({"stop", "length", "content_filter", "tool_calls"})
_FINISHES = {  # substrings of finish reasons, in lower case
    "filter": "content_filter",  # content_filtered, "content_filter: RECITATION"
    "guardrail": "content_filter",  # Bedrock
    "safety": "content_filter",  # Gemini, as the next ones
    "recitation": "content_filter",
    "block": "content_filter",
    "prohibited": "content_filter",
    "spii": "content_filter",
    "language": "content_filter",
    "refus": "content_filter",  # Anthropic
    "sensitive": "content_filter",  # Zhipu
    "moderation": "content_filter",
    "max": "length",
    "length": "length",
    "limit": "length",
    "context_window": "length",
    "error": FAILED,
    "insufficient": FAILED,  # DeepSeek: insufficient_system_resource
    "abort": FAILED,
    "cancel": FAILED,
    "timeout": FAILED,
    "eos": "stop",
    "end_turn": "stop",
    "stop": "stop",
}
_REFUSED = 400  # the status that an error within a 200 means
_TOKENS_LIMIT = 2**40  # a larger count is bogus
_MOST_DIGITS = 20


def is_success(status: int) -> bool:
    """Return whether a status means success."""
    return 200 <= status < 300  # noqa: PLR2004 (the range that means success)


def body_limit(status: int) -> int:
    """Return the maximum bytes of a reply's body to read, decompressed."""
    return BODY_LIMIT_BYTES if is_success(status) else ERROR_LIMIT_BYTES


def limit_headers(headers: Mapping[str, str]) -> Mapping[str, str]:
    """Select the rate-limit headers: lower-case names; values and their number are bounded."""
    kept: dict[str, str] = {}
    for name, value in headers.items():
        lower = name.lower()
        if lower.startswith(LIMIT_HEADERS):
            kept[lower] = value[:_VALUE_LIMIT]
            if len(kept) == _HEADER_LIMIT:
                break
    return MappingProxyType(kept)


def decode(
    status: int,
    headers: Mapping[str, str],
    body: bytes,
    now: float,
    secrets: Iterable[str] = (),
    *,
    keep_reasoning: bool = False,
) -> Completion:
    """Decode a reply received at ``now`` (seconds since the epoch).

    Args:
        status: The HTTP status.
        headers: The reply's headers, all or only those of `limit_headers`.
        body: The reply's body, decompressed.
        now: Time of arrival.
        secrets: Texts to mask in everything that is kept.
        keep_reasoning: True to keep thoughts from a field of their own.

    Raises:
        ProviderError: It is a failure, or a 200 without an answer.
    """
    known = tuple(secrets)
    found = _decode(status, headers, body, now, known, keep_reasoning=keep_reasoning)
    return _without(found, known) if known else found


def _without(found: Completion, secrets: tuple[str, ...]) -> Completion:
    """Return the completion with any repeated keys masked, in every field."""
    text, model = hide(found.text, secrets), hide(found.model, secrets)
    reasoning = hide(found.reasoning, secrets)
    if text is found.text and model is found.model and reasoning is found.reasoning:
        return found
    return replace(found, text=text, model=model, reasoning=reasoning)


def _decode(
    status: int,
    headers: Mapping[str, str],
    body: bytes,
    now: float,
    secrets: Iterable[str],
    *,
    keep_reasoning: bool,
) -> Completion:
    data = _loads(body)
    if data is None and is_success(status):
        data = read_stream(body)
    if not is_success(status):
        written = clean_text(failed_generation(data))
        if written:
            return Completion(written, "stop", "", _UNCOUNTED, now)
        raise _refused(status, headers, body if data is None else data, now, secrets)
    data = unwrapped(data)
    choice = first_choice(data)
    message = message_of(choice)
    finish = _finish(choice)
    usage = _usage(data)
    text, thoughts = clean_text(content_text(message.get("content"))), thoughts_of(message)
    if "{" not in text:
        text, thoughts = _from_elsewhere(message, text, thoughts, is_cut=finish == "length")
    if thoughts and _leaves_out(usage, len(text) + len(thoughts)):
        unsaid = math.ceil(len(thoughts) / _CHARS_PER_TOKEN)
        both = usage.completion_tokens + unsaid
        usage = replace(usage, completion_tokens=both, reasoning_tokens=unsaid)
    elif thoughts and not usage.reasoning_tokens:
        usage = replace(usage, reasoning_tokens=_guessed(thoughts, usage))
    elif not usage.reasoning_tokens and usage.completion_tokens:
        hidden = _hidden_thoughts(text, usage)
        if hidden:
            usage = replace(usage, reasoning_tokens=hidden)
    if not text or text.isspace() or choice.get("error"):
        raise _empty(status, headers, body if data is None else data, now, secrets, usage)
    model = data.get("model")
    return Completion(
        text=text,
        finish_reason=finish,
        model=clean_text(model) if isinstance(model, str) else "",
        usage=usage,
        created=now,
        reasoning=clean_text(thoughts) if keep_reasoning and thoughts else "",
    )


def _from_elsewhere(
    message: dict[str, Any], text: str, thoughts: str, *, is_cut: bool
) -> tuple[str, str]:
    """Return the answer and the thoughts of a message whose text contains no answer.

    The thoughts are the answer if there is nothing else, and they are complete.
    """
    found = elsewhere(message)
    if found:
        return clean_text(found), thoughts
    is_empty = not text or text.isspace()
    if is_empty and "{" in thoughts and not is_cut:
        return clean_text(thoughts), ""
    return text, thoughts


# Both return the error to raise: an error in a variable is a reference cycle with its frame.


def _refused(
    status: int, headers: Mapping[str, str], said: Any, now: float, secrets: Iterable[str]
) -> ProviderError:
    error = classify(status, limit_headers(headers), said, now=now, secrets=secrets)
    error.refusal = read_refusal(status, said)
    usage = _usage(said)  # a gateway may fail after the model has generated the answer
    error.prompt_tokens, error.completion_tokens = usage.prompt_tokens, usage.completion_tokens
    error.maybe_paid = error.maybe_paid or bool(first_choice(said))
    return error


def _empty(
    status: int,
    headers: Mapping[str, str],
    said: Any,
    now: float,
    secrets: Iterable[str],
    usage: Usage,
) -> ProviderError:
    error = classify_empty(status, limit_headers(headers), said, now, secrets)
    error.prompt_tokens = usage.prompt_tokens
    error.completion_tokens = usage.completion_tokens
    if error.code == "empty" and usage.reasoning_tokens:
        thought = f"{usage.reasoning_tokens:,} tokens of thinking"
        error.args = (f"the model answered with nothing behind {thought}; set reasoning: off",)
    told = error.status or status
    error.refusal = read_refusal(_REFUSED if is_success(told) else told, said)
    return error


def clean_text(text: str) -> str:
    """Remove characters that UTF-8, SQLite or readers cannot handle: lone surrogates, NUL.

    Also a byte order mark at its start, which JSON does not allow.
    """
    if "\x00" in text:
        text = text.replace("\x00", "")
    if text.isascii():
        return text
    text = text.removeprefix("\ufeff")
    try:
        text.encode()
    except UnicodeEncodeError:
        # Via UTF-16, a surrogate pair in two halves becomes its character; others become U+FFFD.
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text


def _loads(body: bytes) -> Any:
    """Parse the body as JSON; None if it is not."""
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        pass
    try:  # orjson refuses what a server may still send: lone surrogates, UTF-16, bad UTF-8, NaN
        return json.loads(_as_text(body))
    except (ValueError, RecursionError):
        return None


def _as_text(body: bytes) -> str:
    """Decode a body: UTF-8, 16 or 32, or Windows-1252 if nothing beyond ASCII is valid UTF-8."""
    encoding = json.detect_encoding(body)
    try:
        return body.decode(encoding)
    except UnicodeDecodeError:
        text = body.decode(encoding, "replace")
    if any(char != "\ufffd" and not char.isascii() for char in text):
        return text  # a character was cut somewhere
    return body.decode("cp1252", "replace")


def _hidden_thoughts(text: str, usage: Usage) -> int:
    """Estimate the thinking tokens of an answer that does not report them, by marks or size."""
    if text[:1] != "{":
        end = max(text.rfind(mark) for mark in _THOUGHT_ENDS)
        if end >= 0:
            return _guessed(text[: end + 1], usage)
    size = len(text)
    most = size // 2 if text.isascii() else len(text.encode())  # a text never has more tokens
    if usage.completion_tokens - most <= _CERTAIN:
        return 0
    return usage.completion_tokens - size // _CHARS_PER_TOKEN


def _guessed(thoughts: str, usage: Usage) -> int:
    """Estimate the tokens of thinking that the server does not count separately."""
    return min(len(thoughts) // _CHARS_PER_TOKEN, usage.completion_tokens)


def _finish(choice: dict[str, Any]) -> str:
    """Normalize the finish reason to OpenAI's values, in place; failures are named by it."""
    value = choice.get("finish_reason")
    if not isinstance(value, str):
        return "stop"
    if value in _OWN_FINISHES:
        return value
    said = value.lower()
    found = next((word for part, word in _FINISHES.items() if part in said), value)
    choice["finish_reason"] = found
    return found


def _usage(data: Any) -> Usage:
    """Return the token usage of a reply, for all ways of counting.

    OpenAI's ``total_tokens`` is the sum of prompt and answer. If it is more (xAI, Gemini's
    compatible endpoint), thinking is counted separately from the answer, and billed like it; if one
    of the two is missing, it is the difference. Anthropic does not count tokens read from or
    written to a cache in the prompt.
    """
    usage = data.get("usage") if isinstance(data, dict) else None
    if not isinstance(usage, dict):
        return _UNCOUNTED
    return _usual_usage(usage) or _any_usage(usage)


def _leaves_out(usage: Usage, chars: int) -> bool:
    """Return whether the count is too low for this many characters: it excludes thinking."""
    return 0 < usage.completion_tokens * _MOST_CHARS_PER_TOKEN < chars


def _usual_usage(usage: dict[str, Any]) -> Usage | None:
    """Parse OpenAI's form of usage, which nearly all replies have; None for any other."""
    prompt, written = usage.get("prompt_tokens"), usage.get("completion_tokens")
    if type(prompt) is not int or type(written) is not int or not 0 < prompt < _TOKENS_LIMIT:
        return None
    is_usual = 0 < written < _TOKENS_LIMIT and usage.get("total_tokens") == prompt + written
    if not is_usual or not _OTHER_COUNTS.isdisjoint(usage):
        return None
    cached = stored = thought = 0
    of_prompt, of_answer = usage.get("prompt_tokens_details"), usage.get(_ANSWER_DETAILS)
    if type(of_prompt) is dict:
        cached = _count(of_prompt.get("cached_tokens"))
        if len(of_prompt) > 1:
            stored = _first_count(of_prompt, "cache_write_tokens", "cache_creation_tokens")
    if type(of_answer) is dict:
        thought = _first_count(of_answer, *_THOUGHT)
    if cached + stored > prompt or thought > written:
        return None
    return Usage(prompt, written, cached, thought, stored)


def _any_usage(usage: dict[str, Any]) -> Usage:
    of_prompt = _details(usage, _PROMPT_DETAILS, "input_tokens_details")
    of_answer = _details(usage, _ANSWER_DETAILS, "output_tokens_details")
    prompt, written = _first_count(usage, *_PROMPT), _first_count(usage, *_WRITTEN)
    cached = _first_count(of_prompt, *_CACHED) or _first_count(usage, *_CACHED)
    stored = _first_count(of_prompt, *_STORED) or _first_count(usage, *_STORED)
    if prompt and cached + stored > prompt:
        prompt += cached + stored
    thought = _first_count(of_answer, *_THOUGHT) or _first_count(usage, *_THOUGHT)
    hidden = _first_count(usage, *_TOTAL) - prompt - written
    if hidden > 0 and prompt:
        written, thought = written + hidden, thought or hidden
    elif hidden > 0 and written:
        prompt = hidden
    if thought > written:  # counted separately, and not in the sum
        written += thought
    return Usage(prompt, written, cached, thought, stored)


def _details(usage: dict[str, Any], *names: str) -> Mapping[str, Any]:
    found = next((it for name in names if isinstance(it := usage.get(name), dict)), None)
    return _NO_DETAILS if found is None else found


def _first_count(counts: Mapping[str, Any], *names: str) -> int:
    """Return the first of some fields that holds a count."""
    return next((found for name in names if (found := _count(counts.get(name)))), 0)


def _count(value: Any) -> int:
    if type(value) is str and value.isascii() and value.isdigit():
        value = int(value[:_MOST_DIGITS])
    if type(value) is not int and type(value) is not float:
        return 0
    return int(value) if 0 <= value <= _TOKENS_LIMIT else 0
