from __future__ import annotations

from datetime import UTC, datetime
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pairmill.llm.limits.headers import (
    LONGEST_S,
    HeaderDialect,
    HeaderReading,
    Unit,
    read_hint,
    read_number,
    read_wait_s,
    retry_after_s,
)

NOW = 1_790_000_000.0  # seconds since the epoch: a day in 2026


def seconds(text: str) -> float | None:
    wait = read_wait_s(text, NOW)
    return None if wait is None else wait.seconds


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0", 0.0),
        ("7", 7.0),
        (" 7 ", 7.0),
        ("26.5", 26.5),
        ("1e2", 100.0),
        ("6m0s", 360.0),
        ("12ms", 0.012),
        ("1h2m3s", 3723.0),
        ("1.5s", 1.5),
        ("2m59.56s", 179.56),
        ("22s", 22.0),
        ("1d", 86400.0),
        ("250us", 0.00025),
        (str(NOW + 30), 30.0),
        (str(int((NOW + 30) * 1000)), 30.0),
        (str(NOW - 30), 0.0),
        (datetime.fromtimestamp(NOW + 90, UTC).isoformat(), 90.0),
        (datetime.fromtimestamp(NOW + 90, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"), 90.0),
        (format_datetime(datetime.fromtimestamp(NOW + 45, UTC), usegmt=True), 45.0),
        (format_datetime(datetime.fromtimestamp(NOW - 45, UTC), usegmt=True), 0.0),
    ],
)
def test_a_wait_is_read_in_every_dialect(text: str, expected: float) -> None:
    assert seconds(text) == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize(
    "text",
    [
        *("", "nan", "inf", "-inf", "-1", "1e400", "-5s", "soon", "1_000", "5x", "s", "6m0"),
        *("9" * 500, "Thu, 99 Foo 2026", "2026-13-45", "1h 2m", "٣s٣", "0x10"),
    ],
)
def test_what_is_no_wait_is_refused(text: str) -> None:
    assert read_wait_s(text, NOW) is None


@pytest.mark.parametrize("text", ["86401", "1000h", "9999-12-31T23:59:59Z", str(NOW * 1e6)])
def test_more_than_a_day_is_cut_and_said_so(text: str) -> None:
    wait = read_wait_s(text, NOW)
    assert wait is not None
    assert wait.seconds == LONGEST_S
    assert wait.clamped


@given(st.text(max_size=80) | st.floats().map(str) | st.integers().map(str))
def test_whatever_a_header_holds_the_wait_is_sane_or_none(text: str) -> None:
    wait = read_wait_s(text, NOW)
    assert wait is None or 0.0 <= wait.seconds <= LONGEST_S


@pytest.mark.parametrize(
    ("text", "expected"),
    [("30000", 30000), ("30,000", 30000), ("1,234,567", 1234567), ("0", 0), ("59.5", 59.5)]
    + [(bad, None) for bad in ("", "-1", "nan", "inf", "1e9", "3,00", "many", "1" * 70)],
)
def test_counts(text: str, expected: float | None) -> None:
    assert read_number(text) == expected


def test_a_count_beyond_reason_is_cut() -> None:
    assert read_number("9" * 64) == read_number("1" + "0" * 16) == 1e15


def test_openai() -> None:
    hint = read_hint(
        {
            "X-RateLimit-Limit-Requests": "10000",
            "x-ratelimit-remaining-requests": "9999",
            "x-ratelimit-reset-requests": "6ms",
            "x-ratelimit-limit-tokens": "200,000",
            "x-ratelimit-remaining-tokens": "199000",
            "x-ratelimit-reset-tokens": "6m0s",
            "x-ratelimit-limit-project-tokens": "150000",
            "content-type": "application/json",
        },
        now_wall=NOW,
    )
    assert hint.minute[Unit.REQUESTS] == HeaderReading(10_000, 9_999, 0.006)
    assert hint.minute[Unit.TOKENS] == HeaderReading(
        150_000, 199_000, 360.0
    )  # the project's is tighter
    assert not hint.day
    assert not hint.clamped
    assert not hint.is_not_on_plan


def test_anthropic() -> None:
    hint = read_hint(
        {
            "anthropic-ratelimit-requests-limit": "50",
            "anthropic-ratelimit-input-tokens-limit": "40000",
            "anthropic-ratelimit-input-tokens-remaining": "39000",
            "anthropic-ratelimit-output-tokens-limit": "8000",
            "anthropic-ratelimit-output-tokens-reset": "2026-09-21T14:13:50Z",
            "anthropic-ratelimit-unified-5h-reset": "1790000500",
        },
        now_wall=NOW,
    )
    assert hint.minute[Unit.REQUESTS].limit == 50
    assert hint.minute[Unit.INPUT] == HeaderReading(40_000, 39_000, None)
    assert hint.minute[Unit.OUTPUT].limit == 8000
    assert set(hint.minute) == {Unit.REQUESTS, Unit.INPUT, Unit.OUTPUT}


def test_groq_counts_requests_by_the_day() -> None:
    headers = {"x-ratelimit-limit-requests": "14400", "x-ratelimit-limit-tokens": "18000"}
    hint = read_hint(headers, now_wall=NOW, dialect=HeaderDialect.GROQ)
    assert hint.day[Unit.REQUESTS].limit == 14_400
    assert hint.minute == {Unit.TOKENS: HeaderReading(18_000)}


def test_days_named_in_the_header_are_no_rate() -> None:
    hint = read_hint(
        {"x-ratelimit-limit-requests-day": "1000", "x-ratelimit-remaining-tokens-minute": "5"},
        now_wall=NOW,
    )
    assert hint.day == {Unit.REQUESTS: HeaderReading(1000)}
    assert hint.minute == {Unit.TOKENS: HeaderReading(None, 5)}


def test_together_counts_by_the_second() -> None:
    headers = {"x-ratelimit-limit": "10", "x-ratelimit-remaining": "9", "x-ratelimit-reset": "1"}
    hint = read_hint(headers, now_wall=NOW, dialect=HeaderDialect.TOGETHER)
    assert hint.minute[Unit.REQUESTS] == HeaderReading(600, 540, 1.0)


def test_a_bare_limit_of_unknown_period_is_not_taken_for_a_rate() -> None:
    reset_ms = str(int((NOW + 12) * 1000))
    headers = {"X-RateLimit-Limit": "20", "X-RateLimit-Remaining": "0"}
    headers["X-RateLimit-Reset"] = reset_ms
    hint = read_hint(headers, now_wall=NOW)
    assert hint.minute[Unit.REQUESTS].limit is None
    assert hint.blocked_s == pytest.approx(12)


def test_mistral_says_that_a_model_is_not_on_the_plan() -> None:
    assert read_hint({"x-ratelimit-limit-req-minute": "0"}, now_wall=NOW).is_not_on_plan
    ignored = {"x-ratelimit-limit-tokens-month": "0", "x-ratelimit-tokens-query-cost": "0"}
    assert not read_hint(ignored, now_wall=NOW).is_not_on_plan


def test_junk_is_named_and_left_out() -> None:
    hint = read_hint(
        {
            "x-ratelimit-limit-requests": "lots",
            "x-ratelimit-reset-tokens": "inf",
            "x-ratelimit-remaining-tokens": "-3",
            "ratelimit-policy": "10;w=60",
            "x-ratelimit-": "1",
        },
        now_wall=NOW,
    )
    assert not hint.minute
    assert hint.clamped == (
        "x-ratelimit-limit-requests",
        "x-ratelimit-reset-tokens",
        "x-ratelimit-remaining-tokens",
    )


@given(
    st.dictionaries(
        st.sampled_from(["x-ratelimit-limit-requests", "x-ratelimit-reset"]) | st.text(max_size=40),
        st.text(max_size=40),
    )
)
def test_no_headers_break_the_reader(headers: dict[str, str]) -> None:
    read_hint(headers, now_wall=NOW)
    retry_after_s(headers, now_wall=NOW)


def asked(headers: dict[str, str], body: object = None) -> float | None:
    wait = retry_after_s(headers, body, now_wall=NOW)
    return None if wait is None else wait.seconds


def test_retry_after_in_its_order() -> None:
    assert asked({}) is None
    assert asked({"Retry-After": "3"}) == 3
    assert asked({"retry-after": "3", "Retry-After-Ms": "1250"}) == 1.25
    assert asked({"retry-after": "3", "retry-after-ms": "nan"}) == 3
    assert asked({"retry-after": "-3"}) is None
    assert asked({"retry-after": "Mon, 01 Jan 2001 00:00:00 GMT"}) == 0


def test_retry_after_in_the_body() -> None:
    google = {"error": {"details": [{"@type": "x.QuotaFailure"}, {"retryDelay": "22s"}]}}
    assert asked({}, google) == 22
    assert asked({}, [google]) == 22
    assert asked({"retry-after": "1"}, google) == 1
    assert asked({}, {"error": {"metadata": {"retry_after_seconds": 4.5}}}) == 4.5
    epoch = {"error": {"metadata": {"headers": {"X-RateLimit-Reset": str((NOW + 9) * 1000)}}}}
    assert asked({}, epoch) == pytest.approx(9, abs=0.01)


@pytest.mark.parametrize(
    ("said", "wait_s"),
    [
        ("Please try again in 1m30.5s. Visit our page", 90.5),
        ("Please retry in 34.07s.", 34.07),
        ("try again in 250ms", 0.25),
        ("Please retry after 2 milliseconds", 0.002),
        ("Retry your request after 30 seconds.", 30),
        ("Please wait for 2 minutes and 5 seconds before retrying", 125),
        ("Your quota will reset after 3h12m", 11_520),
        ("You exceeded it; resets in 2 days", 172_800),
        ("You will regain access on 2001-09-09 at 02:46 UTC.", 3560),
        ("Limit resets at: 2001-09-09T01:47:40Z", 60),
        ("the limit resets every 24 hours", None),
        ("20 requests per 1 minute; try again later", None),
        ("again 5 apples", None),
        ("try again in 99999999999999 days", 86_400),
    ],
)
def test_a_wait_is_read_in_the_words_of_a_message(said: str, wait_s: float | None) -> None:
    wait = retry_after_s({}, None, now_wall=1_000_000_000.0, said=said)
    assert (wait and wait.seconds) == (wait_s and pytest.approx(min(wait_s, 86_400)))


@pytest.mark.parametrize(
    "body",
    [
        *[None, [], [[]], "text", 3, {"error": "no"}],
        {"error": {"details": "no", "metadata": [1]}},
        {"error": {"details": [1, None, {"retryDelay": {}}, {"retryDelay": True}]}},
    ],
)
def test_bodies_of_other_shapes_say_nothing(body: object) -> None:
    assert asked({}, body) is None


def test_the_reset_of_a_spent_limit_is_a_wait_and_that_of_another_is_not() -> None:
    spent = {"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "8s"}
    other = {"x-ratelimit-remaining-requests": "5", "x-ratelimit-reset-requests": "6h"}
    assert asked({**spent, **other}) == 8
    assert asked(other) is None
