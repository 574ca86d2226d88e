"""Free information from an endpoint: its models, and its load metrics."""

from __future__ import annotations

import os
import re
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING

import httpx2
import orjson

from pairmill.display import sanitize
from pairmill.llm.masking import hide
from pairmill.llm.providers.endpoint import secrets_of
from pairmill.llm.providers.network import make_client
from pairmill.llm.providers.profile import fresh_key

if TYPE_CHECKING:
    from pairmill.llm.providers.endpoint import Endpoint

__all__ = ["EndpointInfo", "metrics_url", "read_gauges"]

_TIMEOUT_S = 10.0
_MOST_BYTES = 4 * 2**20
_MOST_MODELS = 5_000
_OK = 200


class EndpointInfo:
    """Free requests to an endpoint; None for anything it does not answer properly."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._base_url = endpoint.base_url
        self._endpoint = endpoint
        self._secrets = secrets_of(endpoint)
        self._is_loopback = endpoint.is_loopback

    async def models(self) -> list[str] | None:
        """Return the names of the models that it lists, sanitized."""
        body = await self._get(f"{self._base_url}/models", await self._own_headers())
        try:
            listed = orjson.loads(body or b"")["data"]
            return [
                sanitize(hide(entry["id"], self._secrets), 200) for entry in listed[:_MOST_MODELS]
            ]
        except (orjson.JSONDecodeError, KeyError, TypeError):
            return None

    async def shutdown_date(self, model: str) -> date | None:
        """Return the endpoint's date for a model's retirement; OpenAI's ``shutdown_date``."""
        body = await self._get(f"{self._base_url}/models", await self._own_headers())
        try:
            listed = orjson.loads(body or b"")["data"]
            entry = next(it for it in listed[:_MOST_MODELS] if it["id"] == model)
            return _day(entry.get("shutdown_date") or entry.get("expiration_date"))
        except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError, StopIteration):
            return None

    async def gauges(self) -> tuple[float, float] | None:
        """Return the number of running and of waiting requests."""
        body = await self._get(metrics_url(self._base_url), {})
        return read_gauges(body.decode("utf-8", "replace")) if body else None

    async def _own_headers(self) -> dict[str, str]:
        endpoint = self._endpoint
        source = endpoint.profile.key
        key = await fresh_key(source) if source else endpoint.key.reveal()
        headers = endpoint.headers(os.environ)
        return {**headers, **dict([endpoint.key_header(key)])} if key else headers

    async def _get(self, url: str, headers: dict[str, str]) -> bytes | None:
        """Return the body of a 200; the key is sent only to the endpoint itself."""
        try:
            async with (
                make_client(is_loopback=self._is_loopback, timeout=_TIMEOUT_S) as client,
                client.stream("GET", url, headers=headers) as response,
            ):
                if response.status_code != _OK:
                    return None
                parts, size = [], 0
                async for part in response.aiter_bytes():
                    parts.append(part)
                    size += len(part)
                    if size > _MOST_BYTES:
                        return None
                return b"".join(parts)
        except httpx2.HTTPError:
            return None


def _day(value: object) -> date | None:
    """Parse a date, as ISO text or in seconds since the epoch."""
    try:
        if isinstance(value, int | float) and not isinstance(value, bool):
            return datetime.fromtimestamp(value, UTC).date()
        return date.fromisoformat(str(value)[:10]) if value else None
    except (ValueError, OverflowError, OSError):
        return None


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
