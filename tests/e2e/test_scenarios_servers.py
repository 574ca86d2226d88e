"""What is wrong with a server or a set-up: told, bounded, and never charged to a chunk."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.support.cli import KEY
from tests.support.scenarios import CHUNKS, Case, cases, check, play_again

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.slow, pytest.mark.timeout(200)]

SHORT = {"timeout_s": 1.0, "endpoint_wait_s": 6.0}
MANY = 110
STOPPED = (75, 78)


@cases(
    Case("refuses-400-after", STOPPED, 8, says=("Bad request",), refused=70, corpus=MANY),
    Case("refuses-413-after", STOPPED, 8, says=("Request too large",), refused=70, corpus=MANY),
    Case("refuses-422-after", STOPPED, 8, says=("Input validation",), refused=70, corpus=MANY),
    Case("refuses-451-after", STOPPED, 8, says=("legal reasons",), refused=70, corpus=MANY),
    Case("model-unloaded", STOPPED, 8, says=("Model unloaded",), refused=70, corpus=MANY),
    Case("slots-too-small", STOPPED, 0, says=("context size",), refused=70, corpus=MANY),
    Case(
        "slow-after",
        STOPPED,
        8,
        says=("timeout_s",),
        billed=120,
        corpus=MANY,
        settings=SHORT,
    ),
    Case("hang-after", STOPPED, 8, says=("timeout_s",), billed=120, corpus=MANY, settings=SHORT),
    Case("slow-answers", STOPPED, 0, says=("timeout_s",), billed=90, corpus=MANY, settings=SHORT),
)
def test_what_happens_to_every_chunk_is_no_chunks_fault(case: Case, tmp_path: Path) -> None:
    check(case, tmp_path)
    after = play_again(tmp_path)
    assert (after.code, after.chunks, after.lost) == (0, MANY, 0), after.said


def test_a_model_that_crashes_and_comes_back_costs_no_chunk(tmp_path: Path) -> None:
    first = check(
        Case("crash-and-back", (0, 75), 8, corpus=MANY, settings=SHORT | {"timeout_s": 5.0}),
        tmp_path,
    )
    assert "crashed" in first.said.lower()
    after = play_again(tmp_path)
    assert (after.code, after.chunks, after.lost) == (0, MANY, 0), after.said


@cases(
    Case("gateway-504", (75,), 0, says=("504",), settings=SHORT | {"timeout_s": 5.0}),
    Case("gateway-504-some", chunks=CHUNKS - 4, lost=4),
    Case("gateway-524-some", chunks=CHUNKS - 4, lost=4),
    Case("cut-replies", chunks=CHUNKS - 4, lost=4),
    Case("reset-replies", chunks=CHUNKS - 4, lost=4),
    Case("silent-close", chunks=CHUNKS - 4, lost=4),
    Case("probe-cut", (0, 75), settings=SHORT),
    Case("probe-reset", (0, 75), settings=SHORT),
)
def test_a_request_that_may_be_billed_is_sent_at_most_twice(case: Case, tmp_path: Path) -> None:
    check(case, tmp_path)


@cases(
    Case("no-v1-vllm", (78,), says=("/v1",), path="", refused=6),
    Case("no-v1-ollama", (78,), says=("/v1",), path="", refused=6),
    Case("no-v1-lmstudio", (78,), says=("/v1",), path="", refused=6),
    Case("ollama-native", (78,), says=("Ollama", "/v1"), path="/api", refused=2),
    Case("anthropic-native", (78,), says=("Anthropic", "/v1"), path="/v1/messages", refused=2),
    Case("web-page", (78,), says=("Sign in to Example", "base_url"), path="", refused=2),
    Case("azure-path", (78,), says=("Resource not found",), refused=6),
    Case("redirect", (78,), says=("base_url",), refused=6),
    Case("minimax-key", (78,), says=("login fail",), refused=6),
    Case("nested-reason", (75, 78), says=("maintenance until noon",), refused=40),
)
def test_a_set_up_that_cannot_work_is_told_at_once(case: Case, tmp_path: Path) -> None:
    check(case, tmp_path)


def test_a_server_that_never_begins_is_told_with_what_was_asked_for(tmp_path: Path) -> None:
    said = ("timeout_s", "may never begin", "pairs_per_chunk")
    check(Case("schedules-little", (75,), says=said, bills=2, settings=SHORT), tmp_path)


def test_answers_without_a_choice_are_asked_for_again(tmp_path: Path) -> None:
    check(Case("no-answer-at-all"), tmp_path)


@pytest.mark.parametrize("scenario", ["key-echo", "key-echo-error"])
def test_a_key_that_the_server_echoes_reaches_no_file(scenario: str, tmp_path: Path) -> None:
    check(Case(scenario, (0, 75, 78), 8), tmp_path)
    for file in (tmp_path / "out").rglob("*"):
        if file.is_file():
            assert KEY.encode() not in file.read_bytes(), file
