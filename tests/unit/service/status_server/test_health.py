from __future__ import annotations

from tests.support.asks import settings

from pairmill.events import Bus, Committed, ReadingDone, RunWaits
from pairmill.llm.limits.lease import Snapshot
from pairmill.service.companions import PoolView, RunView
from pairmill.service.status_server.health import RunHealth


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def pool(paused_s: float = 0.0, cause: str = "", *, alive: bool = True) -> PoolView:
    gate = Snapshot(1, 0, 8, 10, 0, paused_s, cause, None)
    return PoolView("main", "http://127.0.0.1:1/v1", "m", gate, alive)


def watched(*pools: PoolView) -> tuple[RunView, RunHealth, Clock]:
    view, clock = RunView(settings(no_progress_s=100), Bus()), Clock()
    view.pools = lambda: pools  # type: ignore[method-assign]
    return view, RunHealth(view, clock), clock


def test_a_run_that_does_nothing_for_long_is_dead_and_one_that_commits_is_not() -> None:
    view, health, clock = watched(pool())
    clock.now = 159
    assert health.live().is_ok
    clock.now = 161
    assert not health.live().is_ok
    assert health.live().reason == "nothing happened for 161 s"
    view.bus.emit(Committed(units=1))
    assert health.live().is_ok


def test_a_run_whose_pools_all_pause_lives_and_says_why() -> None:
    _, health, clock = watched(pool(3600, "quota of the day\x1b[31m"))
    clock.now = 3000
    assert health.live().is_ok
    assert health.live().reason == "main pauses: quota of the day [31m"
    _, health, clock = watched(pool(3600, "quota"), pool())
    clock.now = 3000
    assert not health.live().is_ok  # the other one could have gone on


def test_a_run_that_waits_for_its_disk_or_its_store_lives_and_says_so() -> None:
    view, health, clock = watched(pool())
    view.bus.emit(RunWaits("s3://bucket cannot be reached"))
    clock.now = 3000
    assert health.live().is_ok
    assert health.live().reason == "s3://bucket cannot be reached"
    view.bus.emit(RunWaits(""))
    assert not health.live().is_ok


def test_ready_means_that_calls_can_be_made_or_none_is_left() -> None:
    assert watched(pool())[1].ready().is_ok
    view, health, _ = watched()
    assert not health.ready().is_ok
    view.bus.emit(ReadingDone())
    assert health.ready().reason == "nothing left to ask"
