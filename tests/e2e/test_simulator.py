"""The simulated endpoint over real sockets, asked by a plain client."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import socket
import time
from typing import Any

import pytest

from pairmill.simulator import (
    FAULTS,
    Faults,
    Latency,
    ScheduledStep,
    SimulatedQuota,
    Simulator,
    SimulatorSettings,
)
from pairmill.simulator.faults import ENVELOPE_FAULTS, REFUSALS, TEXT_FAULTS

PASSAGE = (
    "The Amber river rises in the northern hills and runs to the sea. It floods in spring because "
    "the snow melts quickly. Farmers grow rice on its banks, and boats carry the harvest to market."
)
CHAT = "/v1/chat/completions"


def question(text: str = PASSAGE, **fields: Any) -> bytes:
    user = f"Write N=3 pairs.\n<<<PASSAGE\n{text}\nPASSAGE>>>"
    turns = [{"role": "system", "content": "You write."}, {"role": "user", "content": user}]
    return json.dumps({"model": "m", "messages": turns, "max_tokens": 900, **fields}).encode()


def port_of(simulator: Simulator) -> int:
    return int(simulator.url.rpartition(":")[2].partition("/")[0])


def call(
    simulator: Simulator,
    path: str = CHAT,
    body: bytes | None = None,
    method: str | None = None,
    **headers: str,
) -> tuple[int, dict[str, str], bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port_of(simulator), timeout=10)
    try:
        connection.request(method or ("GET" if body is None else "POST"), path, body, headers)
        response = connection.getresponse()
        return response.status, {k.lower(): v for k, v in response.getheaders()}, response.read()
    finally:
        connection.close()


def ask(simulator: Simulator, body: bytes | None = None) -> tuple[int, dict[str, str], Any]:
    status, headers, answer = call(simulator, body=body or question())
    return status, headers, json.loads(answer)


def pairs_of(envelope: Any) -> list[dict[str, str]]:
    pairs: list[dict[str, str]] = json.loads(envelope["choices"][0]["message"]["content"])["pairs"]
    return pairs


def raw(simulator: Simulator, data: bytes, timeout_s: float = 10.0) -> bytes:
    """Send bytes, and read until the other end closes."""
    with socket.create_connection(("127.0.0.1", port_of(simulator)), timeout=timeout_s) as client:
        client.sendall(data)
        received = b""
        while part := client.recv(65_536):
            received += part
        return received


def post_bytes(body: bytes, *headers: str) -> bytes:
    lines = [f"POST {CHAT} HTTP/1.1", "host: x", f"content-length: {len(body)}", *headers]
    return "\r\n".join([*lines, "", ""]).encode() + body


def test_it_answers_with_pairs_from_the_passage() -> None:
    with Simulator() as simulator:
        status, _, envelope = ask(simulator)
        assert status == 200
        assert ask(simulator)[2] == envelope
    assert len(pairs_of(envelope)) == 3
    assert all(pair["evidence"] in PASSAGE for pair in pairs_of(envelope))
    assert envelope["choices"][0]["finish_reason"] == "stop"
    usage = envelope["usage"]
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]
    with Simulator(SimulatorSettings(seed=1)) as other:
        assert ask(other)[2]["choices"] != envelope["choices"]


def test_it_fits_a_schema_and_refuses_modes_that_it_does_not_know() -> None:
    schema = {"type": "object", "properties": {"score": {"type": "integer", "minimum": 3}}}
    wanted = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
    with Simulator() as simulator:
        envelope = ask(simulator, question(response_format=wanted))[2]
        assert json.loads(envelope["choices"][0]["message"]["content"])["score"] >= 3
    with Simulator(SimulatorSettings(response_format="json_object")) as simulator:
        status, _, body = ask(simulator, question(response_format=wanted))
        assert (status, body["error"]["param"]) == (400, "response_format")
        assert ask(simulator, question(response_format={"type": "json_object"}))[0] == 200
    with Simulator(SimulatorSettings(response_format="ignored")) as simulator:
        envelope = ask(simulator, question(response_format=wanted))[2]
        assert envelope["choices"][0]["message"]["content"].startswith("Here is")


def test_max_tokens_is_kept() -> None:
    with Simulator() as simulator:
        envelope = ask(simulator, question(max_tokens=20))[2]
    assert envelope["choices"][0]["finish_reason"] == "length"
    assert envelope["usage"]["completion_tokens"] == 20


def test_keys_and_models_are_checked() -> None:
    settings = SimulatorSettings(api_keys=("right",), models=("m",))
    with Simulator(settings) as simulator:
        statuses = [
            call(simulator, body=question(), Authorization="Bearer right")[0],
            call(simulator, body=question(), **{"api-key": "right"})[0],
            call(simulator, body=question(), Authorization="Bearer wrong")[0],
            call(simulator, body=question(model="n"), Authorization="Bearer right")[0],
            call(simulator, "/v1/models")[0],
        ]
        assert statuses == [200, 200, 401, 404, 401]
        _, _, models = call(simulator, "/v1/models", Authorization="Bearer right")
        assert [model["id"] for model in json.loads(models)["data"]] == ["m"]
        assert simulator.report()["by_status"] == {"200": 2, "401": 1, "404": 1}


def test_the_other_routes() -> None:
    with Simulator() as simulator:
        assert call(simulator, "/chat/completions", question())[0] == 200
        azure = "/openai/deployments/m/chat/completions?api-version=2024-10-21"
        assert call(simulator, azure, question())[0] == 200
        assert call(simulator, CHAT)[0] == 405
        assert call(simulator, "/v1/embeddings", b"{}")[0] == 404
        assert call(simulator, "/health")[2] == b'{"status":"ok"}'
        _, headers, gauges = call(simulator, "/metrics")
        assert headers["content-type"].startswith("text/plain")
        assert b'vllm:num_requests_waiting{model_name="simulated"} 0.0\n' in gauges
        assert b"\nllamacpp:requests_deferred 0.0\n" in gauges
        status, _, report = call(simulator, "/_sim/report?attempts=1")
        assert status == 200
        assert list(json.loads(report)["attempts_of"].values()) == [[2, 2]]
        assert call(simulator, "/_sim/reset", b"")[0] == 200
        assert simulator.report()["calls"] == 0
    with Simulator(SimulatorSettings(metrics="none")) as simulator:
        assert call(simulator, "/metrics")[0] == 404


def test_pipelined_requests_are_answered_in_order() -> None:
    texts = [f"Number {index} is a river of its own, and it is long." for index in range(200)]
    requests = [post_bytes(question(text)) for text in texts]
    requests[-1] = post_bytes(question(texts[-1]), "connection: close")
    with Simulator() as simulator:
        with socket.create_connection(("127.0.0.1", port_of(simulator)), timeout=10) as client:
            client.sendall(b"".join(requests))
            received = b""
            while part := client.recv(1 << 20):
                received += part
        places = [received.find(f"umber {index} is".encode()) for index in range(200)]
        assert received.count(b"HTTP/1.1 200 OK") == 200
        assert -1 not in places
        assert places == sorted(places)
        assert simulator.report()["concurrency_max"] == 1


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"\x16\x03\x01\x00\r\n\r\n", b"400"),
        (b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\n\r\n", b"431"),
        (b"GET / HTTP/1.1\r\nx: " + b"a" * 70_000 + b"\r\n\r\n", b"431"),
        (post_bytes(b"x" * 3000), b"413"),
        (post_bytes(b"{"), b"400"),
    ],
)
def test_unreadable_requests_are_refused(data: bytes, status: bytes) -> None:
    with Simulator(SimulatorSettings(max_request_bytes=2000)) as simulator:
        with socket.create_connection(("127.0.0.1", port_of(simulator)), timeout=10) as client:
            client.sendall(data)
            assert client.recv(12) == b"HTTP/1.1 " + status
        assert call(simulator, "/health")[0] == 200


def test_chunked_bodies_and_expect_are_understood() -> None:
    body = question()
    head = f"POST {CHAT} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n"
    chunked = f"{len(body):x}\r\n".encode() + body + b"\r\n0\r\n\r\n"
    with Simulator() as simulator:
        answer = raw(simulator, f"{head}transfer-encoding: chunked\r\n\r\n".encode() + chunked)
        assert answer.startswith(b"HTTP/1.1 200 OK")
        expecting = f"{head}expect: 100-continue\r\ncontent-length: {len(body)}\r\n\r\n".encode()
        assert raw(simulator, expecting + body).startswith(
            b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 2"
        )


@pytest.mark.parametrize("flavour", ["refill", "second", "fixed", "sliding"])
def test_a_quota_is_enforced_and_told(flavour: Any) -> None:
    quota = SimulatedQuota(rpm=180, tpm=1_000_000, flavour=flavour, minute_s=1)
    with Simulator(SimulatorSettings(quota=quota)) as simulator:
        results = [ask(simulator)]
        while results[-1][0] == 200:
            assert len(results) < 100
            results.append(ask(simulator))
        _, headers, body = results[-1]
        assert body["error"]["code"] == "rate_limit_exceeded"
        assert 0 < int(headers["retry-after-ms"]) <= 1000
        assert headers["x-ratelimit-limit-requests"] == "180"
        assert headers["x-ratelimit-remaining-requests"] == "0"
        assert results[0][1]["x-ratelimit-remaining-requests"] == "2"
        time.sleep(int(headers["retry-after-ms"]) / 1000)
        assert ask(simulator)[0] == 200
        report = simulator.report()
    assert report["rate_limited"] == 1
    assert len(results) >= 4
    assert report["billed"] == report["answered"]


def test_each_key_can_have_a_quota_of_its_own() -> None:
    with Simulator(
        SimulatorSettings(quota=SimulatedQuota(rpm=60, minute_s=1, per="key"))
    ) as simulator:
        statuses = [
            call(simulator, body=question(), Authorization=f"Bearer {key}")[0] for key in "aab"
        ]
    assert statuses == [200, 429, 200]


@pytest.mark.parametrize("name", sorted(REFUSALS))
def test_refusals_come_with_their_status_and_are_not_billed(name: str) -> None:
    with Simulator(SimulatorSettings(script=(ScheduledStep(fault=name),))) as simulator:
        status, _, body = call(simulator, body=question())
        assert status == REFUSALS[name].status
        assert body
        assert ask(simulator)[0] == 200
        report = simulator.report()
    assert (report["billed"], report["by_fault"]) == (1, {name: 1})


def test_broken_answers_arrive_broken() -> None:
    names = [*TEXT_FAULTS, *ENVELOPE_FAULTS, "truncated"]
    with Simulator(SimulatorSettings(faults=Faults(huge_chars=5000))) as simulator:
        good = call(simulator, body=question())[2]
        for name in names:
            simulator.script(ScheduledStep(fault=name))
            status, _, body = call(simulator, body=question())
            assert status == 200, name
            assert body != good, name
        assert call(simulator, body=question())[2] == good
        assert simulator.report()["bought_again"] == len(names) + 1


def test_an_answer_can_be_cut_reset_or_never_come() -> None:
    faults = Faults(drip_bytes=400, drip_interval_s=0.01)
    request = post_bytes(question(), "connection: close")
    with Simulator(SimulatorSettings(faults=faults)) as simulator:
        whole = raw(simulator, request)

        def told(name: str) -> bytes:
            simulator.script(ScheduledStep(fault=name))
            return raw(simulator, request, timeout_s=0.5)

        assert told("drip") == whole
        assert told("close_after") == whole
        cut = told("close_mid_body")
        assert b"\r\n\r\n{" in cut
        assert whole.startswith(cut)
        assert len(cut) < len(whole)
        assert not told("garbage").startswith(b"HTTP")
        for name in ("reset", "reset_mid_body"):
            with pytest.raises(ConnectionResetError):
                told(name)
        simulator.script(ScheduledStep(fault="hang"), ScheduledStep(fault="hang_mid_body"))
        for _ in range(2):
            with pytest.raises(TimeoutError):
                raw(simulator, request, timeout_s=0.2)
        wait_for(lambda: simulator.report()["in_flight"] == 0)
        report = simulator.report()
        assert (report["abandoned"], report["by_status"]["0"]) == (2, 6)
        assert report["billed"] == 9


def wait_for(condition: Any) -> None:
    until = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.005)


def test_a_connection_closed_after_an_answer_had_promised_to_stay() -> None:
    with Simulator(SimulatorSettings(script=(ScheduledStep(fault="close_after"),))) as simulator:
        connection = http.client.HTTPConnection("127.0.0.1", port_of(simulator), timeout=10)
        with contextlib.closing(connection):
            connection.request("POST", CHAT, question())
            response = connection.getresponse()
            assert response.read()
            assert not response.will_close
            assert connection.sock is not None
            assert connection.sock.recv(1) == b""


def test_the_end_of_a_quota_a_key_or_a_model_is_final() -> None:
    endings = {
        "quota_gone_from": (429, "insufficient_quota"),
        "key_revoked_from": (401, "invalid_api_key"),
        "model_gone_from": (404, "model_not_found"),
    }
    for name, (status, code) in endings.items():
        faults = Faults(**{name: 3})  # type: ignore[arg-type]
        with Simulator(SimulatorSettings(faults=faults)) as simulator:
            results = [ask(simulator) for _ in range(5)]
            assert [result[0] for result in results] == [200, 200, status, status, status]
            assert results[4][2]["error"]["code"] == code
            report = simulator.report()
            assert (report["after_fatal"], report["in_flight_at_fatal"]) == (2, 0)
            assert report["after_quota_error"] == (2 if status == 429 else 0)


def test_a_script_can_be_sent_and_is_checked() -> None:
    steps = [
        {"status": 418, "body": {"a": 1}, "headers": {"x-tea": "green"}},
        {"fault": "rate_limit", "retry_after": "float", "retry_after_s": 1.5},
        {"content": "only this", "finish_reason": "odd"},
    ]
    with Simulator() as simulator:
        assert call(simulator, "/_sim/script", json.dumps({"steps": steps}).encode())[0] == 200
        status, headers, body = call(simulator, body=question())
        assert (status, headers["x-tea"], body) == (418, "green", b'{"a":1}')
        status, headers, _ = call(simulator, body=question())
        assert (status, headers["retry-after"]) == (429, "1.500")
        choice = ask(simulator)[2]["choices"][0]
        assert (choice["message"]["content"], choice["finish_reason"]) == ("only this", "odd")
        assert simulator.report()["retry_after_ignored"] == 1
        for bad in (b"{", b'[{"fault":"none"}]', b'[{"falt":"hang"}]', b"3"):
            assert call(simulator, "/_sim/script", bad)[0] == 400


async def open_calls(simulator: Simulator, count: int) -> list[bytes]:
    async def one(index: int) -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", port_of(simulator))
        text = f"Number {index} is a long and winding river."
        writer.write(post_bytes(question(text), "connection: close"))
        try:
            return await reader.read()
        except ConnectionResetError:
            return b""
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()

    return await asyncio.gather(*(one(index) for index in range(count)))


def test_slots_bound_what_runs_and_turn_away_what_may_not_wait() -> None:
    settings = SimulatorSettings(slots=4, max_waiting=6, latency=Latency("fixed", 0.1))

    async def play() -> tuple[list[bytes], dict[str, Any]]:
        async with Simulator(settings) as simulator:
            return await open_calls(simulator, 16), simulator.report()

    answers, report = asyncio.run(play())
    assert sum(answer.startswith(b"HTTP/1.1 200") for answer in answers) == 10
    assert report["by_status"] == {"200": 10, "503": 6}
    assert report["elapsed_s"] >= 0.3  # three rounds of four
    assert report["in_flight"] == 0


def test_calls_are_slowed_together_and_not_one_after_the_other() -> None:
    settings = SimulatorSettings(latency=Latency("lognormal", 0.5, 0.2))

    async def play() -> dict[str, Any]:
        async with Simulator(settings) as simulator:
            await open_calls(simulator, 100)
            return simulator.report()

    report = asyncio.run(play())
    assert report["concurrency_max"] > 50
    assert report["elapsed_s"] < 20  # one after the other they would take 50


def test_a_client_that_leaves_gives_its_slot_back() -> None:
    settings = SimulatorSettings(slots=1, latency=Latency("fixed", 30))
    with Simulator(settings) as simulator:
        for _ in range(2):  # one runs, one waits
            with socket.create_connection(("127.0.0.1", port_of(simulator))) as client:
                client.sendall(post_bytes(question()))
                wait_for(lambda: simulator.report()["in_flight"] == 1)
            wait_for(lambda: simulator.report()["in_flight"] == 0)
        assert simulator.report()["abandoned"] == 2
        assert b"requests_processing 0.0" in call(simulator, "/metrics")[2]


def test_a_loading_server_says_so_and_then_answers() -> None:
    with Simulator(SimulatorSettings(faults=Faults(loading_s=0.3))) as simulator:
        assert call(simulator, "/health")[0] == 503
        status, _, body = ask(simulator)
        assert (status, body["error"]["message"]) == (503, "Loading model")
        wait_for(lambda: call(simulator, "/health")[0] == 200)
        assert ask(simulator)[0] == 200


def test_the_bill_counts_answers_that_never_arrived() -> None:
    with Simulator(SimulatorSettings(script=(ScheduledStep(fault="reset"),))) as simulator:
        with pytest.raises(ConnectionError):
            call(simulator, body=question())
        report = simulator.report()
    cost = report["prompt_tokens"] * 150 + report["completion_tokens"] * 600  # nano-dollars
    assert report["billed"] == 1
    assert report["spent_usd"] == f"{cost / 1e9:.9f}".rstrip("0")
    assert float(report["worst_usd"]) > float(report["spent_usd"])


def test_a_long_prompt_is_refused() -> None:
    with Simulator(SimulatorSettings(context_tokens=1000)) as simulator:
        status, _, body = ask(simulator, question(max_tokens=950))
    assert (status, body["error"]["code"]) == (400, "context_length_exceeded")


def test_after_a_storm_of_faults_nothing_is_left() -> None:
    faults = Faults(
        rates=dict.fromkeys(FAULTS, 0.9 / len(FAULTS)), hang_s=0.05, drip_bytes=500, huge_chars=9000
    )
    settings = SimulatorSettings(
        faults=faults,
        slots=20,
        latency=Latency("lognormal", 0.005),
        quota=SimulatedQuota(tpm=6_000_000, flavour="second", charge="actual"),
    )

    async def play() -> tuple[dict[str, Any], bytes]:
        complaints: list[dict[str, Any]] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, what: complaints.append(what))
        async with Simulator(settings) as simulator:
            answers = await open_calls(simulator, 600)
            assert sum(answer.startswith(b"HTTP/1.1 200") for answer in answers) > 100
            metrics = await asyncio.to_thread(call, simulator, "/metrics")
            assert complaints == []
            return simulator.report(), metrics[2]

    report, gauges = asyncio.run(play())
    assert report["calls"] == sum(report["by_status"].values()) == 600
    assert len(report["by_fault"]) > 60
    assert report["in_flight"] == 0
    assert b"requests_processing 0.0" in gauges
    assert b"requests_deferred 0.0" in gauges
