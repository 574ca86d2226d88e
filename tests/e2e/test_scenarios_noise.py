"""Refusals that do not depend on the client's rate: the run ends well, whatever they are."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.support.scenarios import CHUNKS, Case, cases, check, play

from pairmill.simulator import Latency, SimulatorSettings

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]


@cases(
    Case("noise-429", bills=1),
    Case("noise-429-1pct", bills=1),
    Case("noise-429-20pct", bills=1),
    Case("noise-429-zero", bills=1),
    Case("noise-429-bare", bills=1),
    Case("noise-429-long", bills=1),
    Case("noise-500", bills=1),
    Case("noise-503", bills=1),
    Case("noise-529", bills=1),
    Case("noise-498", bills=1),
    Case("noise-waves", bills=1),
    Case(
        "noise-mixed", lost=1, bills=3
    ),  # a tenth of the answers are no JSON, also the second ones
    Case("noise-401", bills=1),
    Case("first-call-401", bills=1, refused=1),
    Case("noise-web-page", bills=1),
    Case("noise-204", bills=1),
    Case("noise-404", bills=2),
    Case("sick-replica", bills=1, refused=3 * CHUNKS),
    Case("sick-replica-429", bills=1, refused=3 * CHUNKS),
)
def test_noise_costs_time_and_nothing_else(case: Case, tmp_path: Path) -> None:
    check(case, tmp_path)


def test_many_calls_are_hardly_slower_for_noise(tmp_path: Path) -> None:
    """A refusal slows only the call that met it: 5 % of 200 calls wait, the others go on."""
    took, outcome = [], None
    for scenario in (None, "noise-429"):
        settings = SimulatorSettings(scenario=scenario, latency=Latency("fixed", 0.1))
        outcome = play(settings, tmp_path / str(scenario), chunks=200)
        assert (outcome.code, outcome.chunks) == (0, 200)
        took.append(outcome.report["elapsed_s"])
    assert outcome is not None
    assert outcome.report["rate_limited"] >= 4  # else there was no noise
    assert took[1] < 3 * took[0] + 5  # a spiral takes minutes


def test_a_first_call_that_is_refused_waits_as_long_as_it_is_told(tmp_path: Path) -> None:
    outcome = check(Case("first-call-429", refused=4), tmp_path)
    assert outcome.report["retry_after_ignored"] == 0
    assert outcome.report["retry_after_ignored_by_others"] == 0


def test_a_gauge_that_is_refused_is_left_alone(tmp_path: Path) -> None:
    outcome = check(Case("metrics-refused"), tmp_path)
    assert outcome.report["others"].get("/metrics", 0) <= 1


def test_a_sick_key_hands_its_work_to_the_healthy_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SICK_KEY", "sick")
    monkeypatch.setenv("GOOD_KEY", "good")
    pools = [{"name": name, "api_key_env": f"{name.upper()}_KEY"} for name in ("sick", "good")]
    check(Case("sick-key", settings={"pools": pools}), tmp_path)
