from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

import pytest

from pairmill.config import load
from pairmill.errors import ConfigError
from pairmill.llm.budget import CallOutcome, PricedUsage
from pairmill.llm.price_files import load_prices
from pairmill.records import Completion, Usage
from pairmill.run.spending import check_prices, open_spending
from pairmill.store.entries import Batch, PaidAnswer
from pairmill.store.folder import RunFolder, open_folder
from pairmill.store.journal import Journal

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PRICES = load_prices()
PRICE = PRICES.find("gpt-4o-mini")
MODELS = {"gpt-4o-mini": PRICE}
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


def test_a_cap_in_dollars_needs_the_price_of_every_model_that_is_asked() -> None:
    capped = load(given={"max_usd": 1.0})
    check_prices(capped, MODELS, PRICES)
    with pytest.raises(ConfigError, match="the price of 'x' is not known"):
        check_prices(capped, {"x": None}, PRICES)
    judged = load(given={"max_usd": 1.0, "judge": "all", "judge_model": "y"})
    with pytest.raises(ConfigError, match="the price of 'y' is not known"):
        check_prices(judged, MODELS, PRICES)
    check_prices(load(given={"max_total_tokens": 1}), {"x": None}, PRICES)


def test_without_a_cap_nothing_is_kept(folder: RunFolder) -> None:
    spending = open_spending(load(), MODELS, PRICES, folder)
    spending.write()
    assert not spending.budget.is_capped
    assert not spending.path.exists()


def test_what_the_ledger_bought_counts_though_nothing_was_recorded(folder: RunFolder) -> None:
    spending = open_spending(load(given={"max_usd": 1.0}), MODELS, PRICES, folder)
    assert spending.budget.spent.picodollars == 1000 * MINI


@pytest.mark.parametrize(("seconds", "is_over"), [(7_190, False), (7_201, True)])
def test_a_cap_in_hours_counts_those_of_all_starts(
    folder: RunFolder, seconds: int, *, is_over: bool
) -> None:
    document = {"picodollars": 0, "tokens": 0, "seconds": seconds}
    (folder.state / "spent.json").write_text(json.dumps(document), "utf-8")
    budget = open_spending(load(given={"max_hours": 2}), MODELS, PRICES, folder).budget
    assert (budget.try_reserve(1, 0, PRICE) is None) == is_over
    assert (budget.exhausted is not None) == is_over


def test_after_a_kill_what_was_in_flight_counts_at_its_worst(folder: RunFolder) -> None:
    settings = load(given={"max_usd": 1.0})
    killed = open_spending(settings, MODELS, PRICES, folder)
    reservation = killed.budget.try_reserve(5000, 0, PRICE)
    assert reservation is not None
    killed.budget.send(reservation)
    killed.write()
    (folder.state / "spent.now").unlink()  # a power loss
    again = open_spending(settings, MODELS, PRICES, folder)
    at_worst = 1000 * MINI + reservation.picodollars
    assert again.budget.spent.picodollars == at_worst
    assert again.budget.spent.tokens == 1000 + reservation.tokens
    assert again.lost is not None
    assert again.lost.most_picodollars == reservation.picodollars
    assert again.lost.most_tokens == reservation.tokens


def test_after_a_kill_the_tokens_in_flight_count_though_no_price_is_known(
    folder: RunFolder,
) -> None:
    settings = load(given={"max_total_tokens": 10**9})
    killed = open_spending(settings, MODELS, PRICES, folder)
    reservation = killed.budget.try_reserve(5000, 700, None)
    assert reservation is not None
    killed.budget.send(reservation)
    assert open_spending(settings, MODELS, PRICES, folder).budget.spent.tokens == (
        1000 + reservation.tokens
    )


def test_a_kill_at_any_moment_leaves_what_went_out_and_not_what_waited(folder: RunFolder) -> None:
    settings = load(given={"max_usd": 1.0})
    killed = open_spending(settings, MODELS, PRICES, folder)
    reservations = [killed.budget.try_reserve(5000, 0, PRICE) for _ in range(3)]
    sent, answered, waiting = (it for it in reservations if it is not None)
    killed.write()
    killed.budget.send(sent)  # since the last time that a record was synced
    killed.budget.send(answered)
    charge = PricedUsage(Usage(2000, 0), 2000 * MINI)
    killed.budget.settle(answered, CallOutcome.ANSWERED, charge)  # and the ledger does not know
    again = open_spending(settings, MODELS, PRICES, folder)
    assert again.budget.spent.picodollars == 3000 * MINI + sent.picodollars
    assert killed.budget.reserved.picodollars == sent.picodollars + waiting.picodollars


def test_a_mark_that_was_damaged_counts_for_nothing(folder: RunFolder) -> None:
    settings = load(given={"max_usd": 1.0})
    for damage in (b"", b"\0" * 20, b"x" * 20, b"x" * 999):
        (folder.state / "spent.now").write_bytes(damage)
        assert open_spending(settings, MODELS, PRICES, folder).budget.spent.tokens == 1000


def test_after_a_clean_end_only_what_was_spent_counts(folder: RunFolder) -> None:
    settings = load(given={"max_usd": 1.0})
    ended = open_spending(settings, MODELS, PRICES, folder)
    reservation = ended.budget.try_reserve(5000, 0, PRICE)
    assert reservation is not None
    charge = PricedUsage(Usage(2000, 0), 2000 * MINI)
    ended.budget.settle(reservation, CallOutcome.ANSWERED, charge)
    ended.close()
    again = open_spending(settings, MODELS, PRICES, folder)
    assert again.budget.spent.picodollars == 3000 * MINI


def test_a_cap_in_dollars_needs_a_price(folder: RunFolder) -> None:
    with pytest.raises(ConfigError, match="the price of 'mystery' is not known"):
        open_spending(load(given={"max_usd": 1.0}), {"mystery": None}, PRICES, folder)


def test_a_judge_without_a_pool_needs_a_price_too(folder: RunFolder) -> None:
    given = {"max_usd": 1.0, "judge": "sample", "judge_model": "nobody-knows"}
    with pytest.raises(ConfigError, match="nobody-knows"):
        open_spending(load(given=given), MODELS, PRICES, folder)
    off = load(given={**given, "judge": "off"})
    assert open_spending(off, MODELS, PRICES, folder).budget.is_capped
