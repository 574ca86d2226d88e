from __future__ import annotations

from collections import Counter

import pytest
from tests.support.asks import make_chunk

from pairmill.recipes.plan import TYPES, count_pairs, plan_pairs


@pytest.mark.parametrize(
    ("chars", "most", "count"),
    [
        (1, 3, 1),
        (600, 3, 1),
        (900, 3, 2),
        (1800, 3, 3),
        (2800, 3, 3),
        (2800, 10, 5),
        (9000, 10, 10),
    ],
)
def test_one_pair_for_every_150_tokens(chars: int, most: int, count: int) -> None:
    assert count_pairs("x" * chars, most) == count


def test_scripts_of_more_bytes_a_character_hold_more_in_less() -> None:
    assert count_pairs("水" * 600, 10) == 3


def test_a_plan_is_drawn_anew_for_each_chunk_and_seed_and_is_always_the_same() -> None:
    chunk, other = make_chunk(), make_chunk("something else")
    assert plan_pairs(chunk, 3, 1) == plan_pairs(chunk, 3, 1)
    assert plan_pairs(chunk, 3, 1) != plan_pairs(chunk, 3, 2)
    assert plan_pairs(chunk, 3, 1) != plan_pairs(other, 3, 1)


def test_the_types_of_a_chunk_differ_and_all_of_them_come_up_by_their_weights() -> None:
    plans = [plan_pairs(make_chunk(str(number)), 3, 0) for number in range(3000)]
    assert all(len(set(plan.types)) == 3 for plan in plans)
    first = Counter(plan.types[0] for plan in plans)
    total = sum(weight for _, weight in TYPES)
    for name, weight in TYPES:
        assert first[name] / 3000 == pytest.approx(weight / total, abs=0.03)
    assert len({plan.asker for plan in plans}) == 5
    assert len({plan.difficulty for plan in plans}) == 3
    assert len({form for plan in plans for form in plan.forms}) == 5


def test_a_code_task_needs_code() -> None:
    prose = [plan_pairs(make_chunk(str(n)), 5, 0) for n in range(200)]
    code = [plan_pairs(make_chunk(f"Run it:\n```\ncall({n})\n```"), 5, 0) for n in range(200)]
    assert not any("code_task" in plan.types for plan in prose)
    assert sum("code_task" in plan.types for plan in code) > 50


def test_what_is_left_of_a_plan_keeps_its_order() -> None:
    plan = plan_pairs(make_chunk(), 3, 0)
    assert plan.after(1).types == plan.types[1:]
    assert plan.after(7).types == plan.types[2:]
    assert plan.after(1).lines().startswith(f"Pairs: 1. {plan.types[1]}, {plan.forms[1]}; 2. ")


def test_the_largest_count_has_enough_types() -> None:
    assert len(plan_pairs(make_chunk(), 10, 0).types) == 10
    assert len(plan_pairs(make_chunk(), 10, 0).forms) == 10
