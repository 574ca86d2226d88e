"""A run that is watched: over HTTP, and by a real Prometheus."""

from __future__ import annotations

import json
import re
import shutil
import socket
import subprocess
import time
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import httpx2
import pytest
from prometheus_client.parser import text_string_to_metric_families
from tests.support.cli import pairmill, start
from tests.support.corpus import write_corpus

from pairmill.config import load
from pairmill.errors import Kind
from pairmill.events import Bus, CallAnswered, CallFailed, Committed, UnitFinished
from pairmill.llm.limits.gate import Gate
from pairmill.records import Outcome, Usage
from pairmill.service.companions import RunView
from pairmill.service.status_server.metrics import RunMetricsCollector
from pairmill.simulator import Latency, Simulator, SimulatorSettings

if TYPE_CHECKING:
    from pathlib import Path

PROMETHEUS = shutil.which("prometheus")
PROMTOOL = shutil.which("promtool")


def manifest(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "manifest.json").read_text("utf-8"))
    return found


def address_told(process: subprocess.Popen[str]) -> str:
    assert process.stderr is not None
    for line in process.stderr:
        if found := re.search(r"status: (http://\S+?/)", line):
            return found[1]
    raise AssertionError("no address was told")


def test_the_last_scrape_says_what_the_manifest_says(tmp_path: Path) -> None:
    corpus = write_corpus(tmp_path / "articles", 4)
    with Simulator() as endpoint:
        process = start(
            "run", corpus, "-o", tmp_path / "out", "--status", "0",
            "--set", "status_linger_s=30", url=endpoint.url,
        )  # fmt: skip
        url = address_told(process)
        until = time.monotonic() + 40
        while not (tmp_path / "out/manifest.json").exists() and time.monotonic() < until:
            time.sleep(0.05)
        while not manifest(tmp_path / "out")["facts"].get("finished"):
            assert time.monotonic() < until
            time.sleep(0.05)
        text = httpx2.get(f"{url}metrics", trust_env=False).text
        _, errors = process.communicate(timeout=40)
    assert process.returncode == 0, errors
    told = manifest(tmp_path / "out")
    values = {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
    assert values["pairmill_pairs_written_total",] == told["pairs"] > 0
    (calls,) = [value for name, value in values.items() if "answered" in name]
    assert calls == told["calls"]
    assert values["pairmill_tokens_total", "input"] == told["tokens"]["prompt"]
    assert values["pairmill_tokens_total", "output"] == told["tokens"]["completion"]


@pytest.fixture
def metrics_text() -> str:
    """What a run with calls, failures and pools shows."""
    bus = Bus()
    view = RunView(load(given={"output": "out"}), bus)
    gates = {"a": Gate(clock=time.monotonic)}
    pool: Any = SimpleNamespace(name="a", base_url="http://127.0.0.1/v1", model="m")
    pools: Any = SimpleNamespace(alive=[pool], gate=gates.__getitem__)
    view.connected(pools)
    metrics = RunMetricsCollector(view, "1.2")
    bus.emit(CallAnswered("m", "answer", Usage(7, 5), 10**12, seconds=0.3))
    bus.emit(CallFailed(Kind.RATE, status=429, model="m"))
    bus.emit(UnitFinished(Outcome.REJECTED, reason="no_pair_passed: why"))
    bus.emit(Committed(1, 1, 1))
    return metrics.render().decode()


@pytest.mark.skipif(PROMTOOL is None, reason="needs promtool (Debian: prometheus)")
def test_promtool_finds_nothing_to_object_to(metrics_text: str) -> None:
    found = subprocess.run(
        [str(PROMTOOL), "check", "metrics"],
        input=metrics_text,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert (found.returncode, found.stdout, found.stderr) == (0, "", "")


def test_a_taken_port_ends_the_command_before_anything_is_read(tmp_path: Path) -> None:
    corpus = write_corpus(tmp_path / "articles", 1)
    with socket.create_server(("127.0.0.1", 0)) as taken, Simulator() as endpoint:
        port = taken.getsockname()[1]
        found = pairmill(
            "run", corpus, "-o", tmp_path / "out", "--status", str(port), url=endpoint.url
        )
    assert found.returncode == 78
    cannot = f"status: cannot listen on '{port}': Address already in use"
    assert found.stderr == f"pairmill: {cannot}; choose another port, or 0 for a free one\n"
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
@pytest.mark.skipif(PROMETHEUS is None, reason="needs prometheus (Debian: prometheus)")
def test_a_real_prometheus_counts_to_the_last_pair(tmp_path: Path) -> None:
    corpus = write_corpus(tmp_path / "articles", 30)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with Simulator(SimulatorSettings(latency=Latency("fixed", 0.5), slots=8)) as endpoint:
        process = start(
            "run", corpus, "-o", tmp_path / "out", "--status", "0",
            "--set", "status_linger_s=30", url=endpoint.url,
        )  # fmt: skip
        target = address_told(process).removeprefix("http://").rstrip("/")
        config = tmp_path / "prometheus.yml"
        config.write_text(
            json.dumps(
                {
                    "global": {"scrape_interval": "500ms"},
                    "scrape_configs": [
                        {"job_name": "pairmill", "static_configs": [{"targets": [target]}]}
                    ],
                }
            ),
            "utf-8",
        )
        server = subprocess.Popen(
            [
                str(PROMETHEUS), f"--config.file={config}",
                f"--web.listen-address=127.0.0.1:{port}",
                f"--storage.tsdb.path={tmp_path / 'tsdb'}",
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            _, errors = process.communicate(timeout=100)
            assert process.returncode == 0, errors
            query = f"http://127.0.0.1:{port}/api/v1/query"
            last = "last_over_time(pairmill_pairs_written_total[10m])"
            found = httpx2.get(query, params={"query": last}, trust_env=False).json()
        finally:
            server.terminate()
            server.wait(20)
    (series,) = found["data"]["result"]
    assert int(series["value"][1]) == manifest(tmp_path / "out")["pairs"]
