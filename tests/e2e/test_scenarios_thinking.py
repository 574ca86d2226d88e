"""Models that think: no chunk is lost for it, and next to nothing is paid for empty answers."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import pytest
from tests.support.scenarios import CHUNKS, Case, cases, check, play

from pairmill.simulator import SimulatorSettings
from pairmill.simulator.scenarios import load_scenario

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.scenarios import Outcome

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

MANY = 400
"""Chunks over which the calls that find out how to ask are a small part of the bill."""


def tokens_per_chunk(outcome: Outcome) -> float:
    return float(outcome.report["completion_tokens"]) / max(outcome.chunks, 1)


@pytest.fixture(scope="module")
def without_thoughts(tmp_path_factory: pytest.TempPathFactory) -> float:
    """Answer tokens a chunk of a model that does not think."""
    outcome = play(SimulatorSettings(), tmp_path_factory.mktemp("plain"), chunks=MANY)
    assert outcome.code == 0
    return tokens_per_chunk(outcome)


def stopped(scenario: str, todo: str = "") -> Case:
    return Case(scenario, refused=12, billed=CHUNKS + 12, todo=todo)


@cases(
    stopped("thinking"),
    stopped("thinking-openai"),
    stopped("thinking-openai-long"),
    stopped("thinking-endless"),
    stopped("thinking-gemini"),
    stopped("thinking-xai"),
    stopped("thinking-vllm"),
    stopped("thinking-ollama"),
    stopped("thinking-tags"),
    stopped("thinking-no-open-tag"),
    stopped("thinking-deepseek"),
    stopped("thinking-anthropic"),
    stopped("thinking-openrouter"),
    stopped("thinking-dashscope"),
)
def test_thinking_that_can_be_stopped_costs_a_few_calls_to_learn(
    case: Case, tmp_path: Path, without_thoughts: float
) -> None:
    outcome = check(case, tmp_path)
    assert outcome.report["empty_billed"] <= 6
    learning = 8 * 2_000  # the probes that find the word, each bounded
    paid = outcome.report["completion_tokens"]
    assert paid <= 1.1 * without_thoughts * outcome.chunks + learning


@cases(
    Case("thinking-always", billed=CHUNKS + 16, bills=4),
    Case("thinking-gemini-pro", refused=12, billed=CHUNKS + 16, bills=4),
    Case("thinking-o-series", refused=12, billed=CHUNKS + 16, bills=4),
    Case("thinking-no-words", refused=16, billed=CHUNKS + 16, bills=4),
)
def test_thinking_that_cannot_be_stopped_gets_the_room_that_it_needs(
    case: Case, tmp_path: Path
) -> None:
    outcome = check(case, tmp_path)
    assert outcome.report["empty_billed"] <= 8


def play_many(scenario: str, folder: Path) -> Outcome:
    """A run of many chunks, of which none is lost for the model's thinking."""
    outcome = play(scenario, folder, chunks=MANY)
    assert outcome.code == 0, outcome.said
    assert {reject["class"] for reject in outcome.rejects} <= {"no_pair_passed"}  # a copied text
    assert outcome.chunks >= 0.99 * MANY
    return outcome


def least_thoughts(scenario: str) -> float:
    """Mean tokens of a thought at the least effort that can be asked for: of a lognormal."""
    thinking = load_scenario(scenario).settings.thinking
    assert thinking is not None
    return thinking.tokens * thinking.scales[thinking.least] * math.exp(thinking.sigma**2 / 2)


@pytest.mark.parametrize("scenario", ["thinking-openai", "thinking-vllm", "thinking-anthropic"])
def test_auto_pays_hardly_more_than_no_effort_where_that_can_be_asked_for(
    scenario: str, tmp_path: Path, without_thoughts: float
) -> None:
    outcome = play_many(scenario, tmp_path)
    assert tokens_per_chunk(outcome) <= 1.1 * without_thoughts


@pytest.mark.parametrize(
    "scenario", ["thinking-always", "thinking-gemini-pro", "thinking-o-series", "thinking-no-words"]
)
def test_auto_pays_little_more_than_the_least_where_thinking_cannot_be_switched_off(
    scenario: str, tmp_path: Path, without_thoughts: float
) -> None:
    outcome = play_many(scenario, tmp_path)
    assert tokens_per_chunk(outcome) <= 1.3 * (without_thoughts + least_thoughts(scenario))
