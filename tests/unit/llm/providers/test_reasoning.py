from __future__ import annotations

import math
import random

import pytest

from pairmill.llm.providers.reasoning import ReasoningSearch

FORMS = [{"a": 0}, {"b": 0}, {"c": 0}, {"d": 0}, {"e": 0}]
USUAL, SIGMA = 900, 0.5


def think(search: ReasoningSearch, shares: dict[int, float], answers: int, seed: int) -> float:
    """Tokens thought in so many answers; ``shares``: form to its part of the usual length."""
    dice, total = random.Random(seed), 0.0
    for _ in range(answers):
        scale = USUAL * shares.get(search.at, 1.0)
        tokens = round(scale * math.exp(SIGMA * dice.gauss(0, 1)))
        search.saw(search.at, tokens)
        total += tokens
    return total


@pytest.mark.parametrize("best", [1, 3, 5])
@pytest.mark.parametrize("share", [0.1, 0.35, 0.5])
def test_the_least_thinking_is_found_whatever_single_thoughts_are(best: int, share: float) -> None:
    """A model that never stops, and heeds one of several words; over 300 answers."""
    mean = USUAL * math.exp(SIGMA**2 / 2)
    paid = []
    for seed in range(40):
        search = ReasoningSearch(FORMS, "auto", thinks=False)
        paid.append(think(search, {best: share}, 300, seed) / (300 * share * mean))
    assert sum(paid) / len(paid) < 1.3
    assert sorted(paid)[-4] < 1.6  # nine lives in ten


def test_a_word_that_does_little_is_not_said_in_the_end() -> None:
    quiet = 0
    for seed in range(40):
        search = ReasoningSearch(FORMS, "auto", thinks=False)
        think(search, {}, 200, seed)
        quiet += search.at == 0
    assert quiet >= 36


def test_a_form_that_stops_it_ends_the_search() -> None:
    search = ReasoningSearch(FORMS, "auto", thinks=False)
    search.saw(0, 900)
    search.saw(1, 700)
    search.saw(2, 0)
    assert search.at == 2
    assert not search.is_over
    for tokens in (60, 0, 70, 0):  # a thought now and then is borne
        search.saw(2, tokens)
    assert search.at == 2
