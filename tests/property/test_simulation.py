"""Some dozens of made-up lives of run folders; ``make torture`` lives through many more."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest
from tests.support.endurance import fast_folder
from tests.support.simulation import simulate

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LIVES = 60
# Seeds of lives in which something went wrong once.
REMEMBERED = (98, 1090, 1214, 51330, 131153543, 946043813)


@pytest.fixture
def place() -> Iterator[Path]:
    with fast_folder() as folder:
        yield folder


@pytest.mark.slow
def test_whatever_happens_nothing_is_lost_doubled_or_bought_again(place: Path) -> None:
    first = random.randrange(10**9)
    crashes = noise = 0
    for seed in (*REMEMBERED, *range(first, first + LIVES)):
        (place / str(seed)).mkdir()
        history = simulate(seed, place / str(seed), is_noisy=seed not in REMEMBERED)
        assert not history.wrong, f"make torture MINUTES=0 SEED={seed}: {history.wrong}"
        crashes += history.kills + history.power_losses
        noise += history.noise
    assert crashes > LIVES // 4
    assert noise > LIVES


def test_a_seed_is_one_history(place: Path) -> None:
    """Fault 54."""
    (place / "one").mkdir()
    (place / "two").mkdir()
    for seed in range(5):
        assert simulate(seed, place / "one") == simulate(seed, place / "two")
