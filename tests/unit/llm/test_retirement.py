from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

import pytest

from pairmill.config import load
from pairmill.errors import ConfigError
from pairmill.llm.price_files import load_prices
from pairmill.llm.retirement import check_model_is_named, end_of, warnings_on

TODAY = date(2026, 11, 29)
NOW = datetime(2026, 11, 29, tzinfo=UTC).timestamp()
AFTER = datetime(2027, 1, 15, tzinfo=UTC).timestamp()


def test_the_end_of_a_model_is_told_for_ninety_days_and_from_then_on() -> None:
    assert end_of("m", None, TODAY) == ""
    assert end_of("m", date(2027, 2, 28), TODAY) == ""
    assert end_of("m", date(2027, 2, 27), TODAY) == (
        "m is switched off on 2027-02-27, in 90 days: choose another one before"
    )
    assert "today" in end_of("m", TODAY, TODAY)
    assert "was switched off on 2026-11-28" in end_of("m", date(2026, 11, 28), TODAY)


def test_what_the_endpoint_says_counts_more_and_ones_own_servers_are_ones_own() -> None:
    prices = load_prices()
    assert warnings_on("gpt-4o-mini", prices, "127.0.0.1", TODAY) == []
    (line,) = warnings_on("gpt-4o-mini", prices, "api.openai.com", TODAY)
    assert "2027-01-14" in line
    (line,) = warnings_on("m", prices, "127.0.0.1", TODAY, date(2026, 12, 1))
    assert "in 2 days" in line
    assert warnings_on("gpt-6-luna", prices, "api.openai.com", TODAY) == []


def _check(now: float, *, is_begun: bool = False, **given: Any) -> None:
    check_model_is_named(load(given=given), {"OPENAI_API_KEY": "k"}, now, is_begun=is_begun)


def test_a_new_run_asks_for_a_model_where_the_default_is_about_to_end() -> None:
    with pytest.raises(ConfigError, match="name a model with --model"):
        _check(NOW)
    _check(NOW, model="gpt-4o-mini")
    _check(NOW, model="local")
    _check(NOW, base_url="http://localhost:8000/v1")
    _check(NOW, pools=[{"name": "a", "model": "m"}])


def test_a_folder_that_was_begun_with_the_default_goes_on_until_its_last_day() -> None:
    _check(NOW, is_begun=True)
    with pytest.raises(ConfigError, match="whose last day is 2027-01-14"):
        _check(AFTER, is_begun=True)
