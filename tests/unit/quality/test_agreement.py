from __future__ import annotations

import pytest

from pairmill.quality.agreement import Agreement, agree, spearman, weighted_kappa


def test_full_agreement() -> None:
    assert agree([1, 3, 5], [1, 3, 5]) == Agreement(3, 1.0, 1.0, 1.0)


def test_missing_ratings_are_left_out_and_never_scored() -> None:
    found = agree([1, None, 5, 4], [1, 5, None, 2])
    assert (found.compared, found.exact, found.within_one) == (2, 0.5, 0.5)
    assert found.kappa == weighted_kappa([1, 4], [1, 2])
    assert agree([None], [3]) == Agreement(0, None, None, None)


def test_kappa_by_hand() -> None:
    # observed 1+0+1+0 = 2; expected (all 16 combinations) (3 * 6 + 14) / 4 = 8
    assert weighted_kappa([1, 2, 3, 4], [2, 2, 2, 4]) == pytest.approx(1 - 2 / 8)
    assert weighted_kappa([1, 5], [5, 1]) == pytest.approx(-1.0)
    assert weighted_kappa([3, 3], [3, 3]) is None


def test_spearman_with_ties() -> None:
    assert spearman([1, 2, 3], [10, 20, 90]) == pytest.approx(1.0)
    assert spearman([1, 2, 3], [3, 2, 1]) == pytest.approx(-1.0)
    assert spearman([1, 2, 2, 4], [1, 3, 2, 4]) == pytest.approx(0.9486832980505138)
    assert spearman([1, 1], [1, 2]) is None
    assert spearman([], []) is None


def test_unequal_lengths_are_refused() -> None:
    with pytest.raises(ValueError, match="zip"):
        agree([1], [1, 2])
