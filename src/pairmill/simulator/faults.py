"""Faults of the simulated endpoint: broken JSON, odd envelopes, errors with a status.

A text fault takes the text of a good answer and returns the text of a bad one. Faults that need the
pairs leave a text without pairs unchanged, except for changes that fit any JSON.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson

from pairmill.errors import ConfigError
from pairmill.simulator.wire import encode_envelope

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = [
    "CONNECTION_FAULTS",
    "ENVELOPE_FAULTS",
    "FAULTS",
    "REFUSALS",
    "TEXT_FAULTS",
    "SimulatedReply",
    "check_fault",
    "mangle_text",
    "quota_gone",
    "spoil_envelope",
]

_REFUSAL = "I'm sorry, but I can't help with that request."
_THOUGHT = (
    '<think>\nThe passage has {some} facts. I should write pairs. {"pairs": []}\n</think>\n\n'
)
_RENAMED = {"instruction": "Question", "answer": "Response", "evidence": "source", "type": "label"}
_STRING_END = re.compile(r"\"(?=[,}\]])")
_DEPTH = 2000
_DIGITS = 10_000


def mangle_text(name: str, text: str, huge_chars: int) -> str:
    """Apply a fault of ``TEXT_FAULTS`` to the text of a good answer."""
    if name == "huge":
        return _huge(text, huge_chars)
    if name == "endless_whitespace":
        return text[:-1] + " \n" * (huge_chars // 2)
    return TEXT_FAULTS[name](text)


def _huge(text: str, chars: int) -> str:
    value = _load(text)
    filler = "and so on " * (chars // 10)
    for pair in _pairs(value):
        pair["answer"] = filler
    return _dump(value) if _pairs(value) else f'{text[:-1]},"more":"{filler}"}}'


def _load(text: str) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:  # already cut by max_tokens
        return None


def _dump(value: Any) -> str:
    return orjson.dumps(value).decode()


def _pairs(value: Any) -> list[dict[str, Any]]:
    pairs = value.get("pairs") if isinstance(value, dict) else None
    if not isinstance(pairs, list):
        return []
    return [pair for pair in pairs if isinstance(pair, dict)]


def _on_pairs(change: Callable[[list[dict[str, Any]]], Any]) -> Callable[[str], str]:
    """Make a fault from a function that alters the pairs, or returns a new answer."""

    def apply(text: str) -> str:
        value = _load(text)
        replaced = change(_pairs(value))
        return text if value is None else _dump(value if replaced is None else replaced)

    return apply


def _two_of_three(pairs: list[dict[str, Any]]) -> None:
    if pairs:
        pairs[-1]["answer"] = ""


def _one_broken(text: str) -> str:
    """Cut the last pair in the middle; the others before it stay whole."""
    last = text.rfind('"answer"')
    return text[: last + 24] if last > 0 else text[: len(text) // 2]


def _extra_pair(pairs: list[dict[str, Any]]) -> dict[str, Any]:
    return {"skip": None, "pairs": [*pairs, *pairs[:1], {}]}


def _wrong_keys(pairs: list[dict[str, Any]]) -> dict[str, Any]:
    renamed = [{_RENAMED.get(key, key): value for key, value in pair.items()} for pair in pairs]
    return {"qa_pairs": renamed}


def _wrong_types(pairs: list[dict[str, Any]]) -> None:
    for pair in pairs:
        pair["answer"] = [pair.get("answer")]
        pair["instruction"] = {"text": pair.get("instruction")}


def _numbers(pairs: list[dict[str, Any]]) -> None:
    for index, pair in enumerate(pairs):
        pair["answer"] = index


def _empty_strings(pairs: list[dict[str, Any]]) -> None:
    for pair in pairs:
        pair["instruction"] = pair["answer"] = " "


def _same_pair(pairs: list[dict[str, Any]]) -> None:
    for pair in pairs[1:]:
        pair.update(pairs[0])


def _echo(pairs: list[dict[str, Any]]) -> dict[str, Any]:
    del pairs
    return {"type": "object", "properties": {"pairs": {"type": "array"}}, "required": ["pairs"]}


def _single_quotes(text: str) -> str:
    return repr(_load(text)) if _load(text) is not None else text.replace('"', "'")


def _in_last_string(text: str, inserted: str) -> str:
    """Insert raw characters into the last string of the JSON text, a typical slip of models."""
    places = [found.start() for found in _STRING_END.finditer(text)]
    at = places[-1] if places else len(text)
    return text[:at] + inserted + text[at:]


TEXT_FAULTS: dict[str, Callable[[str], str]] = {
    "bare_list": _on_pairs(list),
    "bom": lambda text: "\ufeff" + text,
    "comments": lambda text: text.replace("{", "{ // as asked\n", 1) + " /* done */",
    "cut_off": lambda text: text[: len(text) * 2 // 3],
    "deep_nesting": lambda _text: '{"pairs":' + "[" * _DEPTH + "]" * _DEPTH + "}",
    "double_encoded": _dump,
    "duplicate_keys": lambda text: text[:-1] + ',"pairs":[]}',
    "echoed_schema": _on_pairs(_echo),
    "empty_content": lambda _text: "",
    "empty_pairs": _on_pairs(lambda _pairs: {"skip": None, "pairs": []}),
    "empty_strings": _on_pairs(_empty_strings),
    "endless_whitespace": lambda text: text,
    "extra_pair": _on_pairs(_extra_pair),
    "fences": lambda text: f"```json\n{text}\n```",
    "fences_unclosed": lambda text: f"```json\n{text}\n",
    "html_escaped": lambda text: text.replace('"', "&quot;"),
    "huge": lambda text: text,
    "long_digits": lambda text: text[:-1] + ',"score":' + "9" * _DIGITS + "}",
    "lone_surrogate": lambda text: _in_last_string(text, "\\ud83d"),
    "nan": lambda text: text[:-1] + ',"score":NaN,"limit":-Infinity}',
    "nul": lambda text: _in_last_string(text, "\\u0000"),
    "numbers": _on_pairs(_numbers),
    "one_broken": _one_broken,
    "plain_prose": lambda _text: "The passage is about several things, which I found interesting.",
    "prose_around": lambda text: (
        f"Sure! Here are the pairs:\n\n{text}\n\nLet me know if I can help."
    ),
    "python_literals": lambda text: text.replace("null", "None").replace("true", "True"),
    "raw_newlines": lambda text: _in_last_string(text, "\n\nAnd so on."),
    "raw_surrogate": lambda text: _in_last_string(text, "\ud83d"),
    "refusal": lambda _text: _REFUSAL,
    "repeated_pairs": _on_pairs(_same_pair),
    "single_quotes": _single_quotes,
    "smart_quotes": lambda text: text.replace('":"', "”:“").replace('","', "”,“"),
    "thinking": lambda text: _THOUGHT + text,
    "trailing_comma": lambda text: re.sub(r"([}\]])(?=[}\]]*$)", r",\1", text),
    "two_of_three": _on_pairs(_two_of_three),
    "unescaped_quotes": lambda text: _in_last_string(text, ' "so to say" indeed'),
    "whole_twice": lambda text: f"{text}\n{text}",
    "wrong_keys": _on_pairs(_wrong_keys),
    "wrong_types": _on_pairs(_wrong_types),
}
"""Map of fault name to a function that alters the text."""


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


@dataclass(frozen=True, slots=True)
class SimulatedReply:
    """A status and a body; a body that is not a string is sent as JSON."""

    status: int
    body: Any
    content_type: str = "application/json"


def _error(message: str, kind: str, code: str | None = None, param: str | None = None) -> Any:
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


_QUOTA_TEXT = (
    "You exceeded your current quota, please check your plan and billing details. For more "
    "information on this error, read the docs."
)
_GATEWAY = "<html><head><title>{0}</title></head><body><center><h1>{0}</h1></center></body></html>"

REFUSALS: dict[str, SimulatedReply] = {
    "bad_gateway": SimulatedReply(502, _GATEWAY.replace("{0}", "502 Bad Gateway"), "text/html"),
    "bad_key": SimulatedReply(
        401,
        _error(
            "Incorrect API key provided: sk-sim***.", "invalid_request_error", "invalid_api_key"
        ),
    ),
    "conflict": SimulatedReply(409, _error("The resource is locked.", "conflict_error")),
    "content_filter": SimulatedReply(
        400,
        _error(
            "The response was filtered due to the prompt triggering a content management policy.",
            "invalid_request_error",
            "content_filter",
            "prompt",
        ),
    ),
    "context_too_long": SimulatedReply(
        400,
        _error(
            "This model's maximum context length is 8192 tokens. Please reduce the length of the "
            "messages.",
            "invalid_request_error",
            "context_length_exceeded",
            "messages",
        ),
    ),
    "forbidden": SimulatedReply(
        403, _error("Project does not have access.", "invalid_request_error")
    ),
    "gateway_timeout": SimulatedReply(
        504, _GATEWAY.replace("{0}", "504 Gateway Time-out"), "text/html"
    ),
    "insufficient_quota": SimulatedReply(
        429, _error(_QUOTA_TEXT, "insufficient_quota", "insufficient_quota")
    ),
    "loading": SimulatedReply(
        503, {"error": {"code": 503, "message": "Loading model", "type": "unavailable_error"}}
    ),
    "model_not_found": SimulatedReply(
        404,
        _error(
            "The model does not exist or you do not have access to it.",
            "invalid_request_error",
            "model_not_found",
        ),
    ),
    "overloaded": SimulatedReply(
        503, _error("The server is overloaded or not ready yet.", "server_error")
    ),
    "overloaded_529": SimulatedReply(
        529, {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}
    ),
    "payload_too_large": SimulatedReply(413, _error("Request too large.", "invalid_request_error")),
    "payment_required": SimulatedReply(
        402, {"error": {"message": "Insufficient credits. Add more to go on.", "code": 402}}
    ),
    "resource_exhausted": SimulatedReply(
        503, {"error": {"code": 503, "message": "Try again.", "status": "RESOURCE_EXHAUSTED"}}
    ),
    "server_error": SimulatedReply(
        500,
        _error("The server had an error while processing your request.", "server_error"),
    ),
    "tgi_overloaded": SimulatedReply(
        429, {"error": "Model is overloaded", "error_type": "overloaded"}
    ),
    "together_capacity": SimulatedReply(
        503, {"error": {"message": "No capacity for this model.", "type": "service_unavailable"}}
    ),
    "unknown_parameter": SimulatedReply(
        400,
        _error(
            "Unsupported parameter: 'max_tokens' is not supported with this model.",
            "invalid_request_error",
            "unsupported_parameter",
            "max_tokens",
        ),
    ),
    "unprocessable": SimulatedReply(
        422, {"error": "Input validation error", "error_type": "validation"}
    ),
}
"""Map of fault name to the reply of OpenAI, or of the server that it is named after."""

_PER_DAY = {
    "@type": "type.googleapis.com/google.rpc.QuotaFailure",
    "violations": [{"quotaId": "GenerateRequestsPerDayPerProjectPerModel-FreeTier"}],
}
_RETRY_SOON = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "22s"}
_QUOTA_GONE: dict[str, SimulatedReply] = {
    "anthropic": SimulatedReply(
        400,
        {
            "type": "error",
            "error": {
                "type": "invalid_request_error",
                "message": "Your credit balance is too low to access the API. Please go to Plans & "
                "Billing to upgrade or purchase credits.",
            },
        },
    ),
    "gemini": SimulatedReply(
        429,
        [
            {
                "error": {
                    "code": 429,
                    "message": _QUOTA_TEXT,
                    "status": "RESOURCE_EXHAUSTED",
                    "details": [_PER_DAY, _RETRY_SOON],
                }
            }
        ],
    ),
    "openrouter": REFUSALS["payment_required"],
}


def quota_gone(dialect: str) -> SimulatedReply:
    """Return this dialect's refusal that no wait can help: money or daily allowance are used up."""
    return _QUOTA_GONE.get(dialect, REFUSALS["insufficient_quota"])


CONNECTION_FAULTS = frozenset(
    {
        "close",  # the connection is closed cleanly, without a byte
        "close_after",  # the answer is good; then the connection is closed without notice
        "close_mid_body",  # the connection is closed cleanly, but before the end of the body
        "drip",  # the body comes in small parts
        "garbage",  # the reply is not HTTP
        "hang",  # no byte comes
        "hang_mid_body",  # half the body comes, then nothing
        "reset",  # TCP reset before the first byte
        "reset_mid_body",
    }
)
"""Faults of the transport."""

_OTHERS = frozenset({"rate_limit", "truncated"})
FAULTS = tuple(sorted({*CONNECTION_FAULTS, *_OTHERS, *REFUSALS, *ENVELOPE_FAULTS, *TEXT_FAULTS}))
"""Names of all faults."""


def check_fault(name: str) -> None:
    """Raise ``ConfigError`` unless there is a fault of this name."""
    if name not in FAULTS:
        raise ConfigError(f"simulator: no fault is called {name!r}; known: {', '.join(FAULTS)}")
