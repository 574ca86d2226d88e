"""Four real processes on one quota and one purse, by the endpoint's own count."""

from __future__ import annotations

import json
import random
import signal
import time
from typing import TYPE_CHECKING, Any

import pytest
from tests.support.cli import pairmill, rows, start
from tests.support.corpus import article

from pairmill.simulator import Latency, SimulatedQuota, Simulator, SimulatorSettings

if TYPE_CHECKING:
    from pathlib import Path

PARTS = 4


def parts(folder: Path, url: str, *more: str, count: int = PARTS) -> list[Any]:
    return [part(folder, url, index, *more, count=count) for index in range(count)]


def part(folder: Path, url: str, index: int, *more: str, count: int = PARTS) -> Any:
    given = ("run", folder / "in.jsonl", "-o", folder / "out", "--partition", f"{index}/{count}")
    return start(*given, "--share", folder / "share", "-q", *more, url=url)


def write(folder: Path, articles: int) -> None:
    lines = (json.dumps({"text": article(number, 8)}) + "\n" for number in range(articles))
    (folder / "in.jsonl").write_text("".join(lines), "utf-8")


def end(process: Any) -> tuple[int, str]:
    _, errors = process.communicate(timeout=200)
    return process.returncode, errors


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_four_processes_use_one_quota_and_no_more(tmp_path: Path) -> None:
    write(tmp_path, 1300)
    quota = SimulatedQuota(rpm=1200, burst_s=1.0)  # a second of patience: this machine may be busy
    settings = SimulatorSettings(quota=quota, latency=Latency("fixed", 0.3))
    with Simulator(settings) as endpoint:
        running = parts(tmp_path, endpoint.url, "--rpm", "1200")
        ended = [end(process) for process in running]
        report = endpoint.report()
    assert [code for code, _ in ended] == [0] * PARTS, ended
    assert report["answered"] >= 1300
    assert report["rate_limited"] == 0
    answered = [row[0] for row in report["seconds"]]
    cumulated = [sum(answered[: at + 1]) for at in range(len(answered))]
    begin = next(at for at, count in enumerate(cumulated) if count > 0.15 * cumulated[-1])
    last = next(at for at, count in enumerate(cumulated) if count > 0.9 * cumulated[-1])
    used = (cumulated[last - 1] - cumulated[begin]) / (last - 1 - begin) / 20.0
    assert used >= 0.9, used


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_four_processes_never_pass_one_cap_whoever_is_killed(tmp_path: Path) -> None:
    write(tmp_path, 1500)
    cap = 0.12
    more = ("--max-usd", str(cap), "--concurrency", "16", "--model", "gpt-4o-mini")
    dice = random.Random(3)
    with Simulator(SimulatorSettings(latency=Latency("lognormal", 0.4))) as endpoint:
        running = parts(tmp_path, endpoint.url, *more)
        killed, at = 0, 60
        until = time.monotonic() + 90
        while killed < 6 and time.monotonic() < until:
            time.sleep(0.1)
            index = dice.randrange(PARTS)
            if endpoint.report()["answered"] > at and running[index].poll() is None:
                at = endpoint.report()["answered"] + 60
                running[index].send_signal(signal.SIGKILL)
                killed += 1
                end(running[index])
                running[index] = part(tmp_path, endpoint.url, index, *more)
        ended = [end(process) for process in running]
        spent = float(endpoint.report()["spent_usd"])
    assert killed >= 2
    assert spent <= cap
    # What a killed process had leased it uses when it is back: calls in flight alone are lost, at
    # their worst. That is 0.90 of the cap with 5 kills; the bound leaves room for a busy machine.
    assert spent >= 0.7 * cap, (spent, killed)
    assert {75} <= {code for code, _ in ended} <= {0, 75}, ended
    assert all("the cap of $0.12 is reached" in said for code, said in ended if code), ended


@pytest.mark.slow
def test_a_key_that_one_finds_dead_ends_the_others(tmp_path: Path) -> None:
    from pairmill.simulator import Faults

    write(tmp_path, 400)
    faults = Faults(key_revoked_from=60)
    with Simulator(SimulatorSettings(faults=faults, latency=Latency("fixed", 0.2))) as endpoint:
        running = parts(tmp_path, endpoint.url, "--concurrency", "8", count=2)
        ended = [end(process) for process in running]
    assert all(code in {75, 78} for code, _ in ended), ended
    found = [rows(tmp_path / "out" / f"part-{index}-of-2") for index in range(2)]
    assert any(found)


def test_places_that_cannot_be_shared_are_told_in_one_line(tmp_path: Path) -> None:
    write(tmp_path, 1)
    (tmp_path / "file").write_text("x")
    given = ("run", tmp_path / "in.jsonl", "-o", tmp_path / "out", "--share")
    found = pairmill(*given, tmp_path / "file", url="http://127.0.0.1:9/v1")
    assert found.returncode == 78, found.stderr
    assert "share: cannot write to" in found.stderr
