"""A reply that came as server-sent events although none were asked for, read as one completion.

Some gateways stream unless told otherwise, and some whatever they are told. Others send one JSON
body between the comments and the end mark of a stream.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["read_stream"]

_TEXTS = ("content", "reasoning_content", "reasoning", "refusal")


def read_stream(body: bytes) -> dict[str, Any] | None:
    """Join the events of a stream to the body that a call without a stream would have had.

    Args:
        body: The whole reply, unpacked.

    Returns:
        A chat completion, or an error's body; None where it is no stream of JSON objects.
    """
    whole: dict[str, Any] | None = None
    for event in _events(body):
        if whole is None:
            whole = _begin(event)
        if "choices" not in event and "error" in event:
            return event  # it failed in the middle: nothing of it is an answer
        _add(whole, event)
    return whole


def _events(body: bytes) -> Iterator[dict[str, Any]]:
    """The JSON objects of a stream: each on a ``data:`` line, or one without that mark."""
    plain: list[bytes] = []
    for line in body.splitlines():
        text = line.strip()
        if text.startswith(b"data:"):
            event = _object(text[5:].strip())
            if event is not None:
                yield event
        elif text and not text.startswith((b":", b"event:", b"id:", b"retry:")):
            plain.append(line)
    event = _object(b"\n".join(plain))
    if event is not None:
        yield event


def _object(text: bytes) -> dict[str, Any] | None:
    try:
        found = orjson.loads(text)
    except orjson.JSONDecodeError:
        return None
    return found if isinstance(found, dict) else None


def _begin(event: dict[str, Any]) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant"}
    return {"model": event.get("model"), "choices": [{"index": 0, "message": message}]}


def _add(whole: dict[str, Any], event: dict[str, Any]) -> None:
    if isinstance(event.get("usage"), dict):
        whole["usage"] = event["usage"]
    choices = event.get("choices")
    first = choices[0] if isinstance(choices, list) and choices else None
    if not isinstance(first, dict):
        return
    choice = whole["choices"][0]
    for key in ("finish_reason", "error"):
        if first.get(key):
            choice[key] = first[key]
    part = first.get("delta") or first.get("message")
    if isinstance(part, dict):
        _add_text(choice["message"], part)


def _add_text(message: dict[str, Any], part: dict[str, Any]) -> None:
    for key in _TEXTS:
        value = part.get(key)
        if isinstance(value, str):
            message[key] = message.get(key, "") + value
        elif value is not None and key == "content":
            message[key] = value
    calls = part.get("tool_calls")
    call = calls[0] if isinstance(calls, list) and calls else None
    piece = call.get("function") if isinstance(call, dict) else None
    if isinstance(piece, dict) and isinstance(piece.get("arguments"), str):
        known = message.setdefault("tool_calls", [{"function": {"arguments": ""}}])
        known[0]["function"]["arguments"] += piece["arguments"]
