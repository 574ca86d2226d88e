"""Decodes chat completions: from bytes to a completion, or to a named failure."""

from __future__ import annotations

import json
import math
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import orjson
from msgspec.structs import replace

from pairmill.llm.classify import classify, classify_empty
from pairmill.llm.limits.headers import LIMIT_HEADERS
from pairmill.llm.masking import hide
from pairmill.llm.providers.bodies import read_stream
from pairmill.llm.providers.dialect import read_refusal
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
"""Maximum bytes of a reply, decompressed. 32 MiB is a thousand times a long answer."""

ERROR_LIMIT_BYTES = 2**18
"""Maximum bytes of a failure's body that are read."""

_HEADER_LIMIT = 64
_VALUE_LIMIT = 200
_UNCOUNTED = Usage()
_ANSWER_DETAILS = "completion_tokens_details"
_OTHER_COUNTS = frozenset(
    {
        *("input_tokens", "output_tokens", "reasoning_tokens", "cached_tokens"),
        *("prompt_cache_hit_tokens", "cache_read_input_tokens", "cache_creation_input_tokens"),
        "cache_write_tokens",
    }
)
_THOUGHT_FIELDS = frozenset({"reasoning_content", "reasoning", "thinking", "reasoning_details"})
_NO_DETAILS: Mapping[str, Any] = MappingProxyType({})
_THOUGHT_PARTS = frozenset({"thinking", "reasoning", "redacted_thinking"})
_CHARS_PER_TOKEN = 4
_MOST_CHARS_PER_TOKEN = 8
_CERTAIN = 200  # tokens beyond what the text can have that count as thinking
_THOUGHT_ENDS = ("</think>", "</thinking>", "[/THINK]", "\u25c1/think\u25b7", "<|message|>")
_OWN_FINISHES = frozenset({"stop", "length", "content_filter", "tool_calls"})
_FINISHES = {
    "max_tokens": "length",
    "max_output_tokens": "length",
    "model_length": "length",  # Mistral
    **dict.fromkeys(
        (  # Gemini's reasons for withholding
            "safety",
            "recitation",
            "blocklist",
            "prohibited_content",
            "spii",
            "language",
            "image_safety",
            "refusal",  # Anthropic's
            "sensitive",  # Zhipu's
        ),
        "content_filter",
    ),
    "eos": "stop",
    "end_turn": "stop",
    "stop": "stop",
    "length": "length",
    "content_filter": "content_filter",
}
_REFUSED = 400  # status that an error within a 200 stands for
_TOKENS_LIMIT = 2**40  # a larger count is bogus


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
        ProviderError: It is a failure, or a 200 that holds no answer.
    """
    known = tuple(secrets)
    found = _decode(status, headers, body, now, known, keep_reasoning=keep_reasoning)
    return _without(found, known) if known else found


def _without(found: Completion, secrets: tuple[str, ...]) -> Completion:
    """Return the completion with keys that the server repeats masked, in whatever field."""
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
        written = _failed_generation(data)
        if written:
            return Completion(written, "stop", "", _UNCOUNTED, now)
        raise _refused(status, headers, body if data is None else data, now, secrets)
    choice = _first_choice(data)
    message = _message(choice)
    finish = _finish(choice)
    text = clean_text(_text(message.get("content")))
    usage = _usage(data)
    thoughts = _thoughts(message)
    if not text or text.isspace() or ("{" not in text and _calls(message)):
        text = "" if finish == "length" else clean_text(_elsewhere(message))
        thoughts = "" if text and text in thoughts else thoughts
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


# Both return the error to raise: an error in a variable is a reference cycle with its frame.


def _refused(
    status: int, headers: Mapping[str, str], said: Any, now: float, secrets: Iterable[str]
) -> ProviderError:
    error = classify(status, limit_headers(headers), said, now=now, secrets=secrets)
    error.refusal = read_refusal(status, said)
    usage = _usage(said)  # a gateway may fail after the model behind it has done its work
    error.prompt_tokens, error.completion_tokens = usage.prompt_tokens, usage.completion_tokens
    error.maybe_paid = error.maybe_paid or bool(_first_choice(said))
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
    told = error.status or status
    error.refusal = read_refusal(_REFUSED if is_success(told) else told, said)
    return error


def clean_text(text: str) -> str:
    """Remove from ``text`` what UTF-8, SQLite or a reader cannot handle: lone surrogates, NUL.

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
    try:  # orjson refuses what a server may still send: lone surrogates, bad UTF-8, NaN
        return json.loads(body.decode("utf-8-sig", "replace"))
    except (ValueError, RecursionError):
        return None


def _first_choice(data: Any) -> dict[str, Any]:
    choices = data.get("choices") if isinstance(data, dict) else None
    first = choices[0] if isinstance(choices, list) and choices else None
    return first if isinstance(first, dict) else {}


def _message(choice: dict[str, Any]) -> dict[str, Any]:
    """Return the message of a choice; plain-completion servers have only its text.

    A relay may collect a stream into one reply, and leave the name of its parts.
    """
    for key in ("message", "delta"):
        message = choice.get(key)
        if isinstance(message, dict):
            return message
    return {"content": choice["text"]} if isinstance(choice.get("text"), str) else {}


def _text(content: Any) -> str:
    """Return the text of a message's content; several text parts are joined."""
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        return "".join(_part(part) for part in content)
    if isinstance(content, dict):  # one part, or the answer itself
        return _part(content) or _json(content)
    return ""


def _part(part: Any) -> str:
    """Return the text of one part of a content."""
    if isinstance(part, str):
        return part
    if not isinstance(part, dict) or part.get("type") in _THOUGHT_PARTS:
        return ""
    text = part.get("text")
    return text if isinstance(text, str) else ""


def _json(value: Any) -> str:
    try:
        return json.dumps(value, ensure_ascii=False)
    except (ValueError, RecursionError):
        return ""


def _calls(message: dict[str, Any]) -> str:
    """Return the arguments of a message's tool calls, one below the other."""
    calls = message.get("tool_calls")
    listed = calls if isinstance(calls, list) else []
    functions = [call.get("function") for call in listed if isinstance(call, dict)]
    found = []
    for function in (*functions, message.get("function_call")):
        arguments = function.get("arguments") if isinstance(function, dict) else None
        if isinstance(arguments, dict):
            found.append(_json(arguments))
        elif isinstance(arguments, str) and arguments.strip():
            found.append(arguments)
    return "\n".join(found)


def _elsewhere(message: dict[str, Any]) -> str:
    """Find the answer of a message without content.

    LiteLLM puts it into a tool call; vLLM, SGLang and Ollama take all of it for thinking if a model
    does not mark the end of its thinking.
    """
    calls = _calls(message)
    if calls:
        return calls
    if isinstance(message.get("parsed"), dict):
        return _json(message["parsed"])
    thoughts = _thoughts(message)
    return thoughts if "{" in thoughts else ""


def _thoughts(message: dict[str, Any]) -> str:
    """Return the model's thinking, if it came in a field of its own."""
    if type(message.get("content")) is str and _THOUGHT_FIELDS.isdisjoint(message):
        return ""
    for key in ("reasoning_content", "reasoning", "thinking"):
        value = message.get(key)
        if isinstance(value, str) and value:
            return value
    content, details = message.get("content"), message.get("reasoning_details")
    if isinstance(content, list):
        parts = [part.get("thinking") for part in content if isinstance(part, dict)]
        return "".join(_text(part) for part in parts)
    return _text(details) if isinstance(details, list) else ""  # OpenRouter's


def _hidden_thoughts(text: str, usage: Usage) -> int:
    """Estimate the thinking tokens of an answer that does not report them: by marks or size."""
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


def _failed_generation(data: Any) -> str:
    """Return the model's text that Groq reports when it fails its validation."""
    error = data.get("error") if isinstance(data, dict) else None
    written = error.get("failed_generation") if isinstance(error, dict) else None
    return clean_text(written) if isinstance(written, str) and "{" in written else ""


def _finish(choice: dict[str, Any]) -> str:
    """Normalize the finish reason to OpenAI's words, in place, since failures are named by it."""
    value = choice.get("finish_reason")
    if not isinstance(value, str):
        return "stop"
    if value in _OWN_FINISHES:
        return value
    found = _FINISHES.get(value.lower(), value)
    choice["finish_reason"] = found
    return found


def _usage(data: Any) -> Usage:
    """Return the token usage of a reply, however its server counts.

    OpenAI's ``total_tokens`` is the sum of prompt and answer. If it is more (xAI, Gemini's
    compatible endpoint), thinking is counted separately from the answer, and billed like it; if
    one half is missing, it is the difference. Anthropic does not count tokens read from or written
    to a cache in the prompt.
    """
    usage = data.get("usage") if isinstance(data, dict) else None
    if not isinstance(usage, dict):
        return _UNCOUNTED
    return _usual_usage(usage) or _any_usage(usage)


def _leaves_out(usage: Usage, chars: int) -> bool:
    """Return whether fewer tokens are counted than so many characters can be: without thinking."""
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
        thought = _count(of_answer.get("reasoning_tokens"))
    if cached + stored > prompt or thought > written:
        return None
    return Usage(prompt, written, cached, thought, stored)


def _any_usage(usage: dict[str, Any]) -> Usage:
    of_prompt, of_answer = (
        details if isinstance(details := usage.get(name), dict) else _NO_DETAILS
        for name in ("prompt_tokens_details", _ANSWER_DETAILS)
    )
    prompt = _first_count(usage, "prompt_tokens", "input_tokens")
    written = _first_count(usage, "completion_tokens", "output_tokens")
    cached = _first_count(of_prompt, "cached_tokens") or _first_count(
        usage, "prompt_cache_hit_tokens", "cache_read_input_tokens", "cached_tokens"
    )
    stored = _first_count(of_prompt, "cache_write_tokens", "cache_creation_tokens")
    stored = stored or _first_count(usage, "cache_creation_input_tokens", "cache_write_tokens")
    if prompt and cached + stored > prompt:
        prompt += cached + stored
    thought = _first_count(of_answer, "reasoning_tokens") or _count(usage.get("reasoning_tokens"))
    hidden = _count(usage.get("total_tokens")) - prompt - written
    if hidden > 0 and prompt:
        written, thought = written + hidden, thought or hidden
    elif hidden > 0 and written:
        prompt = hidden
    if thought > written:  # counted separately, and not in the sum
        written += thought
    return Usage(prompt, written, cached, thought, stored)


def _first_count(counts: Mapping[str, Any], *names: str) -> int:
    """Return the first of some fields that holds a count."""
    return next((found for name in names if (found := _count(counts.get(name)))), 0)


def _count(value: Any) -> int:
    if type(value) is not int and type(value) is not float:
        return 0
    return int(value) if 0 <= value <= _TOKENS_LIMIT else 0
