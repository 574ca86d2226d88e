"""Prometheus metrics of a run.

Names follow Prometheus's conventions: a prefix, base units, ``_total`` for counters, and no ids as
labels. Counters of pairs, tokens and dollars include earlier starts of the run, as the manifest
does, so that the last scrape of a finished run and its manifest agree.
"""

from __future__ import annotations

import time
from collections import Counter
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

from pairmill.events import (
    CallAnswered,
    CallFailed,
    Committed,
    LoopLate,
    RepairEnded,
    RunOpened,
    UnitFinished,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from prometheus_client.core import Metric

    from pairmill.service.companions import PoolView, RunView

__all__ = ["RunMetricsCollector"]

MOST_LABELS = 50
"""Label values that come from servers or recipes are kept up to this many; the rest is `other`."""
_SECONDS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 40, 80, 160, 320, 640)


class RunMetricsCollector:
    """Collects a run's figures at each scrape. Use it on the event loop.

    Args:
        view: The run.
        version: pairmill's.
    """

    def __init__(self, view: RunView, version: str) -> None:
        self._view = view
        self._version = version
        self._recipe = view.settings.recipe
        self._before = RunOpened()
        self._requests: Counter[tuple[str, str]] = Counter()
        self._units: Counter[str] = Counter()
        self._repairs = Counter(mended=0, failed=0)
        self._reasons: Counter[str] = Counter()
        self._loop_late_s = 0.0
        self._committed_at = 0.0
        self._registry = CollectorRegistry()
        self._seconds = Histogram(
            "pairmill_request_duration_seconds",
            "Time from sending a request to the end of its answer.",
            buckets=_SECONDS,
            registry=self._registry,
        )
        self._registry.register(self)
        view.bus.subscribe(self._open, RunOpened)
        view.bus.subscribe(self._answer, CallAnswered)
        view.bus.subscribe(self._fail, CallFailed)
        view.bus.subscribe(self._finish, UnitFinished)
        view.bus.subscribe(self._end_repair, RepairEnded)
        view.bus.subscribe(self._commit, Committed)
        view.bus.subscribe(self._be_late, LoopLate)

    def render(self) -> bytes:
        """Return all metrics in the Prometheus text format."""
        return generate_latest(self._registry)

    def collect(self) -> Iterator[Metric]:
        """Yield the metric families, as prometheus-client asks for them."""
        progress = self._view.progress()
        yield _counter("pairs_written", "Pairs in the run folder.", progress.pairs)
        yield _counter("pairs_dropped", "Pairs that a check dropped.", progress.dropped)
        units = CounterMetricFamily(
            "pairmill_units", "Units that ended in this start.", labels=("recipe", "outcome")
        )
        for outcome, count in self._units.items():
            units.add_metric((self._recipe, outcome), count)
        yield units
        yield _counter(
            "units_ended", "Units that have ended in all starts, as far as read.", progress.units
        )
        yield _labelled("rejections", "Units without a pair, by reason.", "reason", self._reasons)
        told = "Answers that were asked for again, by what came of it."
        yield _labelled("repairs", told, "result", self._repairs)
        yield _counter("answers_replayed", "Answers taken from the ledger.", progress.replayed)
        requests = CounterMetricFamily(
            "pairmill_requests", "Calls by how they ended.", labels=("model", "kind")
        )
        for (model, kind), count in self._requests.items():
            requests.add_metric((model, kind), count)
        yield requests
        yield _labelled("input_skipped", "Input not used, by reason.", "reason", progress.skipped)
        tokens = {
            "input": self._before.prompt_tokens + progress.prompt_tokens,
            "output": self._before.completion_tokens + progress.completion_tokens,
        }
        yield _labelled("tokens", "Tokens charged.", "direction", tokens)
        if progress.usd is not None:
            yield _counter("cost_usd", "Dollars spent.", progress.usd)
        yield _gauge(
            "cost_in_doubt_usd", "What calls may have cost besides.", progress.usd_in_doubt
        )
        queue = max(0, progress.planned - progress.units)
        yield _gauge("queue_depth", "Units that were read and have not ended.", queue)
        yield _gauge("reading_done", "1 once the input was read to its end.", progress.reading_done)
        yield _gauge("loop_late_seconds", "How late the event loop ran a timer.", self._loop_late_s)
        if self._committed_at:
            yield _gauge(
                "last_commit_timestamp_seconds",
                "When rows last became durable.",
                self._committed_at,
            )
        yield from _of_pools(self._view.pools())
        build = GaugeMetricFamily("pairmill_build_info", "Version.", labels=("version",))
        build.add_metric((self._version,), 1)
        yield build

    def _open(self, event: RunOpened) -> None:
        self._before = event

    def _answer(self, event: CallAnswered) -> None:
        self._requests[event.asked or event.model, "answered"] += 1
        self._seconds.observe(event.seconds)

    def _fail(self, event: CallFailed) -> None:
        self._requests[event.model, str(event.kind)] += 1

    def _finish(self, event: UnitFinished) -> None:
        self._units[str(event.outcome)] += 1
        if event.reason:
            self._reasons[_bounded(self._reasons, event.reason.partition(":")[0])] += 1

    def _end_repair(self, event: RepairEnded) -> None:
        self._repairs[event.result] += 1

    def _commit(self, _event: Committed) -> None:
        self._committed_at = time.time()

    def _be_late(self, event: LoopLate) -> None:
        self._loop_late_s = event.seconds


def _bounded(known: Counter[str], label: str) -> str:
    return label if label in known or len(known) < MOST_LABELS else "other"


def _counter(name: str, text: str, value: float) -> CounterMetricFamily:
    return CounterMetricFamily(f"pairmill_{name}", text, value=value)


def _gauge(name: str, text: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"pairmill_{name}", text, value=float(value))


def _labelled(name: str, text: str, label: str, counts: Mapping[str, float]) -> CounterMetricFamily:
    family = CounterMetricFamily(f"pairmill_{name}", text, labels=(label,))
    for value, count in counts.items():
        family.add_metric((value,), count)
    return family


def _of_pools(pools: tuple[PoolView, ...]) -> Iterator[Metric]:
    """Yield what the gates do. A pool is labelled by the name that the settings give it."""
    gauges = {
        "requests_in_flight": "Calls that were sent and not answered yet.",
        "limiter_waiting": "Calls that wait for the rate limiter.",
        "concurrency_limit": "Calls that may be in flight.",
        "limiter_paused_seconds": "Seconds until calls go again; 0 while they go.",
        "pool_up": "1 while calls may go to this pool.",
        "quota_used_ratio": "Part of this process's quota that was used over the last minute.",
    }
    families = {
        name: GaugeMetricFamily(f"pairmill_{name}", text, labels=("pool",))
        for name, text in gauges.items()
    }
    waited = CounterMetricFamily(
        "pairmill_limiter_wait_seconds",
        "Time that calls waited for the rate limiter, added up.",
        labels=("pool",),
    )
    for pool in pools:
        gate = pool.gate
        families["requests_in_flight"].add_metric((pool.name,), gate.in_flight)
        families["limiter_waiting"].add_metric((pool.name,), gate.waiting)
        families["concurrency_limit"].add_metric((pool.name,), gate.concurrency)
        families["limiter_paused_seconds"].add_metric((pool.name,), gate.paused_s)
        families["pool_up"].add_metric((pool.name,), float(pool.is_alive))
        if pool.quota_used is not None:
            families["quota_used_ratio"].add_metric((pool.name,), pool.quota_used)
        waited.add_metric((pool.name,), gate.waited_s)
    yield from families.values()
    yield waited
