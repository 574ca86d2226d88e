"""What a run may spend and has spent, kept in its folder from one start to the next.

The record holds what was spent and the worst of what was in flight when it was written, a few times
a second. After a kill the larger of it and of what the ledger's answers cost is taken as spent, so
that a call whose answer was lost counts as paid for.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import orjson

from pairmill.llm.budget import Budget, Caps, Spent
from pairmill.llm.prices import pico
from pairmill.store.files import atomic_write
from pairmill.store.lookup import Lookup

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from pairmill.config import Settings
    from pairmill.llm.pools import Pool
    from pairmill.llm.prices import PriceTable
    from pairmill.store.folder import RunFolder

__all__ = ["Spending", "open_spending"]


@dataclass(frozen=True, slots=True)
class Spending:
    """A budget, and where it is written down."""

    budget: Budget
    path: Path

    def write(self, *, over: bool = False) -> None:
        """Record what is spent; with ``over`` nothing is in flight any more.

        Raises:
            StorageError: The disk refused.
        """
        spent, reserved = self.budget.spent(time.monotonic()), self.budget.reserved
        document = {
            "picodollars": spent.picodollars + (0 if over else reserved.picodollars),
            "tokens": spent.tokens + (0 if over else reserved.tokens),
            "seconds": round(spent.seconds, 3),
        }
        atomic_write(self.path, orjson.dumps(document))


def open_spending(
    settings: Settings, pools: Sequence[Pool], prices: PriceTable, folder: RunFolder
) -> Spending | None:
    """The run's budget with what earlier starts spent of it; None where nothing is capped.

    Raises:
        ConfigError: There is a cap in dollars, and a model whose price nobody knows.
    """
    caps = Caps(
        picodollars=None if settings.max_usd is None else pico(settings.max_usd),
        tokens=settings.max_tokens,
        seconds=None if settings.max_hours is None else settings.max_hours * 3600.0,
    )
    if caps == Caps():
        return None
    path = folder.state / "spent.json"
    recorded, bought = _recorded(path), _bought(folder, pools, prices)
    spent = Spent(
        max(recorded.picodollars, bought.picodollars),
        max(recorded.tokens, bought.tokens),
        recorded.seconds,
    )
    budget = Budget(caps, now=time.monotonic(), spent=spent)
    for pool in pools:
        budget.check_price(pool.model, pool.price)
    for model in _without_pool(settings) - {pool.model for pool in pools}:
        budget.check_price(model, prices.find(model))
    return Spending(budget, path)


def _without_pool(settings: Settings) -> set[str]:
    """Models that are asked besides the pools' own."""
    judge = settings.judge_model if settings.judge != "off" else None
    other = settings.preference_model if settings.preference != "off" else None
    return {model for model in (judge, other) if model}


def _recorded(path: Path) -> Spent:
    try:
        found = orjson.loads(path.read_bytes())
        return Spent(int(found["picodollars"]), int(found["tokens"]), float(found["seconds"]))
    except (OSError, ValueError, KeyError, TypeError):
        return Spent()


def _bought(folder: RunFolder, pools: Sequence[Pool], prices: PriceTable) -> Spent:
    """What the ledger's answers cost, a model without a price at the dearest one's."""
    known = [pool.price for pool in pools if pool.price]
    dearest = max(known, key=lambda price: price.worst(1, 1), default=None)
    with Lookup(folder.ledger) as lookup:
        usages = lookup.usage_by_model()
    picodollars = tokens = 0
    for model, usage in usages.items():
        price = prices.find(model) or dearest
        picodollars += price.cost(usage) if price else 0
        tokens += usage.prompt_tokens + usage.completion_tokens
    return Spent(picodollars, tokens)
