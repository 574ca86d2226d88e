"""Whose fault it is: the request's, the chunk's, the account's, the server's; through the CLI."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from tests.support.cli import pairmill, rejects, rows
from tests.support.corpus import write_corpus

from pairmill.simulator import Reply, Rule, Simulator, SimulatorSettings, When

if TYPE_CHECKING:
    from pathlib import Path

QUIET = "timeout_s: 1\n"


def _config(tmp_path: Path, text: str) -> Path:
    file = tmp_path / "settings.yaml"
    file.write_text(text, "utf-8")
    return file


def _refusing(status: int, message: str, **when: object) -> SimulatorSettings:
    reply = Reply(status=status, body={"error": {"message": message}})
    return SimulatorSettings(rules=(Rule(reply, When(passage=True, **when)),))  # type: ignore[arg-type]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("status", "message"),
    [
        (400, "Your prepaid credits have been exhausted."),
        (403, "Ihr Konto: insufficient funds"),
        (412, "Account suspended for unpaid invoices."),
        (429, "Monthly budget exceeded for this team."),
        (429, "您的账户余额不足"),
    ],
)
def test_money_that_is_gone_ends_the_run_in_the_providers_words_and_costs_no_chunk(
    tmp_path: Path, status: int, message: str
) -> None:
    corpus, out = write_corpus(tmp_path / "a", 40), tmp_path / "out"
    with Simulator(_refusing(status, message, after=12)) as endpoint:
        ended = pairmill("run", corpus, "-o", out, "--model", "m", url=endpoint.url)
        calls = endpoint.report()["calls"]
    assert ended.returncode == 75, ended.stderr
    assert message in ended.stderr.splitlines()[-1]
    assert calls < 60
    assert rejects(out) == []


@pytest.mark.slow
def test_what_refuses_every_chunk_is_not_the_chunks_fault_and_the_next_start_asks_again(
    tmp_path: Path,
) -> None:
    corpus, out = write_corpus(tmp_path / "a", 60), tmp_path / "out"
    command = ("run", corpus, "-o", out, "--model", "m")
    with Simulator(_refusing(400, "No.", after=12)) as endpoint:
        ended = pairmill(*command, url=endpoint.url)
        assert endpoint.report()["calls"] < 100
    assert ended.returncode == 75, ended.stderr
    assert "refused 24 different chunks in a row: No." in ended.stderr
    assert rejects(out) == []
    with Simulator() as endpoint:
        ended = pairmill(*command, url=endpoint.url)
    assert ended.returncode == 0, ended.stderr
    assert len({row["chunk_id"] for row in rows(out)}) == 60


@pytest.mark.slow
@pytest.mark.parametrize(
    ("reply", "reason", "most_calls"),
    [
        (Reply(status=418, body={"error": {"message": "odd"}}), "refused_by_server", 2),
        (Reply(status=403, body={"error": {"message": "blocked"}}), "refused_by_server", 2),
        (Reply(status=404, body={"error": {"message": "unknown model"}}), "settings", 6),
        (Reply(status=502, body=""), "server_error", 8),
        (Reply(status=504, body="", billed=True), "timeout", 2),
        (Reply(connection="reset_mid_body"), "connection_lost", 2),
        (Reply(connection="close"), "connection_lost", 2),
        (Reply(connection="hang"), "timeout", 2),
        (Reply(body="<html>"), "server_error", 8),
    ],
    ids=lambda value: str(getattr(value, "connection", None) or getattr(value, "status", value)),
)
def test_one_odd_chunk_costs_itself_and_nothing_else(
    tmp_path: Path, reply: Reply, reason: str, most_calls: int
) -> None:
    corpus, out = write_corpus(tmp_path / "a", 30), tmp_path / "out"
    settings = SimulatorSettings(rules=(Rule(reply, When(chunk=7)),))
    config = _config(tmp_path, QUIET)
    with Simulator(settings) as endpoint:
        ended = pairmill(
            "run", corpus, "-o", out, "--model", "m", "--config", config, url=endpoint.url
        )
        calls = endpoint.report()["calls"]
    assert ended.returncode == 0, ended.stderr
    (reject,) = rejects(out)
    assert reject["reason"] == reason
    assert reject["created"] > "2020"
    assert len({row["chunk_id"] for row in rows(out)}) == 29
    assert calls <= 30 + most_calls


@pytest.mark.slow
def test_silence_ends_the_run_says_what_to_raise_and_costs_no_chunk(tmp_path: Path) -> None:
    corpus, out = write_corpus(tmp_path / "a", 60), tmp_path / "out"
    rules = (Rule(Reply(connection="hang"), When(passage=True, after=12)),)
    with Simulator(SimulatorSettings(rules=rules)) as endpoint:
        ended = pairmill(
            "run", corpus, "-o", out, "--model", "m", "--config", _config(tmp_path, QUIET),
            url=endpoint.url,
        )  # fmt: skip
        report = endpoint.report()
    assert ended.returncode == 75, ended.stderr
    assert "raise timeout_s" in ended.stderr.splitlines()[-1]
    assert "inf s" not in ended.stderr
    assert rejects(out) == []
    assert report["calls"] < 120


POOLS = """
timeout_s: 1
pools:
  - {{name: a, base_url: "{a}"}}
  - {{name: b, base_url: "{b}"}}
"""
NOT_THERE = "http://127.0.0.1:9/v1"


@pytest.mark.slow
@pytest.mark.parametrize(
    "sick",
    [
        Reply(status=400, body={"error": {"message": "no"}}),
        Reply(status=413, body={"error": {"message": "too large"}}),
        Reply(connection="hang"),
        Reply(connection="reset"),
        None,
    ],
    ids=["refuses", "too large", "hangs", "resets", "not there"],
)
def test_a_sick_pool_hands_its_work_on_and_no_chunk_is_lost(
    tmp_path: Path, sick: Reply | None
) -> None:
    corpus, out = write_corpus(tmp_path / "a", 40), tmp_path / "out"
    rules = (Rule(sick, When(passage=True, after=5)),) if sick else ()
    with Simulator(SimulatorSettings(rules=rules)) as bad, Simulator() as good:
        a = bad.url if sick else NOT_THERE
        config = _config(tmp_path, POOLS.format(a=a, b=good.url))
        ended = pairmill("run", corpus, "-o", out, "--model", "m", "--config", config, url=good.url)
    assert ended.returncode == 0, ended.stderr
    assert rejects(out) == []
    assert len({row["chunk_id"] for row in rows(out)}) == 40


@pytest.mark.slow
def test_a_refusal_of_the_first_call_is_waited_for_as_any_other(tmp_path: Path) -> None:
    corpus, out = write_corpus(tmp_path / "a", 3), tmp_path / "out"
    rules = (
        Rule(Reply(status=429, headers={"retry-after": "3"}, body={"error": {"message": "slow"}}),
             When(until_s=3.0)),
    )  # fmt: skip
    with Simulator(SimulatorSettings(rules=rules)) as endpoint:
        endpoint.reset()
        ended = pairmill("run", corpus, "-o", out, "--model", "m", url=endpoint.url)
        report = endpoint.report()
    assert ended.returncode == 0, ended.stderr
    assert report["calls"] <= 3 + 1 + 3
    texts = [json.loads(line).get("text", "") for line in ended.stderr.splitlines() if "{" in line]
    assert not any("trying again for 30 s" in text for text in texts)


@pytest.mark.slow
def test_a_wait_of_a_day_ends_the_run_at_once_and_says_until_when(tmp_path: Path) -> None:
    corpus, out = write_corpus(tmp_path / "a", 30), tmp_path / "out"
    reply = Reply(status=429, headers={"retry-after": "86400"}, body={"error": {"message": "day"}})
    rules = (Rule(reply, When()),)
    with Simulator(SimulatorSettings(rules=rules)) as endpoint:
        ended = pairmill("run", corpus, "-o", out, "--model", "m", url=endpoint.url)
    assert ended.returncode == 75
    assert "it asks to wait until 20" in ended.stderr.splitlines()[-1]
