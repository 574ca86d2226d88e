"""Rate-limit headers and 429 bodies of each provider.

From the providers' documentation and from published replies; none was checked live.
"""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import formatdate
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from pairmill.simulator.quotas import Level, Levels, QuotaRefusal
    from pairmill.simulator.settings import Dialect, RetryAfter

__all__ = ["go_duration", "limit_headers", "rate_limit_body", "retry_after_headers"]

Headers = list[tuple[str, str]]

_DAY_S = 86_400


def go_duration(seconds: float) -> str:
    """Format a duration like Go, as OpenAI does: ``12ms``, ``1.5s``, ``6m0s``, ``1h2m3s``."""
    seconds = max(0.0, seconds)
    if round(seconds, 3) < 1:
        return f"{round(seconds * 1000)}ms"
    minutes, rest = divmod(round(seconds, 3), 60)
    hours, minutes = divmod(int(minutes), 60)
    tail = f"{rest:.3f}".rstrip("0").rstrip(".") + "s"
    if hours:
        return f"{hours}h{minutes}m{tail}"
    return f"{minutes}m{tail}" if minutes else tail


def limit_headers(dialect: Dialect, levels: Levels, cost_tokens: int, wall_s: float) -> Headers:
    """Return the headers of every answer; ``wall_s`` is the time of day, for absolute resets."""
    writer = _WRITERS.get(dialect)
    return writer(levels, cost_tokens, wall_s) if writer is not None else []


def retry_after_headers(
    form: RetryAfter, dialect: Dialect, wait_s: float, wall_s: float
) -> tuple[Headers, float | None]:
    """Return the headers that ask for a wait, and the seconds that a client must derive from them.

    None: the client was given no usable time.
    """
    if form == "dialect":
        form = _USUAL_FORM.get(dialect, "missing")
    whole = max(1, -int(-wait_s // 1))
    exact_s = round(wait_s, 3)
    name = "retry-after-ms" if form == "ms" else "retry-after"
    value, told_s = {
        "seconds": (str(whole), float(whole)),
        "float": (f"{wait_s:.3f}", exact_s),
        "ms": (str(round(wait_s * 1000)), exact_s),
        "date": (formatdate(int(wall_s) + whole, usegmt=True), int(wall_s) + whole - wall_s),
        "past": (formatdate(wall_s - 3600, usegmt=True), None),
        "negative": ("-1", None),
        "inf": ("inf", None),
        "garbage": ("soon", None),
        "day": (str(_DAY_S), float(_DAY_S)),
        "missing": ("", None),
    }[form]
    headers = [(name, value)] if value else []
    if form == "seconds" and dialect in {"openai", "azure"}:
        headers.append(("retry-after-ms", str(round(wait_s * 1000))))
        told_s = exact_s
    return headers, told_s


def rate_limit_body(dialect: Dialect, refusal: QuotaRefusal, model: str, wall_s: float) -> Any:
    """Return the JSON body of a 429 that ends when the wait is over."""
    maker = _BODIES.get(dialect, _plain_body)
    return maker(refusal, model, wall_s)


# Headers, one function per provider.


def _openai(levels: Levels, _cost: int, _wall_s: float) -> Headers:
    return _x_ratelimit(levels.requests, levels.tokens)


def _groq(levels: Levels, _cost: int, _wall_s: float) -> Headers:
    return _x_ratelimit(levels.day, levels.tokens)


def _azure(levels: Levels, _cost: int, _wall_s: float) -> Headers:
    return _x_ratelimit(levels.requests, levels.tokens, resets=False)


def _x_ratelimit(requests: Level | None, tokens: Level | None, *, resets: bool = True) -> Headers:
    headers: Headers = []
    for name, level in (("requests", requests), ("tokens", tokens)):
        if level is not None:
            headers += [
                (f"x-ratelimit-limit-{name}", str(level.limit)),
                (f"x-ratelimit-remaining-{name}", str(level.remaining)),
            ]
            if resets:
                headers.append((f"x-ratelimit-reset-{name}", go_duration(level.reset_s)))
    return headers


def _anthropic(levels: Levels, _cost: int, wall_s: float) -> Headers:
    headers: Headers = []
    for name, level in (("requests", levels.requests), ("tokens", levels.tokens)):
        if level is not None:
            until = datetime.fromtimestamp(wall_s + level.reset_s, UTC)
            headers += [
                (f"anthropic-ratelimit-{name}-limit", str(level.limit)),
                (f"anthropic-ratelimit-{name}-remaining", str(level.remaining)),
                (f"anthropic-ratelimit-{name}-reset", until.strftime("%Y-%m-%dT%H:%M:%SZ")),
            ]
    return headers


def _mistral(levels: Levels, cost: int, _wall_s: float) -> Headers:
    headers: Headers = []
    for name, level in (("req", levels.requests), ("tokens", levels.tokens)):
        if level is not None:
            headers += [
                (f"x-ratelimit-limit-{name}-minute", str(level.limit)),
                (f"x-ratelimit-remaining-{name}-minute", str(level.remaining)),
            ]
    if levels.tokens is not None:
        headers += [
            ("x-ratelimit-tokens-query-cost", str(cost)),
            ("ratelimitbysize-reset", str(max(1, round(levels.tokens.reset_s)))),
        ]
    return headers


def _together(levels: Levels, _cost: int, _wall_s: float) -> Headers:
    level = levels.requests
    if level is None:
        return []
    return [
        ("x-ratelimit-limit", f"{level.limit / 60:g}"),  # per second
        ("x-ratelimit-remaining", str(level.remaining)),
        ("x-ratelimit-reset", f"{level.reset_s:.2f}"),
    ]


_WRITERS: dict[str, Callable[[Levels, int, float], Headers]] = {
    "openai": _openai,
    "azure": _azure,
    "anthropic": _anthropic,
    "groq": _groq,
    "mistral": _mistral,
    "together": _together,
}
_USUAL_FORM: dict[str, RetryAfter] = {
    "openai": "seconds",
    "azure": "seconds",
    "anthropic": "seconds",
    "groq": "seconds",
    "openrouter": "seconds",
}


# Bodies, one function per provider.


def _limit_words(refusal: QuotaRefusal) -> tuple[str, str]:
    if refusal.dimension == "tokens":
        return "tokens", "tokens per min (TPM)"
    return "requests", f"requests per {'day (RPD)' if refusal.dimension == 'day' else 'min (RPM)'}"


def _openai_body(refusal: QuotaRefusal, model: str, _wall_s: float) -> Any:
    kind, words = _limit_words(refusal)
    message = (
        f"Rate limit reached for {model} in organization org-simulated on {words}: "
        f"Limit {refusal.limit}, Used {refusal.used}, Requested {refusal.requested}. "
        f"Please try again in {go_duration(refusal.wait_s)}."
    )
    return {
        "error": {"message": message, "type": kind, "param": None, "code": "rate_limit_exceeded"}
    }


def _azure_body(refusal: QuotaRefusal, _model: str, _wall_s: float) -> Any:
    kind, _words = _limit_words(refusal)
    message = (
        f"Requests to the ChatCompletions_Create Operation have exceeded the {kind[:-1]} rate "
        f"limit of your current pricing tier. Please retry after {round(refusal.wait_s)} seconds."
    )
    return {"error": {"code": "429", "message": message}}


def _anthropic_body(refusal: QuotaRefusal, _model: str, _wall_s: float) -> Any:
    message = (
        "This request would exceed your organization's rate limit of "
        f"{refusal.limit} {_limit_words(refusal)[0]} per minute."
    )
    return {"type": "error", "error": {"type": "rate_limit_error", "message": message}}


def _mistral_body(refusal: QuotaRefusal, _model: str, _wall_s: float) -> Any:
    return {
        "object": "error",
        "message": f"{_limit_words(refusal)[0].capitalize()} rate limit exceeded",
        "type": "rate_limited",
        "param": None,
        "code": "1300",
    }


def _together_body(refusal: QuotaRefusal, model: str, _wall_s: float) -> Any:
    kind = "token" if refusal.dimension == "tokens" else "request"
    name = f"dynamic_{kind}_limited"
    message = f"Request limit reached for {model}: your {kind} rate grew too fast."
    return {"error_type": name, "error": {"message": message, "type": name, "code": name}}


def _openrouter_body(refusal: QuotaRefusal, _model: str, wall_s: float) -> Any:
    reset_ms = str(round((wall_s + refusal.wait_s) * 1000))
    word = "day" if refusal.dimension == "day" else "min"
    return {
        "error": {
            "message": f"Rate limit exceeded: free-models-per-{word}.",
            "code": 429,
            "metadata": {
                "headers": {
                    "X-RateLimit-Limit": str(refusal.limit),
                    "X-RateLimit-Remaining": "0",
                    "X-RateLimit-Reset": reset_ms,
                },
                "retry_after_seconds": round(refusal.wait_s, 3),
            },
        }
    }


def _gemini_body(refusal: QuotaRefusal, _model: str, _wall_s: float) -> Any:
    kind = "InputTokens" if refusal.dimension == "tokens" else "Requests"
    span = "Day" if refusal.dimension == "day" else "Minute"
    quota_id = f"GenerateContent{kind}Per{span}PerProjectPerModel-FreeTier"
    base = "type.googleapis.com/google.rpc."
    return [
        {
            "error": {
                "code": 429,
                "message": "You exceeded your current quota, please check your plan and billing "
                "details.",
                "status": "RESOURCE_EXHAUSTED",
                "details": [
                    {"@type": f"{base}QuotaFailure", "violations": [{"quotaId": quota_id}]},
                    {"@type": f"{base}RetryInfo", "retryDelay": f"{refusal.wait_s:.3f}s"},
                ],
            }
        }
    ]


def _plain_body(_refusal: QuotaRefusal, _model: str, _wall_s: float) -> Any:
    return {"error": {"message": "Too Many Requests", "type": "too_many_requests"}}


_BODIES: dict[str, Callable[[QuotaRefusal, str, float], Any]] = {
    "openai": _openai_body,
    "groq": _openai_body,
    "azure": _azure_body,
    "anthropic": _anthropic_body,
    "mistral": _mistral_body,
    "together": _together_body,
    "openrouter": _openrouter_body,
    "gemini": _gemini_body,
}
