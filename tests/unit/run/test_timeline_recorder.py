from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

import pytest

from pairmill.errors import Kind
from pairmill.events import Bus, CallAnswered, CallFailed, UnitFinished
from pairmill.llm.limits.lease import Snapshot
from pairmill.records import Outcome, Usage
from pairmill.run.timeline_recorder import RunTimeline
from pairmill.store.timeline import MOST_POINTS, MOST_STARTS, read_timeline

if TYPE_CHECKING:
    from pathlib import Path


def gate(in_flight: int, allowed: int, paused_s: float = 0.0) -> Snapshot:
    return Snapshot(in_flight, 0, allowed, 0, 0, paused_s, "", None)


def answered(stage: str, model: str = "m", pico: int | None = 5) -> CallAnswered:
    return CallAnswered(model, "answer", Usage(10, 4), pico, stage=stage)


def test_a_step_counts_what_came_in_it_and_averages_what_was_seen(tmp_path: Path) -> None:
    bus, line = Bus(), RunTimeline(tmp_path / "t.json", 100.0)
    line.listen(bus)
    bus.emit(UnitFinished(Outcome.WRITTEN, pairs=3))
    bus.emit(answered("write"))
    bus.emit(CallFailed(Kind.RATE))
    bus.emit(CallFailed(Kind.OVERLOAD))
    line.look([gate(4, 8), gate(2, 2)])
    line.look([gate(2, 4), gate(0, 2)])
    line.step()
    line.look([gate(0, 4, 9.0)])
    line.close("stopped by SIGTERM")
    (start,) = read_timeline(tmp_path / "t.json").starts
    assert (start.at, start.step_s, start.ended) == (100.0, 1.0, "stopped by SIGTERM")
    assert (start.pairs, start.answers) == ([3, 0], [1, 0])
    assert (start.refused, start.failed) == ([1, 0], [1, 0])
    assert (start.in_flight, start.allowed) == ([4.0, 0.0], [8.0, 4.0])
    assert start.paused == [0.0, 1.0]


def test_stages_add_up_over_all_starts_and_probes_are_none(tmp_path: Path) -> None:
    for _ in range(2):
        bus, line = Bus(), RunTimeline(tmp_path / "t.json", time.time())
        line.listen(bus)
        bus.emit(CallAnswered("m", "probe", Usage(1, 1), 1, stage="write"))
        bus.emit(answered("write"))
        bus.emit(answered("judge", "big", None))
        line.close("done")
    kept = read_timeline(tmp_path / "t.json")
    found = {(one.stage, one.model): one for one in kept.stages}
    assert found["write", "m"].calls == 2
    assert found["write", "m"].prompt_tokens == 20
    assert found["write", "m"].picodollars == 10
    assert found["judge", "big"].unpriced == 2
    assert len(kept.starts) == 2


def test_long_starts_are_halved_and_lose_no_pair(tmp_path: Path) -> None:
    bus, line = Bus(), RunTimeline(tmp_path / "t.json", 0.0)
    line.listen(bus)
    for _ in range(3 * MOST_POINTS):
        bus.emit(UnitFinished(Outcome.WRITTEN, pairs=1))
        line.look([gate(2, 4)])
        line.step()
    line.write()
    (start,) = read_timeline(tmp_path / "t.json").starts
    assert sum(start.pairs) == 3 * MOST_POINTS
    assert len(start.pairs) < MOST_POINTS
    assert start.step_s > 1
    assert set(start.in_flight) == {2.0}


def test_many_starts_and_damaged_files(tmp_path: Path) -> None:
    path = tmp_path / "t.json"
    for at in range(MOST_STARTS + 3):
        RunTimeline(path, float(at)).close("done")
    assert [start.at for start in read_timeline(path).starts][:2] == [3.0, 4.0]
    for field in (
        {"at": 1e300},
        {"step_s": 1e-9},
        {"step_s": -1},
        {"pairs": [-1]},
        {"pairs": [9e99]},
    ):
        start = {"at": 1, "step_s": 1, "pairs": [1], "answers": [1], "refused": [0], "failed": [0],
                 "in_flight": [1], "allowed": [1], "paused": [0]}  # fmt: skip
        path.write_text(json.dumps({"starts": [start]}))
        assert len(read_timeline(path).starts) == 1
        path.write_text(json.dumps({"starts": [start | field]}))
        assert read_timeline(path).starts == [], field
    for text in ("", "{", '{"format": 9}', '{"starts": [{"at": 1, "pairs": [1]}]}', "\udc80"):
        path.write_bytes(text.encode("utf-8", "surrogateescape"))
        assert read_timeline(path).starts == []


@pytest.mark.anyio
async def test_it_is_written_where_the_disk_refuses_nothing(tmp_path: Path) -> None:
    line = RunTimeline(tmp_path / "gone" / "t.json", 0.0)
    line.close("done")  # nothing depends on it: no error
    assert not (tmp_path / "gone").exists()
