from __future__ import annotations

import pytest

from pairmill.llm.limits.noise import HeldNoise, WaveTest
from pairmill.llm.limits.windows import RefusedLog


def after_quota(quota: float, rates: list[float], pause_s: float = 1.0) -> WaveTest:
    """Clusters of a quota: a pause earns what a rate above the quota then uses up."""
    test = WaveTest()
    for rate in rates:
        test.on_cluster(rate, quota * pause_s / (rate - quota), pause_s)
    return test


def after_waves(run_s: float, rates: list[float], pause_s: float = 1.0) -> WaveTest:
    test = WaveTest()
    for rate in rates:
        test.on_cluster(rate, run_s, pause_s)
    return test


def test_clusters_that_come_no_later_at_lower_rates_are_waves() -> None:
    assert after_waves(2.0, [60, 50]).rate == 0  # once is chance
    assert after_waves(2.0, [60, 50, 44]).rate == 60


@pytest.mark.parametrize("quota", [35.0, 40.0, 43.0])
def test_a_quota_lasts_the_longer_the_less_is_sent(quota: float) -> None:
    assert after_quota(quota, [60, 55, 50, 47, 45]).rate == 0


def test_runs_that_are_shorter_than_the_pauses_tell_nothing() -> None:
    assert after_waves(2.0, [60, 50, 44, 40, 36], pause_s=3.0).rate == 0


def test_clusters_that_come_sooner_where_more_is_sent_again_are_no_waves() -> None:
    test = after_waves(2.0, [60, 50, 44])
    test.on_cluster(60, 2.0, 1.0)
    assert test.rate == 60
    test.on_cluster(60, 0.5 * 2.0, 1.0)
    assert test.rate == 0
    for rate in (60, 50, 44):
        test.on_cluster(rate, 2.0, 1.0)
    assert test.rate == 0  # from now on it takes more to be believed
    for rate in (40, 36):
        test.on_cluster(rate, 2.0, 1.0)
    assert test.rate == 60


def after_noise(share: float, calls: int) -> tuple[HeldNoise, RefusedLog]:
    """So many calls at ten a second, of which every so many is refused."""
    log = RefusedLog()
    noise = HeldNoise(log)
    noise.quiet(10.0, 0)
    for index in range(0, calls, round(1 / share)):
        log.later(index)
    return noise, log


def test_noise_has_ended_where_nothing_is_refused_at_the_same_pace() -> None:
    noise, _ = after_noise(0.2, 200)
    assert noise.quiet(10.0, 200) < 1.5
    assert noise.share == pytest.approx(0.2, rel=0.05)
    assert noise.quiet(10.1, 240) > 8.0


def test_what_is_not_refused_at_a_lower_pace_may_have_been_a_quota() -> None:
    noise, _ = after_noise(0.2, 200)
    noise.quiet(10.0, 200)
    assert noise.quiet(9.0, 240) == 0.0
    assert noise.quiet(10.0, 400) == 0.0  # a bucket may have saved something up


def test_what_is_not_refused_after_a_pause_may_have_been_saved_up() -> None:
    noise, _ = after_noise(0.2, 200)
    noise.quiet(10.0, 200)
    noise.forget()
    assert noise.quiet(10.0, 240) == 0.0


def test_few_refusals_tell_nothing() -> None:
    for noise, _ in (after_noise(0.2, 30), after_noise(0.05, 400)):
        noise.quiet(10.0, 400)
        assert noise.share == 0.0
        assert noise.quiet(10.0, 900) == 0.0
