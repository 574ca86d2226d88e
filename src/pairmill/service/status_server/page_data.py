"""What the status page and ``/status.json`` show: figures, the rate over time, the last pairs.

`describe_run` takes all counts from `RunProgress` (``service/tally.py``); ``page.js`` draws them.
"""

from __future__ import annotations

import contextlib
import math
import os
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from pairmill.display import sanitize
from pairmill.errors import FolderError
from pairmill.store.shards import read_last_rows

if TYPE_CHECKING:
    from pathlib import Path

    from pairmill.service.companions import RunView

__all__ = ["RateHistory", "describe_run", "last_pairs"]

_LAST_PAIRS = 5
_LONGEST_TEXT = 600


def describe_run(view: RunView) -> dict[str, Any]:
    """Return the state of a run as plain JSON values.

    Returns:
        The fields of `RunProgress`; ``pools`` with ``quota_used`` and the fields of their gate;
        ``max_usd`` and ``max_total_tokens``, the caps; ``folder`` and ``model``. Infinite waits are
        None.
    """
    settings = view.settings
    pools = []
    for pool in view.pools():
        gate = asdict(pool.gate)
        gate["cause"] = sanitize(pool.gate.cause, 200)
        if math.isinf(pool.gate.paused_s):
            gate["paused_s"] = None
        used = None if pool.quota_used is None else round(pool.quota_used, 4)
        named = {"name": pool.name, "model": pool.model, "alive": pool.is_alive}
        pools.append({**named, "quota_used": used, **gate})
    return {
        "folder": str(view.folder),
        "model": settings.model,
        "recipe": settings.recipe,
        **asdict(view.progress()),
        "max_usd": settings.max_usd,
        "max_total_tokens": settings.max_total_tokens,
        "pools": pools,
    }


class RateHistory:
    """Pairs a minute over the whole start, in at most ``most`` points.

    When it is full, neighbours are averaged and each further point stands for twice the time.

    Args:
        most: How many points; even.
    """

    def __init__(self, most: int = 600) -> None:
        self._most = most
        self._points: list[float] = []
        self._pending: list[float] = []
        self.seconds_per_point = 1

    def add(self, pairs_per_min: float) -> None:
        """Take the rate of one more second into account."""
        self._pending.append(pairs_per_min)
        if len(self._pending) < self.seconds_per_point:
            return
        self._points.append(sum(self._pending) / len(self._pending))
        self._pending.clear()
        if len(self._points) >= self._most:
            halves = zip(self._points[::2], self._points[1::2], strict=True)
            self._points = [(first + second) / 2 for first, second in halves]
            self.seconds_per_point *= 2

    @property
    def points(self) -> list[float]:
        """Rates, the oldest first."""
        return [round(point, 1) for point in self._points]


def last_pairs(folder: Path) -> list[dict[str, str]]:
    """Return the last pairs, newest first, cut to a length for a page."""
    shards = [*(folder / ".run" / "open").glob("train-*"), *(folder / "data").glob("train-*")]
    found: list[dict[str, str]] = []
    with contextlib.suppress(OSError, FolderError):
        for shard in sorted(shards, key=os.path.getmtime, reverse=True)[:2]:
            for row in read_last_rows(shard, _LAST_PAIRS - len(found)):
                cut = {
                    name: str(row.get(name) or "")[:_LONGEST_TEXT]
                    for name in ("instruction", "answer", "title")
                }
                found.append(cut)
    return found
