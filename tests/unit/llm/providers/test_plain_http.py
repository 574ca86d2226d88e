from __future__ import annotations

import asyncio
import contextlib
import gc
import zlib
from typing import TYPE_CHECKING

import anyio
import pytest
from tests.support.scripted import CLOSE, HANG, answer, reply, serve

from pairmill.errors import Kind, ProviderError
from pairmill.llm.providers import plain_http, replies
from pairmill.llm.providers.plain_http import PlainTransport, is_plain

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.support.scripted import Scripted

OK = b"HTTP/1.1 200 OK\r\n"
BODY = b'{"n":1}'


def transport_to(
    server: Scripted, *, timeout_s: float = 5.0, headers: dict[str, str] | None = None
) -> PlainTransport:
    url = f"{server.base_url}/chat/completions"
    return PlainTransport(url, headers or {}, timeout_s=timeout_s, connect_timeout_s=1.0)


async def bodies(*script: bytes, calls: int = 1) -> tuple[list[bytes], int]:
    """What came back from ``calls`` calls in a row, and over how many connections."""
    async with serve(*script) as server:
        transport = transport_to(server)
        found = [(await transport.post(BODY)).body for _ in range(calls)]
        await transport.aclose()
    return found, server.connections


async def failure(*script: bytes) -> ProviderError:
    async with serve(*script) as server:
        transport = transport_to(server)
        with pytest.raises(ProviderError) as caught:
            await transport.post(BODY)
        await transport.aclose()
    return caught.value


@pytest.mark.parametrize(
    ("url", "is_loopback", "proxy", "expected"),
    [
        ("http://127.0.0.1:8000/v1", True, "", True),
        ("http://127.0.0.1:8000/v1", True, "http://proxy:1", True),
        ("http://vllm:8000/v1", False, "", True),
        ("http://vllm:8000/v1", False, "http://proxy:1", False),
        ("http://inside:8000/v1", False, "http://proxy:1", True),
        ("https://127.0.0.1:8000/v1", True, "", False),
        ("http://m\xfcller/v1", False, "", False),
    ],
)
def test_plain_is_what_needs_neither_tls_nor_a_proxy(
    monkeypatch: pytest.MonkeyPatch, url: str, is_loopback: bool, proxy: str, expected: bool
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("no_proxy", "inside")
    if proxy:
        monkeypatch.setenv("all_proxy", proxy)
    assert is_plain(url, is_loopback=is_loopback) is expected


async def test_a_header_cannot_end_its_line() -> None:
    async with serve(reply("")) as server:
        with pytest.raises(ProviderError) as caught:
            transport_to(server, headers={"X-Key": "a\r\nX-Other: b"})
    assert caught.value.kind is Kind.CONFIG


async def test_a_body_in_pieces_is_put_together() -> None:
    chunked = OK + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
    assert await bodies(chunked, calls=2) == ([b"abcde", b"abcde"], 1)


async def test_a_body_may_last_as_long_as_its_connection() -> None:
    assert await bodies(OK + b"\r\nuntil the end" + CLOSE) == ([b"until the end"], 1)


async def test_a_body_that_was_announced_and_breaks_off_is_a_broken_connection() -> None:
    error = await failure(OK + b"Content-Length: 9\r\n\r\nshort" + CLOSE)
    assert (error.kind, error.code, error.maybe_paid) == (Kind.LOST, "connection", True)


async def test_news_on_the_way_to_an_answer_is_passed_over() -> None:
    interim = b"HTTP/1.1 103 Early Hints\r\nX-RateLimit-Limit-Requests: 1\r\n\r\n"
    async with serve(interim + reply("hi", 429, {"Retry-After": "2"})) as server:
        transport = transport_to(server)
        got = await transport.post(BODY)
        await transport.aclose()
    assert (got.status, got.body, dict(got.headers)) == (429, b"hi", {"retry-after": "2"})


async def test_a_connection_that_the_server_ends_is_not_used_again() -> None:
    ended = reply("one", headers={"Connection": "close"}) + CLOSE
    assert await bodies(ended, reply("two"), calls=2) == ([b"one", b"two"], 2)
    silently = reply("one") + CLOSE
    async with serve(silently, reply("two")) as server:
        transport = transport_to(server)
        await transport.post(BODY)
        await _until(lambda: not any(kept.is_open for kept in transport._idle))
        assert (await transport.post(BODY)).body == b"two"
        await transport.aclose()


async def _until(holds: Callable[[], bool]) -> None:
    with anyio.fail_after(5):
        while not holds():  # noqa: ASYNC110 (what is waited for has no event)
            await anyio.sleep(0.01)


@pytest.mark.parametrize("more", [reply("forged"), b"no http", OK])
async def test_an_answer_that_nobody_asked_for_ends_its_connection(more: bytes) -> None:
    found, connections = await bodies(reply("one") + more, reply("two"), calls=2)
    assert (found, connections) == ([b"one", b"two"], 2)


async def test_endless_headers_are_not_read_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plain_http, "_HEAD_LIMIT_BYTES", 2**12)
    error = await failure(OK + b"X-Endless: " + b"x" * 2**20)
    assert (error.kind, error.code) == (Kind.LOST, "connection")


async def test_endless_trailers_are_not_read_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replies, "BODY_LIMIT_BYTES", 2**12)
    trailers = b"".join(b"X-RateLimit-%d: 1\r\n" % number for number in range(2**15))
    chunked = OK + b"Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n"
    error = await failure(chunked + trailers)
    assert (error.kind, error.code) == (Kind.LOST, "connection")


async def test_a_trailer_says_nothing_of_limits_or_packing() -> None:
    chunked = OK + b"Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n"
    trailers = b"X-RateLimit-Limit-Requests: 1\r\nContent-Encoding: br\r\n\r\n"
    async with serve(chunked + trailers) as server:
        transport = transport_to(server)
        got = await transport.post(BODY)
        await transport.aclose()
    assert (got.body, dict(got.headers)) == (b"ok", {})


async def test_what_news_on_the_way_said_of_itself_does_not_hold_for_the_answer() -> None:
    interim = b"HTTP/1.1 103 Early Hints\r\nContent-Encoding: br\r\nContent-Length: 7\r\n\r\n"
    assert await bodies(interim + OK + b"\r\nplain" + CLOSE) == ([b"plain"], 1)


async def test_a_status_that_is_none_is_a_broken_connection() -> None:
    error = await failure(b"HTTP/1.1 000 Nothing\r\nContent-Length: 2\r\n\r\nok")
    assert (error.kind, error.code) == (Kind.LOST, "connection")


async def test_a_server_that_hangs_up_after_each_answer_costs_no_call() -> None:
    found, connections = await bodies(reply("one") + CLOSE, calls=20)
    assert found == [b"one"] * 20
    assert connections == 20


async def test_an_answer_before_the_question_was_sent_ends_its_connection() -> None:
    async def refuse(stream: anyio.abc.SocketStream) -> None:
        async with stream:
            await stream.send(reply("too large", 413))
            await anyio.sleep_forever()

    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    port = listener.extra(anyio.abc.SocketAttribute.local_port)
    async with anyio.create_task_group() as group:
        group.start_soon(listener.serve, refuse)
        url = f"http://127.0.0.1:{port}/v1"
        transport = PlainTransport(url, {}, timeout_s=5.0, connect_timeout_s=1.0)
        got = await transport.post(b" " * 2**24)
        assert got.status == 413
        assert not transport._idle
        await transport.aclose()
        group.cancel_scope.cancel()
    await listener.aclose()


async def test_what_is_idle_holds_on_to_nothing() -> None:
    async with serve(reply("x" * 10_000, headers={"Retry-After": "1"})) as server:
        transport = transport_to(server)
        await transport.post(BODY)
        (idle,) = transport._idle
        assert not idle._body
        assert not idle._headers
        await transport.aclose()


async def test_a_transport_that_is_closed_asks_no_more() -> None:
    async with serve(reply("hi")) as server:
        transport = transport_to(server)
        await transport.aclose()
        with pytest.raises(ProviderError) as caught:
            await transport.post(BODY)
    assert (caught.value.code, caught.value.maybe_paid) == ("connection", False)
    assert not server.requests


async def test_an_address_that_leads_nowhere_is_passed_over_and_names_are_resolved_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = []

    async def resolve(host: str, port: int, **_: object) -> list[tuple[object, ...]]:
        asked.append(host)
        return [(0, 0, 0, "", (address, port)) for address in ("127.0.0.9", "127.0.0.1")]

    async with serve(reply("hi")) as server:
        port = server.base_url.split(":")[2].removesuffix("/v1")
        url = f"http://model.internal:{port}/v1"
        transport = PlainTransport(url, {}, timeout_s=5.0, connect_timeout_s=1.0)
        monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", resolve)
        async with anyio.create_task_group() as group:
            for _ in range(8):
                group.start_soon(transport.post, BODY)
        monkeypatch.undo()
        await transport.aclose()
    assert len(server.requests) == 8
    assert asked == ["model.internal"]


async def test_an_error_s_body_is_read_to_its_limit_only() -> None:
    async with serve(reply(b"x" * 2**20, 500)) as server:
        transport = transport_to(server)
        got = await transport.post(BODY)
        await transport.aclose()
    assert got.status == 500
    assert 2**18 < len(got.body) < 2**20


@pytest.mark.parametrize(("packing", "wbits"), [("gzip", 31), ("deflate", 15)])
async def test_what_is_packed_unasked_is_unpacked(packing: str, wbits: int) -> None:
    packer = zlib.compressobj(wbits=wbits)
    packed = packer.compress(b"packed") + packer.flush()
    script = reply(packed, headers={"Content-Encoding": packing})
    assert await bodies(script, reply("plain"), calls=2) == ([b"packed", b"plain"], 1)


async def test_a_packing_that_cannot_be_read_is_named_and_a_matter_of_settings() -> None:
    error = await failure(reply(b"?", headers={"Content-Encoding": "snappy"}))
    assert (error.kind, error.code) == (Kind.CONFIG, "encoding")
    assert "'snappy'" in str(error)


async def test_a_call_that_is_cancelled_ends_its_connection_at_once() -> None:
    async with serve(HANG) as server:
        transport = transport_to(server, timeout_s=60.0)
        async with anyio.create_task_group() as group:
            group.start_soon(transport.post, BODY)
            await server.asked.wait()
            group.cancel_scope.cancel()
        with anyio.fail_after(5):
            await server.idle.wait()
        await transport.aclose()


async def test_what_broke_a_call_is_gone_with_it() -> None:
    """It would else hold the call, and the call's future it, until the collector comes."""
    async with serve(CLOSE) as server:
        transport = transport_to(server)
        gc.collect()
        gc.disable()
        try:
            with contextlib.suppress(ProviderError):
                await transport.post(BODY)
            await asyncio.sleep(0)  # the event loop's own step holds it, too
            assert not [it for it in gc.get_objects() if isinstance(it, ConnectionError)]
        finally:
            gc.enable()
        await transport.aclose()


async def test_what_was_idle_for_long_is_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plain_http, "_KEEP_ALIVE_S", 0.0)
    async with serve(reply(answer())) as server:
        transport = transport_to(server, timeout_s=0.1)
        await transport.post(BODY)
        await _until(lambda: not transport._idle)
        await transport.post(BODY)
        await transport.aclose()
    assert server.connections == 2


@pytest.fixture(autouse=True)
def nothing_leaks() -> Iterator[None]:
    """A connection that is not closed warns when it is collected, and warnings are errors."""
    yield
    gc.collect()
