"""Records a run over time: pace, refusals, waits, and the cost of each stage."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import anyio

from pairmill.display import sanitize
from pairmill.errors import Kind
from pairmill.events import CallAnswered, CallFailed, UnitFinished
from pairmill.store.timeline import (
    MOST_POINTS,
    StageSum,
    StartPace,
    read_timeline,
    write_timeline,
)

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from pairmill.events import Bus
    from pairmill.llm.limits.lease import Snapshot
    from pairmill.llm.pools import Pools

__all__ = ["RunTimeline"]

_STEP_S = 1.0
_WRITE_EVERY_S = 3.0
_MOST_STAGES = 200  # stages and models; further ones are summed up under ""


class RunTimeline:
    """Records one start, in addition to earlier ones in the folder.

    Args:
        path: File in the run folder.
        at: When this start sent its first question, in seconds since the epoch.
    """

    def __init__(self, path: Path, at: float) -> None:
        self._path = path
        self._kept = read_timeline(path)
        self._start = StartPace(at)
        self._kept.starts.append(self._start)
        self._stages = {(one.stage, one.model): one for one in self._kept.stages}
        self._pairs = self._answers = self._refused = self._failed = 0
        self._gauges: list[tuple[int, int, bool]] = []

    def listen(self, bus: Bus) -> None:
        """Subscribe to a bus."""
        bus.subscribe(self._count_pairs, UnitFinished)
        bus.subscribe(self._count_answer, CallAnswered)
        bus.subscribe(self._count_failure, CallFailed)

    async def watch(self, pools: Pools) -> None:
        """Sample the pools once a second until cancelled, and write periodically."""
        written = looked = time.monotonic()
        while True:
            self.look(pools.gate(pool.name).snapshot() for pool in pools.alive)
            await anyio.sleep(_STEP_S)
            now = time.monotonic()
            if now - looked >= self._start.step_s - 0.01:
                looked = now
                self.step()
            if now - written >= _WRITE_EVERY_S:
                written = now
                self.write()

    def look(self, gates: Iterable[Snapshot]) -> None:
        """Sample the state of the gates."""
        found = list(gates)
        self._gauges.append(
            (
                sum(gate.in_flight for gate in found),
                sum(gate.concurrency for gate in found),
                bool(found) and all(gate.paused_s > 0 for gate in found),
            )
        )

    def step(self) -> None:
        """Close a step; if there are too many, merge each two into one from now on."""
        start, gauges = self._start, self._gauges or [(0, 0, False)]
        start.pairs.append(self._pairs)
        start.answers.append(self._answers)
        start.refused.append(self._refused)
        start.failed.append(self._failed)
        count = len(gauges)
        start.in_flight.append(round(sum(gauge[0] for gauge in gauges) / count, 2))
        start.allowed.append(round(sum(gauge[1] for gauge in gauges) / count, 2))
        start.paused.append(round(sum(gauge[2] for gauge in gauges) / count, 3))
        self._pairs = self._answers = self._refused = self._failed = 0
        self._gauges.clear()
        if len(start.pairs) >= MOST_POINTS:
            _halve(start)

    def write(self) -> None:
        """Write what was counted so far."""
        self._kept.stages = list(self._stages.values())
        write_timeline(self._path, self._kept)

    def close(self, ended: str) -> None:
        """Write all of it, and how the start ended."""
        self.step()
        self._start.ended = sanitize(ended, 200)
        self.write()

    def _count_pairs(self, event: UnitFinished) -> None:
        self._pairs += event.pairs

    def _count_failure(self, event: CallFailed) -> None:
        if event.kind in {Kind.RATE, Kind.REFUSED}:
            self._refused += 1
        else:
            self._failed += 1

    def _count_answer(self, event: CallAnswered) -> None:
        if event.outcome != "answer":
            return
        self._answers += 1
        key = (event.stage, event.model)
        found = self._stages.get(key)
        if found is None:
            if len(self._stages) >= _MOST_STAGES:
                key = ("", "")
            name = sanitize(key[0], 80), sanitize(key[1], 200)
            found = self._stages.setdefault(key, StageSum(*name))
        found.calls += 1
        found.prompt_tokens += event.usage.prompt_tokens
        found.completion_tokens += event.usage.completion_tokens
        if event.picodollars is None:
            found.unpriced += 1
        else:
            found.picodollars += event.picodollars


def _halve(start: StartPace) -> None:
    """Merge each two neighbouring points: counts are added, gauges averaged."""
    if len(start.pairs) % 2:
        return
    for name in ("pairs", "answers", "refused", "failed"):
        points = getattr(start, name)
        setattr(start, name, [points[at] + points[at + 1] for at in range(0, len(points), 2)])
    for name in ("in_flight", "allowed", "paused"):
        points = getattr(start, name)
        halves = [round((points[at] + points[at + 1]) / 2, 3) for at in range(0, len(points), 2)]
        setattr(start, name, halves)
    start.step_s *= 2
