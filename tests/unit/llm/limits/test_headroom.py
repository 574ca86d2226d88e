from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest

from pairmill.llm.limits.headroom import HeadroomTest, Step

if TYPE_CHECKING:
    from collections.abc import Callable

SEEDS = range(20)


def course(
    share: Callable[[int, int], float], seed: int, calls: int = 4_000
) -> tuple[int, list[int]]:
    """Remedies in force at the end, and the refused calls.

    Args:
        share: Refused, by the call's number and the remedies in force.
        seed: Of the refusals.
        calls: How many are made.
    """
    test, dice = HeadroomTest(), random.Random(seed)
    remedies, suspended, refused = 0, 0, list[int]()
    for index in range(calls):
        if dice.random() >= share(index, remedies):
            continue
        refused.append(index)
        step = test.on_refused(index, is_strict=remedies > 0, is_cluster=False)
        if step is Step.STRICTER:
            remedies += 1
        elif step is Step.SUSPEND:
            remedies, suspended = 0, remedies
        elif step is Step.RESUME:
            remedies = suspended
    return remedies, refused


@pytest.mark.parametrize("noise", [0.02, 0.05, 0.2])
def test_against_noise_no_remedy_is_kept(noise: float) -> None:
    kept = [course(lambda _index, _remedies: noise, seed)[0] for seed in SEEDS]
    assert sum(remedies > 0 for remedies in kept) <= 3  # a test of eight refusals may be wrong


@pytest.mark.parametrize("noise", [0.0, 0.01])
def test_a_remedy_that_helps_is_kept(noise: float) -> None:
    ends = [course(lambda _index, remedies: 0.05 * (remedies < 2) + noise, seed) for seed in SEEDS]
    assert sum(remedies >= 2 for remedies, _ in ends) >= 17
    late = sum(sum(index >= 2_000 for index in refused) for _, refused in ends)
    assert late <= len(ends) * 2_000 * (noise + 0.01)


def test_refusals_that_double_are_no_noise_any_more() -> None:
    ends = [
        course(lambda index, remedies: 0.02 + 0.2 * (index > 2_000 and remedies < 1), seed)[0]
        for seed in SEEDS
    ]
    assert sum(remedies > 0 for remedies in ends) >= 16


def test_a_cluster_is_no_chance_until_noise_is_known() -> None:
    test = HeadroomTest()
    assert test.on_refused(500, is_strict=False, is_cluster=True) is Step.STRICTER
    assert test.on_refused(501, is_strict=True, is_cluster=True) is Step.STRICTER
    known = HeadroomTest()
    steps = [
        known.on_refused(index, is_strict=index > 0, is_cluster=False)
        for index in range(0, 1_000, 20)
    ]
    assert steps.count(Step.SUSPEND) == 1
    assert steps.count(Step.RESUME) == 0
    assert known.on_refused(1_001, is_strict=False, is_cluster=True) is Step.NONE
