"""Parses what a reply's headers and body say about limits. Pure; any of it may be absent or junk.

Providers differ in names, units and meaning. The reader splits names into words, so
``x-ratelimit-remaining-tokens``, ``anthropic-ratelimit-tokens-remaining`` and
``x-ratelimit-limit-req-minute`` are one case. Two dialects are distinguished by profile or host:
Groq counts requests per day, Together per second.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from enum import IntEnum, StrEnum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "LIMIT_HEADERS",
    "LONGEST_S",
    "HeaderDialect",
    "HeaderReading",
    "LimitHint",
    "ServerWait",
    "Unit",
    "read_hint",
    "read_number",
    "read_wait_s",
    "retry_after_s",
]

LONGEST_S = 86_400.0  # a wait beyond a day is cut to a day, and said so

_EPOCH_MS = 1e11  # a bare number above is milliseconds since 1970
_EPOCH_S = 1e9  # above: seconds since 1970
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|us|µs|ns|h|m|s|d)")
_SECONDS = {"d": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6}
_SECONDS["mi"] = _SECONDS["ms"]  # milliseconds
_LONGEST_TEXT = 64
_SPENT = 0.02  # of a limit
_MOST = 1e15  # a larger limit is none


LIMIT_HEADERS = (
    "x-ratelimit",
    "ratelimit",
    "anthropic-ratelimit",
    "retry-after",
    "x-should-retry",
    "location",
)
"""Prefixes of the names of headers that are kept, in lower case: about limits and redirects."""


class Unit(IntEnum):
    """What a limit counts."""

    REQUESTS = 0
    INPUT = 1
    OUTPUT = 2
    TOKENS = 3


class HeaderDialect(StrEnum):
    """Providers whose headers mean something else under the usual names."""

    COMMON = "common"
    GROQ = "groq"
    TOGETHER = "together"


@dataclass(frozen=True, slots=True)
class HeaderReading:
    """One limit: its size, the remaining amount, and seconds until its reset (None: unknown).

    The meaning of a reset differs: OpenAI's is the time until the quota is *full* again.
    """

    limit: float | None = None
    remaining: float | None = None
    reset_s: float | None = None


@dataclass(frozen=True, slots=True)
class LimitHint:
    """Everything that one reply said about limits.

    Attributes:
        minute: Limits that are rates, converted to per minute.
        day: Limits per day: a budget, never a rate.
        clamped: Header values that were cut to a day or ignored, for a notice.
    """

    minute: Mapping[Unit, HeaderReading] = field(default_factory=dict)
    day: Mapping[Unit, HeaderReading] = field(default_factory=dict)
    clamped: tuple[str, ...] = ()

    @property
    def is_not_on_plan(self) -> bool:
        """True if a limit is 0: the model is not on this key's plan, and waiting cannot help."""
        return any(reading.limit == 0 for reading in (*self.minute.values(), *self.day.values()))

    @property
    def is_spent(self) -> bool:
        """True if nearly nothing is left of a limit: less than one or two calls may need."""
        return any(
            reading.remaining is not None and reading.remaining <= _SPENT * (reading.limit or 0.0)
            for reading in self.minute.values()
        )

    @property
    def blocked_s(self) -> float | None:
        """Seconds until the used-up limits reset; None if there are none, or without a time."""
        spent = [
            reading.reset_s
            for reading in (*self.minute.values(), *self.day.values())
            if reading.remaining == 0 and reading.reset_s is not None
        ]
        return max(spent, default=None)


@dataclass(frozen=True, slots=True)
class ServerWait:
    """A requested wait, between 0 and a day; ``clamped`` if more was requested."""

    seconds: float
    clamped: bool = False


def read_number(text: str) -> float | None:
    """Parse a count: digits, possibly with thousands separators or decimals; else None.

    Values above 1e15 are cut to that.
    """
    text = text.strip()
    if len(text) > _LONGEST_TEXT or not re.fullmatch(r"\d{1,3}(,\d{3})+|\d+(\.\d+)?", text):
        return None
    return min(float(text.replace(",", "")), _MOST)


def read_wait_s(text: str, now_wall: float) -> ServerWait | None:
    """Parse a wait in any dialect: seconds, "6m0s", "12ms", epoch s or ms, RFC 3339, HTTP date.

    A time in the past is a wait of 0. None if it is not a wait: NaN, infinity, a negative, words.

    Args:
        text: The header's value.
        now_wall: Seconds since the epoch.
    """
    text = text.strip()
    if not text or len(text) > _LONGEST_TEXT:
        return None
    try:
        number = float(text) if "_" not in text else math.nan
    except ValueError:
        return _read_words(text, now_wall)
    if not math.isfinite(number) or number < 0:
        return None
    if number > _EPOCH_MS:
        number = number / 1000.0 - now_wall
    elif number > _EPOCH_S:
        number -= now_wall
    return _clamp(number)


def retry_after_s(
    headers: Mapping[str, str],
    body: object = None,
    *,
    now_wall: float,
    said: str = "",
) -> ServerWait | None:
    """Return how long a refusal asks us to wait; None if it does not say.

    All dialects spell a reset alike, so it need not be known which one the endpoint speaks.

    In this order: ``retry-after-ms``, ``retry-after`` (seconds or a date), Google's ``RetryInfo``,
    OpenRouter's ``metadata.retry_after_seconds``, the reset of a limit with nothing left, a time
    or a date in the message ("try again in", "resets at").

    Args:
        headers: The reply's headers, in any case.
        body: The reply's JSON, if there is any.
        now_wall: Seconds since the epoch.
        said: The reply's message.
    """
    lower = {name.lower(): value for name, value in headers.items()}
    if (text := lower.get("retry-after-ms")) is not None:
        try:
            milliseconds = float(text)
        except ValueError:
            milliseconds = math.nan
        if math.isfinite(milliseconds) and milliseconds >= 0:
            return _clamp(milliseconds / 1000.0)
    if (text := lower.get("retry-after")) is not None:
        wait = read_wait_s(text, now_wall)
        if wait is not None:
            return wait
    for found in _body_waits(body):
        wait = read_wait_s(found, now_wall)
        if wait is not None:
            return wait
    blocked_s = read_hint(lower, now_wall=now_wall).blocked_s
    return _said_wait(said, now_wall) if blocked_s is None else ServerWait(blocked_s)


def read_hint(
    headers: Mapping[str, str], *, now_wall: float, dialect: HeaderDialect = HeaderDialect.COMMON
) -> LimitHint:
    """Parse all rate-limit headers of a reply; return an empty hint if there are none.

    Args:
        headers: The reply's headers, in any case.
        now_wall: Seconds since the epoch.
        dialect: How the endpoint names its limits.
    """
    found: dict[tuple[bool, Unit], dict[str, float]] = {}
    clamped: list[str] = []
    for name, text in headers.items():
        place = _place(name.lower(), dialect)
        if place is None:
            continue
        is_daily, unit, what = place
        if what == "reset":
            wait = read_wait_s(text, now_wall)
            value = None if wait is None else wait.seconds
            is_bad = wait is None or wait.clamped
        else:
            value = read_number(text)
            is_bad = value is None
        if is_bad:
            clamped.append(name.lower())
        if value is None:
            continue
        if dialect is HeaderDialect.TOGETHER and what != "reset":
            value *= 60.0
        values = found.setdefault((is_daily, unit), {})
        # Two headers for one unit (of the key and of its project): the tighter one counts.
        lesser = max if what == "reset" else min
        values[what] = lesser(value, values.get(what, value))
    readings = {
        place: HeaderReading(values.get("limit"), values.get("remaining"), values.get("reset"))
        for place, values in found.items()
    }
    return LimitHint(
        minute={unit: reading for (is_daily, unit), reading in readings.items() if not is_daily},
        day={unit: reading for (is_daily, unit), reading in readings.items() if is_daily},
        clamped=tuple(clamped),
    )


def _place(name: str, dialect: HeaderDialect) -> tuple[bool, Unit, str] | None:
    """Return whether it is per day, its unit, and its role (limit, remaining, reset); else None."""
    head, found, tail = name.partition("ratelimit")
    if not found or head not in {"", "x-", "anthropic-"}:
        return None
    words = set(tail.replace("_", "-").split("-"))
    if words & _IGNORED:
        return None
    what = next((word for word in ("limit", "remaining", "reset") if word in words), None)
    if what is None:
        return None
    unit = _unit(words)
    if unit is None:
        # A bare x-ratelimit-limit is a rate with Together only; elsewhere its period is unknown.
        if not words <= {"", what, "minute"} or (
            dialect is not HeaderDialect.TOGETHER and what == "limit"
        ):
            return None
        unit = Unit.REQUESTS
    is_daily = "day" in words or (dialect is HeaderDialect.GROQ and unit is Unit.REQUESTS)
    return is_daily, unit, what


def _unit(words: set[str]) -> Unit | None:
    if words & {"requests", "request", "req"}:
        return Unit.REQUESTS
    if words & {"tokens", "token"}:
        if "input" in words:
            return Unit.INPUT
        return Unit.OUTPUT if "output" in words else Unit.TOKENS
    return None


def _read_words(text: str, now_wall: float) -> ServerWait | None:
    """Parse a duration such as "1h2m3s", or a point in time."""
    parts = _DURATION.findall(text)
    if parts and "".join(number + unit for number, unit in parts) == text:
        return _clamp(sum(float(number) * _SECONDS.get(unit, 1e-9) for number, unit in parts))
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        try:
            moment = parsedate_to_datetime(text)
        except (ValueError, IndexError, TypeError, OverflowError):
            return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    try:
        return _clamp(moment.timestamp() - now_wall)
    except (OverflowError, ValueError):
        return None


def _clamp(seconds: float) -> ServerWait:
    if seconds > LONGEST_S:
        return ServerWait(LONGEST_S, clamped=True)
    return ServerWait(max(0.0, seconds))


def _body_waits(body: object) -> list[str]:
    """Return the waits named in an error body, as text; the body may be a list of one."""
    if isinstance(body, list) and body:
        body = body[0]
    error = _get(body, "error")
    metadata = _get(error, "metadata")
    found = [_get(metadata, "retry_after_seconds")]
    details = _get(error, "details")
    if isinstance(details, list):
        found += [_get(detail, "retryDelay") for detail in details]
    headers = _get(metadata, "headers")
    if isinstance(headers, dict):
        lower = {str(name).lower(): value for name, value in headers.items()}
        found += [lower.get("retry-after"), lower.get("x-ratelimit-reset")]
    return [
        str(value)
        for value in found
        if isinstance(value, str | int | float) and not isinstance(value, bool)
    ]


def _get(value: object, name: str) -> Any:
    return value.get(name) if isinstance(value, dict) else None


def _said_wait(message: str, now_wall: float) -> ServerWait | None:
    """Return the wait that a message asks for in words, as a time span or a date."""
    said = _SAID.search(message[:_MOST_SAID])
    if said is None:
        return None
    if said["date"]:
        moment = re.sub(r"\s+(?:at\s+)?(?=\d)", "T", said["date"].strip(), count=1)
        return read_wait_s(re.sub(r"\s*(?:UTC|GMT)$", "Z", moment), now_wall)
    parts = _SPAN.findall(said["span"].lower())
    return _clamp(sum(float(number) * _SECONDS[unit[:2]] for number, unit in parts))


_SPAN = re.compile(r"(\d+(?:\.\d+)?)\s?(ms|millis|[smhd])")
_SAID = re.compile(
    r"(?:again|retry|resets?|regain|available|wait|replenished)"
    r"(?:[\s:(]+(?:your?|request|again|access|quota|limit|the|will|is|be|it|in|after|at|on|until|for|about"
    r"|approximately|around|least|please|reset|retry|retrying|before|try|another)\b)*[\s:(]+"
    r"(?:(?P<span>(?:\d+(?:\.\d+)?\s?(?:ms|milliseconds?|s|secs?|seconds?|m|mins?|minutes?|h|hrs?"
    r"|hours?|d|days?)(?![a-z])(?:,? and |[ ,]*))+)"
    r"|(?P<date>20\d\d-\d\d-\d\d(?:(?:T|\s+at\s+|\s+)\d\d:\d\d(?::\d\d(?:\.\d+)?)?"
    r"(?:Z|\s*UTC|\s*GMT|[+-]\d\d:?\d\d)?)?))",
    re.IGNORECASE,
)
_MOST_SAID = 4000
_IGNORED = frozenset({"unified", "cost", "month", "hour", "week", "policy", "query"})
