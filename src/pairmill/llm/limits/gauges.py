"""Load of a private server: vLLM's and llama.cpp's gauges. Pure."""

from __future__ import annotations

import re

__all__ = ["metrics_url", "read_gauges"]

_GAUGE = re.compile(
    r"^(?:vllm:num_requests|llamacpp:requests)_(running|processing|waiting|deferred)"
    r"(?:\{[^}\n]*\})? ([0-9.eE+]+)",
    re.MULTILINE,
)
_RUNNING = frozenset({"running", "processing"})


def metrics_url(base_url: str) -> str:
    """Return where a server with this ``/v1`` address shows its gauges, if it does."""
    return f"{base_url.removesuffix('/v1')}/metrics"


def read_gauges(text: str) -> tuple[float, float] | None:
    """Requests that run and that wait, summed over a server's models; None without such gauges."""
    running, waiting = 0.0, 0.0
    found = False
    for name, value in _GAUGE.findall(text):
        try:
            number = float(value)
        except ValueError:
            continue
        found = True
        if name in _RUNNING:
            running += number
        else:
            waiting += number
    return (running, waiting) if found else None
