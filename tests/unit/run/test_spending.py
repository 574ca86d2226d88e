from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from pairmill.config import load
from pairmill.errors import ConfigError
from pairmill.llm.budget import CallOutcome
from pairmill.llm.pools import Pool
from pairmill.llm.price_files import load_prices
from pairmill.records import Completion, Usage
from pairmill.run.spending import open_spending
from pairmill.store.entries import Batch, PaidAnswer
from pairmill.store.folder import RunFolder, open_folder
from pairmill.store.journal import Journal

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PRICES = load_prices()
POOL = Pool("a", "http://x.test/v1", "KEY", "gpt-4o-mini", price=PRICES.find("gpt-4o-mini"))
MINI = 150_000  # picodollars a prompt token


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[RunFolder]:
    with open_folder(
        tmp_path / "run", settings_fingerprint={}, accept_change=False, version="1"
    ) as found:
        with Journal.open(found, clock=time.monotonic) as journal:
            usage = Usage(1000, 0)
            answer = Completion("t", "stop", "gpt-4o-mini-2024-07-18", usage, 0.0)
            journal.commit(Batch([PaidAnswer("a" * 32, "b" * 32, "c" * 32, answer)]))
        yield found


def test_without_a_cap_nothing_is_kept(folder: RunFolder) -> None:
    assert open_spending(load(), [POOL], PRICES, folder) is None


def test_what_the_ledger_bought_counts_though_nothing_was_recorded(folder: RunFolder) -> None:
    spending = open_spending(load(given={"max_usd": 1.0}), [POOL], PRICES, folder)
    assert spending is not None
    assert spending.budget.spent(time.monotonic()).picodollars == 1000 * MINI


def test_after_a_kill_what_was_in_flight_counts_at_its_worst(folder: RunFolder) -> None:
    settings = load(given={"max_usd": 1.0})
    killed = open_spending(settings, [POOL], PRICES, folder)
    assert killed is not None
    assert killed.budget.reserve(5000, 0, POOL.price, time.monotonic())
    killed.write()
    again = open_spending(settings, [POOL], PRICES, folder)
    assert again is not None
    assert again.budget.spent(time.monotonic()).picodollars == 6000 * MINI


def test_after_a_clean_end_only_what_was_spent_counts(folder: RunFolder) -> None:
    settings = load(given={"max_usd": 1.0})
    ended = open_spending(settings, [POOL], PRICES, folder)
    assert ended is not None
    reservation = ended.budget.reserve(5000, 0, POOL.price, time.monotonic())
    assert reservation is not None
    ended.budget.settle(reservation, CallOutcome.ANSWERED, Usage(2000, 0))
    ended.write(over=True)
    again = open_spending(settings, [POOL], PRICES, folder)
    assert again is not None
    assert again.budget.spent(time.monotonic()).picodollars == 3000 * MINI


def test_a_cap_in_dollars_needs_a_price(folder: RunFolder) -> None:
    mystery = Pool("a", "http://x.test/v1", "KEY", "mystery")
    with pytest.raises(ConfigError, match="the price of 'mystery' is not known"):
        open_spending(load(given={"max_usd": 1.0}), [mystery], PRICES, folder)


def test_a_judge_without_a_pool_needs_a_price_too(folder: RunFolder) -> None:
    given = {"max_usd": 1.0, "judge": "sample", "judge_model": "nobody-knows"}
    with pytest.raises(ConfigError, match="nobody-knows"):
        open_spending(load(given=given), [POOL], PRICES, folder)
    off = load(given={**given, "judge": "off"})
    assert open_spending(off, [POOL], PRICES, folder) is not None
