from __future__ import annotations

import json
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest
from tests.support.cli import pairmill, rejects, rows
from tests.support.corpus import article, write_corpus

from pairmill.simulator import (
    Faults,
    Latency,
    ScheduledStep,
    SimulatedQuota,
    Simulator,
    SimulatorSettings,
)

if TYPE_CHECKING:
    from pathlib import Path


def _plain_lines(text: str) -> list[str]:
    return [line for line in text.splitlines() if not line.startswith("{")]


@pytest.mark.parametrize(
    ("fault", "code", "word"),
    [
        ("quota_gone_from", 75, "quota"),
        ("key_revoked_from", 78, "key"),
        ("model_gone_from", 78, "model"),
    ],
)
def test_what_no_waiting_mends_ends_the_run_within_twice_the_calls_in_flight(
    tmp_path: Path, fault: str, code: int, word: str
) -> None:
    corpus, out = write_corpus(tmp_path / "articles", 30, 12), tmp_path / "out"
    faults = Faults(**{fault: 12})  # type: ignore[arg-type]
    with Simulator(SimulatorSettings(faults=faults, latency=Latency("fixed", 0.05))) as endpoint:
        command = ("run", corpus, "-o", out, "--base-url", endpoint.url, "--concurrency", "4")
        first = pairmill(*command, url=endpoint.url)
        report = endpoint.report()
    assert first.returncode == code, first.stderr
    # One refusal may be an accident: three are needed, and more of them than calls still out.
    assert report["after_fatal"] <= 2 * 4
    line = _plain_lines(first.stderr)[-1]
    assert word in line.lower()
    before = {row["id"] for row in rows(out)}
    assert len(before) >= 3 * 5
    with Simulator() as endpoint:
        again = pairmill("run", corpus, "-o", out, "--concurrency", "4", url=endpoint.url)
        assert again.returncode == 0, again.stderr
        assert endpoint.report()["calls"] <= 30 - len(before) // 3 + 5
    after = [row["id"] for row in rows(out)]
    assert before < set(after)
    assert len(after) == len(set(after))


@pytest.mark.slow
def test_a_cap_in_dollars_is_never_passed_with_hundreds_in_flight(tmp_path: Path) -> None:
    corpus, out = tmp_path / "a.jsonl", tmp_path / "out"
    corpus.write_text("".join(json.dumps({"text": article(n, 12)}) + "\n" for n in range(900)))
    cap = "0.2"
    with Simulator(SimulatorSettings(latency=Latency("lognormal", 0.2))) as endpoint:
        command = ("run", corpus, "-o", out, "--concurrency", "500", "--max-usd", cap)
        first = pairmill(*command, url=endpoint.url)
        spent = Decimal(endpoint.report()["spent_usd"])
        assert first.returncode == 75, first.stderr
        assert "cap of $0.20 is reached" in _plain_lines(first.stderr)[-1]
        assert Decimal(cap) * Decimal("0.9") < spent <= Decimal(cap)
        second = pairmill(*command, url=endpoint.url)
        assert second.returncode == 75
        assert Decimal(endpoint.report()["spent_usd"]) <= Decimal(cap)
    assert rows(out)


def test_a_cap_without_a_price_is_refused_before_anything_is_paid(tmp_path: Path) -> None:
    corpus = write_corpus(tmp_path / "articles", 1, 12)
    with Simulator() as endpoint:
        command = ("run", corpus, "-o", tmp_path / "out", "--model", "mystery", "--max-usd", "1")
        run = pairmill(*command, url=endpoint.url)
    assert run.returncode == 78
    assert "the price of 'mystery' is not known" in run.stderr


def test_a_known_quota_is_not_tripped(tmp_path: Path) -> None:
    corpus = write_corpus(tmp_path / "articles", 60, 12)
    quota = SimulatedQuota(rpm=1200, burst_s=1.0)  # a second of patience: this machine may be busy
    with Simulator(SimulatorSettings(quota=quota)) as endpoint:
        command = ("run", corpus, "-o", tmp_path / "out", "--rpm", "1200")
        run = pairmill(*command, url=endpoint.url)
        report = endpoint.report()
    assert run.returncode == 0, run.stderr
    assert report["rate_limited"] == 0
    assert report["concurrency_max"] <= 60


@pytest.mark.slow
def test_refusals_are_waited_for_and_cost_a_chunk_nothing(tmp_path: Path) -> None:
    corpus = write_corpus(tmp_path / "articles", 50, 12)
    quota = SimulatedQuota(rpm=1200, flavour="second")
    with Simulator(SimulatorSettings(quota=quota, dialect="none")) as endpoint:
        run = pairmill("run", corpus, "-o", tmp_path / "out", url=endpoint.url)
        report = endpoint.report()
    assert run.returncode == 0, run.stderr
    assert report["rate_limited"] > 0
    assert report["retry_after_ignored"] == 0
    found = rows(tmp_path / "out")
    assert {row["attempts"] for row in found} == {1}
    assert len({row["chunk_id"] for row in found}) == 50


@pytest.mark.slow
def test_a_dead_pools_work_moves_to_the_others(tmp_path: Path) -> None:
    corpus = write_corpus(tmp_path / "articles", 30, 12)
    fails = SimulatorSettings(faults=Faults(key_revoked_from=8), latency=Latency("fixed", 0.02))
    with Simulator(fails) as first, Simulator() as second:
        (tmp_path / "run.yaml").write_text(
            f"concurrency: 4\npools:\n- name: a\n  base_url: {first.url}\n"
            f"- name: b\n  base_url: {second.url}\n  model: other\n"
        )
        command = ("run", corpus, "-o", tmp_path / "out", "--config", tmp_path / "run.yaml")
        run = pairmill(*command, url=first.url)
        assert first.report()["after_fatal"] <= 2 * 4
    assert run.returncode == 0, run.stderr
    found = rows(tmp_path / "out")
    assert len({row["chunk_id"] for row in found}) == 30
    assert {row["model"] for row in found} == {"gpt-4o-mini", "other"}


def test_only_what_failed_on_the_cheap_model_is_asked_of_the_strong_one(tmp_path: Path) -> None:
    corpus = write_corpus(tmp_path / "articles", 20, 12)
    script = (ScheduledStep(fault="refusal", match="# Report 7\n", times=None),)
    with Simulator(SimulatorSettings(script=script)) as cheap, Simulator() as strong:
        (tmp_path / "run.yaml").write_text(
            f"pools:\n- name: cheap\n  base_url: {cheap.url}\n"
            f"- name: strong\n  base_url: {strong.url}\n  model: gpt-4o\n  escalation: true\n"
        )
        command = ("run", corpus, "-o", tmp_path / "out", "--config", tmp_path / "run.yaml")
        run = pairmill(*command, url=cheap.url)
        assert strong.report()["calls"] == 2  # the probe, and one chunk
    assert run.returncode == 0, run.stderr
    by_model = {row["model"] for row in rows(tmp_path / "out") if "007" in row["source"]}
    assert by_model == {"gpt-4o"}
    assert not [row for row in rejects(tmp_path / "out") if row["whole_unit"]]


def test_a_model_that_cannot_do_it_is_found_out_early(tmp_path: Path) -> None:
    corpus = write_corpus(tmp_path / "articles", 60, 12)
    script = (ScheduledStep(fault="plain_prose", match="PASSAGE", times=None),)
    with Simulator(SimulatorSettings(script=script)) as endpoint:
        command = ("run", corpus, "-o", tmp_path / "out", "--concurrency", "4")
        run = pairmill(*command, url=endpoint.url)
        assert endpoint.report()["calls"] <= 6 + 20 + 4  # probe, window, in flight
    assert run.returncode == 75, run.stderr
    assert "the prompt and the model do not fit" in run.stderr


@pytest.mark.slow
def test_a_server_of_ones_own_is_filled_but_not_flooded(tmp_path: Path) -> None:
    corpus = tmp_path / "a.jsonl"
    corpus.write_text("".join(json.dumps({"text": article(n, 12)}) + "\n" for n in range(600)))
    settings = SimulatorSettings(slots=32, latency=Latency("fixed", 0.15))
    with Simulator(settings) as endpoint:
        run = pairmill("run", corpus, "-o", tmp_path / "out", url=endpoint.url)
        report = endpoint.report()
    assert run.returncode == 0, run.stderr
    assert 24 <= report["concurrency_max"] <= 80
