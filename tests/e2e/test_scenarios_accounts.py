"""Money that is gone, in every provider's words: the run stops, says so, and goes on later."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.support.scenarios import CHUNKS, Case, cases, check, play_again

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]


def gone(scenario: str, says: str, todo: str = "") -> Case:
    return Case(
        scenario, code=(75,), chunks=8, says=(says,), refused=2 * CHUNKS, bills=1, todo=todo
    )


@cases(
    gone("account-openai", "exceeded your current quota"),
    gone("account-anthropic", "specified API usage limits"),
    gone("account-anthropic-credit", "credit balance is too low"),
    gone("account-litellm", "Budget has been exceeded"),
    gone("account-litellm-429", "Budget has been exceeded"),
    gone("account-dashscope", "account is in good standing"),
    gone("account-xai", "used all available credits"),
    gone("account-zhipu", "您的账户已欠费"),
    gone("account-minimax", "insufficient balance"),
    gone("account-siliconflow", "paid balance is insufficient"),
    gone("account-fireworks", "Account is suspended"),
    gone("account-openrouter", "requires more credits"),
    gone("account-deepseek", "Insufficient Balance"),
    gone("account-moonshot", "check your plan and billing details"),
    gone("account-gemini-day", "exceeded your current quota"),
)
def test_the_run_stops_in_the_providers_words_and_goes_on_once_it_is_paid(
    case: Case, tmp_path: Path
) -> None:
    first = check(case, tmp_path)
    second = play_again(tmp_path)
    assert second.code == 0, second.said
    assert second.chunks == CHUNKS
    assert second.lost == 0
    assert second.report["billed"] <= CHUNKS - first.chunks + 3  # probes; nothing is bought again


def test_a_key_that_is_revoked_stops_the_run_and_loses_nothing(tmp_path: Path) -> None:
    case = Case("account-key-revoked", code=(75, 78), chunks=8, says=("Incorrect API key",))
    check(case, tmp_path)
    assert play_again(tmp_path).chunks == CHUNKS
