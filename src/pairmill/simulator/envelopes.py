"""A 200 whose body is not a proper completion, as from gateways and half-compatible servers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pairmill.simulator.wire import encode_envelope

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["ENVELOPE_FAULTS", "spoil_envelope"]

_HTML = (
    b"<!DOCTYPE html><html><head><title>Just a moment...</title></head>"
    b"<body><h1>Checking your browser</h1></body></html>"
)
_ERROR = (
    b'{"error":{"message":"Provider returned error","code":502,'
    b'"metadata":{"provider_name":"simulated"}}}'
)

Envelope = dict[str, Any]


def spoil_envelope(name: str, envelope: Envelope) -> tuple[bytes, str]:
    """Apply a fault of ``ENVELOPE_FAULTS``; return the body to send, and its content type."""
    body = ENVELOPE_FAULTS[name](envelope)
    return body, "text/html" if name == "html_200" else "application/json"


def _changed(**fields: Any) -> Callable[[Envelope], bytes]:
    return lambda envelope: encode_envelope({**envelope, **fields})


def _without(field: str) -> Callable[[Envelope], bytes]:
    return lambda envelope: encode_envelope(
        {key: value for key, value in envelope.items() if key != field}
    )


def _choice(**fields: Any) -> Callable[[Envelope], bytes]:
    def apply(envelope: Envelope) -> bytes:
        return encode_envelope({**envelope, "choices": [{**envelope["choices"][0], **fields}]})

    return apply


def _message(**fields: Any) -> Callable[[Envelope], bytes]:
    def apply(envelope: Envelope) -> bytes:
        first = envelope["choices"][0]
        choice = {**first, "message": {**first["message"], **fields}}
        return encode_envelope({**envelope, "choices": [choice]})

    return apply


def _cut(envelope: Envelope) -> bytes:
    """Truncate the body, with a content length that fits: no transport will notice."""
    body = encode_envelope(envelope)
    return body[: len(body) // 2]


def _two_choices(envelope: Envelope) -> bytes:
    return encode_envelope({**envelope, "choices": envelope["choices"] * 2})


def _odd_usage(envelope: Envelope) -> bytes:
    usage = {"prompt_tokens": "12", "completion_tokens": None, "total_tokens": -1}
    return encode_envelope({**envelope, "usage": usage})


ENVELOPE_FAULTS: dict[str, Callable[[Envelope], bytes]] = {
    "content_filter_200": _choice(finish_reason="content_filter"),
    "cut_envelope": _cut,
    "empty_body": lambda _envelope: b"",
    "error_200": lambda _envelope: _ERROR,
    "html_200": lambda _envelope: _HTML,
    "missing_usage": _without("usage"),
    "no_choices": _changed(choices=[]),
    "not_an_object": lambda _envelope: b"[]",
    "null_choices": _changed(choices=None),
    "null_content": _message(content=None),
    "null_usage": _changed(usage=None),
    "odd_usage": _odd_usage,
    "refusal_field": _message(content=None, refusal="I can't help with that."),
    "two_choices": _two_choices,
    "unknown_finish_reason": _choice(finish_reason="eos_token_found"),
    "wrong_model": _changed(model="another-model-0613"),
    "zero_usage": _changed(usage={"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}),
}
"""Map of fault name to a function that alters a good envelope."""
