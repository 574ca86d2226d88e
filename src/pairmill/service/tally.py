"""Counts of a run, kept by listening to its events."""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from pairmill.events import Topic

if TYPE_CHECKING:
    from collections.abc import Callable

    from pairmill.events import Bus, Event

__all__ = ["RunTally"]

RATE_WINDOW_S = 60.0


@dataclass(slots=True)
class RunTally:
    """What happened so far in this start of a run. Constant in size.

    Attributes:
        now: A monotonic clock, in seconds.
        outcomes: Units by how they ended.
        failures: Failed calls by kind.
        loop_late_s: The longest that the event loop was late: what blocks it shows here.
        readings: Answers by the step of the ladder that read them.
    """

    now: Callable[[], float]
    started: float = field(init=False)
    documents: int = 0
    skipped: int = 0
    planned: int = 0
    known: int = 0
    units: int = 0
    pairs: int = 0
    rejected: int = 0
    repairs: int = 0
    calls: int = 0
    replayed: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    picodollars: int = 0
    is_priced: bool = False
    shards: int = 0
    loop_late_s: float = 0.0
    reading_done: bool = False
    outcomes: Counter[str] = field(default_factory=Counter)
    failures: Counter[str] = field(default_factory=Counter)
    readings: Counter[str] = field(default_factory=Counter)
    _marks: deque[tuple[float, int, int]] = field(default_factory=deque)

    def __post_init__(self) -> None:
        self.started = self.now()

    def listen(self, bus: Bus) -> None:
        """Count what is told on ``bus`` from now on."""
        for topic, count in _COUNTERS.items():
            bus.subscribe(partial(count, self), topic)

    @property
    def elapsed_s(self) -> float:
        """Seconds since this start."""
        return self.now() - self.started

    def rates(self) -> tuple[float, float]:
        """Units and pairs a minute, over the last minute at most."""
        now = self.now()
        marks = self._marks
        while len(marks) > 1 and now - marks[1][0] > RATE_WINDOW_S:
            marks.popleft()
        if not marks or now - marks[-1][0] >= 1.0:
            marks.append((now, self.units, self.pairs))
        since, units, pairs = marks[0] if now - marks[0][0] >= 1.0 else (self.started, 0, 0)
        minutes = max(now - since, 1e-9) / 60.0
        return (self.units - units) / minutes, (self.pairs - pairs) / minutes

    def left_s(self) -> float | None:
        """Seconds until the end at the present rate; None while the end is not in sight."""
        per_minute, _ = self.rates()
        if not self.reading_done or per_minute <= 0:
            return None
        return (self.planned - self.units) / per_minute * 60.0

    def summary(self) -> dict[str, object]:
        """The figures as plain values, for a log line or a manifest."""
        _, pairs_per_minute = self.rates()
        left_s = self.left_s()
        return {
            "done": self.known + self.units,
            "total": self.known + self.planned,
            "pairs": self.pairs,
            "pairs_per_min": round(pairs_per_minute, 1),
            "repaired": self.repairs,
            "rejected": self.rejected,
            "calls": self.calls,
            "replayed": self.replayed,
            "failed_calls": sum(self.failures.values()),
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": self.completion_tokens,
            "usd": round(self.picodollars / 1e12, 6) if self.is_priced else None,
            "loop_late_ms": round(self.loop_late_s * 1000),
            "eta_s": None if left_s is None else round(left_s),
        }


def _document_read(tally: RunTally, event: Event) -> None:
    tally.documents += event.fields["count"]


def _input_skipped(tally: RunTally, _event: Event) -> None:
    tally.skipped += 1


def _unit_planned(tally: RunTally, event: Event) -> None:
    tally.planned += event.fields["count"]


def _unit_known(tally: RunTally, event: Event) -> None:
    tally.known += event.fields["count"]


def _reading_done(tally: RunTally, _event: Event) -> None:
    tally.reading_done = True


def _call_answered(tally: RunTally, event: Event) -> None:
    fields = event.fields
    tally.calls += 1
    tally.prompt_tokens += fields["prompt_tokens"]
    tally.completion_tokens += fields["completion_tokens"]
    tally.cached_tokens += fields["cached_tokens"]
    cost = fields["picodollars"]
    if cost is not None:
        tally.is_priced = True
        tally.picodollars += cost


def _call_failed(tally: RunTally, event: Event) -> None:
    tally.failures[event.fields["kind"]] += 1


def _call_replayed(tally: RunTally, _event: Event) -> None:
    tally.replayed += 1


def _answer_read(tally: RunTally, event: Event) -> None:
    tally.readings[event.fields["how"]] += 1


def _repair_asked(tally: RunTally, _event: Event) -> None:
    tally.repairs += 1


def _unit_finished(tally: RunTally, event: Event) -> None:
    fields = event.fields
    tally.units += 1
    tally.outcomes[fields["outcome"]] += 1
    tally.pairs += fields["pairs"]
    tally.rejected += fields["rejected"]


def _shard_published(tally: RunTally, _event: Event) -> None:
    tally.shards += 1


def _loop_late(tally: RunTally, event: Event) -> None:
    tally.loop_late_s = max(tally.loop_late_s, event.fields["seconds"])


_COUNTERS: dict[Topic, Callable[[RunTally, Event], None]] = {
    Topic.DOCUMENT_READ: _document_read,
    Topic.INPUT_SKIPPED: _input_skipped,
    Topic.UNIT_PLANNED: _unit_planned,
    Topic.UNIT_KNOWN: _unit_known,
    Topic.READING_DONE: _reading_done,
    Topic.CALL_ANSWERED: _call_answered,
    Topic.CALL_FAILED: _call_failed,
    Topic.CALL_REPLAYED: _call_replayed,
    Topic.ANSWER_READ: _answer_read,
    Topic.REPAIR_ASKED: _repair_asked,
    Topic.UNIT_FINISHED: _unit_finished,
    Topic.LOOP_LATE: _loop_late,
    Topic.SHARD_PUBLISHED: _shard_published,
}
