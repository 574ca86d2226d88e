"""The processes that check: killed at any moment they cost no pair and no call, and know no key."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.support.cli import KEY, environment, pairmill, rows
from tests.support.corpus import article
from tests.support.waiting import wait_until

from pairmill.simulator import Simulator, SimulatorSettings
from pairmill.simulator.settings import Latency

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.fault, pytest.mark.slow]

CHUNKS = 240
KILLS = 3


Row = tuple[str, str, tuple[str, ...]]


@pytest.fixture
def endpoint() -> Iterator[Simulator]:
    settings = SimulatorSettings(content="derived", latency=Latency("fixed", 0.3))
    with Simulator(settings) as endpoint:
        yield endpoint


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> tuple[set[Row], int]:
    """The rows of a run that checks for itself, and how many calls it made."""
    folder = tmp_path_factory.mktemp("alone")
    with Simulator(SimulatorSettings(content="derived")) as endpoint:
        done = pairmill(*command(folder, "out", 0), url=endpoint.url)
        assert done.returncode == 0, done.stderr
        return said(folder / "out"), endpoint.report()["calls"]


def command(tmp_path: Path, name: str, processes: int) -> list[str]:
    lines = [json.dumps({"text": article(number, 10)}) + "\n" for number in range(CHUNKS)]
    (tmp_path / "in.jsonl").write_text("".join(lines))
    (tmp_path / "run.yaml").write_text(
        f"checks: {{processes: {processes}}}\nmodel: {{structured_output: json_schema}}\n"
    )
    out, config = str(tmp_path / name), str(tmp_path / "run.yaml")
    return ["run", str(tmp_path / "in.jsonl"), "-o", out, "--config", config, "--concurrency", "16"]


def start(words: list[str], url: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "pairmill", *words],
        env=environment(url),
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def checkers(pid: int) -> list[int]:
    """The processes that check for this one."""
    try:
        listed = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        found = {int(name): Path(f"/proc/{name}/cmdline").read_bytes() for name in listed}
    except (FileNotFoundError, ProcessLookupError):
        return []
    return [name for name, words in found.items() if b"run.checking_process" in words]


def said(out: Path) -> set[Row]:
    return {(row["id"], row["answer"], tuple(row["flags"])) for row in rows(out)}


def test_killed_again_and_again_it_costs_no_pair_and_no_call(
    tmp_path: Path, endpoint: Simulator, alone: tuple[set[Row], int]
) -> None:
    child = start(command(tmp_path, "out", 1), endpoint.url)
    killed: set[int] = set()
    for number in range(KILLS):
        begun = number * CHUNKS // (KILLS + 1)
        wait_until(lambda begun=begun: endpoint.report()["calls"] > begun)  # type: ignore[misc]
        wait_until(lambda: bool(set(checkers(child.pid)) - killed) or child.poll() is not None)
        for checker in checkers(child.pid):
            os.kill(checker, signal.SIGKILL)
            killed.add(checker)
    _, errors = child.communicate()
    assert child.returncode == 0, errors
    assert "Traceback" not in errors
    assert len(killed) >= KILLS
    assert said(tmp_path / "out") == alone[0]
    assert endpoint.report()["calls"] == alone[1]


def ignores_sigterm(pid: int) -> bool:
    """Whether it has come so far; before, it would die as any program does."""
    status = Path(f"/proc/{pid}/status").read_text("utf-8")
    (mask,) = [line.split()[1] for line in status.splitlines() if line.startswith("SigIgn:")]
    return bool(int(mask, 16) >> (signal.SIGTERM - 1) & 1)


def test_it_ends_with_its_run_and_knows_no_key(tmp_path: Path, endpoint: Simulator) -> None:
    child = start(command(tmp_path, "out", 2), endpoint.url)
    wait_until(lambda: len(checkers(child.pid)) == 2)
    found = checkers(child.pid)
    wait_until(lambda: all(ignores_sigterm(checker) for checker in found))
    for checker in found:
        os.kill(checker, signal.SIGTERM)  # as a service manager sends it: the run is to answer it
        assert KEY.encode() not in Path(f"/proc/{checker}/environ").read_bytes()
    assert checkers(child.pid) == found
    child.kill()
    child.communicate()
    wait_until(lambda: not any(Path(f"/proc/{checker}").exists() for checker in found))


def test_a_run_that_is_stopped_and_gone_on_with_has_each_pair_once(
    tmp_path: Path, endpoint: Simulator, alone: tuple[set[Row], int]
) -> None:
    words = command(tmp_path, "out", 1)
    child = start(words, endpoint.url)
    wait_until(lambda: endpoint.report()["answered"] > CHUNKS // 3)
    child.terminate()
    _, errors = child.communicate()
    assert child.returncode == 75, errors
    again = pairmill(*words, url=endpoint.url)
    assert again.returncode == 0, again.stderr
    assert len(rows(tmp_path / "out")) == len(alone[0])
    assert said(tmp_path / "out") == alone[0]
    assert endpoint.report()["calls"] == alone[1]
