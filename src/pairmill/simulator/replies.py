"""Encodes a rule's reply: fills templates, alters the envelope."""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from pairmill.simulator.http import encode_response
from pairmill.simulator.wire import encode_envelope, encode_events

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pairmill.simulator.rules import Reply

__all__ = ["encode_reply", "fill_places"]

_PLACE = re.compile(r"\$\{(\w+)\}")
_PHRASES = {status.value: status.phrase for status in HTTPStatus}


def fill_places(value: Any, facts: Mapping[str, Any]) -> Any:
    """Replace ``${name}`` by facts in all strings; unknown names are kept.

    A string that is only a placeholder becomes the fact itself.
    """
    if isinstance(value, dict):
        return {key: fill_places(item, facts) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [fill_places(item, facts) for item in value]
    if not isinstance(value, str) or "${" not in value:
        return value
    whole = _PLACE.fullmatch(value)
    if whole is not None:
        return facts.get(whole[1], value)
    return _PLACE.sub(lambda found: str(facts.get(found[1], found[0])), value)


def encode_reply(
    reply: Reply,
    facts: Mapping[str, Any],
    envelope: dict[str, Any],
    headers: list[tuple[str, str]],
    *,
    stream: bool,
) -> bytes:
    """Encode the whole response.

    Args:
        reply: Reply of the rule.
        facts: Values of its placeholders.
        envelope: Envelope of a good answer.
        headers: Headers of the endpoint itself; the reply's follow them.
        stream: True if the client asked for a stream.
    """
    content_type = reply.content_type or "application/json"
    if reply.body is not None or reply.status != HTTPStatus.OK:
        body, is_text = _body_of(reply, facts)
        if is_text and reply.content_type is None:
            content_type = "text/html" if body.lstrip().startswith(b"<") else "text/plain"
    else:
        changed = _alter(envelope, reply, facts)
        if stream or reply.stream:
            body, content_type = encode_events(changed), reply.content_type or "text/event-stream"
        else:
            body = encode_envelope(changed)
    body = reply.before.encode() + body + reply.after.encode()
    own = [(name, str(fill_places(value, facts))) for name, value in reply.headers.items()]
    return encode_response(reply.status, body, [*headers, *own], content_type)


def _body_of(reply: Reply, facts: Mapping[str, Any]) -> tuple[bytes, bool]:
    """Return the body, and whether it is text rather than JSON."""
    if reply.body is None:
        phrase = _PHRASES.get(reply.status, "Unknown")
        error = {"message": phrase, "type": "error", "param": None, "code": None}
        return encode_envelope({"error": error}), False
    filled = fill_places(reply.body, facts)
    if isinstance(reply.body, str) and isinstance(filled, str):
        return filled.encode("utf-8", "replace"), True
    return encode_envelope(filled), False


def _alter(envelope: dict[str, Any], reply: Reply, facts: Mapping[str, Any]) -> Any:
    if reply.usage_share is not None:
        envelope["usage"] = _shrunk(envelope["usage"], reply.usage_share)
    for path, value in reply.set.items():
        _put(envelope, path.split("."), fill_places(value, facts))
    for path in reply.drop:
        _take_out(envelope, path.split("."))
    return envelope


def _shrunk(counts: Any, share: float) -> Any:
    if isinstance(counts, dict):
        return {name: _shrunk(count, share) for name, count in counts.items()}
    return round(counts * share) if isinstance(counts, int | float) else counts


def _put(node: Any, path: list[str], value: Any) -> None:
    for part in path[:-1]:
        inner = _step(node, part)
        if not isinstance(inner, dict | list):
            inner = {}
            _set(node, part, inner)
        node = inner
    _set(node, path[-1], value)


def _take_out(node: Any, path: list[str]) -> None:
    for part in path[:-1]:
        node = _step(node, part)
    if isinstance(node, dict):
        node.pop(path[-1], None)


def _step(node: Any, part: str) -> Any:
    if isinstance(node, list):
        return node[int(part)] if part.isdigit() and int(part) < len(node) else None
    return node.get(part) if isinstance(node, dict) else None


def _set(node: Any, part: str, value: Any) -> None:
    if isinstance(node, dict):
        node[part] = value
    elif isinstance(node, list) and part.isdigit() and int(part) < len(node):
        node[int(part)] = value
