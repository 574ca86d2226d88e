"""A request that is refused for one of its parameters is made without it, or in its other form."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.support.scenarios import CHUNKS, Case, cases, check

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]


PROBES = 4  # the question of the probe, in each way of asking


def learned(scenario: str, refused: int = 10, todo: str = "") -> Case:
    return Case(scenario, refused=refused, billed=CHUNKS + 8, bills=PROBES, todo=todo)


@cases(
    learned("temperature-moonshot"),
    learned("temperature-anthropic"),
    learned("temperature-tgi"),
    learned("temperature-gigachat"),
    learned("temperature-fastapi"),
    learned("max-tokens-renamed"),
    learned("max-completion-tokens-unknown"),
    learned("seed-mistral"),
    learned("seed-gemini"),
    learned("stream-refused"),
    learned("stream-false-missing"),
    learned("no-system-role"),
    learned("no-system-role-gemma"),
    learned("no-system-role-500"),
    learned("no-assistant-role"),
    learned("nested-error"),
    learned("seed-500", refused=16),
    learned("temperature-500", refused=16),
    learned("reasoning-effort-500"),
    learned("generation-length"),
    learned("reasoning-effort-400-bare"),
)
def test_a_refused_parameter_is_learned_once(case: Case, tmp_path: Path) -> None:
    check(case, tmp_path)


@cases(
    learned("schema-items-refused"),
    learned("schema-arrays-refused"),
    learned("schema-grammar-too-large"),
    learned("schema-additional-properties"),
    learned("no-endpoints"),
    learned("response-format-500", refused=16),
    learned("response-format-unknown"),
    learned("response-format-502", refused=16),
    learned("json-object-empty"),
    learned("failed-generation-probe"),
)
def test_a_weaker_form_of_structured_output_costs_calls_and_not_the_run(
    case: Case, tmp_path: Path
) -> None:
    check(case, tmp_path)


def breaking(scenario: str, *says: str) -> Case:
    """Each question that breaks is billed, and sent twice at most."""
    settings = {"timeout_s": 1.5}
    return Case(scenario, billed=CHUNKS + 12, bills=PROBES, settings=settings, says=says)


@cases(
    breaking("response-format-hangs", "structured_output: prompt"),
    breaking("json-schema-closes", "structured_output: json_object"),
    breaking("seed-closes"),
)
def test_what_a_server_breaks_at_without_a_word_is_left_out(case: Case, tmp_path: Path) -> None:
    check(case, tmp_path)


def test_a_valid_answer_inside_a_refusal_is_taken(tmp_path: Path) -> None:
    check(learned("failed-generation"), tmp_path)
