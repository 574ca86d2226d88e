"""Spans and metrics of a run, by the semantic conventions for generative AI.

A span stands for one logical call, with its retries, as the conventions ask; a run may make
millions, so each is a trace of its own, linked to the span of the run. A sampler then keeps a share
of the calls, not all or none of a run's. Nothing of prompts or answers is exported.

Source: OpenTelemetry, Semantic conventions for generative client AI spans, and for its metrics.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import Counter as Counts
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from opentelemetry import propagate
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import ConsoleMetricExporter, PeriodicExportingMetricReader
from opentelemetry.sdk.metrics.view import ExplicitBucketHistogramAggregation, View
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter
from opentelemetry.trace import Link, SpanKind, Status, StatusCode

from pairmill.display import sanitize
from pairmill.events import (
    CallAnswered,
    CallCharged,
    CallFailed,
    CallGivenUp,
    Notice,
    UnitFinished,
)
from pairmill.llm.prices import PICO

if TYPE_CHECKING:
    from collections.abc import Mapping

    from opentelemetry.metrics import Counter, Histogram
    from opentelemetry.trace import Span, Tracer

    from pairmill.records import Usage
    from pairmill.service.companions import RunView

__all__ = ["Telemetry", "provider_name"]

_DURATION = "gen_ai.client.operation.duration"
_TOKENS = "gen_ai.client.token.usage"
_SECONDS = tuple(0.01 * 2**at for at in range(14))
_COUNTS = tuple(4.0**at for at in range(14))
_CHAT = "chat"
_LONGEST = 160
_SEND_S = 5.0  # at the end of a run
_ABORT_S = 2.0
_LOOK_S = 0.02
_MOST_VALUES = 50  # of an attribute that servers name, in metrics; the rest is `_OTHER`
_OTHER = "_OTHER"
_OPENAI = "https://api.openai.com/v1"
_LIBRARY_LOG = "opentelemetry"
_PROVIDERS = {
    "openai.azure.com": "azure.ai.openai",
    "services.ai.azure.com": "azure.ai.inference",
    "openai.com": "openai",
    "anthropic.com": "anthropic",
    "deepseek.com": "deepseek",
    "groq.com": "groq",
    "mistral.ai": "mistral_ai",
    "x.ai": "x_ai",
    "perplexity.ai": "perplexity",
    "cohere.ai": "cohere",
    "cohere.com": "cohere",
    "googleapis.com": "gcp.gemini",
    "amazonaws.com": "aws.bedrock",
    "cloud.ibm.com": "ibm.watsonx.ai",
}


def provider_name(base_url: str) -> str:
    """Return the provider as the conventions name it; ``openai`` for servers that speak its API."""
    host = urlsplit(base_url).hostname or ""
    found = (name for end, name in _PROVIDERS.items() if host == end or host.endswith(f".{end}"))
    return next(found, "openai")


class Telemetry:
    """A companion that exports traces and metrics as OTLP over HTTP.

    Args:
        signals: ``traces``, ``metrics``, or both.
        environ: Environment variables: exporters, endpoints, headers, the sampler and more are
            read from them by OpenTelemetry itself.
        version: pairmill's.

    Attributes:
        patience_s: Maximum seconds to send the remaining data at the end.
    """

    patience_s = 10.0

    def __init__(self, signals: tuple[str, ...], environ: Mapping[str, str], version: str) -> None:
        self._signals = signals
        self._environ = environ
        self._version = version
        self._places: dict[str, dict[str, Any]] = {}
        self._models: dict[str, Counts[str]] = {}
        self._exporters: list[Any] = []

    async def __call__(self, view: RunView) -> None:
        """Export until cancelled, then send the remaining data."""
        watch = _LibraryLog(view)
        with watch:
            resource = self._resource(view)
            traces = self._traces(resource) if "traces" in self._signals else None
            metrics = self._metrics(resource) if "metrics" in self._signals else None
            run_span = None
            try:
                if traces is not None:
                    run_span = self._listen_for_spans(
                        view, traces.get_tracer("pairmill", self._version)
                    )
                if metrics is not None:
                    self._listen_for_metrics(view, metrics)
                await asyncio.Event().wait()
            finally:
                if run_span is not None:
                    self._end(run_span, view)
                await self._close([each for each in (traces, metrics) if each is not None])

    async def _close(self, providers: list[TracerProvider | MeterProvider]) -> None:
        """Send the remaining data; give up on a collector that does not answer within seconds."""
        ends = [threading.Thread(target=each.shutdown, daemon=True) for each in providers]
        for end in ends:
            end.start()
        for wait_s, abort in ((_SEND_S, True), (_ABORT_S, False)):
            until = time.monotonic() + wait_s
            while any(each.is_alive() for each in ends):
                if time.monotonic() > until:
                    break
                await asyncio.sleep(_LOOK_S)
            for exporter in self._exporters if abort else ():
                if any(end.is_alive() for end in ends):
                    exporter.shutdown()  # ends its waiting between two tries

    def _resource(self, view: RunView) -> Resource:
        given = {"service.name": "pairmill", "service.version": self._version}
        if view.settings.partition:
            given["pairmill.partition"] = view.settings.partition
        named = self._environ.get("OTEL_SERVICE_NAME", "").strip()
        if named:
            given["service.name"] = named
        told = self._environ.get("OTEL_RESOURCE_ATTRIBUTES", "")
        if not named and "service.name=" in told:
            del given["service.name"]
        return Resource.create(given)

    def _traces(self, resource: Resource) -> TracerProvider:
        provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        if self._environ.get("OTEL_TRACES_EXPORTER", "").strip().lower() == "console":
            exporter: Any = ConsoleSpanExporter()
        else:
            from opentelemetry.exporter.otlp.proto.http.trace_exporter import (  # noqa: PLC0415
                OTLPSpanExporter,  # only where it is wanted
            )

            exporter = OTLPSpanExporter()
        self._exporters.append(exporter)
        provider.add_span_processor(BatchSpanProcessor(exporter))
        return provider

    def _metrics(self, resource: Resource) -> MeterProvider:
        if self._environ.get("OTEL_METRICS_EXPORTER", "").strip().lower() == "console":
            exporter: Any = ConsoleMetricExporter()
        else:
            from opentelemetry.exporter.otlp.proto.http.metric_exporter import (  # noqa: PLC0415
                OTLPMetricExporter,  # only where it is wanted
            )

            exporter = OTLPMetricExporter()
        views = [
            View(
                instrument_name=name,
                aggregation=ExplicitBucketHistogramAggregation(boundaries=bounds),
            )
            for name, bounds in ((_DURATION, _SECONDS), (_TOKENS, _COUNTS))
        ]
        self._exporters.append(exporter)
        reader = PeriodicExportingMetricReader(exporter)
        return MeterProvider([reader], resource=resource, views=views, shutdown_on_exit=False)

    def _listen_for_spans(self, view: RunView, tracer: Tracer) -> Span:
        carrier = {name.lower(): value for name, value in self._environ.items()}
        parent = propagate.extract({k: v for k, v in carrier.items() if k.startswith("trace")})
        run = tracer.start_span("pairmill run", context=parent, kind=SpanKind.INTERNAL)
        run.set_attribute("pairmill.recipe", view.settings.recipe_name)
        link = [Link(run.get_span_context())]

        def span(event: CallAnswered | CallGivenUp, model: str) -> Span:
            began = time.time_ns() - int(event.total_s * 1e9)
            attributes = {
                **self._attributes(view, event.pool, model),
                "pairmill.stage": event.stage,
                "pairmill.sends": event.sends,
            }
            name = f"{_CHAT} {model}"
            kind = SpanKind.CLIENT
            return tracer.start_span(
                name, kind=kind, attributes=attributes, links=link, start_time=began
            )

        def answered(event: CallAnswered) -> None:
            found = span(event, event.asked or event.model)
            if found.is_recording():
                found.set_attributes(
                    {
                        "gen_ai.response.model": sanitize(event.model, _LONGEST),
                        "gen_ai.usage.input_tokens": event.usage.prompt_tokens,
                        "gen_ai.usage.output_tokens": event.usage.completion_tokens,
                    }
                )
            found.end()

        def given_up(event: CallGivenUp) -> None:
            found = span(event, event.model)
            found.set_attribute("error.type", _error_type(event))
            if event.status is not None:
                found.set_attribute("http.response.status_code", event.status)
            found.set_status(Status(StatusCode.ERROR, str(event.kind)))
            found.end()

        view.bus.subscribe(answered, CallAnswered)
        view.bus.subscribe(given_up, CallGivenUp)
        return run

    def _end(self, run: Span, view: RunView) -> None:
        progress = view.progress()
        run.set_attribute("pairmill.pairs", progress.pairs)
        run.set_attribute("pairmill.calls", progress.calls)
        run.end()

    def _listen_for_metrics(self, view: RunView, provider: MeterProvider) -> None:
        meter = provider.get_meter("pairmill", self._version)
        duration = meter.create_histogram(
            _DURATION, "s", "Duration of a call, with its retries.",
            explicit_bucket_boundaries_advisory=_SECONDS,
        )  # fmt: skip
        tokens = meter.create_histogram(
            _TOKENS, "{token}", "Tokens of a call.",
            explicit_bucket_boundaries_advisory=_COUNTS,
        )  # fmt: skip
        pairs = meter.create_counter("pairmill.pairs", "{pair}", "Pairs that were written.")
        chunks = meter.create_counter("pairmill.chunks", "{chunk}", "Chunks that have ended.")
        cost = meter.create_counter("pairmill.cost", "USD", "Dollars that calls cost.")
        failures = meter.create_counter("pairmill.failed_sends", "{send}", "Calls that failed.")

        def answered(event: CallAnswered) -> None:
            attributes = {
                **self._attributes(view, event.pool, event.asked or event.model),
                "gen_ai.response.model": self._bounded("response", event.model),
            }
            duration.record(event.total_s, attributes)
            self._count_tokens(tokens, event.usage, attributes)
            _count_cost(cost, event)

        def given_up(event: CallGivenUp) -> None:
            attributes = self._attributes(view, event.pool, event.model)
            duration.record(event.total_s, {**attributes, "error.type": _error_type(event)})

        def finished(event: UnitFinished) -> None:
            chunks.add(1, {"outcome": str(event.outcome)})
            if event.pairs:
                pairs.add(event.pairs)

        view.bus.subscribe(answered, CallAnswered)
        view.bus.subscribe(given_up, CallGivenUp)
        view.bus.subscribe(finished, UnitFinished)
        view.bus.subscribe(lambda event: _count_cost(cost, event), CallCharged)
        view.bus.subscribe(
            lambda event: failures.add(1, {"error.type": str(event.kind)}), CallFailed
        )

    def _count_tokens(self, tokens: Histogram, usage: Usage, attributes: Mapping[str, Any]) -> None:
        tokens.record(usage.prompt_tokens, {**attributes, "gen_ai.token.type": "input"})
        tokens.record(usage.completion_tokens, {**attributes, "gen_ai.token.type": "output"})

    def _attributes(self, view: RunView, pool: str, model: str) -> dict[str, Any]:
        """Return the attributes that spans and metrics have in common."""
        place = self._places.get(pool)
        if place is None:
            known = {each.name: each.base_url for each in view.pools()}
            place = _place(known.get(pool) or self._address(view, pool))
            if known:
                self._places[pool] = place
        return {"gen_ai.operation.name": _CHAT, "gen_ai.request.model": model, **place}

    def _address(self, view: RunView, pool: str) -> str:
        """Return a pool's address by the settings, for calls before all pools are connected."""
        own = next((it.base_url for it in view.settings.pools if it.name == pool), None)
        named = own or view.settings.base_url or self._environ.get("OPENAI_BASE_URL", "").strip()
        return named or _OPENAI

    def _bounded(self, name: str, value: str) -> str:
        known = self._models.setdefault(name, Counts())
        value = sanitize(value, _LONGEST)
        if value not in known and len(known) >= _MOST_VALUES:
            return _OTHER
        known[value] += 1
        return value


class _LibraryLog(logging.Handler):
    """Tells a run's user once that a collector cannot be reached, in place of many stack traces."""

    def __init__(self, view: RunView) -> None:
        super().__init__(logging.WARNING)
        self._view = view
        self._loop = asyncio.get_running_loop()
        self._is_told = False
        self._log = logging.getLogger(_LIBRARY_LOG)
        self._propagates = self._log.propagate

    def emit(self, record: logging.LogRecord) -> None:
        """Tell it on the run's event loop; this is called from threads that export."""
        if self._is_told:
            return
        self._is_told = True
        text = f"OpenTelemetry: {sanitize(record.getMessage(), _LONGEST)} (told once)"
        with suppress(RuntimeError):  # the run has ended
            self._loop.call_soon_threadsafe(self._view.bus.emit, Notice(text))

    def __enter__(self) -> None:
        self._log.addHandler(self)
        self._log.propagate = False

    def __exit__(self, *_: object) -> None:
        self._log.removeHandler(self)
        self._log.propagate = self._propagates


def _place(base_url: str) -> dict[str, Any]:
    parts = urlsplit(base_url)
    port = parts.port or {"https": 443, "http": 80}.get(parts.scheme, 0)
    found: dict[str, Any] = {"gen_ai.provider.name": provider_name(base_url)}
    if parts.hostname:
        found |= {"server.address": parts.hostname, "server.port": port}
    return found


def _error_type(event: CallGivenUp) -> str:
    return str(event.status) if event.status is not None else str(event.kind)


def _count_cost(cost: Counter, event: CallAnswered | CallCharged) -> None:
    if event.picodollars:
        cost.add(event.picodollars / PICO)
