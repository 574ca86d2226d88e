from __future__ import annotations

import pytest

from pairmill.llm.limits.pause import PoolPause


def test_calls_double_each_time_that_the_last_ones_could_have_been_refused() -> None:
    pause = PoolPause(0.5, 60.0)
    pause.on_refused(0.1)
    pause.begin(10.0, 5.0, sent=100, base=1)
    assert pause.until == 15.0
    assert [pause.room(15.0 + s, 100, 64) for s in (0.0, 0.19, 0.21, 0.41, 0.61)] == [1, 1, 2, 4, 8]
    assert pause.wait_s(15.1, 101, 64) == pytest.approx(0.1)
    assert pause.room(17.0, 100, 64) == 64
    assert not pause.is_ramping


def test_a_wait_is_only_ever_made_longer() -> None:
    pause = PoolPause(0.5, 60.0)
    pause.begin(10.0, 5.0, sent=0, base=4)
    pause.extend(12.0)
    assert pause.until == 15.0
    pause.begin(11.0, 1.0, sent=0, base=4)
    assert pause.until == 15.0


def test_a_fast_pool_asks_more_often() -> None:
    pause = PoolPause(0.5, 60.0)
    pause.blocked = 10
    assert [pause.backoff_s(pace) for pace in (None, 5.0, 100.0)] == [60.0, 5.0, 0.5]
