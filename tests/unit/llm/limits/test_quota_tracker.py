from __future__ import annotations

import random

import pytest

from pairmill.llm.limits.quota_tracker import _LOGS, QuotaFit, QuotaTracker


def blocks(fit: QuotaFit, quota: float, noise: float, rates: list[float], seed: int = 1) -> None:
    """Blocks of 40 calls at each rate, against a bucket without a burst."""
    dice = random.Random(seed)
    for rate in rates:
        over = max(0.0, 1.0 - quota / rate)
        share = noise + (1.0 - noise) * over
        fit.on_block(40, sum(dice.random() < share for _ in range(40)), 40 / rate)


@pytest.mark.parametrize("noise", [0.0, 0.05, 0.2])
@pytest.mark.parametrize("start", [0.6, 1.0, 1.6])
def test_rates_below_and_above_tell_a_quota_from_noise(noise: float, start: float) -> None:
    fit = QuotaFit()
    fit.begin(10.0 * start, 0.3)
    blocks(fit, 10.0, noise, [8.0, 10.0, 12.0] * 20)
    assert fit.quantile(0.5) == pytest.approx(10.0, rel=0.07)
    assert fit.noise()[0] == pytest.approx(noise, abs=0.03)


def test_one_rate_alone_leaves_open_which_it_is() -> None:
    fit = QuotaFit()
    fit.begin(10.0, 0.3)
    blocks(fit, 10.0, 0.0, [11.0] * 20)
    assert fit.quantile(0.9) > 1.03 * fit.quantile(0.1)
    assert fit.noise()[1] > 0.0


def test_what_lies_above_a_rate_is_forgotten() -> None:
    fit = QuotaFit()
    fit.begin(10.0, 0.3)
    blocks(fit, 10.0, 0.0, [14.0, 9.0] * 10)
    before = fit.quantile(0.8)
    blocks(fit, 20.0, 0.0, [9.5] * 500)
    assert before < 11.5
    assert fit.quantile(0.8) > 1.1 * before


def test_a_quota_outside_of_the_grid_is_found_all_the_same() -> None:
    for quota in (1.0, 100.0):
        fit = QuotaFit()
        fit.begin(10.0, 0.2)
        for seed in range(120):
            low, high = fit.quantile(0.2), fit.quantile(0.8)
            blocks(fit, quota, 0.0, [low * (1.0 - fit.noise()[0]), low, high], seed)
        assert fit.quantile(0.5) == pytest.approx(quota, rel=0.1)


def tracked(quota: float, noise: float, until_s: float, seed: int = 1) -> tuple[float, float]:
    """Share of what noise leaves of a bucket of a second, and refusals beyond the noise."""
    dice, tracker = random.Random(seed), QuotaTracker()
    tracker.begin(0.0, 0, 0.8 * quota, 0.3)
    now, level, sent, done, refused, counted = 0.0, quota, 0, 0, 0, 0
    while now < until_s:
        now += 1.0 / tracker.pace
        level = min(quota, level + quota / tracker.pace)
        is_refused = level < 1.0 or dice.random() < noise
        level -= level >= 1.0
        if is_refused:
            tracker.on_refused(sent)
        sent += 1
        if now > until_s / 4:
            counted += 1
            refused += is_refused
            done += not is_refused
        tracker.on_sample(now, sent, 0.1)
    return done / (0.75 * until_s * quota * (1 - noise)), refused / counted - noise


@pytest.mark.parametrize("noise", [0.0, 0.01, 0.05, 0.1])
@pytest.mark.parametrize("quota", [5.0, 40.0])
def test_a_pace_stays_just_below_a_quota(quota: float, noise: float) -> None:
    seeds = range(1, 5)
    used, beyond = zip(*(tracked(quota, noise, 400.0, seed) for seed in seeds), strict=True)
    assert sum(used) / len(used) >= (0.9 if noise < 0.1 else 0.88)
    assert sum(beyond) / len(used) <= 0.0125


def test_a_cluster_at_the_usual_pace_lowers_it_for_one_block() -> None:
    tracker = QuotaTracker()
    tracker.begin(0.0, 0, 10.0, 0.1)
    before = tracker.pace
    tracker.on_cluster(3.0, 28, 4.0)
    assert tracker.pace == pytest.approx(0.8 * before)
    assert not tracker.on_sample(7.0, 60, 0.0)  # not yet: four seconds from when calls go again
    assert tracker.on_sample(8.5, 64, 0.0)
    assert tracker.pace > 0.9 * before


def test_a_block_in_which_less_was_sent_than_might_be_tells_nothing() -> None:
    tracker = QuotaTracker()
    tracker.begin(0.0, 0, 10.0, 0.1)
    before = tracker.pace
    assert tracker.on_sample(10.0, 30, 0.0)
    assert tracker.pace == before
    assert not tracker.fit.calls


def test_refusals_that_come_late_count_for_the_block_that_they_were_sent_in() -> None:
    tracker = QuotaTracker()
    tracker.begin(0.0, 0, 10.0, 0.1)
    assert not tracker.on_sample(4.5, 43, 2.0)
    for index in (40, 41, 42, 43, 44):
        tracker.on_refused(index)
    assert tracker._refused == 3
    assert tracker.on_sample(6.5, 60, 2.0)


def test_what_was_not_saved_up_is_not_taken_for_saved() -> None:
    """A bucket that was overrun for a minute holds nothing, one that was not used is full."""
    overrun, unused = QuotaFit(), QuotaFit()
    for fit, rate in ((overrun, 12.0), (unused, 5.0)):
        fit.begin(10.0, 0.3)
        for _ in range(12):
            fit.on_block(round(5 * rate), round(5 * max(0.0, rate - 10.0)), 5.0)
        fit.on_block(70, 0, 5.0)
    middle = max(range(len(_LOGS)), key=lambda cell: -abs(_LOGS[cell]))
    for (depth_s, _), empty, full in zip(
        overrun._depths, overrun._levels, unused._levels, strict=True
    ):
        assert empty[middle] < 1.0
        assert full[middle] == pytest.approx(max(0.0, min(depth_s * 10.0, 300.0) - 20.0))


def test_higher_rates_are_tried_as_seldom_as_they_cost_refusals() -> None:
    tracker, now, sent, told = QuotaTracker(), 0.0, 0, 0
    tracker.begin(0.0, 0, 10.0, 0.3)
    refused = 0.0
    while now < 2_000.0:
        now += 0.5
        calls = round(0.5 * tracker.pace)
        over = max(0.0, tracker.pace / 10.0 - 1.0)
        for index in range(sent, sent + calls):
            refused += over
            if refused >= 1.0:
                refused -= 1.0
                tracker.on_refused(index)
                told += 1
        sent += calls
        tracker.on_sample(now, sent, 0.1)
    assert 0 < told <= 0.011 * sent


def test_a_grid_that_moves_keeps_what_speaks_against_lower_quotas() -> None:
    """Half is refused at any rate: no quota explains that, however far down the grid goes."""
    fit = QuotaFit()
    fit.begin(28.0, 0.5)
    for rate in (28.0, 14.0, 7.0, 14.0, 28.0):
        fit.on_block(round(4 * rate), round(2 * rate), 4.0)
    assert fit.noise()[0] > 0.4
    assert fit.quantile(0.5) > 20.0


def test_noise_that_was_seen_before_is_no_quota_now() -> None:
    known, new = QuotaFit(), QuotaFit()
    known.begin(60.0, 0.5, 0.5)
    new.begin(60.0, 0.5)
    for fit in (known, new):
        fit.on_block(240, 120, 4.0)
    assert known.noise()[0] > 0.15
    assert new.noise()[0] < 0.1
