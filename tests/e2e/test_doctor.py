from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from tests.support.cli import KEY, pairmill

from pairmill.commands.doctor import _examine
from pairmill.config import load
from pairmill.llm.limits.headers import Unit
from pairmill.llm.providers.provider import Mode
from pairmill.simulator import Faults, Latency, SimulatedQuota, Simulator, SimulatorSettings

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from pairmill.service.doctor import Findings

QUOTA = SimulatedQuota(rpm=500, tpm=200_000)


async def examined(
    monkeypatch: pytest.MonkeyPatch, simulated: SimulatorSettings, **given: Any
) -> tuple[Findings, Sequence[str], dict[str, Any]]:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    async with Simulator(simulated) as endpoint:
        found, plan = await _examine(load(given={"base_url": endpoint.url, **given}))
        return found, plan, endpoint.report()


@pytest.mark.parametrize(
    ("dialect", "limits"),
    [
        ("openai", {Unit.REQUESTS: 500, Unit.TOKENS: 200_000}),
        ("azure", {Unit.REQUESTS: 500, Unit.TOKENS: 200_000}),
        ("anthropic", {Unit.REQUESTS: 500}),
        ("mistral", {Unit.REQUESTS: 500, Unit.TOKENS: 200_000}),
        ("none", {}),
    ],
)
async def test_limits_are_read_in_each_dialect(
    monkeypatch: pytest.MonkeyPatch, dialect: Any, limits: dict[Unit, float]
) -> None:
    found, plan, report = await examined(
        monkeypatch, SimulatorSettings(dialect=dialect, quota=QUOTA)
    )
    assert found.exit_code == 0
    read = {unit: reading.limit for unit, reading in found.hint.minute.items()}
    assert limits.items() <= read.items()
    assert plan[0].startswith("limits by headers: 500 rpm" if limits else "no limit headers")
    assert report["calls"] == found.calls <= 6


async def test_what_a_run_will_do_follows_from_it(monkeypatch: pytest.MonkeyPatch) -> None:
    slow = SimulatorSettings(quota=QUOTA, latency=Latency("fixed", 0.05), models=("gpt-4o-mini",))
    found, plan, _ = await examined(monkeypatch, slow)
    assert found.is_listed
    assert found.round_trip_s == pytest.approx(0.05, abs=0.03)
    assert found.tokens_per_s
    assert found.tokens_per_s > 100
    assert "(tpm decides)" in plan[0]
    assert "json_schema" in plan[1]
    assert len(plan) == 2
    _, given, _ = await examined(monkeypatch, slow, rpm=60, rate_share=0.5)
    assert given[0].startswith("limits as given and by headers: 30 rpm, 100,000 tpm -> about 30")


@pytest.mark.parametrize(
    ("supported", "mode", "told"),
    [
        ("json_object", Mode.JSON_OBJECT, "is not supported"),
        ("none", Mode.PROMPT, "is not supported"),
        ("ignored", Mode.PROMPT, "accepted, but not enforced"),
    ],
)
async def test_the_strongest_mode_that_works_is_named(
    monkeypatch: pytest.MonkeyPatch, supported: Any, mode: Mode, told: str
) -> None:
    found, plan, _ = await examined(monkeypatch, SimulatorSettings(response_format=supported))
    assert found.mode is mode
    assert found.modes[mode] == "works"
    assert told in found.modes[Mode.JSON_SCHEMA]
    assert f"({mode})" in plan[1]


@pytest.mark.parametrize("fault", ["missing_usage", "null_usage", "zero_usage"])
async def test_tokens_that_are_not_counted_are_missed(
    monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    broken = SimulatorSettings(faults=Faults(rates={fault: 1.0}))
    found, plan, _ = await examined(monkeypatch, broken)
    assert found.has_usage is False
    assert any("do not report token counts" in line for line in plan)


async def test_a_server_of_ones_own_is_widened_by_its_gauge(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with_gauge = SimulatorSettings(dialect="none", metrics="vllm")
    found, plan, _ = await examined(monkeypatch, with_gauge, model="my-model")
    assert found.has_gauge
    assert "by its waiting gauge" in plan[0]
    assert any("the price of 'my-model' is not known" in line for line in plan)
    without = SimulatorSettings(dialect="none", metrics="none")
    _, blind, _ = await examined(monkeypatch, without)
    assert "by the time per token" in blind[0]
    _, fixed, _ = await examined(monkeypatch, without, concurrency=12)
    assert "12 calls in flight, as given" in fixed[0]


@pytest.mark.parametrize(
    ("simulated", "exit_code", "told"),
    [
        (SimulatorSettings(api_keys=("another",)), 78, "Incorrect API key"),
        (SimulatorSettings(models=("gpt-4o-mico",)), 78, "it lists gpt-4o-mico"),
        (SimulatorSettings(faults=Faults(quota_gone_from=1)), 75, "quota"),
        (SimulatorSettings(faults=Faults(rates={"rate_limit": 1.0})), 75, "ate limit"),
        (SimulatorSettings(faults=Faults(key_revoked_from=1)), 78, "401"),
    ],
)
async def test_what_is_wrong_is_one_line(
    monkeypatch: pytest.MonkeyPatch, simulated: SimulatorSettings, exit_code: int, told: str
) -> None:
    found, plan, _ = await examined(monkeypatch, simulated)
    assert (found.exit_code, plan) == (exit_code, [])
    assert told in found.problem
    assert KEY not in repr(found)


async def test_a_passing_fault_is_asked_through(monkeypatch: pytest.MonkeyPatch) -> None:
    shaky = SimulatorSettings(faults=Faults(rates={"reset": 1.0}, attempts=1))
    found, _, report = await examined(monkeypatch, shaky)
    assert found.exit_code == 0
    assert report["answered"] * 2 == found.calls


@pytest.mark.slow
def test_it_is_a_command(tmp_path: Path) -> None:
    config = tmp_path / "pools.yaml"
    with Simulator() as endpoint:
        config.write_text(
            f"base_url: {endpoint.url}\n"
            "pools: [{name: a, model: one}, {name: b, model: two, base_url: 'http://[::1]:9/v1'}]\n"
        )
        shown = pairmill("doctor", "--base-url", endpoint.url, url=endpoint.url)
        both = pairmill("doctor", "--config", config, "--json", url=endpoint.url)
    assert shown.returncode == 0, shown.stderr
    assert "round trip" in shown.stdout
    assert "json_schema" in shown.stdout
    good, bad = json.loads(both.stdout)
    assert (good["ok"], good["model"], good["structured_output"]) == (
        True, "one", {"json_schema": "works"},
    )  # fmt: skip
    assert (bad["ok"], bad["exit_code"], both.returncode) == (False, 75, 75)
    assert KEY not in shown.stdout + both.stdout
    no_key = pairmill("doctor")
    assert no_key.returncode == 78
    assert len(no_key.stderr.strip().splitlines()) == 1
