"""Some dozens of made-up lives of run folders; ``make torture`` lives through many more."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest
from tests.support.endurance import fast_folder
from tests.support.power import PowerDisk
from tests.support.simulation import simulate

from pairmill.errors import FolderError

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


def test_a_life_shows_what_a_broken_mechanism_does(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Shards that are not cut back to what was committed: then lines stand there twice."""
    monkeypatch.setattr(PowerDisk, "truncate", lambda *_: None)
    seen: list[str] = []
    for seed in range(500, 530):
        (place / str(seed)).mkdir()
        try:
            seen += simulate(seed, place / str(seed)).wrong
        except FolderError as error:  # the next start refuses what it finds
            seen.append(str(error))
        if seen:
            break
    assert seen
