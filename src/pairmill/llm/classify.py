"""Classifies a failed call: from status, headers and body to one named error.

The order of evidence is: the body's error code, type or status; then the HTTP status; then the
text. Text comes last since providers reword it, and since the same sentence means different things:
Gemini says "exceeded your current quota" for a per-minute limit too.
"""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from pairmill.errors import Kind, ProviderError
from pairmill.llm.error_bodies import ErrorDetails, first_dict, read_body, reports_failure
from pairmill.llm.limits.headers import retry_after_s
from pairmill.llm.masking import masked_line

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["FAILED", "classify", "classify_empty", "is_about_money"]

FAILED = "error"
"""Finish reason of an answer that the server broke off."""

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
    "insufficient_credits": Kind.QUOTA,
    "insufficient_funds": Kind.QUOTA,
    "payment_required": Kind.QUOTA,
    "budget_exceeded": Kind.QUOTA,  # LiteLLM
    "budgetexceedederror": Kind.QUOTA,
    "arrearage": Kind.QUOTA,  # Alibaba
    "accountoverdueerror": Kind.QUOTA,  # Volcengine
    "usage_limit_exceeded": Kind.QUOTA,
    "insufficient_user_quota": Kind.QUOTA,  # one-api, new-api
    "account_overdue": Kind.QUOTA,  # Baidu
    "setlimitexceeded": Kind.QUOTA,  # Volcengine
    "1113": Kind.QUOTA,  # Zhipu
    "30011": Kind.QUOTA,  # SiliconFlow
    "base_resp.1008": Kind.QUOTA,  # MiniMax
    "base_resp.1002": Kind.RATE,
    "base_resp.1039": Kind.RATE,
    "base_resp.1004": Kind.AUTH,
    "base_resp.2049": Kind.AUTH,
    "base_resp.1026": Kind.CHUNK,
    "base_resp.1027": Kind.CHUNK,
    "base_resp.2013": Kind.REFUSED,
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
    "data_inspection_failed": Kind.CHUNK,  # Alibaba
    "datainspectionfailed": Kind.CHUNK,
    "responsibleaipolicyviolation": Kind.CHUNK,  # Azure, inner error
    "request_too_large": Kind.CHUNK,  # Anthropic
    # Groq: max_tokens spent before the JSON was complete
    "json_validate_failed": Kind.BADOUT,
    "unavailable_error": Kind.OVERLOAD,  # llama.cpp while it loads
    "overloaded_error": Kind.OVERLOAD,  # Anthropic
    "server_overloaded": Kind.OVERLOAD,
    "engine_overloaded": Kind.OVERLOAD,
    "unavailable": Kind.OVERLOAD,  # Gemini
    "dynamic_request_limited": Kind.RATE,  # Together: you
    "dynamic_token_limited": Kind.RATE,
    "resource_exhausted": Kind.RATE,  # Gemini, if nothing says that it is a daily one
}

_STATUSES: dict[int, Kind] = {
    303: Kind.TIMEOUT,  # Modal: the answer comes later, at another URL
    401: Kind.AUTH,
    402: Kind.QUOTA,
    404: Kind.CONFIG,
    405: Kind.CONFIG,
    408: Kind.TIMEOUT,
    409: Kind.OVERLOAD,
    410: Kind.CONFIG,
    413: Kind.CHUNK,
    421: Kind.OVERLOAD,  # the wrong one of several servers behind one address
    424: Kind.OVERLOAD,  # TGI: the generation failed
    425: Kind.OVERLOAD,
    429: Kind.RATE,
    498: Kind.OVERLOAD,  # Groq: no capacity in the flex tier
    499: Kind.LOST,
    501: Kind.REFUSED,  # what was asked for is not there, now or later
    504: Kind.TIMEOUT,  # a proxy gave up waiting for the model
    520: Kind.LOST,  # Cloudflare: the reply was cut or empty
    524: Kind.TIMEOUT,
    598: Kind.TIMEOUT,
}
_FIRST_FAILURE, _FIRST_5XX = 400, 500
_UNKNOWN = 0  # of an error inside a success that names no status


@dataclass(frozen=True, slots=True)
class _Sign:
    """A text that means this kind under these statuses."""

    kind: Kind
    statuses: frozenset[int]
    text: re.Pattern[str]
    reason: str = ""


def _sign(kind: Kind, statuses: Iterable[int], text: str, reason: str = "") -> _Sign:
    return _Sign(kind, frozenset(statuses), re.compile(text, re.IGNORECASE), reason)


_REFUSED = (400, 403, 404, 412, 422)
_ANY_4XX = range(400, 500)
_RATE_WORDS = (
    r"rate[ -]?limit|too many requests|resource_exhausted"
    r"|(?:requests?|tokens?|calls?) ?(?:per|/|a) ?(?:sec|min)|per[ -]min"
    r"|(?<![a-z])(?:RPM|TPM|QPS|QPM)(?![a-z])|concurren|速率|频率|并发|每分钟|每秒"
)
_LONG_SPAN = (
    r"(?:requests?|tokens?|calls?|images?|units?) ?(?:per|/|a) ?(?:day|week|month|year)\b"
    r"|\b(?:RPD|TPD)\b|per ?day\b|ByDay\b|per 86400 ?s|for this (?:month|billing)"
    r"|(?:daily|weekly|monthly) (?:\w+ ){0,3}(?:limit|quota|cap\b|allocation|allowance)"
    r"|billing (?:cycle|period)|每日|每天|今日|当日|每周|每月|本月|小时的使用上限"
)
_SPENT = (
    r"(?:exhausted|depleted|used up|expired|ran out|run out|empty|ended|spent|reached|exceeded)"
)
_MONEY_GONE = (
    r"credit balance|(?:insufficient|not enough|n't enough|not have enough|no|low|zero|negative"
    r"|without)[ _]?(?:(?:account|paid|remaining|available|prepaid|user)[ _])?"
    r"(?:balance|credits?|funds?|money)\b"
    r"|(?:insufficient|not enough|not have enough) (?:\w+ )?quota"
    r"|balance (?:is|has|was)(?: \w+){0,3} (?:insufficient|not enough|too low|exhausted|negative)"
    r"|(?:(?:out|ran out|run out) of|used (?:up )?all|used up|exhausted|depleted|exceeded|no more)"
    r"(?: (?:your|the|of|all|available|its|their|monthly|daily|free|included|prepaid|call|volume))"
    r"{0,4} (?:credits?|balance|funds|budget|spend|allowance|allocation|usage|volume quota)"
    r"|(?:credits?|(?:token|resource) packages?|wallet|free (?:trial|tier|usage|quota)|trial"
    r"|allowance|prepaid \w+)"
    r"(?: (?:of|for|on) (?:\w+ ){0,3}\w+)? (?:(?:has|have|is|are|was|were) )?(?:been )?"
    + _SPENT
    + r"|(?:billing|spend(?:ing)?|budget|cost|monthly|usage) (?:hard |soft |usage )?"
    r"(?:limits?|cap|quota)\b(?!s? to)|(?:spend|budget|cost) cap\b"
    r"|(?:run|ran) out of (?:\w+ ){0,3}(?:credits?|funds)"
    r"|budget (?:has been |was |is )?(?:exceed|exhaust|spent|used up|reached)"
    r"|over (?:your |the )?budget|(?:inference|usage|spending) limit .{0,80}\bpaused"
    r"|\bspend (?:\w+ ){0,4}reached|total (?:request|token|usage)s? limit"
    r"|(?:key|usage|spend(?:ing)?) limit (?:has been |was |is )?(?:exceeded|reached|hit)"
    r"|billing (?:must be|is not|is) (?:enabled|disabled|activated)|(?:enable|set up) billing"
    r"|payment (?:is )?(?:required|overdue|failed|past due)|payment method|credit card"
    r"|overdue (?:payment|bill|balance)|trial key"
    r"|(?:account|billing|organi[sz]ation|workspace).{0,40}(?:suspend|overdue|arrear|past due"
    r"|not active|inactive|good standing|disabled|deactivated|frozen|locked)"
    r"|(?:plan|subscription) (?:\w+ ){0,3}(?:expired|ended|inactive|not active)"
    r"|arrear|top[- ]?up|recharge|(?:add|deposit|purchase|buy) (?:more )?(?:credits?|funds)"
    r"|quota will be replenished|" + _LONG_SPAN + r"|欠费|充值|资源包|账户.{0,8}(?:冻结|停用)"
    r"|(?:余额|额度|配额|限额|费用).{0,6}(?:用完|用尽|不足|不够|耗尽|失败|上限|限额|超)"
    r"|guthaben|kontingent|cr[ée]dits? (?:insuffisant|[ée]puis)|solde (?:\w+ )?insuffisant"
    r"|saldo (?:insuf|agotad|esaurit)|fondos insuficientes"
    r"|残高|クレジット|잔액|크레딧|недостаточно (?:средств|баланс)|закончил\w* (?:деньги|средства)"
)
_ABOUT_QUOTA = r"\bquota\b"
_TEXTS = (
    _sign(
        Kind.CHUNK,
        (*_REFUSED, 451, 500),
        r"content (?:filter|management policy|policy|exists risk)|moderation|flagged|safety system"
        r"|considered high risk|usage polic|不安全"
        r"|inappropriate content|敏感|违规|内容安全|sensitive (?:content|words?)",
        "content_filter",
    ),
    _sign(Kind.QUOTA, (*_ANY_4XX, 500, 502, 503), _MONEY_GONE),
    _sign(Kind.QUOTA, (402, 403), _ABOUT_QUOTA),
    _sign(
        Kind.CHUNK,
        (400, 413, 416, 422, 429, 500),
        r"request too large|prompt is too long|too many tokens|maximum context"
        r"|context[ _](?:length|size|window)"
        r"|input is too (?:large|long)|reduce the length|must have less than \d+ tokens"
        r"|inputs? tokens? \+ max_new_tokens|exceeds the maximum number of tokens"
        r"|longer than the (?:maximum )?model|model(?:'s)? (?:token|context) limit|max_seq_len"
        r"|input length should be|inputs?`? tokens? \+ `?max_new_tokens|超长|长度超|过长"
        r"|(?:input|prompt|message|sequence|request)s?(?: tokens?| length| size| token count){1,2}"
        r" (?:of )?(?:\(?[\d,]+\)? )?(?:tokens? )?(?:is |are )?"
        r"(?:exceed|above|over|too|beyond|greater)"
        r"|max_tokens must be at least 1, got -",
        "too_long",
    ),
    _sign(
        Kind.BADOUT,  # the server could not parse the model's output
        (400, 422, 500, 502),
        r"unexpected tokens? .{0,40}(?:while expecting|remaining)|failed to parse (?:the )?"
        r"(?:model|output|response|completion|tool)|could not parse (?:the )?(?:model|output|tool)",
    ),
    _sign(
        Kind.AUTH,
        _ANY_4XX,
        r"(?:api|access|auth(?:entication)?|security)[ _-]?(?:key|token) .{0,40}(?:not valid"
        r"|invalid|expired|incorrect|disabled|revoked|not found|leaked|blocked|deleted)"
        r"|(?:invalid|incorrect|expired|missing|no) (?:api|access)[ _-]?(?:key|token)"
        r"|unauthori[sz]ed|not authenticated|authentication|\bjwt\b"
        r"|(?:密钥|令牌|api ?key).{0,8}(?:无效|错误|过期|失效|不存在)"
        r"|无效的?(?:密钥|令牌|api ?key)",
    ),
    _sign(
        Kind.AUTH,
        (401, 403),
        r"(?:not|n't) authori[sz]ed|unregistered callers|auth(?:entication)? credentials"
        r"|(?:invalid|expired|revoked|missing) (?:\w+ )?(?:token|credentials?)"
        r"|\b(?:ip|address)\b.{0,40}(?:allow|white) ?-?list",
    ),
    _sign(
        Kind.RATE,
        (400, 403, 503),
        r"rate limit|too many requests|resource_exhausted|per (?:second|minute)\b"
        r"|\b(?:qps|qpm|rpm|tpm) (?:\w+ )?limit",
    ),
    _sign(
        Kind.OVERLOAD,  # it passes
        (400, 403, 404, 409, 412, 422),
        r"model (?:\S+ )?(?:is |was )?(?:currently |still )?"
        r"(?:loading(?! (?:was|failed|error))|restarting|starting|warming)"
        r"|loading (?:the )?model|(?:server|system|service|engine) (?:is )?(?:currently |too )*"
        r"(?:busy|overloaded|starting|restarting|not ready)"
        r"|temporarily unavailable|no (?:healthy|available) (?:deployment|upstream|worker|backend)",
    ),
    _sign(
        Kind.STATE,  # the model is unavailable, whatever was asked
        (400, 403, 404, 409, 412, 422),
        r"model (?:\S+ )?(?:is |has |was )?(?:been )?(?:not (?:yet )?loaded|unloaded|crashed"
        r"|unavailable|terminated|evicted|stopped|died)"
        r"|(?:failed|unable|could not|cannot) (?:to )?load (?:the )?model|no models? (?:is |are )?"
        r"loaded|out of memory|server (?:is )?shutting down"
        r"|(?:engine|worker|backend|runner) (?:process )?(?:has |is )?"
        r"(?:died|dead|crashed|stopped|exited|terminated|unavailable)|exit code: ?-?\d+",
    ),
    _sign(Kind.FOREIGN, (400, 404, 405), r"unexpected endpoint or method"),  # LM Studio
    _sign(
        Kind.CONFIG,
        (*_REFUSED, 451),
        r"(?:country|region|location|territory)\b.{0,40}(?:not|un)[ -]?(?:support|avail|allow)"
        r"|(?:not|un)[ -]?(?:supported|available|allowed) in (?:your|this)"
        r" (?:country|region|location)"
        r"|地区.{0,12}(?:不支持|不可用|限制)|模型.{0,16}(?:不存在|未开通|不可用|下线)",
    ),
    _sign(
        Kind.CONFIG,
        _REFUSED,
        r"model .{0,80}(?:not found|(?:does ?n[o']t|not) exist|not available|no longer available"
        r"|has not been activated|identifier is invalid)"
        r"|(?:no|not have|n't have) access to (?:the |this )?(?:\w+ )?model|not a chat model"
        r"|must be verified to use|not activated the model|on-demand throughput"
        r"|not work with the specified model|model .{0,80}(?:retired|end of life"
        r"|decommissioned|deprecated)|unknown model|no such model|not a valid model|invalid model"
        r"|unsupported (?:parameter|value)|unknown (?:name|parameter|field)|unrecognized"
        r"|extra (?:inputs|fields) (?:are )?not permitted|does not support|not supported"
        r"|response_format|json_schema|country, region",
    ),
)
_ABOUT_MONEY = re.compile(
    _MONEY_GONE + r"|credit|billing|balance|budget|spend|payment|\bpaid\b|\bplan\b|subscription"
    r"|upgrade|quota|余额|套餐|额度|付费|购买",
    re.IGNORECASE,
)
_ABOUT_RATE = re.compile(_RATE_WORDS, re.IGNORECASE)
_ABOUT_DAYS = re.compile(_LONG_SPAN, re.IGNORECASE)
_SHOWN = 500  # look for billing words only in the server's own text, not where it repeats ours
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
        secrets: Texts to mask in the message.
    """
    facts = read_body(body)
    kind, code, reason = _kind(status, headers, facts)
    message = masked_line(facts.message, secrets)
    if status in _ADVICE:
        message = f"{message}: {_ADVICE[status]}" if message else _ADVICE[status]
    named = f"HTTP {status}" if message else _named(status)
    message = message or "no reason given"
    wait = retry_after_s(headers, {"error": facts.error}, now_wall=now, said=facts.message)
    until = _until(now + wait.seconds) if wait and wait.seconds > _LONG_S else ""
    return ProviderError(
        kind,
        f"{message} ({named}){until}",
        status=status,
        code=masked_line(code, secrets, 80) if code else None,
        reason=reason,
        retry_after_s=wait.seconds if wait else None,
        maybe_paid=kind.meaning.may_be_billed,
        headers=headers,
    )


def is_about_money(text: str) -> bool:
    """Return True if a refusal is about credit or billing, not about a rate."""
    start = text[:_SHOWN]
    return bool(_ABOUT_MONEY.search(start)) and not _is_about_rate(start)


def _is_about_rate(text: str) -> bool:
    return bool(_ABOUT_RATE.search(text)) and not _ABOUT_DAYS.search(text)


def _until(moment: float) -> str:
    return time.strftime("; it asks to wait until %Y-%m-%d %H:%M UTC", time.gmtime(moment))


def _named(status: int) -> str:
    """Return a status with what it means, for a reply that says nothing itself."""
    try:
        phrase = HTTPStatus(status).phrase
    except ValueError:
        phrase = _PROXY_STATUSES.get(status, "")
    return f"HTTP {status} {phrase}".rstrip()


_PROXY_STATUSES = {  # Cloudflare's, and nginx's 499
    499: "the client closed the request",
    520: "an odd reply of the server behind the proxy",
    521: "the server behind the proxy is down",
    522: "the server behind the proxy does not connect",
    523: "the server behind the proxy is unreachable",
    525: "no TLS between the proxy and the server",
    526: "an untrusted certificate behind the proxy",
    530: "the proxy does not find the server",
}
_LONG_S = 600.0
_ADVICE = {
    303: "the answer takes longer than the server keeps a call open, and is left at another"
    " address, where it is not fetched from; ask for fewer pairs_per_chunk",
    504: "a proxy on the way did not wait for the answer; raise its timeout, or ask for fewer"
    " pairs_per_chunk",
    524: "a proxy on the way did not wait for the answer; ask for fewer pairs_per_chunk",
}


def classify_empty(
    status: int,
    headers: Mapping[str, str],
    body: Any,
    now: float,
    secrets: Iterable[str] = (),
) -> ProviderError:
    """Name the fault of a successful reply without an answer. It may all the same be paid for.

    An error that came inside a 200 gets the kind that it would have had with its own status.
    """
    choice = first_dict(body.get("choices")) if isinstance(body, dict) else None
    facts = read_body(body)
    inner = choice.get("error") if choice else None
    if inner:
        facts = read_body({"error": inner})
    if inner or reports_failure(body):
        # An error without a known kind comes from a model behind this endpoint.
        named = {"error": facts.error, "type": facts.names[0] if facts.names else None}
        error = classify(facts.status or _UNKNOWN, headers, named, now=now, secrets=secrets)
        return ProviderError(
            error.kind,
            f"{masked_line(facts.message, secrets) or 'no reason given'}"
            f" (an error inside HTTP {status})",
            status=facts.status or status,
            code=error.code or "error_in_success",
            reason=error.reason,
            retry_after_s=error.retry_after_s,
            maybe_paid=choice is not None or error.maybe_paid,
            headers=headers,
        )
    kind, code, message = _emptiness(body, choice, secrets)
    if status in _NOT_YET and kind is Kind.LOST:
        kind, message = Kind.OVERLOAD, f"the endpoint sent no answer (HTTP {status})"
    return ProviderError(
        kind,
        message,
        status=status,
        code=code,
        reason=code if code in _REASONS else "",
        maybe_paid=kind not in {Kind.OVERLOAD, Kind.FOREIGN},
        headers=headers,
    )


_REASONS = frozenset({"content_filter"})
_NOT_YET = frozenset({202, 204, 205})  # a success without an answer or a bill


def _emptiness(
    body: Any, choice: dict[str, Any] | None, secrets: Iterable[str]
) -> tuple[Kind, str, str]:
    if isinstance(body, bytes):
        return _unreadable(body, secrets)
    if choice is None:
        if isinstance(body, dict) and _is_blocked(body):
            return _BY_FINISH["content_filter"]
        said = read_body(body).message if isinstance(body, dict) else ""
        words = f": {masked_line(said, secrets, 200)}" if said else ""
        if isinstance(body, dict) and "choices" in body:  # gateways under load send an empty body
            return Kind.OVERLOAD, "no_choices", f"the endpoint's reply holds no choice{words}"
        shape = f"its reply is that of {_shape(body)}"
        return Kind.FOREIGN, "no_choices", f"{_NOT_COMPATIBLE}: {shape}{words}"
    message = choice.get("message")
    refusal = message.get("refusal") if isinstance(message, dict) else None
    if isinstance(refusal, str) and refusal:
        return Kind.BADOUT, "refusal", f"the model refused: {masked_line(refusal, secrets, 200)}"
    return _BY_FINISH.get(
        str(choice.get("finish_reason")), (Kind.BADOUT, "empty", "the model answered with nothing")
    )


def _is_blocked(body: dict[str, Any]) -> bool:
    """Return whether a reply without a choice says that the prompt was blocked (Gemini)."""
    told = body.get("promptFeedback") or body.get("prompt_feedback")
    return isinstance(told, dict) and bool(told.get("blockReason") or told.get("block_reason"))


_NOT_COMPATIBLE = "this is not an OpenAI-compatible endpoint"
_SHAPES = {  # recognized by a field that others do not have
    "generated_text": "TGI's own interface",
    "candidates": "Gemini's own interface",
    "results": "KoboldCpp's own interface",
    "stop_reason": "Anthropic's messages interface",
    "output": "OpenAI's responses interface",
    "eval_count": "Ollama's own interface",
    "done": "Ollama's own interface",
    "message": "Ollama's own interface",
    "content": "llama.cpp's own interface",
}


def _shape(body: Any) -> str:
    """Return whose API a reply belongs to, judged by its fields."""
    if not isinstance(body, dict):
        return "another interface"
    fields = {name for name, value in body.items() if name != "message" or isinstance(value, dict)}
    return next((name for field, name in _SHAPES.items() if field in fields), "another interface")


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
    FAILED: (Kind.LOST, "failed", "the server broke the answer off"),
}


def _unreadable(body: bytes, secrets: Iterable[str]) -> tuple[Kind, str, str]:
    start = body[:4096].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if not start:
        return Kind.LOST, "empty_body", "the endpoint sent an empty reply"
    if start.startswith(b"<") and re.match(rb"<(?:!doctype|html|head|body|\?xml|!--)", start):
        title = masked_line(read_body(body).message, secrets, 80)
        return Kind.FOREIGN, "html", f"{_NOT_COMPATIBLE}: it sent a web page ({title})"
    if start.startswith((b"{", b"[", b"data:", b":", b"event:", b"null")):
        return Kind.LOST, "not_json", "the endpoint's reply is not valid JSON"
    shown = masked_line(body[:200].decode("utf-8", "replace"), secrets, 60)
    return Kind.FOREIGN, "not_json", f"{_NOT_COMPATIBLE}: its reply is not JSON ('{shown}')"


def _kind(
    status: int, headers: Mapping[str, str], facts: ErrorDetails
) -> tuple[Kind, str | None, str]:
    """Return the kind, the provider's code, and our own word if the kind is too coarse."""
    code = next((name for name in facts.names if name), None)
    limited = status in {429, 503} or "resource_exhausted" in facts.names
    if limited and (_DAILY.search(facts.details) or _nothing_allowed(headers)):
        return Kind.QUOTA, code, ""
    named = [(name, _NAMES[name]) for name in facts.names if name in _NAMES]
    if named and named[0][1] is not Kind.RATE:
        return named[0][1], named[0][0], _BY_NAME.get(named[0][0], "")
    sign = _read_sign(status or _FIRST_FAILURE, facts.message)
    if sign is not None:  # the text may be more precise than a status or a code
        return sign.kind, code, sign.reason
    if named:
        return named[0][1], named[0][0], ""
    return _by_status(status), code, "too_long" if status == 413 else ""  # noqa: PLR2004


def _read_sign(status: int, message: str) -> _Sign | None:
    """Find the first text of the table that occurs in the message under this status."""
    start = message[:_SHOWN]
    is_rate = _is_about_rate(start)
    for sign in _TEXTS:
        if status not in sign.statuses:
            continue
        if sign.kind is not Kind.QUOTA:
            if sign.text.search(message[:4000]):
                return sign
        elif not is_rate and sign.text.search(start):
            return sign  # OpenAI's rate refusals mention billing too
    return None


def _by_status(status: int) -> Kind:
    if status in _STATUSES:
        return _STATUSES[status]
    if status >= _FIRST_5XX or status == _UNKNOWN:
        return Kind.OVERLOAD
    return Kind.REFUSED if status >= _FIRST_FAILURE else Kind.CONFIG


_BY_NAME = {
    "context_length_exceeded": "too_long",
    "exceed_context_size_error": "too_long",
    "string_above_max_length": "too_long",
    "request_too_large": "too_long",
    "content_filter": "content_filter",
    "content_policy_violation": "content_filter",
    "data_inspection_failed": "content_filter",
    "datainspectionfailed": "content_filter",
    "responsibleaipolicyviolation": "content_filter",
    "base_resp.1026": "content_filter",
    "base_resp.1027": "content_filter",
}


def _nothing_allowed(headers: Mapping[str, str]) -> bool:
    """Return whether a limit is 0: the model is not part of this key's plan (seen at Mistral)."""
    return any(
        "limit" in name.removeprefix("x-ratelimit") and value.strip() in {"0", "0.0"}
        for name, value in headers.items()
        if name.startswith("x-ratelimit")
    )
