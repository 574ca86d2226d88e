from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest

from pairmill.errors import ConfigError
from pairmill.llm.price_files import load_prices
from pairmill.llm.prices import PICO, Price, PriceTable, dollars, pico
from pairmill.records import Usage

if TYPE_CHECKING:
    from pathlib import Path


def test_a_token_of_a_small_model_is_not_rounded_away() -> None:
    price = load_prices().find("gpt-4o-mini")
    assert price is not None
    assert (price.input, price.cached, price.output) == (150_000, 75_000, 600_000)
    assert price.cost(Usage(1, 0)) == 150_000  # 0.15 millionths of a dollar
    million = Usage(1_000_000, 1_000_000, cached_tokens=400_000)
    assert Decimal(price.cost(million)) / PICO == Decimal("0.09") + Decimal("0.03") + Decimal("0.6")


def test_sums_over_millions_of_calls_are_exact() -> None:
    price = load_prices().find("gpt-4o-mini")
    assert price is not None
    assert sum(price.cost(Usage(7, 3)) for _ in range(100_000)) == 100_000 * 2_850_000


def test_no_usage_costs_more_than_the_worst_case() -> None:
    price = Price(100, 150, 400)  # a cache that is dearer than no cache
    assert price.cost(Usage(10, 5, cached_tokens=10)) <= price.worst(10, 5)
    assert price.cost(Usage(10, 5, cached_tokens=99)) <= price.worst(10, 5)
    assert price.cost(Usage(10, 5, cached_tokens=-4)) == 10 * 100 + 5 * 400


@pytest.mark.parametrize(
    ("model", "like"),
    [
        ("gpt-4o-mini-2024-07-18", "gpt-4o-mini"),
        ("openai/gpt-4o", "gpt-4o"),
        ("gpt-4.1-latest", "gpt-4.1"),
        ("local:/models/x.gguf", "local"),
    ],
)
def test_names_with_dates_and_prefixes(model: str, like: str) -> None:
    prices = load_prices()
    assert prices.find(model) == prices.find(like)
    assert prices.find(model) is not None


@pytest.mark.parametrize("model", ["gpt-5-pro", "gpt-4o-mini-audio", "llama-3", "", "o3-pro"])
def test_a_likeness_is_no_price(model: str) -> None:
    assert load_prices().find(model) is None


def test_a_dated_line_of_its_own_wins() -> None:
    price = load_prices().find("gpt-4o-2024-05-13")
    assert price is not None
    assert price.input == price.cached == 5_000_000


def test_the_users_file_stands_above_the_bundled_one(tmp_path: Path) -> None:
    file = tmp_path / "prices.yaml"
    file.write_text("gpt-4o: {input: 1, output: 2.5}\nmine: {input: '0.000001', output: 0}\n")
    prices = load_prices(file)
    own = prices.find("gpt-4o")
    assert own is not None
    assert (own.input, own.cached, own.output) == (1_000_000, 1_000_000, 2_500_000)
    assert own.shutdown is not None  # what the bundled table knows of its end still holds
    assert prices.find("mine") == Price(1, 1, 0)
    assert prices.find("gpt-4o-mini") is not None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[1, 2]", "expected 'model"),
        ("a: {input: 1}", "needs 'input' and 'output'"),
        ("a: {input: 1, output: 2, extra: 3}", "needs 'input' and 'output'"),
        ("a: {input: -1, output: 2}", "prices are numbers"),
        ("a: {input: .inf, output: 2}", "prices are numbers"),
        ("a: {input: cheap, output: 2}", "prices are numbers"),
        ("a: {input: '0.00000001', output: 2}", "more than six decimals"),
        ("a: {input: 1", "not valid YAML"),
    ],
)
def test_a_wrong_file_is_told_in_one_line(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "prices.yaml"
    file.write_text(text)
    with pytest.raises(ConfigError, match=message) as caught:
        load_prices(file)
    assert str(file) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot read prices from"):
        load_prices(tmp_path / "none.yaml")


def test_dollars_for_people() -> None:
    assert dollars(pico("12.5")) == "$12.5000"
    assert dollars(pico("1234.5"), 2) == "$1,234.50"
    assert dollars(150_000) == "$0.00000015"
    assert dollars(0) == "$0.0000"
    with pytest.raises(ValueError, match="not an amount"):
        pico("much")


def _at(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


FULL = """
as_of: 2026-11-29
m:
  {input: 1, cached: "0.1", cache_write: "1.25", output: 10, reasoning: 8, shutdown: 2027-01-14,
   bands: [{above: 1000, input: 2, output: 15}],
   tiers: {flex: 0.5, priority: {input: 4, output: 40}},
   peaks: [{factor: 2, days: mon-fri, utc: "01:00-04:00"}],
   from: {2027-01-01: {input: 3, output: 30}}}
"""


@pytest.fixture
def full(tmp_path: Path) -> Price:
    file = tmp_path / "prices.yaml"
    file.write_text(FULL)
    found = load_prices(file).find("m")
    assert found is not None
    return found


def test_each_kind_of_token_has_its_price(full: Price) -> None:
    usage = Usage(900, 100, cached_tokens=200, reasoning_tokens=60, cache_write_tokens=300)
    micro = 10**6
    assert full.cost(usage) == 400 * micro + 20 * micro + 375 * micro + 400 * micro + 480 * micro


def test_no_more_is_written_to_a_cache_than_was_not_read_from_it() -> None:
    price = Price(100, 50, 400, cache_write=125)
    told = Usage(10, 0, cached_tokens=4, cache_write_tokens=10)  # more than can be
    assert price.cost(told) == 6 * 125 + 4 * 50


def test_a_price_of_a_later_date_keeps_the_hours_unless_it_has_its_own(full: Price) -> None:
    usage, usual = Usage(100, 0), 100 * 10**6
    monday = _at("2027-01-04T02:30:00")
    assert full.cost(usage, monday) == 2 * 3 * usual
    ((since, changed),) = full.changes
    own = replace(full.peaks[0], factor=Decimal(5))
    again = replace(full, changes=((since, replace(changed, peaks=(own,))),))
    assert again.cost(usage, monday) == 5 * 3 * usual


def test_a_long_prompt_makes_the_whole_call_dearer(full: Price) -> None:
    assert full.cost(Usage(1000, 0)) == 1000 * 10**6
    assert full.cost(Usage(1001, 10)) == 1001 * 2 * 10**6 + 10 * 15 * 10**6
    assert full.worst(1001, 10) >= full.cost(Usage(1001, 10))
    assert full.worst(1000, 10) == 1000 * 1_250_000 + 10 * 10**7


def test_service_tiers_hours_and_dates_change_the_price(full: Price) -> None:
    usage, usual = Usage(100, 0), 100 * 10**6
    assert full.for_tier("flex").cost(usage) == usual // 2
    assert full.for_tier("priority").cost(usage) == 4 * usual
    assert full.for_tier("scale") == full.for_tier(None) == full
    assert full.cost(usage, _at("2026-12-04T02:30:00")) == 2 * usual  # a Friday
    assert full.cost(usage, _at("2026-12-05T02:30:00")) == usual  # a Saturday
    assert full.cost(usage, _at("2026-12-04T04:00:00")) == usual
    assert full.cost(usage, _at("2026-12-31T23:59:59")) == usual
    assert full.cost(usage, _at("2027-01-02T12:00:00")) == 3 * usual
    assert full.for_tier("flex").cost(usage, _at("2026-12-04T02:30:00")) == usual


def test_a_call_that_goes_just_before_a_dearer_hour_is_covered_at_its_price(full: Price) -> None:
    before = _at("2026-12-04T00:50:00")
    later = full.cost(Usage(500, 100), before + 700)
    assert full.cost(Usage(500, 100), before) < later <= full.worst(500, 100, before)


LITELLM = {
    "sample_spec": {"input_cost_per_token": 0.0, "output_cost_per_token": 0.0, "mode": "chat"},
    "gpt-x": {
        "litellm_provider": "openai",
        "input_cost_per_token": 1e-06,
        "output_cost_per_token": 4e-06,
        "cache_read_input_token_cost": 2.5e-07,
        "input_cost_per_token_above_200k_tokens": 2e-06,
        "output_cost_per_token_above_200k_tokens": 6e-06,
        "input_cost_per_token_flex": 5e-07,
        "output_cost_per_token_flex": 2e-06,
        "output_cost_per_reasoning_token": 3e-06,
        "deprecation_date": "2027-03-01",
    },
    "groq/shared": {
        "litellm_provider": "groq", "input_cost_per_token": 1e-07, "output_cost_per_token": 2e-07,
    },
    "together_ai/shared": {
        "litellm_provider": "together_ai",
        "input_cost_per_token": 3e-07,
        "output_cost_per_token": 4e-07,
    },
    "dashscope/tiered": {
        "litellm_provider": "dashscope",
        "tiered_pricing": [
            {"range": [0, 128000.0], "input_cost_per_token": 1e-07, "output_cost_per_token": 4e-07},
            {"range": [128000.0, 1e6], "input_cost_per_token": 3e-7, "output_cost_per_token": 1e-6},
        ],
    },
    "dashscope/based": {
        "litellm_provider": "dashscope",
        "input_cost_per_token": 1e-07,
        "output_cost_per_token": 4e-07,
        "tiered_pricing": [
            {"range": [0, 128000.0], "input_cost_per_token": 1e-07, "output_cost_per_token": 4e-07},
            {"range": [128000.0, 1e6], "input_cost_per_token": 3e-7, "output_cost_per_token": 1e-6},
        ],
    },
    "odd": {"litellm_provider": "x", "input_cost_per_token": "free", "output_cost_per_token": None,
            "tiered_pricing": 3},
    "images": {"litellm_provider": "x", "mode": "image_generation"},
}  # fmt: skip


def test_litellms_cost_map_is_read_as_it_is(tmp_path: Path) -> None:
    file = tmp_path / "model_prices_and_context_window.json"
    file.write_text(json.dumps(LITELLM))
    prices = load_prices(file)
    own = prices.find("gpt-x")
    assert own is not None
    assert (own.input, own.cached, own.output, own.reasoning) == (
        10**6,
        250_000,
        4 * 10**6,
        3 * 10**6,
    )
    assert own.cost(Usage(200_001, 0)) == 200_001 * 2 * 10**6
    assert own.for_tier("flex").input == 500_000
    assert own.shutdown == date(2027, 3, 1)
    assert prices.find("dashscope/based") == prices.find("dashscope/tiered")
    groq, dearest = prices.find("shared", host="api.groq.com"), prices.find("shared")
    assert groq is not None
    assert dearest is not None
    assert (groq.input, dearest.input) == (100_000, 300_000)
    tiered = prices.find("tiered")
    assert tiered is not None
    assert tiered.cost(Usage(128_001, 10)) == 128_001 * 300_000 + 10 * 10**6
    assert prices.find("odd") is prices.find("images") is prices.find("sample_spec") is None
    assert prices.find("gpt-6-luna") is not None  # the bundled ones are there still


def test_models_devs_json_is_read_as_it_is(tmp_path: Path) -> None:
    file = tmp_path / "api.json"
    cost = {
        "input": 0.075, "output": 0.3, "cache_read": 0.01, "cache_write": 0.1,
        "context_over_200k": {"input": 0.15, "output": 0.6},
    }  # fmt: skip
    models = {"small": {"id": "small", "cost": cost}, "free": {"id": "free"}}
    file.write_text(json.dumps({"maker": {"id": "maker", "models": models}}))
    price = load_prices(file).find("small")
    assert price is not None
    assert (price.input, price.cached, price.output, price.cache_write) == (
        75_000, 10_000, 300_000, 100_000,
    )  # fmt: skip
    assert price.cost(Usage(200_001, 1)) == 200_001 * 150_000 + 600_000
    assert load_prices(file).find("free") is None


def test_a_public_table_without_any_price_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "api.json"
    file.write_text('{"maker": {"models": {"x": {}}}}')
    with pytest.raises(ConfigError, match="it contains no price"):
        load_prices(file)


def test_an_old_table_says_so() -> None:
    prices = load_prices()
    assert prices.as_of is not None
    assert prices.age_warning(prices.as_of + timedelta(days=90)) == ""
    assert "may have changed" in prices.age_warning(prices.as_of + timedelta(days=91))


@pytest.mark.parametrize(
    "line",
    [
        "bands: [{above: many, input: 1}]",
        "bands: {above: 1}",
        "tiers: [flex]",
        "tiers: {flex: cheap}",
        "peaks: [{factor: 2, utc: soon}]",
        "peaks: [{factor: 2, days: someday}]",
        "from: {soon: {input: 1, output: 2}}",
        "from: [1]",
        "shutdown: never",
    ],
)
def test_a_wrong_part_of_a_price_is_told_in_one_line(tmp_path: Path, line: str) -> None:
    file = tmp_path / "prices.yaml"
    file.write_text(f"m: {{input: 1, output: 2, {line}}}\n")
    with pytest.raises(ConfigError, match=r"prices\.yaml: m: ") as caught:
        load_prices(file)
    assert "\n" not in str(caught.value)


def test_the_cost_of_several_models_is_exact_or_unknown() -> None:
    prices = PriceTable({"a": Price(3, 2, 5), "b": Price(7, 7, 11)})
    used = {"a": Usage(10, 4), "b": Usage(1, 1)}
    assert prices.cost_of(used) == (10 * 3 + 4 * 5) + (7 + 11)
    assert prices.cost_of({}) == 0
    assert prices.cost_of({**used, "nobody's": Usage(1, 1)}) is None
