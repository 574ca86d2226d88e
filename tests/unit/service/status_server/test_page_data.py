from __future__ import annotations

import math

import pytest
from tests.support.asks import settings

from pairmill.events import Bus
from pairmill.llm.limits.lease import Snapshot
from pairmill.service.companions import PoolView, RunView
from pairmill.service.status_server.page_data import RateHistory, describe_run


def test_a_pause_without_an_end_is_null_in_json() -> None:
    view = RunView(settings(), Bus())
    gate = Snapshot(1, 0, 8, 10, 0, math.inf, "down", None)
    pool = PoolView("main", "http://127.0.0.1:1/v1", "m", gate, is_alive=True)
    view.pools = lambda: (pool,)  # type: ignore[method-assign]
    assert describe_run(view)["pools"][0]["paused_s"] is None


@pytest.mark.parametrize("seconds", [1, 7, 8, 9, 40, 1000])
def test_the_history_stays_short_and_keeps_the_mean(seconds: int) -> None:
    history = RateHistory(most=8)
    for _ in range(seconds):
        history.add(5.0)
    assert len(history.points) < 8
    assert all(point == 5.0 for point in history.points)
    assert len(history.points) * history.seconds_per_point > seconds - history.seconds_per_point
