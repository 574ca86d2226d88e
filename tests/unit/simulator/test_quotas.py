from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pairmill.simulator.quotas import (
    Enforcer,
    Meter,
    QuotaRefusal,
    SimulatedBucket,
    SimulatedCharge,
    SimulatedWindow,
    SlidingWindow,
)
from pairmill.simulator.settings import SimulatedQuota

COSTS = st.lists(st.tuples(st.floats(0, 3), st.integers(1, 12)), min_size=1, max_size=60)


def admitted(meter: Meter, offers: list[tuple[float, int]]) -> list[tuple[float, int]]:
    now, taken = 0.0, []
    for gap, cost in offers:
        now += gap
        if meter.fits(cost, now):
            meter.take(cost, now)
            taken.append((now, cost))
    return taken


@given(COSTS)
def test_a_bucket_admits_rate_times_window_and_capacity_at_most(
    offers: list[tuple[float, int]],
) -> None:
    taken = admitted(SimulatedBucket(2.0, 12.0, 0.0), offers)
    for first in range(len(taken)):
        for last in range(first, len(taken)):
            total = sum(cost for _, cost in taken[first : last + 1])
            assert total <= 2.0 * (taken[last][0] - taken[first][0]) + 12.0 + 1e-3


@given(COSTS)
def test_no_sliding_window_holds_more_than_its_allowance(offers: list[tuple[float, int]]) -> None:
    taken = admitted(SlidingWindow(20.0, 10.0), offers)
    for start, _ in taken:
        assert sum(cost for when, cost in taken if start <= when < start + 10.0) <= 20


@given(COSTS)
def test_no_fixed_window_holds_more_than_its_allowance(offers: list[tuple[float, int]]) -> None:
    taken = admitted(SimulatedWindow(20.0, 10.0, 0.0), offers)
    for number in range(20):
        window = [cost for when, cost in taken if number * 10 <= when < number * 10 + 10]
        assert sum(window) <= 20


@pytest.mark.parametrize(
    "make",
    [
        lambda: SimulatedBucket(2.0, 12.0, 0.0),
        lambda: SimulatedWindow(12.0, 6.0, 0.0),
        lambda: SlidingWindow(12.0, 6.0),
    ],
)
@given(offers=COSTS, cost=st.integers(1, 30))
def test_the_wait_that_is_told_is_the_wait_that_helps(
    make: Any, offers: list[tuple[float, int]], cost: int
) -> None:
    meter = make()
    admitted(meter, offers)
    now = sum(gap for gap, _ in offers)
    wait_s = meter.wait_s(cost, now)
    if meter.fits(cost, now):
        assert wait_s == pytest.approx(0, abs=1e-6)
    else:
        if wait_s > 1e-6:  # what is shorter is rounding
            assert not meter.fits(cost, now + wait_s * 0.98)
        assert meter.fits(cost, now + wait_s + 1e-6)


def test_a_request_above_the_capacity_runs_on_debt() -> None:
    for meter in (SimulatedBucket(1.0, 5.0, 0.0), SimulatedWindow(5.0, 5.0, 0.0)):
        assert meter.fits(15, 0.0)
        meter.take(15, 0.0)
        assert not meter.fits(1, 9.9)
        assert meter.fits(1, 16.0)


def test_all_dimensions_are_taken_or_none() -> None:
    enforcer = Enforcer(SimulatedQuota(rpm=60, tpm=600, flavour="fixed"), 0.0)
    assert isinstance(enforcer.admit(300, 200, 0.0), SimulatedCharge)
    refusal = enforcer.admit(100, 100, 1.0)
    assert refusal == QuotaRefusal("tokens", 600, 500, 200, 59.0)
    levels = enforcer.levels(1.0)
    assert levels.requests is not None
    assert levels.requests.remaining == 59


@pytest.mark.parametrize(
    ("charge", "at_first", "in_the_end"),
    [("reserve", 200, 200), ("reconcile", 200, 130), ("actual", 100, 130)],
)
def test_each_way_to_charge(charge: Any, at_first: int, in_the_end: int) -> None:
    enforcer = Enforcer(SimulatedQuota(tpm=1000, flavour="sliding", charge=charge), 0.0)
    taken = enforcer.admit(100, 100, 0.0)
    assert isinstance(taken, SimulatedCharge)
    assert used(enforcer, 0.5) == at_first
    enforcer.settle(taken, 130, 1.0)
    assert used(enforcer, 1.0) == in_the_end


def used(enforcer: Enforcer, now: float) -> int:
    level = enforcer.levels(now).tokens
    assert level is not None
    return 1000 - level.remaining


def test_seconds_deal_out_the_minute_and_stretch_for_slow_rates() -> None:
    fast = Enforcer(SimulatedQuota(rpm=120, flavour="second"), 0.0)
    assert [isinstance(fast.admit(1, 1, 0.1), SimulatedCharge) for _ in range(3)] == [
        True,
        True,
        False,
    ]
    assert isinstance(fast.admit(1, 1, 1.0), SimulatedCharge)
    slow = Enforcer(SimulatedQuota(rpm=30, flavour="second"), 0.0)
    assert isinstance(slow.admit(1, 1, 0.0), SimulatedCharge)
    assert isinstance(slow.admit(1, 1, 1.0), QuotaRefusal)
    assert isinstance(slow.admit(1, 1, 2.0), SimulatedCharge)


def test_a_short_minute_keeps_the_true_rate() -> None:
    enforcer = Enforcer(SimulatedQuota(rpm=600, flavour="fixed", minute_s=6), 0.0)
    assert sum(isinstance(enforcer.admit(1, 1, 0.0), SimulatedCharge) for _ in range(100)) == 60
    assert isinstance(enforcer.admit(1, 1, 6.0), SimulatedCharge)


def test_the_days_allowance_and_refused_requests_count() -> None:
    enforcer = Enforcer(SimulatedQuota(rpd=1), 0.0)
    enforcer.admit(1, 1, 0.0)
    refusal = enforcer.admit(1, 1, 0.0)
    assert isinstance(refusal, QuotaRefusal)
    assert (refusal.dimension, refusal.wait_s) == ("day", 86_400)
    strict = Enforcer(SimulatedQuota(rpm=60, tpm=10, charge_refused=True, flavour="fixed"), 0.0)
    strict.admit(10, 0, 0.0)
    strict.admit(10, 0, 0.0)
    level = strict.levels(0.0).requests
    assert level is not None
    assert level.remaining == 58
