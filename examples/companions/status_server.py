"""A companion that serves a run's progress over HTTP, as JSON and for Prometheus.

    companions: [examples/companions/status_server.py:serve]

    curl http://127.0.0.1:9109/          # one JSON object
    curl http://127.0.0.1:9109/metrics   # Prometheus text format

PAIRMILL_STATUS_PORT chooses another port; 0 takes a free one. The port is written to
``status-port`` in the run folder.
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
import math
import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pairmill import RunView

HOST = "127.0.0.1"
PORT = int(os.environ.get("PAIRMILL_STATUS_PORT", "9109"))


async def serve(view: RunView) -> None:
    """Answer each request with the present state of the run, until it ends."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(5):
                request = await reader.readline()
            if request.split(b" ")[1:2] == [b"/metrics"]:
                kind, body = "text/plain; version=0.0.4", metrics(view)
            else:
                kind, body = "application/json", json.dumps(state(view))
            head = f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nConnection: close\r\n\r\n"
            writer.write(f"{head}{body}\n".encode())
            await writer.drain()
        except (OSError, TimeoutError, ValueError):
            pass  # whoever asked went away
        finally:
            writer.close()

    server = await asyncio.start_server(answer, HOST, PORT)
    port = server.sockets[0].getsockname()[1]
    told = view.folder / "status-port"
    told.with_suffix(".new").write_text(f"{port}\n", "utf-8")
    told.with_suffix(".new").replace(told)  # whoever sees the file sees all of it
    async with server:
        await server.serve_forever()


def state(view: RunView) -> dict[str, Any]:
    """Counts, rates and cost, and each pool's gate."""
    pools = []
    for pool in view.pools():
        gate = dataclasses.asdict(pool.gate)
        if math.isinf(gate["paused_s"]):
            gate["paused_s"] = None  # until one call has shown that the endpoint answers
        pools.append({"name": pool.name, "model": pool.model, "alive": pool.is_alive, **gate})
    return {**dataclasses.asdict(view.progress()), "pools": pools}


def metrics(view: RunView) -> str:
    """The numbers among them, one a line."""
    lines = []
    for name, value in dataclasses.asdict(view.progress()).items():
        if isinstance(value, dict):
            word = "reason" if name == "skipped" else "kind"
            for label, count in value.items():
                safe = label.replace("\\", "").replace('"', "").replace("\n", " ")
                lines.append(f'pairmill_{name}{{{word}="{safe}"}} {count}')
        elif value is not None:
            lines.append(f"pairmill_{name} {float(value):g}")
    for pool in view.pools():
        lines += [
            f'pairmill_pool_{name}{{pool="{pool.name}"}} {getattr(pool.gate, name)}'
            for name in ("in_flight", "waiting", "concurrency", "refused")
        ]
    return "\n".join(lines)
