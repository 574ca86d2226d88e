"""Where reading fails, what was asked is waited for: a paid answer is kept."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.support.cli import environment, pairmill
from tests.support.corpus import article
from tests.support.waiting import wait_until

from pairmill.simulator import Simulator, SimulatorSettings
from pairmill.simulator.settings import Latency

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.fault

COUNT = 8


@pytest.fixture
def slow() -> Iterator[Simulator]:
    with Simulator(SimulatorSettings(latency=Latency("fixed", 1.0))) as endpoint:
        yield endpoint


def test_calls_in_flight_are_answered_though_the_reading_process_dies(
    tmp_path: Path, slow: Simulator
) -> None:
    lines = [json.dumps({"text": article(number, 10)}) + "\n" for number in range(COUNT)]
    config, out = tmp_path / "run.yaml", tmp_path / "out"
    config.write_text("structured_output: json_schema\nconcurrency: 64\n", "utf-8")
    words = ["-o", str(out), "--config", str(config)]
    child = subprocess.Popen(
        [sys.executable, "-m", "pairmill", "run", "-", *words],
        env=environment(slow.url),
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert child.stdin is not None
    child.stdin.write("".join(lines))
    child.stdin.flush()
    try:
        wait_until(lambda: slow.report()["calls"] == COUNT)
        listed = Path(f"/proc/{child.pid}/task/{child.pid}/children").read_text().split()
        for pid in listed:
            if b"chunking.worker_process" in Path(f"/proc/{pid}/cmdline").read_bytes():
                os.kill(int(pid), signal.SIGKILL)
        _, errors = child.communicate(timeout=30)
    finally:
        child.kill()
    assert child.returncode == 75, errors
    assert slow.report()["answered"] == COUNT
    articles = tmp_path / "articles.jsonl"
    articles.write_text("".join(lines), "utf-8")
    again = pairmill("run", articles, *words, url=slow.url)
    assert again.returncode == 0, again.stderr
    assert slow.report()["calls"] == COUNT  # nothing was bought twice
