"""One odd chunk: it is given up within its bound, and the run ends well without it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.support.scenarios import CHUNKS, Case, cases, check, play_again

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.slow, pytest.mark.timeout(200)]

SHORT = {"timeout_s": 2.0, "endpoint_wait_s": 20.0}


@cases(
    Case("odd-chunk-500", lost=1, sends=8, settings=SHORT),
    Case("odd-chunk-504", lost=1, sends=2, settings=SHORT),
    Case("odd-chunk-reset", lost=1, sends=2, settings=SHORT),
    Case("odd-chunk-close", lost=1, sends=2, settings=SHORT),
    Case("odd-chunk-hang", lost=1, sends=2, settings=SHORT),
    Case("odd-chunk-400", lost=1, sends=3),
    Case("odd-chunk-416", lost=1, sends=3),
    Case("odd-chunk-303", lost=1, sends=3),
    Case("odd-chunk-max-tokens", lost=1, sends=3),
    Case("odd-chunk-torn", lost=1),
    Case("odd-chunk-filter", lost=1, sends=1),
    Case("odd-chunk-context", lost=1, sends=1),
    Case("odd-chunk-recitation", lost=1, sends=1),
    Case("odd-chunk-safety", lost=1, sends=1),
    Case("odd-chunk-401", lost=1, sends=4),
    Case("odd-chunk-403", lost=1, sends=3),
)
def test_one_odd_chunk_never_ends_the_run(case: Case, tmp_path: Path) -> None:
    outcome = check(case, tmp_path)
    assert outcome.lost == 1, "the odd chunk did not meet what the scenario plays"
    again = play_again(tmp_path)
    assert (again.code, again.report["billed"]) == (0, 0), again.said
    assert again.chunks == CHUNKS - 1


def test_what_no_server_answers_at_the_end_of_a_run_is_given_up_and_told(tmp_path: Path) -> None:
    """Nothing else is under way that could tell whose fault it is: something else is asked."""
    # Three that fail at the end look like noise at first: each is asked some seven times.
    check(Case("last-chunks-500", lost=3, sends=40, bills=4), tmp_path)
    again = play_again(tmp_path)
    assert (again.code, again.report["billed"]) == (0, 0), again.said


def test_the_end_counts_what_was_rejected_and_says_how_to_ask_again(tmp_path: Path) -> None:
    outcome = check(Case("odd-chunk-filter", lost=1), tmp_path)
    assert f"{CHUNKS - 1} written + 0 empty + 1 rejected (1 content_filter)" in outcome.said
    following = outcome.said.partition("\nnext:\n")[2]
    assert "asks about the 1 rejected chunk again" in following
    assert "pairmill retry" in following
