"""Parses chat requests, and makes the envelope of answers."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

import orjson

from pairmill.simulator.rng import digest_of

__all__ = [
    "Answer",
    "ChatRequest",
    "count_tokens",
    "encode_envelope",
    "encode_events",
    "limit_tokens",
    "make_envelope",
    "parse_chat",
]

_CHARS_PER_TOKEN = 4
_TOKENS_PER_MESSAGE = 4
_CREATED = 1_700_000_000  # constant: answers do not depend on the time


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """A parsed request.

    Attributes:
        digest: Identifies the question: model, messages and sampling, under the simulator's seed;
            not the structured-output mode.
        user: The last user message.
        system: Everything before it, joined.
        mode: ``json_schema``, ``json_object`` or ``text``.
        max_tokens: None if the request sets none.
        data: The whole body.
        stream: True if the answer is wanted as server-sent events.
    """

    digest: int
    model: str
    user: str
    system: str
    mode: str
    schema: dict[str, Any] | None
    max_tokens: int | None
    prompt_tokens: int
    data: dict[str, Any] = field(default_factory=dict, repr=False, compare=False)
    stream: bool = False


@dataclass(frozen=True, slots=True)
class Answer:
    """A text with its token count, and why it ended.

    Attributes:
        completion_tokens: All tokens written: of the text and of the thinking.
        thoughts: Thinking tokens among them.
        thought_text: The thinking, if the model shows it in a field of its own.
    """

    text: str
    finish_reason: str
    completion_tokens: int
    thoughts: int = 0
    thought_text: str = ""


def count_tokens(text: str) -> int:
    """Count tokens as four characters each, rounded up."""
    return -(-len(text) // _CHARS_PER_TOKEN)


def limit_tokens(text: str, max_tokens: int | None, finish_reason: str = "stop") -> Answer:
    """Return the text, cut to ``max_tokens`` (four characters each) and ended with ``length``."""
    tokens = count_tokens(text)
    if max_tokens is None or tokens <= max_tokens:
        return Answer(text, finish_reason, tokens)
    return Answer(text[: 4 * max_tokens], "length", max_tokens)


def parse_chat(body: bytes, seed: int) -> ChatRequest:
    """Parse a chat completion request.

    Raises:
        ValueError: It is not one; the text says why, in words for the 400 body.
    """
    try:
        data = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise ValueError("We could not parse the JSON body of your request.") from None
    if not isinstance(data, dict) or not isinstance(data.get("model"), str):
        raise ValueError("you must provide a model parameter")  # noqa: TRY004 (one class for a 400)
    messages = data.get("messages")
    if not isinstance(messages, list) or not messages:
        raise ValueError("'messages' must be a list with at least one message")
    if data.get("n", 1) not in {1, None}:
        raise ValueError("'n' above 1 is not supported by the simulated endpoint")
    texts = [_content(message) for message in messages]
    last = max((at for at, turn in enumerate(messages) if turn.get("role") == "user"), default=-1)
    limit = data.get("max_completion_tokens", data.get("max_tokens"))
    if limit is not None and (not isinstance(limit, int) or limit < 1):
        raise ValueError("'max_tokens' must be an integer of 1 or more")
    mode, schema = _mode(data.get("response_format"))
    name = [data["model"], data.get("seed"), data.get("temperature"), limit, *texts]
    return ChatRequest(
        digest=digest_of(seed, orjson.dumps(name)),
        model=data["model"],
        user=texts[last],
        system="\n".join(texts[:last]),
        mode=mode,
        schema=schema,
        max_tokens=limit,
        prompt_tokens=sum(map(count_tokens, texts)) + _TOKENS_PER_MESSAGE * len(texts),
        data=data,
        stream=data.get("stream") is True,
    )


def make_envelope(request: ChatRequest, answer: Answer) -> dict[str, Any]:
    """Make the chat.completion object of an answer; `thinking.add_thoughts` adds the thinking."""
    message: dict[str, Any] = {"role": "assistant", "content": answer.text, "refusal": None}
    usage = {
        "prompt_tokens": request.prompt_tokens,
        "completion_tokens": answer.completion_tokens,
        "total_tokens": request.prompt_tokens + answer.completion_tokens,
        "prompt_tokens_details": {"cached_tokens": 0},
    }
    return {
        "id": f"chatcmpl-{request.digest:016x}",
        "object": "chat.completion",
        "created": _CREATED,
        "model": request.model,
        "choices": [
            {
                "index": 0,
                "message": message,
                "logprobs": None,
                "finish_reason": answer.finish_reason,
            }
        ],
        "usage": usage,
        "system_fingerprint": "fp_simulated",
    }


def encode_events(envelope: dict[str, Any], parts: int = 4) -> bytes:
    """Encode the answer as server-sent events: the text in parts, the usage, ``[DONE]``."""
    first = envelope["choices"][0]
    text = first["message"].get("content") or ""
    step = -(-len(text) // parts) or 1
    deltas: list[dict[str, Any]] = [{**first["message"], "content": ""}]
    deltas += [{"content": text[at : at + step]} for at in range(0, len(text), step)]
    choices = [{"index": 0, "delta": delta, "finish_reason": None} for delta in deltas]
    choices.append({"index": 0, "delta": {}, "finish_reason": first["finish_reason"]})
    head = {key: envelope.get(key) for key in ("id", "created", "model", "system_fingerprint")}
    head["object"] = "chat.completion.chunk"
    chunks = [{**head, "choices": [choice], "usage": None} for choice in choices]
    chunks.append({**head, "choices": [], "usage": envelope.get("usage")})
    return b"".join(b"data: %b\n\n" % encode_envelope(chunk) for chunk in chunks) + (
        b"data: [DONE]\n\n"
    )


def encode_envelope(envelope: Any) -> bytes:
    """JSON bytes; lone surrogates, which UTF-8 may not hold, travel as escapes."""
    try:
        return orjson.dumps(envelope)
    except TypeError:
        return json.dumps(envelope).encode()


def _content(message: Any) -> str:
    if not isinstance(message, dict):
        raise ValueError("each message must be an object with a role and a content")  # noqa: TRY004
    content = message.get("content")
    if isinstance(content, list):
        parts = [part.get("text") for part in content if isinstance(part, dict)]
        return "".join([part for part in parts if isinstance(part, str)])
    return content if isinstance(content, str) else ""


def _mode(asked: Any) -> tuple[str, dict[str, Any] | None]:
    if asked is None:
        return "text", None
    kind = asked.get("type") if isinstance(asked, dict) else None
    if kind == "json_schema":
        holder = asked.get("json_schema")
        schema = holder.get("schema") if isinstance(holder, dict) else None
        if not isinstance(schema, dict):
            raise ValueError("'response_format.json_schema.schema' is missing")
        return kind, schema
    if kind in {"json_object", "text"}:
        return kind, None
    raise ValueError("'response_format.type' must be text, json_object or json_schema")
