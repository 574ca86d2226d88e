"""Spans and metrics as a collector gets them, and when there are none."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING, Any

import pytest

from pairmill.config import load
from pairmill.errors import Kind
from pairmill.events import (
    Bus,
    CallAnswered,
    CallFailed,
    CallGivenUp,
    Event,
    Notice,
    UnitFinished,
)
from pairmill.records import Outcome, Usage
from pairmill.service.companions import PoolView, RunView, beside
from pairmill.service.telemetry import open_telemetry, wanted_signals

pytest.importorskip("opentelemetry.sdk", reason="the extra otel is not installed")

from tests.support.collector import Collector, plain, total

from pairmill.service.telemetry.exporter import provider_name

if TYPE_CHECKING:
    from pathlib import Path

ANSWER = CallAnswered(
    model="gpt-4o-mini-2024-07-18",
    outcome="answer",
    usage=Usage(1200, 300),
    picodollars=5 * 10**11,
    seconds=0.5,
    stage="backtranslate",
    asked="gpt-4o-mini",
    pool="main",
    total_s=2.5,
    sends=3,
)
LOST = CallGivenUp(
    kind=Kind.OVERLOAD, model="gpt-4o-mini", stage="judge", pool="main", total_s=9.0, status=503
)


class _View(RunView):
    def pools(self) -> tuple[PoolView, ...]:
        gate: Any = None
        return (
            PoolView("main", "https://api.groq.com/openai/v1", "gpt-4o-mini", gate, is_alive=True),
        )


def telemetry(
    monkeypatch: pytest.MonkeyPatch, folder: Path, events: list[Event], **environ: str
) -> list[str]:
    """Send events through the companion to its end; returns the notices."""
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    bus = Bus()
    notices: list[str] = []
    bus.subscribe(lambda event: notices.append(event.text), Notice)
    view = _View(load(given={"output": str(folder)}), bus)

    async def run() -> None:
        async with beside(open_telemetry(environ, "9.9"), view):
            for event in events:
                bus.emit(event)
        await asyncio.sleep(0)

    asyncio.run(run())
    return notices


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, ()),
        ({"OTEL_SERVICE_NAME": "x"}, ()),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318"}, ("traces", "metrics")),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://c:4318"}, ("traces",)),
        (
            {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c", "OTEL_TRACES_EXPORTER": "none"},
            ("metrics",),
        ),
        ({"OTEL_METRICS_EXPORTER": "otlp"}, ("metrics",)),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c", "OTEL_SDK_DISABLED": "TRUE"}, ()),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": " "}, ()),
    ],
)
def test_standard_variables_say_what_is_exported(
    environ: dict[str, str], expected: tuple[str, ...]
) -> None:
    assert wanted_signals(environ) == expected


def test_nothing_is_loaded_or_listens_where_nobody_asks() -> None:
    assert open_telemetry({"PATH": "/bin"}, "9.9") == []


def test_a_missing_extra_is_told_and_ends_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pairmill.service.telemetry.exporter", None)
    told = telemetry(monkeypatch, tmp_path, [], OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:9")
    assert told == ["OTEL_* is set, but nothing is exported: pip install 'pairmill[otel]' for that"]


def test_a_call_with_its_retries_is_one_span(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Collector() as collector:
        told = telemetry(
            monkeypatch,
            tmp_path,
            [ANSWER, LOST],
            OTEL_EXPORTER_OTLP_ENDPOINT=collector.url,
            OTEL_RESOURCE_ATTRIBUTES="team=data",
        )
    assert told == []
    answered, given_up, run = sorted(
        collector.spans, key=lambda span: (span.kind == 1, span.status.code)
    )
    assert (answered.name, answered.kind) == ("chat gpt-4o-mini", 3)  # CLIENT
    assert plain(answered.attributes) == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "groq",
        "gen_ai.request.model": "gpt-4o-mini",
        "gen_ai.response.model": "gpt-4o-mini-2024-07-18",
        "gen_ai.usage.input_tokens": 1200,
        "gen_ai.usage.output_tokens": 300,
        "server.address": "api.groq.com",
        "server.port": 443,
        "pairmill.stage": "backtranslate",
        "pairmill.sends": 3,
    }
    assert answered.end_time_unix_nano - answered.start_time_unix_nano == pytest.approx(
        2.5e9, rel=0.1
    )
    found = plain(given_up.attributes)
    assert (found["error.type"], given_up.status.code) == ("503", 2)  # ERROR
    assert run.name == "pairmill run"
    assert answered.trace_id != run.trace_id  # so that a sampler keeps a share of the calls
    assert answered.links[0].span_id == given_up.links[0].span_id == run.span_id
    resource = collector.resources[0]
    assert (resource["service.name"], resource["team"]) == ("pairmill", "data")
    assert resource["service.version"] == "9.9"


def test_metrics_have_the_names_units_and_buckets_of_the_conventions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended = UnitFinished(Outcome.WRITTEN, pairs=3)
    failed = CallFailed(Kind.RATE, 429)
    with Collector() as collector:
        events: list[Event] = [ANSWER, ANSWER, LOST, failed, ended, ended]
        endpoint = f"{collector.url}/v1/metrics"
        telemetry(monkeypatch, tmp_path, events, OTEL_EXPORTER_OTLP_METRICS_ENDPOINT=endpoint)
    assert collector.spans == []
    duration = collector.metrics["gen_ai.client.operation.duration"]
    assert duration.unit == "s"
    points = {plain(p.attributes).get("error.type"): p for p in duration.histogram.data_points}
    assert (points[None].count, points[None].sum) == (2, 5.0)
    assert (points["503"].count, points["503"].sum) == (1, 9.0)
    assert list(points[None].explicit_bounds)[:3] == [0.01, 0.02, 0.04]
    assert points[None].explicit_bounds[-1] == pytest.approx(81.92)
    tokens = collector.metrics["gen_ai.client.token.usage"]
    assert tokens.unit == "{token}"
    sums = {plain(p.attributes)["gen_ai.token.type"]: p.sum for p in tokens.histogram.data_points}
    assert sums == {"input": 2400, "output": 600}
    assert total(collector.metrics["pairmill.pairs"]) == 6
    assert total(collector.metrics["pairmill.chunks"]) == 2
    assert total(collector.metrics["pairmill.cost"]) == pytest.approx(1.0)
    assert total(collector.metrics["pairmill.failed_sends"]) == 1


def test_a_parent_from_the_environment_is_the_parent_of_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    with Collector() as collector:
        endpoint = f"{collector.url}/v1/traces"
        telemetry(
            monkeypatch,
            tmp_path,
            [],
            OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=endpoint,
            TRACEPARENT=parent,
        )
    (run,) = collector.spans
    assert run.trace_id.hex() == "0af7651916cd43dd8448eb211c80319c"
    assert run.parent_span_id.hex() == "b7ad6b7169203331"


def test_a_collector_that_refuses_is_told_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with Collector(status=400) as collector:
        told = telemetry(monkeypatch, tmp_path, [ANSWER], OTEL_EXPORTER_OTLP_ENDPOINT=collector.url)
    assert collector.paths  # it was asked
    assert len([text for text in told if text.startswith("OpenTelemetry: ")]) <= 1
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("base_url", "name"),
    [
        ("https://api.openai.com/v1", "openai"),
        ("https://mine.openai.azure.com/openai/v1", "azure.ai.openai"),
        ("https://api.mistral.ai/v1", "mistral_ai"),
        ("https://notmistral.ai/v1", "openai"),
        ("http://127.0.0.1:8000/v1", "openai"),
    ],
)
def test_providers_are_named_as_the_conventions_do(base_url: str, name: str) -> None:
    assert provider_name(base_url) == name
