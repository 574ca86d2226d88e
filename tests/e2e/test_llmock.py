"""A run against llmock, a mock server that we did not write and that judges its client."""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
import sys
import time
import urllib.request
from typing import TYPE_CHECKING, Any

import pytest
from tests.support.cli import environment, pairmill, rejects, rows
from tests.support.corpus import write_corpus

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.slow

LLMOCK = (sys.executable, "-c", "from llmock.cli import app; app()")
START_S = 30.0
CHAT = {"path": "*/chat/completions"}
CUT_OFF = '{"skip": null, "pairs": [{"type": "why", "evidence": "", "instruction": "cut'


class Mock:
    """A running llmock server."""

    def __init__(self, port: int) -> None:
        self.root = f"http://127.0.0.1:{port}"
        self.url = f"{self.root}/v1"

    def get(self, path: str) -> Any:
        with urllib.request.urlopen(f"{self.root}{path}", timeout=10) as reply:
            return json.loads(reply.read())

    def script(self, *behaviors: dict[str, Any]) -> None:
        body = json.dumps({"behaviors": behaviors}).encode()
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(f"{self.root}/_llmock/scenario", body, headers)
        urllib.request.urlopen(request, timeout=10).close()

    def judge(self) -> tuple[int, str]:
        """llmock's own verdict: the exit code of its strict report, and what it says."""
        told = subprocess.run(
            [*LLMOCK, "report", "--url", self.root, "--strict"],
            capture_output=True, text=True, timeout=30, check=False,
        )  # fmt: skip
        return told.returncode, told.stdout + told.stderr


@contextlib.contextmanager
def llmock(*flags: str) -> Iterator[Mock]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [*LLMOCK, "serve", "--host", "127.0.0.1", "--port", str(port)]
    child = subprocess.Popen(
        [*command, "--log-level", "warning", *flags],
        env=environment(None), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    mock = Mock(port)
    try:
        until = time.monotonic() + START_S
        while True:
            try:
                mock.get("/_llmock/requests")
                break
            except OSError:
                assert child.poll() is None, "llmock ended at its start"
                assert time.monotonic() < until, "llmock does not answer"
                time.sleep(0.05)
        yield mock
    finally:
        child.terminate()
        child.wait(10)


def test_a_run_through_quotas_and_failures_passes_its_strict_verdict(tmp_path: Path) -> None:
    corpus, out = write_corpus(tmp_path / "articles", 40, 14), tmp_path / "out"
    config = tmp_path / "run.yaml"
    # The script is for the run's own calls; the mock's words have nothing to do with the texts.
    config.write_text("structured_output: json_schema\nchecks: off\n")
    quotas = ("--rpm", "600", "--tpm", "3000000")  # a call is charged its prompt and max_tokens
    with llmock(*quotas, "--error-rate", "503=0.1", "--latency-ms", "20") as mock:
        mock.script(
            {"type": "fail", "status": 429, "retry_after": 1.0, "times": 4, "match": CHAT},
            {"type": "fail", "status": 500, "times": 3, "match": CHAT},
            # Each another text: of two equal repair prompts one would pass for the other's retry.
            *({"type": "reply", "text": f"{CUT_OFF} {number}", "match": CHAT} for number in "ABC"),
            *({"type": "reply", "text": f"I will not, {name}.", "match": CHAT} for name in "DE"),
        )
        run = pairmill("run", corpus, "-o", out, "--config", config, url=mock.url)
        exit_code, told = mock.judge()
        verdict = mock.get("/_llmock/verdict")
    assert run.returncode == 0, run.stderr
    assert exit_code == 0, told
    assert "PASS" in told
    assert verdict["faults_injected"] >= 7
    ended = {row["chunk_id"] for row in [*rows(out), *rejects(out)]}
    assert len(ended) == 40


def test_a_key_that_is_refused_is_not_tried_again(tmp_path: Path) -> None:
    corpus, out = write_corpus(tmp_path / "articles", 12, 14), tmp_path / "out"
    with llmock("--latency-ms", "20") as mock:
        mock.script({"type": "fail", "status": 401, "times": None})
        run = pairmill("run", corpus, "-o", out, url=mock.url)
        exit_code, told = mock.judge()
    assert run.returncode == 78
    assert len(run.stderr.strip().splitlines()) <= 2
    assert exit_code == 0, told
