from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]


@pytest.mark.bench
def test_every_client_of_the_throughput_benchmark_runs_and_answers_all() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.throughput", "--smoke"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=55,
    )
    assert done.returncode == 0, done.stderr + done.stdout
    for client in ("pairmill", "pairmill_sdk", "bare_direct", "bare_sdk", "aiohttp", "script",
                   "pairmill_checked"):  # fmt: skip
        assert f"| {client} " in done.stdout
