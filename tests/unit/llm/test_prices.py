from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

import pytest

from pairmill.errors import ConfigError
from pairmill.llm.price_files import load_prices
from pairmill.llm.prices import PICO, Price, dollars, pico
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
