from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from pairmill.output.report.row_counts import DistinctCounter, NameCounts, measure, percentile

if TYPE_CHECKING:
    from collections.abc import Callable


def test_rows_are_counted(row: Callable[..., Any]) -> None:
    rows = [
        row(0, grounding=0.0, evidence="x", flags=["near_copy", "short"], kind="why"),
        row(1, grounding=1.0, flags=["short"]),
        row(2, grounding=0.52),
        row(9, instruction="what is NUMBER 0 about?!"),
    ]
    found = measure(rows)
    assert found.rows == 4
    assert (found.documents.count(), found.chunks.count()) == (2, 3)
    assert found.duplicate_rate == 0.25
    assert found.instruction_words == {5: 4}
    assert found.first_words.top(3) == [("what", 4)]
    assert found.flags.top(3) == [("short", 2), ("near_copy", 1)]
    assert found.kinds.top(3) == [("(none)", 3), ("why", 1)]
    assert (found.grounding[0], found.grounding[10], found.grounding[19]) == (1, 1, 1)
    assert (found.grounded_rows, found.with_evidence) == (3, 1)
    assert (found.prompt_tokens, found.completion_tokens) == (400, 200)
    assert list(found.samples) == rows


def test_no_rows_are_no_trouble() -> None:
    found = measure([])
    assert (found.rows, found.duplicate_rate, list(found.samples)) == (0, 0.0, [])


def test_samples_are_chosen_by_the_seed(row: Callable[..., Any]) -> None:
    rows = [row(number) for number in range(200)]
    chosen = [list(measure(rows, samples=5, seed=seed).samples) for seed in (1, 1, 2)]
    assert chosen[0] == chosen[1] != chosen[2]


def test_distinct_is_exact_below_its_size_and_near_above() -> None:
    small, large = DistinctCounter(1_000), DistinctCounter(1_000)
    for number in range(20_000):
        small.add(f"n{number % 999}")
        large.add(f"n{number % 10_000}")
    assert (small.count(), small.is_exact) == (999, True)
    assert not large.is_exact
    assert large.count() == pytest.approx(10_000, rel=0.1)


def test_names_are_bounded() -> None:
    names = NameCounts()
    for number in range(6_000):
        names.add(f"n{number}")
    names.add("n0")
    assert len(names.counts) == 5_000
    assert names.others == 1_000
    assert names.top(2) == [("n0", 2), ("n1", 1)]


def test_percentiles() -> None:
    counted = Counter({1: 50, 10: 45, 100: 5})
    assert [percentile(counted, share) for share in (0.05, 0.5, 0.95, 1)] == [1, 1, 10, 100]
    assert percentile(Counter(), 0.5) == 0
