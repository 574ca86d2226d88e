"""How much of every kind of simulated quota the gate uses, and how often it is refused.

The real gate, estimator and headers against the quota classes of ``pairmill.simulator``, in virtual
time: the figures of ``benchmarks/quota`` without a wire, in seconds.
"""

from __future__ import annotations

from bisect import bisect_left

import pytest
from tests.support.enforced import CASES, Case, play

from pairmill.llm.limits.gate import Charge, Limits
from pairmill.llm.limits.quota import Cost, Quota

NAMES = [f"{case.flavour}-{case.binds}" for case in CASES]
NEAR = 0.985  # of what can be reached, where that is less than the aim
every_quota = pytest.mark.parametrize("case", CASES, ids=NAMES)


@every_quota
def test_a_known_quota_is_used_and_never_passed(case: Case) -> None:
    score = play(case, "known")
    assert score.refused == 0
    assert score.used >= min(0.98, NEAR * score.reachable)


@every_quota
def test_a_quota_is_learned_from_headers(case: Case) -> None:
    score = play(case, "headers", seed=2)
    assert score.used >= min(0.95, NEAR * score.reachable)
    assert score.refused_per_done <= 0.005


@every_quota
@pytest.mark.parametrize("seed", [1, 2])
def test_a_quota_is_found_from_refusals_alone(case: Case, seed: int) -> None:
    score = play(case, "blind", seed=seed)
    assert score.used >= 0.90
    assert score.refused_per_done <= 0.03
    assert sum(used for used, _ in score.minutes[3:6]) / 3 >= 0.90  # found within minutes


@pytest.mark.parametrize("flavour", ["refill", "fixed", "sliding"])
def test_max_tokens_held_while_under_way_is_allowed_for_where_one_is_told(flavour: str) -> None:
    """No refusal ever, from the first minute on."""
    limits = Limits(requests_per_min=6_000, tokens_per_min=480_000, charge=Charge.RECONCILED)
    score = play(Case(flavour, "reconcile"), "known", limits=limits)
    assert sum(refused for _, refused in score.minutes) == 0
    assert score.used >= 0.95


@pytest.mark.parametrize("believes", [Charge.RECONCILED, Charge.RESERVED])
def test_a_wrong_belief_is_given_up_by_what_headers_say_is_left(believes: Charge) -> None:
    """Long answers: to count ``max_tokens`` while they are under way costs a quarter."""
    case, limits = Case("sliding", "actual"), Limits(tokens_per_min=480_000)
    score = play(case, "headers", slow_s=45.0, workers=600, limits=limits, believes=believes)
    assert sum(used for used, _ in score.minutes[6:]) / 6 >= 0.95
    assert score.refused == 0


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_quota_dealt_out_by_the_second_bears_with_ways_of_unequal_length(seed: int) -> None:
    """Up to 12 ms between two calls' ways: the margin; 30 ms: learned from the refusals."""
    score = play(Case("second", "requests"), "known", seed=seed, jitter_s=0.012)
    assert score.used >= 0.98
    assert score.refused == 0
    score = play(Case("second", "requests"), "known", seed=seed, jitter_s=0.03)
    assert score.used >= 0.93
    assert score.refused_per_done <= 0.003


@pytest.mark.parametrize("per_s", [1_990.0, 2_010.0])
def test_a_quota_too_high_to_be_dealt_out_exactly_is_used_and_never_passed(per_s: float) -> None:
    """One more of the last calls is remembered below 2,000 a second, and none above."""
    quota, now, times = Quota(Limits(requests_per_min=60.0 * per_s), 0.0), 0.0, list[float]()
    amounts = quota.amounts(Cost())
    while now < 65.0:
        wait_s = quota.wait_s(amounts, now)
        now += wait_s
        if not wait_s:
            quota.take(amounts, now)
            times.append(now)
    minutes = [bisect_left(times, at + 60.0) - first for first, at in enumerate(times[:5_000])]
    assert max(minutes) <= 60.0 * per_s
    assert min(minutes) >= 0.98 * 60.0 * per_s
