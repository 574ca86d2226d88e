"""What a failed call means: from status, headers and body to one named error.

The order of evidence: what the body's own words for the failure are (code, type, status), then the
HTTP status, then the text. Text comes last since providers reword it, and since the same sentence
means different things: Gemini says "exceeded your current quota" of a per-minute limit too.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pairmill.errors import Kind, ProviderError
from pairmill.llm.bodies import Facts, first_dict, read_body
from pairmill.llm.limits.headers import retry_after_s
from pairmill.llm.masking import plain

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["classify", "classify_empty"]

_NAMES: dict[str, Kind] = {
    # OpenAI and those who copy its codes (Azure, Groq, Together, DeepSeek, llmock ...)
    "rate_limit_exceeded": Kind.RATE,
    "rate_limit_error": Kind.RATE,  # Anthropic too
    "requests": Kind.RATE,
    "tokens": Kind.RATE,
    "ratelimitreached": Kind.RATE,  # Azure
    "too_many_requests": Kind.RATE,
    "insufficient_quota": Kind.QUOTA,
    "billing_hard_limit_reached": Kind.QUOTA,
    "billing_not_active": Kind.QUOTA,
    "billing_error": Kind.QUOTA,  # Anthropic
    "insufficient_balance": Kind.QUOTA,
    "quotaexceeded": Kind.QUOTA,  # Azure
    "access_terminated": Kind.AUTH,
    "invalid_api_key": Kind.AUTH,
    "invalid_authentication": Kind.AUTH,
    "authentication_error": Kind.AUTH,  # Anthropic, llama.cpp
    "account_deactivated": Kind.AUTH,
    "unauthenticated": Kind.AUTH,  # Gemini
    "model_not_found": Kind.CONFIG,
    "invalid_model": Kind.CONFIG,  # Mistral
    "model_not_available": Kind.CONFIG,  # Together
    "deploymentnotfound": Kind.CONFIG,  # Azure
    "unsupported_parameter": Kind.CONFIG,
    "unsupported_value": Kind.CONFIG,
    "unknown_parameter": Kind.CONFIG,
    "unsupported_country_region_territory": Kind.CONFIG,
    "context_length_exceeded": Kind.CHUNK,
    "exceed_context_size_error": Kind.CHUNK,  # llama.cpp
    "string_above_max_length": Kind.CHUNK,
    "content_filter": Kind.CHUNK,  # Azure
    "content_policy_violation": Kind.CHUNK,
    "responsibleaipolicyviolation": Kind.CHUNK,  # Azure, inner error
    "request_too_large": Kind.CHUNK,  # Anthropic
    # Groq: max_tokens spent before the JSON was whole
    "json_validate_failed": Kind.BADOUT,
    "unavailable_error": Kind.OVERLOAD,  # llama.cpp while it loads
    "overloaded_error": Kind.OVERLOAD,  # Anthropic
    "server_overloaded": Kind.OVERLOAD,
    "engine_overloaded": Kind.OVERLOAD,
    "unavailable": Kind.OVERLOAD,  # Gemini
    "dynamic_request_limited": Kind.RATE,  # Together: you
    "dynamic_token_limited": Kind.RATE,
    "resource_exhausted": Kind.RATE,  # Gemini, where nothing says that it is the day's
}

_STATUSES: dict[int, Kind] = {
    401: Kind.AUTH,
    402: Kind.QUOTA,
    403: Kind.AUTH,
    404: Kind.CONFIG,
    408: Kind.TIMEOUT,
    409: Kind.OVERLOAD,
    413: Kind.CHUNK,
    422: Kind.CHUNK,
    424: Kind.OVERLOAD,  # TGI: the generation failed
    425: Kind.OVERLOAD,
    429: Kind.RATE,
    451: Kind.CHUNK,
    400: Kind.CHUNK,
    524: Kind.TIMEOUT,  # a proxy gave up waiting for the model
}
_MAYBE_PAID = frozenset({504, 524})  # the model had the request; a proxy lost patience


@dataclass(frozen=True, slots=True)
class _Sign:
    """A text that, under these statuses, means this kind."""

    kind: Kind
    statuses: frozenset[int]
    text: re.Pattern[str]


def _sign(kind: Kind, statuses: Iterable[int], text: str) -> _Sign:
    return _Sign(kind, frozenset(statuses), re.compile(text, re.IGNORECASE))


_REFUSED = (400, 403, 404, 422)
_TEXTS = (
    _sign(
        Kind.CHUNK,
        (400, 413, 422, 429, 500),
        r"request too large|prompt is too long|too many tokens|maximum context"
        r"|context[ _](?:length|size|window)"
        r"|input is too (?:large|long)|reduce the length|must have less than \d+ tokens"
        r"|inputs? tokens? \+ max_new_tokens|exceeds the maximum number of tokens"
        r"|longer than the (?:maximum )?model",
    ),
    _sign(
        Kind.CHUNK,
        _REFUSED,
        r"content (?:filter|management policy|policy)|moderation|flagged|safety system",
    ),
    _sign(
        Kind.QUOTA,
        (*_REFUSED, 429),
        r"credit balance|insufficient (?:balance|credits?|funds)|out of credits|billing (?:hard )?"
        r"limit|payment required|requests? per day|tokens? per day|\b(?:RPD|TPD)\b|daily limit",
    ),
    _sign(
        Kind.AUTH, _REFUSED, r"api[ _-]?key (?:not valid|expired|is invalid)|invalid api[ _-]?key"
    ),
    _sign(Kind.RATE, (400, 403, 503), r"rate limit|too many requests|resource_exhausted"),
    _sign(
        Kind.CONFIG,
        _REFUSED,
        r"model .{0,80}(?:not found|does ?n[o']t exist|not available|no longer available"
        r"|decommissioned|deprecated)|unknown model|no such model|not a valid model|invalid model"
        r"|unsupported (?:parameter|value)|unknown (?:name|parameter|field)|unrecognized"
        r"|extra (?:inputs|fields) (?:are )?not permitted|does not support|not supported"
        r"|response_format|json_schema|max_tokens|country, region",
    ),
)
_DAILY = re.compile(r"PerDay|per-day", re.IGNORECASE)  # Gemini's quotaId, OpenRouter's limit


def classify(
    status: int,
    headers: Mapping[str, str],
    body: Any,
    *,
    now: float,
    secrets: Iterable[str] = (),
) -> ProviderError:
    """Name a failure.

    Args:
        status: The HTTP status of the reply.
        headers: Rate-limit headers, names in lower case; they travel with the error.
        body: The reply's body: decoded JSON, or bytes where it is none.
        now: Seconds since the epoch, for a date in Retry-After.
        secrets: Texts that must not stand in the message, whatever the server wrote.
    """
    facts = read_body(body)
    kind, code = _kind(status, headers, facts)
    message = plain(facts.message, secrets) or "no reason given"
    wait = retry_after_s(headers, {"error": facts.error or facts.message}, now_wall=now)
    return ProviderError(
        kind,
        f"{message} (HTTP {status})",
        status=status,
        code=plain(code, secrets, 80) if code else None,
        retry_after_s=wait.seconds if wait else None,
        maybe_paid=status in _MAYBE_PAID,
        headers=headers,
    )


def classify_empty(
    status: int,
    headers: Mapping[str, str],
    body: Any,
    now: float,
    secrets: Iterable[str] = (),
) -> ProviderError:
    """Name what is wrong with a success that holds no answer. It may all the same be paid for.

    An error that came inside a 200 gets the kind that it would have had with its own status.
    """
    choice = first_dict(body.get("choices")) if isinstance(body, dict) else None
    facts = read_body(body)
    inner = choice.get("error") if choice else None
    if inner:
        facts = read_body({"error": inner})
    if inner or (isinstance(body, dict) and body.get("error")):
        # An error that says nothing of its kind came from a model behind this endpoint.
        error = classify(
            facts.status or 502, headers, {"error": facts.error}, now=now, secrets=secrets
        )
        return ProviderError(
            error.kind,
            f"{plain(facts.message, secrets) or 'no reason given'} (an error inside HTTP {status})",
            status=facts.status or status,
            code=error.code or "error_in_success",
            retry_after_s=error.retry_after_s,
            maybe_paid=choice is not None,
            headers=headers,
        )
    kind, code, message = _emptiness(body, choice, secrets)
    return ProviderError(kind, message, status=status, code=code, maybe_paid=True, headers=headers)


def _emptiness(
    body: Any, choice: dict[str, Any] | None, secrets: Iterable[str]
) -> tuple[Kind, str, str]:
    if isinstance(body, bytes):
        return Kind.BADOUT, *_unreadable(body)
    if choice is None:
        return Kind.BADOUT, "no_choices", "the endpoint's reply holds no choice"
    message = choice.get("message")
    refusal = message.get("refusal") if isinstance(message, dict) else None
    if isinstance(refusal, str) and refusal:
        return Kind.BADOUT, "refusal", f"the model refused: {plain(refusal, secrets, 200)}"
    return _BY_FINISH.get(
        str(choice.get("finish_reason")), (Kind.BADOUT, "empty", "the model answered with nothing")
    )


_BY_FINISH: dict[str, tuple[Kind, str, str]] = {
    "content_filter": (
        Kind.CHUNK,
        "content_filter",
        "the endpoint's filter withheld the answer",
    ),
    "length": (
        Kind.BADOUT,
        "length",
        "thinking took all tokens before an answer; set reasoning: off, or more answer_tokens",
    ),
}


def _unreadable(body: bytes) -> tuple[str, str]:
    start = body[:512].lstrip().lower()
    if not start:
        return "empty_body", "the endpoint sent an empty reply"
    if start.startswith((b"<!doctype", b"<html", b"<head", b"<?xml")):
        return "html", "the endpoint sent a web page; is base_url right?"
    return "not_json", "the endpoint's reply is no valid JSON"


def _kind(status: int, headers: Mapping[str, str], facts: Facts) -> tuple[Kind, str | None]:
    code = next((name for name in facts.names if name), None)
    limited = status in {429, 503} or "resource_exhausted" in facts.names
    if limited and (_DAILY.search(facts.details) or _nothing_allowed(headers)):
        return Kind.QUOTA, code
    named = [(name, _NAMES[name]) for name in facts.names if name in _NAMES]
    if named and named[0][1] is not Kind.RATE:
        return named[0][1], named[0][0]
    for sign in _TEXTS:  # a status or a name alone is too coarse where one of these fits
        if status in sign.statuses and sign.text.search(facts.message[:4000]):
            return sign.kind, code
    if named:
        return named[0][1], named[0][0]
    if status in _STATUSES:
        return _STATUSES[status], code
    return (Kind.OVERLOAD if status >= 500 else Kind.CONFIG), code  # noqa: PLR2004 (5xx)


def _nothing_allowed(headers: Mapping[str, str]) -> bool:
    """A limit of 0: the model is not part of this key's plan (seen at Mistral)."""
    return any(
        "limit" in name.removeprefix("x-ratelimit") and value.strip() in {"0", "0.0"}
        for name, value in headers.items()
        if name.startswith("x-ratelimit")
    )
