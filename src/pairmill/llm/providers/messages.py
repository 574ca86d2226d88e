"""Finds the answer and the thoughts in a chat completion, wherever its server puts them. Pure.

Usually the answer is ``choices[0].message.content``. LiteLLM puts it into a tool call; vLLM, SGLang
and Ollama return everything as thinking if a model does not mark the end of its thinking; gateways
wrap the whole reply, or use the field names of a streamed one.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import orjson

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = [
    "THOUGHT_FIELDS",
    "content_text",
    "elsewhere",
    "failed_generation",
    "first_choice",
    "message_of",
    "thoughts_of",
    "unwrapped",
]

THOUGHT_FIELDS = ("reasoning_content", "reasoning", "thinking", "reasoning_text")
"""Fields of a message that contain its thinking as text."""

_ALL_THOUGHTS = frozenset({*THOUGHT_FIELDS, "reasoning_details", "refusal"})
_THOUGHT_PARTS = frozenset({"thinking", "reasoning", "redacted_thinking"})
_ENVELOPES = ("data", "result", "response", "output", "body")
_ANSWERS = frozenset({"arguments", "input", "parsed", "json"})  # that may be the answer's object
_MOST_LAYERS = 3
_MOST_DEPTH = 6


def unwrapped(data: Any) -> Any:
    """Return the reply inside an envelope: a list of one, JSON in a string, a gateway's field.

    Anything that is not a wrapped completion is returned as it is.
    """
    inner = data
    for _ in range(_MOST_LAYERS):
        if isinstance(inner, dict):
            if "choices" in inner:
                return inner
            fields = (inner.get(name) for name in _ENVELOPES)
            inner = next((it for it in fields if isinstance(it, dict | str)), None)
        elif isinstance(inner, list):
            inner = inner[0] if len(inner) == 1 else None
        if isinstance(inner, str):
            inner = _loads(inner)
    return inner if isinstance(inner, dict) and "choices" in inner else data


def first_choice(data: Any) -> dict[str, Any]:
    """Return the first choice of a reply; empty if it has none."""
    choices = data.get("choices") if isinstance(data, dict) else None
    first = choices[0] if isinstance(choices, list) and choices else choices
    return first if isinstance(first, dict) else {}


def message_of(choice: dict[str, Any]) -> dict[str, Any]:
    """Return the message of a choice; plain-completion servers only return a text.

    A relay may collect a stream into one reply, under the name of a streamed part.
    """
    for key in ("message", "delta"):
        message = choice.get(key)
        if isinstance(message, dict):
            return message
        if isinstance(message, str):
            return {"content": message}
    return {"content": choice["text"]} if isinstance(choice.get("text"), str) else choice


def content_text(content: Any) -> str:
    """Return the text of a message's content; several text parts are joined."""
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        return "".join(map(_part, content))
    if isinstance(content, dict):  # one part, or the answer itself
        return _part(content) or _dumps(content)
    return ""


def elsewhere(message: dict[str, Any]) -> str:
    """Return JSON in a message outside of its text and its thoughts.

    For example the arguments of tool calls, ``parsed``, or parts of an unknown form, one per line.
    """
    return "\n".join(_objects(message, "", _MOST_DEPTH))


def failed_generation(body: Any, depth: int = _MOST_DEPTH) -> str:
    """Return the model's text in the body of a failure, where a server reports it; else "".

    Groq's ``failed_generation``, also as gateways pass it on: JSON within a text.
    """
    if isinstance(body, str):
        start = body.find("{") if "failed_generation" in body else -1
        if start < 0:
            return ""
        try:
            body = json.JSONDecoder().raw_decode(body[start:])[0]
        except (ValueError, RecursionError):
            return ""
    if isinstance(body, dict):
        written = body.get("failed_generation")
        if isinstance(written, str) and "{" in written:
            return written
        body = list(body.values())
    if not isinstance(body, list) or not depth:
        return ""
    return next(filter(None, (failed_generation(inner, depth - 1) for inner in body)), "")


def thoughts_of(message: dict[str, Any]) -> str:
    """Return the model's thinking, if it is in a field of its own."""
    if type(message.get("content")) is str and _ALL_THOUGHTS.isdisjoint(message):
        return ""
    for key in THOUGHT_FIELDS:
        value = message.get(key)
        if isinstance(value, str) and value:
            return value
    content, details = message.get("content"), message.get("reasoning_details")
    if isinstance(content, list):
        parts = [part.get("thinking") for part in content if isinstance(part, dict)]
        return "".join(content_text(part) for part in parts)
    return content_text(details) if isinstance(details, list) else ""  # OpenRouter's


def _part(part: Any) -> str:
    """Return the text of one part of a content."""
    if isinstance(part, str):
        return part
    if not isinstance(part, dict) or part.get("type") in _THOUGHT_PARTS:
        return ""
    text = part.get("text")
    return text if isinstance(text, str) else ""


def _objects(value: Any, name: str, depth: int) -> Iterator[str]:
    """Yield the strings with a brace in a value, and the objects that may be an answer."""
    if isinstance(value, str):
        if "{" in value:
            yield value
    elif isinstance(value, dict):
        if name in _ANSWERS:
            yield _dumps(value)
        elif depth and value.get("type") not in _THOUGHT_PARTS:
            for key, inner in value.items():
                if key not in _ALL_THOUGHTS:
                    yield from _objects(inner, key, depth - 1)
    elif isinstance(value, list) and depth:
        for inner in value:
            yield from _objects(inner, name, depth - 1)


def _dumps(value: Any) -> str:
    try:
        return json.dumps(value, ensure_ascii=False)
    except (ValueError, RecursionError):
        return ""


def _loads(text: str) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return None
