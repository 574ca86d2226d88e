from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

from pairmill.errors import Kind, ProviderError
from pairmill.events import AnswerRead, Bus, Committed, Notice
from pairmill.llm.health import PoolHealth
from pairmill.run import monitor
from pairmill.run.monitor import RunMonitor, watch_gauge
from pairmill.run.stop import Stop

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import pytest

GAUGES = "vllm:num_requests_running 3\nvllm:num_requests_waiting 4\n"


class Gauged:
    """A server whose gauge gives one scripted reply after the other, the last for ever."""

    def __init__(self, *script: tuple[int, str, str]) -> None:
        self.script = list(script)
        self.looks = 0

    async def serve_one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        status, header, body = self.script[min(self.looks, len(self.script) - 1)]
        self.looks += 1
        head = f"HTTP/1.1 {status} X\r\nContent-Length: {len(body)}\r\n{header}Connection: close"
        writer.write(f"{head}\r\n\r\n{body}".encode())
        await writer.drain()
        writer.close()


@asynccontextmanager
async def looked_at(
    monkeypatch: pytest.MonkeyPatch, *script: tuple[int, str, str]
) -> AsyncIterator[tuple[Gauged, list[float], list[tuple[float, float]]]]:
    """Watch the server to the end: the server, the waits between looks, what the gate learned."""
    server, waits, seen = Gauged(*script), [], []

    async def sleep(seconds: float) -> None:
        waits.append(seconds)

    monkeypatch.setattr("pairmill.run.monitor.anyio.sleep", sleep)
    monkeypatch.setattr(monitor, "AsyncLimiter", lambda *_: asyncio.Lock())
    gate = SimpleNamespace(observe_gauge=lambda *both: seen.append(both))
    listener = await asyncio.start_server(server.serve_one, "127.0.0.1", 0)
    port = listener.sockets[0].getsockname()[1]
    await asyncio.wait_for(watch_gauge(f"http://127.0.0.1:{port}/v1", cast("Any", gate)), 20)
    listener.close()
    yield server, waits, seen


async def test_a_gauge_that_refuses_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    refusal = (429, "Retry-After: 7\r\n", "")
    async with looked_at(monkeypatch, refusal) as (server, waits, seen):
        assert server.looks == 8
        assert waits == [7, 7, 8, 16, 32, 60, 60]
        assert seen == []


async def test_where_there_is_no_gauge_one_look_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    async with looked_at(monkeypatch, (404, "", "")) as (server, waits, seen):
        assert (server.looks, waits, seen) == (1, [], [])


async def test_a_gauge_that_comes_back_is_looked_at_as_before(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    script = [(503, "", ""), (429, "", ""), (200, "", GAUGES), (503, "", ""), (404, "", "")]
    async with looked_at(monkeypatch, *script) as (server, waits, seen):
        assert server.looks == 5
        assert waits == [2, 4, 2]
        assert seen == [(3.0, 4.0)]


class Watching:
    """A monitor of one pool, at a moment of one's choice."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        monkeypatch.setattr(time, "monotonic", lambda: self.now)
        self.health = PoolHealth()
        pool = SimpleNamespace(name="a", base_url="http://a")
        self.paused_s, self.cause = 0.0, ""
        pools = SimpleNamespace(alive=(pool,), health={"a": self.health}, gate=lambda _: self)
        connection = SimpleNamespace(router=SimpleNamespace(pools=pools))
        bus = Bus()
        self.told: list[str] = []
        bus.subscribe(lambda event: self.told.append(event.text), Notice)
        self.stop = Stop()
        self.monitor = RunMonitor(cast("Any", connection), bus, self.stop, no_progress_s=900)

    def snapshot(self) -> SimpleNamespace:
        return SimpleNamespace(paused_s=self.paused_s, cause=self.cause)

    def look(self) -> None:
        cause, until = self.monitor._look_at_pools()
        self.monitor._look_for_standstill(cause, until)

    def commit(self, **fields: int) -> None:
        self.monitor(Committed(units=1, **fields))


def test_what_is_refused_without_an_end_is_told_in_the_servers_words(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    it = Watching(monkeypatch)
    for second in range(100):
        it.now = float(second)
        it.health.failed(ProviderError(Kind.RATE, "its words"), "r", it.now, it.now)
        it.look()
    assert len(it.told) == 4  # after 10, 20, 40 and 80 seconds
    assert it.told[0] == "http://a: no answer for 10 s, 11 calls refused: its words; asking on"


def test_no_pause_is_told_as_endless(monkeypatch: pytest.MonkeyPatch) -> None:
    it = Watching(monkeypatch)
    it.health.sentence = "bad gateway (HTTP 502)"
    it.paused_s, it.cause = float("inf"), "the endpoint does not answer"
    it.look()
    assert it.told == [
        "http://a: the endpoint does not answer (bad gateway (HTTP 502)); one call asks again"
    ]


def test_tombstones_are_no_progress(monkeypatch: pytest.MonkeyPatch) -> None:
    it = Watching(monkeypatch)
    it.now = 800.0
    it.commit(answers=1)
    it.now = 1600.0
    it.commit()
    it.look()
    assert not it.stop.is_requested
    it.now = 1701.0
    it.look()
    assert it.stop.reason == "nothing was finished for 15 minutes"


def test_nonsense_from_a_judge_or_verifier_ends_no_run(monkeypatch: pytest.MonkeyPatch) -> None:
    watching = Watching(monkeypatch)
    for _ in range(300):
        watching.monitor(AnswerRead(how="failed", rates=True))
    assert watching.stop.reason == ""
    for _ in range(20):
        watching.monitor(AnswerRead(how="failed"))
    assert "20 of the last 20 answers were unusable" in watching.stop.reason


async def test_memory_is_released_again_and_again(monkeypatch: pytest.MonkeyPatch) -> None:
    released: asyncio.Queue[None] = asyncio.Queue()
    monkeypatch.setattr(monitor, "LOOK_S", 0.0)
    monkeypatch.setattr(monitor, "_RELEASE_S", 0.0)
    monkeypatch.setattr(monitor, "release_heap", lambda: released.put_nowait(None))
    watching = asyncio.create_task(monitor.watch_loop(None, Bus()))
    for _ in range(3):
        await released.get()
    watching.cancel()
