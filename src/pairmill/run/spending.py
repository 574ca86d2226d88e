"""Tracks what a run may spend and has spent, across starts.

The ledger holds the charge of every call. A record beside it, written a few times a second, holds
what was spent plus the worst case of all calls in flight. After a kill, the excess of the record
over the ledger belongs to calls whose answers were lost: it is entered in the ledger as money that
may have been spent, and counts against the caps.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import orjson

from pairmill.llm.budget import Budget, Caps, PricedUsage, Spent
from pairmill.llm.prices import pico
from pairmill.records import Usage
from pairmill.store.files import atomic_write

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from pairmill.config import Settings
    from pairmill.llm.prices import Price, PriceTable
    from pairmill.store.folder import RunFolder

__all__ = ["Spending", "open_spending"]


@dataclass(frozen=True, slots=True)
class Spending:
    """A budget, and its record in the folder.

    Attributes:
        lost: What an earlier start may have spent beyond the ledger; None: nothing.
    """

    budget: Budget
    path: Path
    lost: PricedUsage | None = None

    def write(self, *, over: bool = False) -> None:
        """Write the record; ``over``: nothing is in flight any more.

        Without caps nothing is reserved, and nothing is recorded.

        Raises:
            StorageError: The disk refused.
        """
        if not self.budget.is_capped:
            return
        spent, reserved = self.budget.spent, self.budget.reserved
        document = {
            "picodollars": spent.picodollars + (0 if over else reserved.picodollars),
            "tokens": spent.tokens + (0 if over else reserved.tokens),
            "seconds": round(spent.seconds, 3),
        }
        atomic_write(self.path, orjson.dumps(document))


def open_spending(
    settings: Settings,
    models: Mapping[str, Price | None],
    prices: PriceTable,
    folder: RunFolder,
) -> Spending:
    """Open the run's budget, including what earlier starts spent.

    Args:
        settings: The caps.
        models: Every model of a pool, and its price.
        prices: Price table for other models, such as a judge's.
        folder: Its ledger, and the record.

    Raises:
        ConfigError: There is a cap in dollars, and a model without a known price.
    """
    caps = Caps(
        picodollars=None if settings.max_usd is None else pico(settings.max_usd),
        tokens=settings.max_total_tokens,
        seconds=None if settings.max_hours is None else settings.max_hours * 3600.0,
    )
    path = folder.state / "spent.json"
    recorded, bought = _recorded(path), _bought(folder, models, prices)
    spent = Spent(
        max(recorded.picodollars, bought.picodollars),
        max(recorded.tokens, bought.tokens),
        recorded.seconds,
    )
    budget = Budget(caps, clock=time.monotonic, wall=time.time, spent=spent)
    for model, price in models.items():
        budget.check_price(model, price)
    for model in _without_pool(settings) - set(models):
        budget.check_price(model, prices.find(model))
    lost = PricedUsage(
        Usage(),
        0,
        spent.tokens - bought.tokens,
        spent.picodollars - bought.picodollars,
    )
    return Spending(budget, path, lost if lost.most_tokens or lost.most_picodollars else None)


def _without_pool(settings: Settings) -> set[str]:
    """Return the models that are asked besides those of the pools."""
    judge = settings.judge_model if settings.judge != "off" else None
    other = settings.preference_model if settings.preference != "off" else None
    verifier = settings.verify_model if settings.verify != "off" else None
    return {model for model in (judge, other, verifier) if model}


def _recorded(path: Path) -> Spent:
    try:
        found = orjson.loads(path.read_bytes())
        return Spent(int(found["picodollars"]), int(found["tokens"]), float(found["seconds"]))
    except (OSError, ValueError, KeyError, TypeError):
        return Spent()


def _bought(folder: RunFolder, models: Mapping[str, Price | None], prices: PriceTable) -> Spent:
    """Return the maximum charges of the ledger's calls; at the highest price if one is unknown."""
    known = [price for price in models.values() if price]
    dearest = max(known, key=lambda price: price.worst(1, 1), default=None)
    with folder.read_ledger() as lookup:
        bill = lookup.totals().bill
    unpriced = sum(
        price.cost(usage)
        for model, usage in bill.unpriced.items()
        if (price := prices.find(model) or dearest)
    )
    return Spent(bill.picodollars + bill.doubt_picodollars + unpriced, bill.most_tokens)
