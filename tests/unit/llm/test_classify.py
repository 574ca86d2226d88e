"""One row for each way in which a provider is known to fail."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pairmill.errors import Kind, ProviderError
from pairmill.llm.classify import classify, classify_empty

NOW = 1_700_000_000.0  # Tue, 14 Nov 2023 22:13:20 GMT


def named(status: int, body: Any, **headers: str) -> ProviderError:
    lower = {name.replace("_", "-"): value for name, value in headers.items()}
    return classify(status, lower, body, now=NOW)


def openai(message: str, code: str | None = None, type_: str | None = None) -> dict[str, Any]:
    return {"error": {"message": message, "type": type_, "param": None, "code": code}}


def gemini(quota: str) -> list[dict[str, Any]]:
    details = [
        {
            "@type": "type.googleapis.com/google.rpc.QuotaFailure",
            "violations": [{"quotaId": quota}],
        },
        {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "22s"},
    ]
    return [
        {
            "error": {
                "code": 429,
                "message": "You exceeded your current quota, please check your plan and billing "
                "details.",
                "status": "RESOURCE_EXHAUSTED",
                "details": details,
            }
        }
    ]


CASES: list[tuple[str, int, Any, Kind]] = [
    ("openai rate", 429, openai("Rate limit reached", "rate_limit_exceeded", "tokens"), Kind.RATE),
    (
        "openai quota",
        429,
        openai("You exceeded your current quota", "insufficient_quota", "insufficient_quota"),
        Kind.QUOTA,
    ),
    (
        "openai day",
        429,
        openai("Rate limit reached on requests per day (RPD)", "rate_limit_exceeded", "requests"),
        Kind.QUOTA,
    ),
    (
        "openai one request above the limit",
        429,
        openai("Request too large for gpt-4o on tokens per min", "rate_limit_exceeded", "tokens"),
        Kind.CHUNK,
    ),
    ("openai key", 401, openai("Incorrect API key provided", "invalid_api_key"), Kind.AUTH),
    ("openai model", 404, openai("The model `x` does not exist", "model_not_found"), Kind.CONFIG),
    ("openai place", 403, openai("", "unsupported_country_region_territory"), Kind.CONFIG),
    (
        "openai long",
        400,
        openai("This model's maximum context length is 8192", "context_length_exceeded"),
        Kind.CHUNK,
    ),
    ("openai word", 400, openai("Unknown parameter: 'x'", "unknown_parameter"), Kind.CONFIG),
    ("openai server", 500, openai("The server had an error", None, "server_error"), Kind.OVERLOAD),
    ("openai conflict", 409, openai("try again"), Kind.OVERLOAD),
    ("azure rate", 429, {"error": {"code": "429", "message": "Please retry"}}, Kind.RATE),
    (
        "azure filter",
        400,
        {
            "error": {
                "code": "content_filter",
                "message": "The response was filtered",
                "innererror": {"code": "ResponsibleAIPolicyViolation"},
            }
        },
        Kind.CHUNK,
    ),
    ("azure deployment", 404, {"error": {"code": "DeploymentNotFound"}}, Kind.CONFIG),
    ("azure key", 401, {"statusCode": 401, "message": "Access denied"}, Kind.AUTH),
    (
        "anthropic rate",
        429,
        {"type": "error", "error": {"type": "rate_limit_error", "message": "slow"}},
        Kind.RATE,
    ),
    (
        "anthropic full",
        529,
        {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}},
        Kind.OVERLOAD,
    ),
    (
        "anthropic credit",
        400,
        openai("Your credit balance is too low", None, "invalid_request_error"),
        Kind.QUOTA,
    ),
    (
        "anthropic long",
        400,
        openai("prompt is too long: 210000 tokens > 200000 maximum", None, "invalid_request_error"),
        Kind.CHUNK,
    ),
    (
        "together you",
        429,
        {"error": {"message": "slow", "type": "dynamic_request_limited"}},
        Kind.RATE,
    ),
    ("not there", 501, {"error": {"message": "Not Implemented"}}, Kind.REFUSED),
    ("together they", 503, {"error": {"message": "capacity"}}, Kind.OVERLOAD),
    ("groq rate", 429, openai("Rate limit reached", "rate_limit_exceeded", "tokens"), Kind.RATE),
    ("groq day", 429, openai("on tokens per day (TPD)", "rate_limit_exceeded"), Kind.QUOTA),
    ("groq json", 400, openai("Failed to validate JSON", "json_validate_failed"), Kind.BADOUT),
    ("mistral rate", 429, {"message": "Requests rate limit exceeded"}, Kind.RATE),
    (
        "mistral model",
        400,
        {"object": "error", "message": "Invalid model: x", "type": "invalid_model", "code": "1500"},
        Kind.CONFIG,
    ),
    (
        "mistral word",
        422,
        {"detail": [{"loc": ["body", "seed"], "msg": "Extra inputs are not permitted"}]},
        Kind.CONFIG,
    ),
    ("mistral key", 401, {"message": "Unauthorized"}, Kind.AUTH),
    ("gemini minute", 429, gemini("GenerateRequestsPerMinutePerProject"), Kind.RATE),
    ("gemini day", 429, gemini("GenerateRequestsPerDayPerProject"), Kind.QUOTA),
    (
        "gemini full",
        503,
        [{"error": {"code": 503, "status": "UNAVAILABLE", "message": "overloaded"}}],
        Kind.OVERLOAD,
    ),
    (
        "gemini rate as 503",
        503,
        {"error": {"code": 503, "status": "RESOURCE_EXHAUSTED", "message": "x"}},
        Kind.RATE,
    ),
    ("gemini key", 400, {"error": {"message": "API key not valid."}}, Kind.AUTH),
    ("openrouter credit", 402, {"error": {"code": 402, "message": "more credits"}}, Kind.QUOTA),
    (
        "openrouter day",
        429,
        {"error": {"code": 429, "message": "Rate limit exceeded: free-models-per-day"}},
        Kind.QUOTA,
    ),
    (
        "openrouter minute",
        429,
        {"error": {"code": 429, "message": "Rate limit exceeded: free-models-per-min"}},
        Kind.RATE,
    ),
    (
        "openrouter flagged",
        403,
        {"error": {"code": 403, "message": "Your input was flagged by moderation"}},
        Kind.CHUNK,
    ),
    (
        "vllm long",
        400,
        {"object": "error", "message": "maximum context length is 2048", "type": "BadRequestError"},
        Kind.CHUNK,
    ),
    (
        "vllm model",
        404,
        {"object": "error", "message": "The model `x` does not exist.", "code": 404},
        Kind.CONFIG,
    ),
    (
        "llama.cpp loading",
        503,
        {"error": {"code": 503, "message": "Loading model", "type": "unavailable_error"}},
        Kind.OVERLOAD,
    ),
    (
        "llama.cpp long",
        400,
        {"error": {"message": "the request exceeds it", "type": "exceed_context_size_error"}},
        Kind.CHUNK,
    ),
    (
        "llama.cpp long, older",
        500,
        {"error": {"message": "input is too large to process", "type": "server_error"}},
        Kind.CHUNK,
    ),
    (
        "llama.cpp schema",
        400,
        openai("Failed to parse json_schema", None, "invalid_request_error"),
        Kind.CONFIG,
    ),
    ("tgi full", 429, {"error": "Model is overloaded", "error_type": "overloaded"}, Kind.RATE),
    ("tgi failed", 424, {"error": "Request failed during generation"}, Kind.OVERLOAD),
    (
        "tgi long",
        422,
        {"error": "`inputs` must have less than 1024 tokens.", "error_type": "validation"},
        Kind.CHUNK,
    ),
    ("proxy page", 502, b"<html><title>502 Bad Gateway</title>", Kind.OVERLOAD),
    ("proxy gave up", 524, b"error code: 524", Kind.TIMEOUT),
    ("too large", 413, b"", Kind.CHUNK),
    ("wrong path", 404, {"detail": "Not Found"}, Kind.CONFIG),
    ("wrong method", 405, b"", Kind.CONFIG),
    ("unknown refusal", 400, {"error": {"message": "bad"}}, Kind.REFUSED),
    ("unknown failure", 599, None, Kind.OVERLOAD),
]


@pytest.mark.parametrize(
    ("status", "body", "kind"), [case[1:] for case in CASES], ids=[c[0] for c in CASES]
)
def test_each_failure_has_its_kind(status: int, body: Any, kind: Kind) -> None:
    error = named(status, body)
    assert error.kind is kind
    assert error.status == status


def test_a_limit_of_nothing_means_that_the_model_is_not_on_the_plan() -> None:
    assert named(429, {}, x_ratelimit_limit_req_minute="0").kind is Kind.QUOTA
    assert named(429, {}, x_ratelimit_remaining_req_minute="0").kind is Kind.RATE
    assert named(429, {}, x_ratelimit_limit_req_minute="60").kind is Kind.RATE


@pytest.mark.parametrize(
    ("headers", "body", "seconds"),
    [
        ({"retry_after": "2"}, {}, 2.0),
        ({"retry_after": "1.5"}, {}, 1.5),
        ({"retry_after_ms": "250", "retry_after": "9"}, {}, 0.25),
        ({"retry_after": "Tue, 14 Nov 2023 22:13:50 GMT"}, {}, 30.0),
        ({"retry_after": "Tue, 14 Nov 2003 22:13:50 GMT"}, {}, 0.0),
        ({"retry_after": "1e400"}, {}, None),
        ({"retry_after": "nan"}, {}, None),
        ({"retry_after": "-3"}, {}, None),
        ({"retry_after": "soon"}, {}, None),
        ({"retry_after": "99999999"}, {}, 86400.0),
        ({}, gemini("PerMinute"), 22.0),
        ({}, {"error": {"metadata": {"retry_after_seconds": 7}}}, 7.0),
        ({}, openai("Please try again in 1m2.5s. Visit"), 62.5),
        ({}, openai("Please try again in 20ms."), 0.02),
        ({}, {}, None),
    ],
)
def test_what_the_server_asks_us_to_wait(
    headers: dict[str, str], body: Any, seconds: float | None
) -> None:
    assert named(429, body, **headers).retry_after_s == (
        None if seconds is None else pytest.approx(seconds)
    )


def test_a_status_without_a_word_is_told_with_its_meaning() -> None:
    assert str(named(421, b"")) == "no reason given (HTTP 421 Misdirected Request)"
    assert "behind the proxy is down" in str(named(521, b""))
    assert str(named(599, b"")) == "no reason given (HTTP 599)"


def test_a_gateway_that_gave_up_may_have_cost_money() -> None:
    assert named(504, b"").maybe_paid
    assert not named(503, b"").maybe_paid


def test_a_message_is_one_short_line_without_secrets_or_controls() -> None:
    said = (
        "bad\nkey sk-proj-abcdefghijk \x1b[31m red-herring\u202e Bearer abc.def "
        "AIzaSyA1234567890123456789012345 https://me:pw@host/?key=abcdef " + "x" * 500
    )
    text = str(classify(401, {}, {"error": said}, now=NOW, secrets=["red-herring"]))
    assert len(text) <= 320
    assert text.isprintable()
    for secret in ("sk-proj-abc", "abc.def", "AIzaSy", "me:pw", "key=abc", "red-herring"):
        assert secret not in text
    assert " [31m" in text


FIELDS = (
    *("error", "message", "code", "type", "status", "detail", "details", "choices", "loc"),
    *("metadata", "innererror", "error_type", "retryDelay", "refusal", "msg"),
)
JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=9),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(FIELDS),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@settings(max_examples=40)
@given(st.integers(100, 999), JSON | st.binary(max_size=40))
def test_no_body_breaks_it(status: int, body: Any) -> None:
    for error in (
        classify(status, {"retry-after": str(status)}, body, now=NOW),
        classify_empty(200, {}, body, NOW),
    ):
        assert str(error).isprintable()
        assert orjson.dumps(str(error))


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (401, {"error": {"message": "You have run out of credits. Please add more", "code": 401}}),
        (402, {"message": "please add a payment method"}),
        (403, {"detail": {"error": "inference prohibited, please top up your balance"}}),
        (403, {"statusCode": 403, "message": "Out of call volume quota."}),
        (403, {"success": False, "error": [{"code": 2021, "message": "Spend limit reached"}]}),
        (403, {"type": "https://e.example", "title": "Insufficient credits", "detail": "Empty"}),
        (403, {"error": {"message": "Quota exceeded for this project"}}),
        (403, b"Forbidden: prepaid balance exhausted"),
        (400, {"error": "Your free trial has ended"}),
        (400, {"message": "Too many tokens per day, please wait before trying again."}),
        (429, {"message": "Your Trial key is limited to 1000 API calls / month; see rate limits"}),
        (429, {"message": "Tokens per day limit exceeded - too many tokens processed."}),
        (429, {"errors": [{"message": "you have used up your daily free allocation", "code": 1}]}),
        (429, {"error": {"message": "Rate limit of 150 per 86400s exceeded for UserByModelByDay"}}),
        (429, {"message": "Requests rate limit exceeded for this month. Upgrade your plan"}),
        (500, {"error": {"message": "user quota is not enough, insufficient balance"}}),
        (503, {"error": {"message": "Project spend cap has been reached", "code": 503}}),
        (400, {"error": {"message": "You have run out of GPU credits"}}),
        (400, {"error": {"message": "Votre solde est insuffisant"}}),
        (403, {"error": {"message": "Key limit exceeded (total limit)", "code": 403}}),
        (403, {"error": {"message": "Billing must be enabled for this service"}}),
        (403, {"error": {"message": "\ud06c\ub808\ub527\uc774 \ubd80\uc871\ud569\ub2c8\ub2e4"}}),
        (429, {"error": {"message": "monthly token quota exhausted for this subscription"}}),
        (429, {"error": {"message": "Max spend for virtual key reached"}}),
        (
            429,
            {
                "error": {
                    "code": "1304",
                    "message": "\u5df2\u8fbe\u5230\u4eca\u65e5\u8c03\u7528\u6b21\u6570\u9650\u989d",
                }
            },
        ),
        (
            403,
            {"error": {"message": "\u9884\u6263\u8d39\u989d\u5ea6\u5931\u8d25"}},
        ),
        (200, {"error_code": 19, "error_msg": "Open api total request limit reached"}),
        (200, {"error": "insufficient credits"}),
        (200, {"error_code": 17, "error_msg": "Open api daily request limit reached"}),
        (200, {"Response": {"Error": {"Code": "X", "Message": "The balance is not enough."}}}),
        (200, {"success": False, "code": 500402, "msg": "\u8d26\u6237\u4f59\u989d\u4e0d\u8db3"}),
        (200, {"choices": [{"message": {}, "error": {"message": "Insufficient credits"}}]}),
    ],
)
def test_money_that_is_gone_is_read_in_any_shape(status: int, body: Any) -> None:
    error = classify_empty(200, {}, body, NOW) if status == 200 else named(status, body)
    assert error.kind is Kind.QUOTA
    assert "no reason given" not in str(error)


@pytest.mark.parametrize(
    ("status", "message", "kind"),
    [
        (403, "Forbidden: invalid token", Kind.AUTH),
        (403, "Your API key was reported as leaked. Please use another one.", Kind.AUTH),
        (403, "Method doesn't allow unregistered callers", Kind.AUTH),
        (403, "No auth credentials found", Kind.AUTH),
        (403, "Your IP address is not on the allow list", Kind.AUTH),
        (403, "\u65e0\u6548\u7684\u4ee4\u724c", Kind.AUTH),
        (400, "jwt expired", Kind.AUTH),
        (451, "This service is not available in your country", Kind.CONFIG),
        (400, "User location is not supported for the API use.", Kind.CONFIG),
        (403, "\u60a8\u6240\u5728\u7684\u5730\u533a\u4e0d\u652f\u6301\u8bbf\u95ee", Kind.CONFIG),
        (400, "\u6a21\u578b\u4e0d\u5b58\u5728", Kind.CONFIG),
        (400, "Model not exist.", Kind.CONFIG),
        (400, "The provided model identifier is invalid.", Kind.CONFIG),
        (403, "Your organization must be verified to use the model `o3`.", Kind.CONFIG),
        (451, "Unavailable For Legal Reasons", Kind.REFUSED),
        (451, "Withheld: sensitive content", Kind.CHUNK),
        (400, "Content Exists Risk", Kind.CHUNK),
        (400, "Prompt \u8d85\u957f", Kind.CHUNK),
        (400, "Range of input length should be [1, 30720]", Kind.CHUNK),
        (400, "Your request exceeded model token limit: 8192", Kind.CHUNK),
    ],
)
def test_a_sentence_names_whose_matter_it_is(status: int, message: str, kind: Kind) -> None:
    assert named(status, openai(message)).kind is kind


@pytest.mark.parametrize(
    ("status", "message", "kind"),
    [
        (
            429,
            "Rate limit reached on requests per min. Increase it by adding a payment method",
            Kind.RATE,
        ),
        (
            429,
            "Limit on tokens per minute (TPM). Upgrade at https://x.example/settings/billing",
            Kind.RATE,
        ),
        (429, "Quota exceeded: 60 requests per minute per project", Kind.RATE),
        (403, "Quota exceeded for quota metric 'Requests' and limit 'per minute'", Kind.RATE),
        (400, "This model's maximum context length is 8192 tokens", Kind.CHUNK),
        (403, "Structured outputs are not enabled for your plan", Kind.REFUSED),
        (429, "You are using a Trial key, which is limited to 20 API calls / minute.", Kind.RATE),
        (429, "\u60a8\u7684TPM\u989d\u5ea6\u5df2\u7528\u5c3d", Kind.RATE),
        (
            429,
            "\u8bf7\u6c42\u6b21\u6570\u8d85\u8fc7\u9650\u5236\uff0c\u8bf7\u7a0d\u540e\u91cd\u8bd5",
            Kind.RATE,
        ),
        (403, "System is too busy now. Please try again later.", Kind.OVERLOAD),
        (400, "The engine is currently overloaded", Kind.OVERLOAD),
        (421, "Misdirected Request", Kind.OVERLOAD),
        (400, "Failed to load model. Model loading was stopped", Kind.STATE),
    ],
)
def test_a_rate_or_a_request_is_no_matter_of_money(status: int, message: str, kind: Kind) -> None:
    assert named(status, openai(message)).kind is kind


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"message": {"role": "assistant", "content": "Hi"}, "done": True}, "Ollama's own"),
        ({"message": "Unauthorized"}, "another interface: Unauthorized"),
        ({"type": "message", "content": [], "stop_reason": "end_turn"}, "Anthropic's messages"),
        ({"output": [], "object": "response"}, "OpenAI's responses"),
        ({"candidates": []}, "Gemini's own"),
        ([{"generated_text": "x"}], "another interface"),
        ({"status": "ok"}, "another interface"),
        (b"<!-- x --><html><title>Sign in</title>", "a web page (Sign in)"),
        (b"pong", "not JSON ('pong')"),
    ],
)
def test_a_reply_of_another_interface_is_told_as_such(body: object, said: str) -> None:
    error = classify_empty(200, {}, body, NOW)
    assert error.kind is Kind.FOREIGN
    assert not error.is_billed
    assert "not an OpenAI-compatible endpoint" in str(error)
    assert said in str(error)


@pytest.mark.parametrize("status", [202, 204])
def test_a_success_that_promises_no_answer_is_no_bill(status: int) -> None:
    error = classify_empty(status, {}, b"", NOW)
    assert (error.kind, error.is_billed) == (Kind.OVERLOAD, False)
    assert classify_empty(200, {}, b"", NOW).is_billed


@pytest.mark.parametrize("body", [{"choices": None}, {"choices": []}, {"id": "", "choices": None}])
def test_a_gateway_under_load_is_no_other_interface(body: object) -> None:
    assert classify_empty(200, {}, body, NOW).kind is Kind.OVERLOAD


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (
            {"detail": '{"error": {"message": "litellm.BadRequestError: top_p not allowed"}}'},
            "litellm.BadRequestError: top_p not allowed",
        ),
        (
            {"error": {"message": 'OpenAIException - {"error":{"message":"no such tier"}} (x)'}},
            "OpenAIException: no such tier (x)",
        ),
        (
            {"message": 'upstream: {"detail": "{\\"message\\": \\"the innermost\\"}"}'},
            "upstream: the innermost",
        ),
        ({"message": "use {braces} as they are"}, "use {braces} as they are"),
        ({"message": 'kept: {"no": "reason"}'}, 'kept: {"no": "reason"}'),
    ],
)
def test_the_reason_in_a_quoted_reply_is_the_one_that_is_told(body: Any, said: str) -> None:
    assert str(named(400, body)).startswith(f"{said} (HTTP 400)")


@pytest.mark.parametrize(
    ("status", "message", "kind"),
    [
        (403, "The free tier of the model has been exhausted. Please disable it.", Kind.QUOTA),
        (400, "Free quota for this API is used up", Kind.QUOTA),
        (400, "Input length 9000 exceeds the model's limit of 8192", Kind.CHUNK),
        (400, "The prompt length (9000) exceeds the limit", Kind.CHUNK),
        (400, "Input tokens exceed the configured limit of 272000 tokens.", Kind.CHUNK),
        (429, "Requests exceed the limit of 60 per minute", Kind.RATE),
        (429, "Input token rate exceeded, tokens per minute limit", Kind.RATE),
    ],
)
def test_a_quota_and_a_length_are_told_apart(status: int, message: str, kind: Kind) -> None:
    assert named(status, openai(message)).kind is kind
