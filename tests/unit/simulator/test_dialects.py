from __future__ import annotations

from email.utils import parsedate_to_datetime

import pytest

from pairmill.simulator.dialects import (
    go_duration,
    limit_headers,
    rate_limit_body,
    retry_after_headers,
)
from pairmill.simulator.quotas import Level, Levels, QuotaRefusal
from pairmill.simulator.settings import DIALECTS, RETRY_AFTER_FORMS, Dialect

LEVELS = Levels(Level(600, 10, 6.5), Level(60_000, 0, 360.0), Level(14_400, 14_370, 179.56))
REFUSAL = QuotaRefusal("tokens", 60_000, 60_000, 900, 2.25)
WALL_S = 1_790_000_000.25


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0ms"),
        (0.012, "12ms"),
        (0.9999, "1s"),
        (7.66, "7.66s"),
        (60, "1m0s"),
        (179.56, "2m59.56s"),
        (360, "6m0s"),
        (3723, "1h2m3s"),
        (-1, "0ms"),
    ],
)
def test_durations_are_written_as_go_does(seconds: float, text: str) -> None:
    assert go_duration(seconds) == text


@pytest.mark.parametrize(
    ("dialect", "name", "value"),
    [
        ("openai", "x-ratelimit-reset-tokens", "6m0s"),
        ("openai", "x-ratelimit-limit-requests", "600"),
        ("azure", "x-ratelimit-remaining-tokens", "0"),
        ("anthropic", "anthropic-ratelimit-tokens-reset", "2026-09-21T14:19:20Z"),
        ("groq", "x-ratelimit-limit-requests", "14400"),  # per day
        ("groq", "x-ratelimit-reset-requests", "2m59.56s"),
        ("mistral", "x-ratelimit-limit-req-minute", "600"),
        ("mistral", "x-ratelimit-tokens-query-cost", "900"),
        ("mistral", "ratelimitbysize-reset", "360"),
        ("together", "x-ratelimit-limit", "10"),  # per second
        ("together", "x-ratelimit-reset", "6.50"),
    ],
)
def test_each_dialect_writes_its_limits(dialect: Dialect, name: str, value: str) -> None:
    assert dict(limit_headers(dialect, LEVELS, 900, WALL_S))[name] == value


@pytest.mark.parametrize("dialect", ["gemini", "openrouter", "none"])
def test_some_dialects_say_nothing_about_limits(dialect: Dialect) -> None:
    assert limit_headers(dialect, LEVELS, 900, WALL_S) == []


def test_each_form_of_retry_after() -> None:
    told = {
        form: retry_after_headers(form, "none", 2.25, WALL_S)
        for form in RETRY_AFTER_FORMS
        if form not in {"dialect", "date", "past"}
    }
    assert told == {
        "seconds": ([("retry-after", "3")], 3.0),
        "float": ([("retry-after", "2.250")], 2.25),
        "ms": ([("retry-after-ms", "2250")], 2.25),
        "missing": ([], None),
        "negative": ([("retry-after", "-1")], None),
        "inf": ([("retry-after", "inf")], None),
        "garbage": ([("retry-after", "soon")], None),
        "day": ([("retry-after", "86400")], 86_400.0),
    }
    ((_, date),), wait_s = retry_after_headers("date", "none", 2.25, WALL_S)
    assert parsedate_to_datetime(date).timestamp() == 1_790_000_003
    assert wait_s == 2.75
    ((_, past),), none = retry_after_headers("past", "none", 2.25, WALL_S)
    assert parsedate_to_datetime(past).timestamp() < WALL_S
    assert none is None


def test_a_dialect_asks_for_a_wait_in_its_own_way() -> None:
    assert dict(retry_after_headers("dialect", "azure", 2.25, WALL_S)[0]) == {
        "retry-after": "3",
        "retry-after-ms": "2250",
    }
    assert retry_after_headers("dialect", "mistral", 2.25, WALL_S) == ([], None)


def test_bodies_name_what_each_client_must_understand() -> None:
    bodies = {name: rate_limit_body(name, REFUSAL, "m", WALL_S) for name in DIALECTS}
    assert bodies["openai"]["error"]["code"] == "rate_limit_exceeded"
    assert "tokens per min (TPM): Limit 60000" in bodies["groq"]["error"]["message"]
    assert bodies["azure"]["error"]["code"] == "429"
    assert bodies["anthropic"]["error"]["type"] == "rate_limit_error"
    assert bodies["mistral"]["type"] == "rate_limited"
    assert bodies["together"]["error_type"] == "dynamic_token_limited"
    assert bodies["openrouter"]["error"]["metadata"]["headers"]["X-RateLimit-Reset"] == (
        "1790000002500"
    )
    details = bodies["gemini"][0]["error"]["details"]
    assert details[1]["retryDelay"] == "2.250s"
    assert "PerMinute" in details[0]["violations"][0]["quotaId"]
    daily = rate_limit_body("gemini", QuotaRefusal("day", 1, 1, 1, 9.0), "m", WALL_S)
    assert "PerDay" in str(daily)
