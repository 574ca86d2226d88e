"""A real run against a real collector: what it exports is what it did."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest
from tests.support.cli import KEY, environment, rows
from tests.support.corpus import write_corpus

from pairmill.simulator import Faults, Simulator, SimulatorSettings

pytest.importorskip("opentelemetry.sdk", reason="the extra otel is not installed")

from tests.support.collector import Collector, plain, total

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.slow
def test_spans_and_counters_of_a_run_are_those_of_its_manifest(tmp_path: Path) -> None:
    corpus = write_corpus(tmp_path / "articles", 6)
    settings = SimulatorSettings(faults=Faults(rates={"overloaded": 0.2}, attempts=1))
    with Simulator(settings) as endpoint, Collector() as collector:
        done = subprocess.run(
            [sys.executable, "-m", "pairmill", "run", corpus, "-o", tmp_path / "out", "-q"],
            env={**environment(endpoint.url), "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url},
            capture_output=True,
            text=True,
            timeout=50,
            check=False,
        )
        report = endpoint.report()
    assert done.returncode == 0, done.stderr
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text("utf-8"))
    calls = [span for span in collector.spans if span.kind == 3]
    answered = [span for span in calls if span.status.code != 2]
    probes = len(answered) - manifest["calls"]
    assert 0 <= probes <= 3  # calls before the first chunk are calls, too
    assert sum(plain(span.attributes)["pairmill.sends"] for span in calls) == report["calls"]
    assert any(plain(span.attributes)["pairmill.sends"] > 1 for span in calls)
    assert (
        total(collector.metrics["pairmill.pairs"])
        == manifest["pairs"]
        == len(rows(tmp_path / "out"))
    )
    tokens = collector.metrics["gen_ai.client.token.usage"].histogram.data_points
    sums = {plain(point.attributes)["gen_ai.token.type"]: int(point.sum) for point in tokens}
    assert sums["input"] == sum(
        plain(span.attributes)["gen_ai.usage.input_tokens"] for span in answered
    )
    port = int(endpoint.url.split(":")[2].split("/")[0])
    assert {plain(span.attributes)["server.port"] for span in calls} == {port}
    assert KEY.encode() not in collector.raw
    text = rows(tmp_path / "out")[0]["answer"][:40].encode()
    assert text not in collector.raw


@pytest.mark.slow
def test_a_collector_that_is_not_there_delays_and_disturbs_nothing(tmp_path: Path) -> None:
    corpus = write_corpus(tmp_path / "articles", 2)
    began = time.monotonic()
    with Simulator() as endpoint:
        done = subprocess.run(
            [sys.executable, "-m", "pairmill", "run", corpus, "-o", tmp_path / "out"],
            env={**environment(endpoint.url), "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"},
            capture_output=True,
            text=True,
            timeout=50,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    told = [line for line in done.stderr.splitlines() if "OpenTelemetry" in line]
    assert len(told) <= 1
    assert rows(tmp_path / "out")
    assert time.monotonic() - began < 30
