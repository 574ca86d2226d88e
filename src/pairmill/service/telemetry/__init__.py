"""Traces and metrics by OpenTelemetry, where the standard OTEL_* variables ask for them.

Its libraries are the extra ``otel``; without such a variable nothing of this is loaded.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pairmill.events import Notice

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pairmill.service.companions import Companion, RunView

__all__ = ["open_telemetry", "wanted_signals"]

_ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"
_SIGNALS = ("traces", "metrics")
_EXPORTERS = frozenset({"otlp", "console"})


def wanted_signals(environ: Mapping[str, str]) -> tuple[str, ...]:
    """Return which signals to export, by the variables of OpenTelemetry's specification.

    One is exported if it has an endpoint, or its exporter is named; ``none`` and
    ``OTEL_SDK_DISABLED`` switch off.
    """
    if environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return ()
    found = []
    for signal in _SIGNALS:
        exporter = environ.get(f"OTEL_{signal.upper()}_EXPORTER", "").strip().lower()
        own = f"OTEL_EXPORTER_OTLP_{signal.upper()}_ENDPOINT"
        has_endpoint = any(environ.get(name, "").strip() for name in (own, _ENDPOINT))
        if exporter in _EXPORTERS or (has_endpoint and not exporter):
            found.append(signal)
    return tuple(found)


def open_telemetry(environ: Mapping[str, str], version: str) -> list[Companion]:
    """Return a companion that exports what a run does; none if nobody wants that.

    OTEL_* are often set for all programs of a machine: where the extra is missing, a run says so
    and goes on.

    Args:
        environ: Environment variables.
        version: pairmill's.
    """
    signals = wanted_signals(environ)
    if not signals:
        return []
    try:
        from pairmill.service.telemetry.exporter import Telemetry  # noqa: PLC0415 (an extra)
    except ImportError:
        return [_say_what_is_missing]
    return [Telemetry(signals, environ, version)]


async def _say_what_is_missing(view: RunView) -> None:
    view.bus.emit(
        Notice("OTEL_* is set, but nothing is exported: pip install 'pairmill[otel]' for that")
    )
