from __future__ import annotations

import gzip
import logging
import socket
from functools import partial
from typing import TYPE_CHECKING

import anyio
import pytest
from tests.support.questions import request
from tests.support.scripted import HANG, RESET, answer, reply, serve

from pairmill.clock import FakeClock
from pairmill.errors import Kind, ProviderError
from pairmill.llm.providers import replies
from pairmill.llm.providers.direct import DirectProvider, account_headers
from pairmill.llm.providers.endpoint import Endpoint, Secret
from pairmill.llm.providers.provider import Mode
from pairmill.llm.providers.sdk import SdkProvider

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from tests.support.scripted import Scripted

    from pairmill.llm.providers.provider import Provider, ProviderReply
    from pairmill.records import Request

KEY = "sk-verysecretverysecret"
REQUEST = request()


WIRES: dict[str, Callable[..., Provider]] = {
    "plain": partial(DirectProvider, plain=True),
    "direct": partial(DirectProvider, plain=False),
    "sdk": SdkProvider,
}
chosen: list[Callable[..., Provider]] = []


@pytest.fixture(params=WIRES, autouse=True)
def wire(request: pytest.FixtureRequest) -> Iterator[str]:
    """Every test of this module runs on every wire: they hold the same promises."""
    chosen[:] = [WIRES[request.param]]
    yield str(request.param)
    chosen.clear()


def provider_for(
    base_url: str,
    *,
    concurrency: int = 4,
    timeout_s: float = 5.0,
    connect_timeout_s: float = 0.5,
) -> Provider:
    return chosen[0](
        Endpoint(base_url, Secret(KEY)),
        FakeClock(start=1700000000.0),
        concurrency=concurrency,
        timeout_s=timeout_s,
        connect_timeout_s=connect_timeout_s,
    )


async def ask(
    server: Scripted, asked: Request = REQUEST, *, timeout_s: float = 5.0
) -> ProviderReply:
    provider = provider_for(server.base_url, timeout_s=timeout_s)
    try:
        return await provider.complete(asked, Mode.JSON_SCHEMA)
    finally:
        await provider.aclose()


async def failure(*script: bytes, timeout_s: float = 5.0) -> ProviderError:
    async with serve(*script) as server:
        with pytest.raises(ProviderError) as caught:
            await ask(server, timeout_s=timeout_s)
    return caught.value


async def test_an_answer_comes_back_with_its_cost_and_the_limits() -> None:
    headers = {"X-RateLimit-Remaining-Requests": "59", "Set-Cookie": "id=1", "Retry-After": "2"}
    async with serve(reply(answer("hi"), headers=headers)) as server:
        got = await ask(server)
    completion = got.completion
    assert (completion.text, completion.finish_reason) == ("hi", "stop")
    assert (completion.model, completion.created) == ("served-model", 1700000000.0)
    assert (completion.usage.prompt_tokens, completion.usage.cached_tokens) == (12, 4)
    assert dict(got.headers) == {"x-ratelimit-remaining-requests": "59", "retry-after": "2"}


async def test_the_key_and_the_request_reach_the_server_once() -> None:
    async with serve(reply("busy", 503)) as server:
        with pytest.raises(ProviderError):
            await ask(server)
        assert len(server.requests) == 1
    assert f"authorization: Bearer {KEY}".lower() in server.headers[0].lower()
    assert server.requests[0]["messages"][-1] == {"role": "user", "content": "hello"}


async def test_packed_replies_are_unpacked() -> None:
    packed = gzip.compress(reply(answer("packed")).partition(b"\r\n\r\n")[2])
    async with serve(reply(packed, headers={"Content-Encoding": "gzip"})) as server:
        assert (await ask(server)).completion.text == "packed"


async def test_a_reply_that_unpacks_beyond_the_limit_is_not_read_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert replies.BODY_LIMIT_BYTES == 32 * 2**20
    monkeypatch.setattr(replies, "BODY_LIMIT_BYTES", 2**20)
    bomb = reply(gzip.compress(bytes(2**24)), headers={"Content-Encoding": "gzip"})
    error = await failure(bomb)
    assert (error.kind, error.code, error.maybe_paid) == (Kind.BADOUT, "too_large", True)


async def test_an_error_that_unpacks_beyond_the_limit_is_an_error_still() -> None:
    bomb = reply(gzip.compress(b"x" * 2**24), 503, {"Content-Encoding": "gzip"})
    error = await failure(bomb)
    assert error.kind is Kind.OVERLOAD
    assert len(str(error)) < 400


async def test_broken_packing_is_garbage() -> None:
    error = await failure(reply(b"no gzip", headers={"Content-Encoding": "gzip"}))
    assert (error.kind, error.code) == (Kind.LOST, "encoding")


async def test_a_failure_keeps_its_name_though_its_text_cannot_be_unpacked() -> None:
    headers = {"Content-Encoding": "gzip", "Retry-After": "7"}
    error = await failure(reply(b"no gzip", 429, headers=headers))
    assert (error.kind, error.status, error.retry_after_s) == (Kind.RATE, 429, 7.0)


async def test_silence_is_a_timeout_that_may_be_paid_for() -> None:
    error = await failure(HANG, timeout_s=0.05)
    assert (error.kind, error.maybe_paid) == (Kind.TIMEOUT, True)


async def test_a_reply_that_never_ends_is_cut_off_by_the_deadline() -> None:
    async def drip(stream: anyio.abc.SocketStream) -> None:
        async with stream:
            await stream.receive()
            await stream.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
            with anyio.CancelScope() as scope:
                while not scope.cancel_called:
                    try:
                        await stream.send(b" ")
                    except anyio.BrokenResourceError:
                        return
                    await anyio.sleep(0.02)

    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    port = listener.extra(anyio.abc.SocketAttribute.local_port)
    async with anyio.create_task_group() as group:
        group.start_soon(listener.serve, drip)
        provider = provider_for(f"http://127.0.0.1:{port}/v1", timeout_s=0.1)
        with anyio.fail_after(5), pytest.raises(ProviderError) as caught:
            await provider.complete(REQUEST, Mode.JSON_SCHEMA)
        await provider.aclose()
        group.cancel_scope.cancel()
    await listener.aclose()
    assert (caught.value.kind, caught.value.maybe_paid) == (Kind.TIMEOUT, True)


@pytest.mark.parametrize(
    "sent", [RESET, b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{" + RESET, b"no http\r\n\r\n"]
)
async def test_a_connection_that_breaks_after_the_request_is_lost_and_may_be_billed(
    sent: bytes,
) -> None:
    error = await failure(sent)
    assert (error.kind, error.maybe_paid) == (Kind.LOST, True)


async def test_redirects_are_not_followed() -> None:
    error = await failure(reply("", 302, {"Location": "http://127.0.0.1:1/v1"}))
    assert (error.kind, error.code) == (Kind.CONFIG, "redirect")
    assert "to http://127.0.0.1:1/v1 (HTTP 302); set base_url" in str(error)


async def test_a_web_page_is_no_answer() -> None:
    error = await failure(reply("<!DOCTYPE html><p>hi"))
    assert (error.kind, error.code) == (Kind.FOREIGN, "html")


async def test_nobody_there_is_overload_and_unpaid() -> None:
    with socket.socket() as held:  # bound, and not listening
        held.bind(("127.0.0.1", 0))
        provider = provider_for(f"http://127.0.0.1:{held.getsockname()[1]}/v1")
        with pytest.raises(ProviderError) as caught:
            await provider.complete(REQUEST, Mode.JSON_SCHEMA)
        await provider.aclose()
    assert (caught.value.kind, caught.value.code) == (Kind.OVERLOAD, "refused")
    assert not caught.value.maybe_paid


async def test_a_host_that_has_no_address_is_overload_and_unpaid() -> None:
    provider = provider_for(f"http://{'a' * 64}.invalid/v1")  # too long to be asked for anywhere
    with pytest.raises(ProviderError) as caught:
        await provider.complete(REQUEST, Mode.JSON_SCHEMA)
    await provider.aclose()
    assert (caught.value.kind, caught.value.code) == (Kind.OVERLOAD, "dns")
    assert not caught.value.maybe_paid


async def test_a_host_that_does_not_take_the_connection_is_overload_and_unpaid() -> None:
    with socket.socket() as busy, socket.socket() as first, socket.socket() as second:
        busy.bind(("127.0.0.1", 0))
        busy.listen(0)
        for waiting in (first, second):  # they fill the queue, so the next one hangs
            waiting.settimeout(0.0)
            waiting.connect_ex(busy.getsockname())
        provider = provider_for(f"http://127.0.0.1:{busy.getsockname()[1]}/v1")
        with pytest.raises(ProviderError) as caught:
            await provider.complete(REQUEST, Mode.JSON_SCHEMA)
        await provider.aclose()
    assert (caught.value.kind, caught.value.code) == (Kind.OVERLOAD, "connect_timeout")
    assert not caught.value.maybe_paid


async def test_a_server_that_leaves_in_the_middle_of_the_handshake_is_overload() -> None:
    async def leave(stream: anyio.abc.SocketStream) -> None:
        async with stream:
            await stream.receive()

    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    port = listener.extra(anyio.abc.SocketAttribute.local_port)
    async with anyio.create_task_group() as group:
        group.start_soon(listener.serve, leave)
        provider = provider_for(f"https://127.0.0.1:{port}/v1")
        with pytest.raises(ProviderError) as caught:
            await provider.complete(REQUEST, Mode.JSON_SCHEMA)
        await provider.aclose()
        group.cancel_scope.cancel()
    await listener.aclose()
    assert (caught.value.kind, caught.value.maybe_paid) == (Kind.OVERLOAD, False)


async def test_a_proxy_is_not_asked_on_the_way_to_ourselves(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    async with serve(reply(answer("straight"))) as server:
        assert (await ask(server)).completion.text == "straight"


async def test_a_proxy_of_the_environment_is_asked_on_the_way_elsewhere(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with serve(reply(answer("by proxy"))) as proxy:
        for name in ("HTTP_PROXY", "http_proxy"):
            monkeypatch.setenv(name, proxy.base_url.removesuffix("/v1"))
        for name in ("NO_PROXY", "no_proxy"):
            monkeypatch.delenv(name, raising=False)
        provider = provider_for("http://model.invalid/v1")
        got = await provider.complete(REQUEST, Mode.PROMPT)
        await provider.aclose()
    assert got.completion.text == "by proxy"
    assert proxy.headers[0].startswith("POST http://model.invalid/v1/chat/completions ")


async def test_headers_of_any_bytes_are_passed_over() -> None:
    data = reply(answer("hi"), headers={"X-Odd": "\xe9\xff", "X-RateLimit-Limit-Requests": "60"})
    async with serve(data) as server:
        got = await ask(server)
    assert dict(got.headers) == {"x-ratelimit-limit-requests": "60"}


async def test_a_call_that_is_given_up_ends_at_once_and_its_connection_by_the_timeout() -> None:
    async with serve(HANG) as server:
        provider = provider_for(server.base_url, timeout_s=0.5)
        with anyio.fail_after(5):
            async with anyio.create_task_group() as group:
                group.start_soon(provider.complete, REQUEST, Mode.PROMPT)
                await server.asked.wait()
                assert server.in_flight == 1
                group.cancel_scope.cancel()
            await server.idle.wait()  # the server sees the end of the connection
        await provider.aclose()


async def test_an_account_s_parts_are_named_on_every_call(
    monkeypatch: pytest.MonkeyPatch, wire: str
) -> None:
    environ = {"OPENAI_ORG_ID": "org-1", "OPENAI_PROJECT_ID": "proj-2\n"}
    for name, value in {**environ, "OPENAI_PROJECT_ID": "proj-2"}.items():
        monkeypatch.setenv(name, value)  # where the SDK looks by itself
    async with serve(reply(answer())) as server:
        endpoint = Endpoint(server.base_url, Secret(KEY))
        own = {} if wire == "sdk" else {"headers": account_headers(environ)}
        provider = chosen[0](endpoint, FakeClock(), concurrency=1, **own)
        await provider.complete(REQUEST, Mode.PROMPT)
        await provider.aclose()
    sent = server.headers[0].lower()
    assert "openai-organization: org-1\r\n" in sent
    assert "openai-project: proj-2\r\n" in sent


async def test_no_tls_where_it_was_asked_for_is_a_matter_of_settings() -> None:
    async def speak_plainly(stream: anyio.abc.SocketStream) -> None:
        async with stream:
            await stream.receive()
            await stream.send(reply("plain http here", 400))

    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    port = listener.extra(anyio.abc.SocketAttribute.local_port)
    async with anyio.create_task_group() as group:
        group.start_soon(listener.serve, speak_plainly)
        provider = provider_for(f"https://127.0.0.1:{port}/v1")
        with pytest.raises(ProviderError) as caught:
            await provider.complete(REQUEST, Mode.JSON_SCHEMA)
        await provider.aclose()
        group.cancel_scope.cancel()
    await listener.aclose()
    assert (caught.value.kind, caught.value.code) == (Kind.CONFIG, "tls")


async def test_the_key_is_masked_where_the_server_repeats_it() -> None:
    error = await failure(reply({"error": {"message": f"bad key {KEY}", "code": KEY}}, 401))
    assert error.kind is Kind.AUTH
    assert KEY not in str(error)
    assert KEY not in (error.code or "")


@pytest.mark.parametrize(
    ("refusal", "gone", "there"),
    [
        (
            "Unsupported parameter: 'max_tokens'; use 'max_completion_tokens' instead.",
            "max_tokens",
            "max_completion_tokens",
        ),
        (
            "Unsupported value: 'temperature' does not support 0.5 with this model.",
            "temperature",
            "max_tokens",
        ),
        ("Unknown parameter: 'seed'.", "seed", "temperature"),
    ],
)
async def test_a_refused_word_is_left_out_and_remembered(
    refusal: str, gone: str, there: str
) -> None:
    error = reply({"error": {"message": refusal, "code": "unsupported_parameter"}}, 400)
    async with serve(error, reply(answer())) as server:
        provider = provider_for(server.base_url)
        await provider.complete(REQUEST, Mode.JSON_SCHEMA)
        await provider.complete(REQUEST, Mode.JSON_SCHEMA)
        await provider.aclose()
    first, second, third = server.requests
    assert gone in first
    assert gone not in second
    assert there in second
    assert second == third


async def test_a_strict_schema_is_loosened_step_by_step() -> None:
    error = reply({"error": {"message": "Invalid schema for response_format 'A'"}}, 400)
    async with serve(error, error, reply(answer())) as server:
        await ask(server)
    formats = [sent["response_format"]["json_schema"] for sent in server.requests]
    assert [shape.get("strict") for shape in formats] == [True, True, None]
    inner = [shape["schema"]["properties"]["maxLength"] for shape in formats]
    assert ["maxLength" in shape for shape in inner] == [True, False, True]


async def test_more_than_a_hundred_calls_are_in_flight_at_once() -> None:
    calls = 150
    async with serve(reply(answer())) as server:
        server.crowd = 121
        provider = provider_for(
            server.base_url, concurrency=calls, timeout_s=45.0, connect_timeout_s=45.0
        )
        async with anyio.create_task_group() as group:
            for _ in range(calls):
                group.start_soon(provider.complete, REQUEST, Mode.PROMPT)
        await provider.aclose()
    assert server.most_in_flight > 120


async def test_connections_are_used_again() -> None:
    async with serve(reply("busy", 503), reply(answer())) as server:
        provider = provider_for(server.base_url)
        with pytest.raises(ProviderError):
            await provider.complete(REQUEST, Mode.PROMPT)
        for _ in range(5):
            await provider.complete(REQUEST, Mode.PROMPT)
        await provider.aclose()
    assert server.connections == 1


async def test_nothing_is_logged_for_a_call(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    async with serve(reply(answer())) as server:
        await ask(server)
    assert [record for record in caplog.records if record.name.startswith("httpx2")] == []


@pytest.fixture(autouse=True)
async def nothing_leaks() -> AsyncIterator[None]:
    """A connection that is not closed warns when it is collected, and warnings are errors."""
    yield
    import gc

    gc.collect()
