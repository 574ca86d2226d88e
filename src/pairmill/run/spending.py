"""Tracks what a run may spend and has spent, across starts.

The ledger holds the charge of every call. Two records beside it hold what was spent plus the worst
case of all calls in flight: a mark that is overwritten before each call goes out, which a kill
leaves as it is, and a file that is synced a few times a second, for a power loss. After a kill, the
excess of the records over the ledger belongs to calls whose answers were lost: it is entered in the
ledger as money that may have been spent, and counts against the caps. A call that only waited for
its turn is not in it.
"""

from __future__ import annotations

import os
import struct
import time
import zlib
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

import orjson

from pairmill.errors import ConfigError
from pairmill.llm.budget import Budget, Caps, PricedUsage, Spent
from pairmill.llm.prices import pico
from pairmill.records import Usage
from pairmill.store.files import atomic_write, refusal

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from pairmill.config import Settings
    from pairmill.llm.prices import Price, PriceTable
    from pairmill.store.folder import RunFolder

__all__ = ["Spending", "SpentMark", "open_spending"]

_MARK_FILE = "spent.now"
_MARK = struct.Struct("<QQI")  # picodollars, tokens, and a checksum of both
_MOST = 2**64 - 1


class SpentMark:
    """What a run may have spent, in a small file that is overwritten in place before each call.

    It is not synced: it survives the process, and not a power loss. The file needs no room on the
    disk beyond that with which it was made.
    """

    def __init__(self, path: Path) -> None:
        """Open the file, made if need be.

        Raises:
            StorageError: The disk refused.
        """
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        try:
            self._fd = os.open(path, flags, 0o666)
        except OSError as error:
            raise refusal(error, path) from None

    def put(self, amount: Spent) -> None:
        """Overwrite it; a disk that refuses leaves the file that is synced, which says so."""
        body = struct.pack("<QQ", min(amount.picodollars, _MOST), min(amount.tokens, _MOST))
        with suppress(OSError):
            os.pwrite(self._fd, body + zlib.crc32(body).to_bytes(4, "little"), 0)

    def close(self) -> None:
        """Close the file."""
        os.close(self._fd)


@dataclass(frozen=True, slots=True)
class Spending:
    """A budget, and its record in the folder.

    Attributes:
        lost: What an earlier start may have spent beyond the ledger; None: nothing.
    """

    budget: Budget
    path: Path
    lost: PricedUsage | None = None
    mark: SpentMark | None = None

    def write(self, *, over: bool = False) -> None:
        """Write the record that is synced; ``over``: nothing is in flight any more.

        Without caps nothing is reserved, and nothing is recorded.

        Raises:
            StorageError: The disk refused.
        """
        if not self.budget.is_capped:
            return
        amount = self.budget.spent if over else self.budget.at_risk
        document = {
            "picodollars": amount.picodollars,
            "tokens": amount.tokens,
            "seconds": round(amount.seconds, 3),
        }
        atomic_write(self.path, orjson.dumps(document))

    def close(self) -> None:
        """Write the record a last time, with nothing in flight.

        Raises:
            StorageError: The disk refused.
        """
        if self.mark is not None:
            self.budget.on_change = lambda: None
            self.mark.put(self.budget.spent)
            self.mark.close()
        self.write(over=True)


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
        folder: Its ledger, and the records.

    Raises:
        ConfigError: There is a cap in dollars, and a model without a known price.
        StorageError: The disk refused.
    """
    path = folder.state / "spent.json"
    recorded, bought = _recorded(path), _bought(folder, models, prices)
    marked = _marked(folder.state / _MARK_FILE)
    spent = Spent(
        max(recorded.picodollars, marked.picodollars, bought.picodollars),
        max(recorded.tokens, marked.tokens, bought.tokens),
        recorded.seconds,
    )
    check_prices(settings, models, prices)
    caps = Caps(
        picodollars=None if settings.max_usd is None else pico(settings.max_usd),
        tokens=settings.max_total_tokens,
        seconds=None if settings.max_hours is None else settings.max_hours * 3600.0,
    )
    budget = Budget(caps, clock=time.monotonic, wall=time.time, spent=spent)
    lost = PricedUsage(
        Usage(),
        0,
        spent.tokens - bought.tokens,
        spent.picodollars - bought.picodollars,
    )
    mark = SpentMark(folder.state / _MARK_FILE) if budget.is_capped else None
    if mark is not None:
        put = mark.put

        def note() -> None:
            put(budget.at_risk)

        budget.on_change = note
        note()
    is_lost = lost.most_tokens or lost.most_picodollars
    return Spending(budget, path, lost if is_lost else None, mark)


def check_prices(
    settings: Settings, models: Mapping[str, Price | None], prices: PriceTable
) -> None:
    """Refuse a cap in dollars where a model that the run asks has no known price.

    Args:
        settings: The cap, and the models of judge and verifier.
        models: Every model of a pool, and its price.
        prices: Price table for other models.

    Raises:
        ConfigError: There is such a cap, and such a model.
    """
    if settings.max_usd is None:
        return
    others = {model: prices.find(model) for model in _without_pool(settings)}
    for model, price in {**others, **models}.items():
        if price is None:
            raise ConfigError(
                f"the price of '{model}' is not known, so a cap in dollars cannot be held; "
                "give its price in a price file (prices: FILE), or use a cap in tokens"
                " (--max-total-tokens)"
            )


def _without_pool(settings: Settings) -> set[str]:
    """Return the models that are asked besides those of the pools."""
    judge = settings.judge_model if settings.judge != "off" else None
    other = settings.preference_model if settings.preference != "off" else None
    verifier = settings.verify_model if settings.verify != "off" else None
    return {model for model in (judge, other, verifier) if model}


def _marked(path: Path) -> Spent:
    """Return what `SpentMark` put last; nothing where there is no file, or a damaged one."""
    with suppress(OSError, struct.error):
        picodollars, tokens, checksum = _MARK.unpack(path.read_bytes())
        if zlib.crc32(struct.pack("<QQ", picodollars, tokens)) == checksum:
            return Spent(picodollars, tokens)
    return Spent()


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
