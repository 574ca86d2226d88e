from __future__ import annotations

from pairmill.errors import Kind
from pairmill.events import (
    Bus,
    CallAnswered,
    CallFailed,
    LoopLate,
    ReadingDone,
    UnitFinished,
    UnitsKnown,
    UnitsPlanned,
)
from pairmill.records import Outcome, Usage
from pairmill.service.tally import RunTally


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def _tally() -> tuple[RunTally, Bus, Clock]:
    clock = Clock()
    tally, bus = RunTally(clock), Bus()
    tally.listen(bus)
    return tally, bus, clock


def _finish(bus: Bus, count: int, pairs: int = 3) -> None:
    for _ in range(count):
        bus.emit(UnitFinished(outcome=Outcome.WRITTEN, pairs=pairs, rejected=0))


def test_counts_are_sums_of_events() -> None:
    tally, bus, _ = _tally()
    bus.emit(UnitsPlanned(count=10))
    bus.emit(UnitsKnown(count=4))
    _finish(bus, 2)
    bus.emit(UnitFinished(outcome=Outcome.REJECTED, pairs=0, rejected=1))
    bus.emit(CallAnswered("m", "answer", Usage(100, 7, 3), None))
    bus.emit(CallFailed(Kind.RATE))
    found = tally.summary()
    assert found["done"] == 4 + 3
    assert found["total"] == 14
    assert (found["pairs"], found["rejected"], found["failed_calls"]) == (6, 1, 1)
    assert (found["prompt_tokens"], found["completion_tokens"]) == (100, 7)


def test_the_longest_time_that_the_loop_was_late_is_kept() -> None:
    tally, bus, _ = _tally()
    for seconds in (0.001, 0.0423, 0.002):
        bus.emit(LoopLate(seconds=seconds))
    assert tally.summary()["loop_late_ms"] == 42


def test_the_rate_is_that_of_the_last_minute() -> None:
    tally, bus, clock = _tally()
    _finish(bus, 60)
    for _ in range(60):
        clock.now += 1
        tally.rates()
    for _ in range(60):
        clock.now += 1
        _finish(bus, 1)
        tally.rates()
    units, pairs = tally.rates()
    assert 55 <= units <= 65
    assert 165 <= pairs <= 195


def test_the_end_is_told_only_when_it_is_in_sight() -> None:
    tally, bus, clock = _tally()
    bus.emit(UnitsPlanned(count=20))
    _finish(bus, 10)
    clock.now += 10
    assert tally.left_s() is None
    bus.emit(ReadingDone())
    left = tally.left_s()
    assert left is not None
    assert 9 <= left <= 11
