"""The answer stands elsewhere, behind a draft or in a stream; usage says what is not so."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.support.scenarios import CHUNKS, Case, cases, check

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

CAP = 30_000
PROBES = 4  # how often a probe may be asked again to see whether the model thinks


@cases(
    Case("draft-no-open-tag", bills=PROBES),
    Case("draft-think-tags", bills=PROBES),
    Case("draft-magistral", bills=PROBES),
    Case("draft-kimi", bills=PROBES),
    Case("draft-harmony", bills=PROBES),
    Case("draft-harmony-stripped", bills=PROBES),
    Case("draft-seed", bills=PROBES),
    Case("draft-prose", bills=PROBES),
    Case("thought-quotes-form", bills=PROBES),
    Case("thought-cut", lost=3),
)
def test_a_draft_is_never_published(case: Case, tmp_path: Path) -> None:
    outcome = check(case, tmp_path)
    assert not [row for row in outcome.rows if "Draft:" in str(row)]
    assert not [row for row in outcome.rows if "..." in row["instruction"]]


@cases(
    Case("answer-in-reasoning-content", billed=CHUNKS + 6, bills=1),
    Case("answer-in-reasoning", billed=CHUNKS + 6, bills=1),
    Case("answer-in-tool-call", billed=CHUNKS + 6, bills=1),
    Case("answer-in-parts", billed=CHUNKS + 6, bills=1),
    Case("answer-with-bom", billed=CHUNKS + 1, bills=1),
    Case("harmony-error-200", lost=1),  # each try is a question of its own: one in 64 fails thrice
)
def test_an_answer_is_found_where_it_stands(case: Case, tmp_path: Path) -> None:
    check(case, tmp_path)


@cases(
    Case("stream-default", billed=CHUNKS + 6, bills=1),
    Case("stream-always", billed=CHUNKS + 6, bills=1),
    Case("stream-always-json-type", billed=CHUNKS + 6, bills=1),
    Case("done-behind-json", billed=CHUNKS + 6, bills=1),
    Case("comment-before-json", billed=CHUNKS + 6, bills=1),
    Case("stream-lines", billed=CHUNKS + 6, bills=1),
)
def test_a_stream_that_nobody_asked_for_is_read(case: Case, tmp_path: Path) -> None:
    check(case, tmp_path)


def test_prose_is_asked_afresh_with_the_passage(tmp_path: Path) -> None:
    outcome = check(Case("prose-some", lost=3, bills=1), tmp_path)
    assert outcome.report["billed"] > CHUNKS + 1  # else there was no prose


def test_an_echo_of_the_schema_is_asked_afresh_with_the_passage(tmp_path: Path) -> None:
    outcome = check(Case("schema-echo", lost=2, sends=1, bills=1), tmp_path)
    assert outcome.report["billed"] > CHUNKS + 1  # else there was no echo


def test_a_model_that_knows_only_prose_ends_the_run_and_is_sent_no_request_over_and_over(
    tmp_path: Path,
) -> None:
    case = Case("prose-always", (75,), 0, says=("do not fit",), lost=20, sends=6, bills=6)
    check(case, tmp_path)


def capped(scenario: str, asked: int = 2, says: tuple[str, ...] = (), cap: int = CAP) -> Case:
    caps = {"max_tokens": cap}
    return Case(scenario, (75,), chunks=1, says=says, settings=caps, bills=asked)


@cases(
    capped("usage-half"),
    capped("usage-halved", says=("counts fewer tokens than texts can have",)),
    capped("usage-one-zero"),
    capped("usage-none"),
    capped("usage-zero"),
    capped("usage-outside", asked=4),  # each word that might end its thinking is tried
)
def test_the_cap_holds_whatever_usage_says(case: Case, tmp_path: Path) -> None:
    outcome = check(case, tmp_path)
    assert outcome.report["prompt_tokens"] + outcome.report["completion_tokens"] <= CAP


@cases(
    capped("ignores-max-tokens", cap=2 * CAP),
    capped("ignores-max-tokens-silently", cap=2 * CAP),
)
def test_a_server_that_writes_more_than_it_may_passes_the_cap_by_what_is_in_flight_at_most(
    case: Case, tmp_path: Path
) -> None:
    """What was under way could not be known; nothing is begun once it is."""
    outcome = check(case, tmp_path)
    in_flight = outcome.report["concurrency_max"] * 8_000
    assert (
        outcome.report["prompt_tokens"] + outcome.report["completion_tokens"] <= 2 * CAP + in_flight
    )
    assert outcome.report["billed"] < CHUNKS
