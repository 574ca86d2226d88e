"""The process that reads: it ends with its run, however either of them ends, and knows no key."""

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

from pairmill.testing import Simulator

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.fault

LINES = [json.dumps({"text": article(number, 10)}) + "\n" for number in range(8)]


@pytest.fixture
def waiting(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], Simulator]]:
    """A run that has asked about all that came, and waits for more on standard input."""
    config = tmp_path / "run.yaml"
    config.write_text("structured_output: json_schema\n", "utf-8")
    with Simulator() as endpoint:
        command = ["run", "-", "-o", str(tmp_path / "out"), "--config", str(config)]
        child = subprocess.Popen(
            [sys.executable, "-m", "pairmill", *command],
            env=environment(endpoint.url),
            stdin=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert child.stdin is not None
        try:
            child.stdin.write(LINES[0])
            child.stdin.flush()
            wait_until(lambda: endpoint.report()["answered"] == 1)  # though its end is not in sight
            yield child, endpoint
        finally:
            child.kill()
            child.communicate()


def _readers(pid: int) -> list[int]:
    """The processes that read for this one."""
    listed = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [int(name) for name in listed if b"intake.child" in _command(int(name))]


def _command(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return b""


def test_what_came_is_worked_on_while_more_is_awaited(
    waiting: tuple[subprocess.Popen[str], Simulator], tmp_path: Path
) -> None:
    child, endpoint = waiting
    _, errors = child.communicate("".join(LINES[1:]))
    assert child.returncode == 0, errors
    assert endpoint.report()["calls"] == len(LINES)
    assert len({row["document_id"] for row in rows(tmp_path / "out")}) == len(LINES)


def test_it_ends_with_a_run_that_is_killed(
    waiting: tuple[subprocess.Popen[str], Simulator],
) -> None:
    child, _ = waiting
    (reader,) = _readers(child.pid)
    child.kill()
    child.wait()
    wait_until(lambda: b"intake.child" not in _command(reader))  # its input is open, and silent


def test_a_signal_to_all_of_a_runs_processes_is_for_the_run_to_answer(
    waiting: tuple[subprocess.Popen[str], Simulator],
) -> None:
    """As a service manager sends it."""
    child, _ = waiting
    (reader,) = _readers(child.pid)
    os.kill(reader, signal.SIGTERM)
    child.terminate()
    _, errors = child.communicate()
    assert child.returncode == 75
    assert "Traceback" not in errors
    assert b"intake.child" not in _command(reader)


def test_a_run_whose_reading_is_killed_can_be_gone_on_with(
    waiting: tuple[subprocess.Popen[str], Simulator], tmp_path: Path
) -> None:
    child, endpoint = waiting
    (reader,) = _readers(child.pid)
    os.kill(reader, signal.SIGKILL)
    _, errors = child.communicate()
    assert child.returncode == 75, errors
    assert "the process that reads the input was killed (signal 9)" in errors
    assert "Traceback" not in errors
    command = ("run", "-", "-o", tmp_path / "out", "--config", tmp_path / "run.yaml")
    again = pairmill(*command, url=endpoint.url, input_text="".join(LINES))
    assert again.returncode == 0, again.stderr
    assert endpoint.report()["calls"] == len(LINES)


def test_it_knows_no_key(waiting: tuple[subprocess.Popen[str], Simulator]) -> None:
    child, _ = waiting
    (reader,) = _readers(child.pid)
    assert KEY.encode() in Path(f"/proc/{child.pid}/environ").read_bytes()
    assert KEY.encode() not in Path(f"/proc/{reader}/environ").read_bytes()
