from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest

from pairmill.llm.limits.rate_dependence import DependenceTest
from pairmill.llm.limits.windows import RefusedLog

if TYPE_CHECKING:
    from collections.abc import Callable

PAUSE_S = 0.5


def verdicts(paces: list[float], is_refused: Callable[[float, int], bool]) -> list[float]:
    """What follows from runs of two seconds at each pace, with pauses between.

    Args:
        paces: Calls a second.
        is_refused: By the time, and the calls taken so far.
    """
    log = RefusedLog()
    test, now, sent, taken, found = DependenceTest(log), 0.0, 0, 0, list[float]()
    for pace in paces:
        test.on_pause(now, now + PAUSE_S, sent, is_longer=False)
        now += PAUSE_S
        for _ in range(round(2.0 * pace)):
            if is_refused(now, taken):
                log.later(sent)
            else:
                taken += 1
            sent += 1
            now += 1.0 / pace
        found.append(test.on_cut(now))
    return found


@pytest.mark.parametrize("share", [0.5, 0.8])
@pytest.mark.parametrize("seed", range(5))
def test_what_takes_the_same_share_at_any_rate_is_noise(share: float, seed: int) -> None:
    dice = random.Random(seed)
    found = verdicts([40.0, 25.0, 15.0, 8.0, 4.0], lambda _now, _taken: dice.random() < share)
    assert max(found) == pytest.approx(share, abs=0.15)


@pytest.mark.parametrize("quota", [3.0, 5.0, 20.0])
def test_what_takes_the_same_number_a_second_is_a_quota(quota: float) -> None:
    paces = [10.0 * quota, 4.0 * quota, 2.0 * quota, 1.5 * quota]
    assert not any(verdicts(paces, lambda now, taken: taken >= quota * now))


def test_too_few_calls_tell_nothing() -> None:
    log = RefusedLog()
    test = DependenceTest(log)
    assert test.on_cut(1.0) == 0.0  # no cut before
    test.on_pause(1.0, 1.5, 10, is_longer=False)
    log.later(11)
    assert test.on_cut(2.0) == 0.0
