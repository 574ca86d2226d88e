"""The embedded model for real: it answers, and its process never outlives what started it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import anyio
import pytest
from msgspec import structs
from tests.support.cli import environment, rejects, rows
from tests.support.corpus import write_corpus
from tests.support.endurance import ledger_answers

from pairmill.clock import SystemClock
from pairmill.errors import ConfigError, Kind, ProviderError
from pairmill.llm import local
from pairmill.llm.providers.endpoint import Endpoint, Secret
from pairmill.llm.providers.provider import Mode
from pairmill.llm.providers.saved_prompts import SavedPrompts
from pairmill.llm.providers.sdk import SdkProvider
from pairmill.records import AnswerSchema, Message, Prompt, Request, Sampling, Template

SCHEMA = AnswerSchema(
    "Question",
    {
        "type": "object",
        "properties": {
            "instruction": {"type": "string", "pattern": "^(What|How|Why) [a-z ]{10,60}[?]$"}
        },
        "required": ["instruction"],
        "additionalProperties": False,
    },
    "q1",
)
REQUEST = Request(
    Prompt(
        Template("ask", "1", (Message("system", "Write one question about the text."),)),
        "Bees tell each other by a dance where the flowers stand.",
        Sampling(temperature=0.7, max_tokens=64, seed=7),
    ),
    "local",
    SCHEMA,
)

PARENT = """
import sys, time
from pathlib import Path
from pairmill.llm import local
with local.running_server(Path(sys.argv[1]), slots=1, threads=1) as endpoint:
    print(endpoint.base_url, flush=True)
    time.sleep(60)
"""


def children_of(pid: int) -> list[int]:
    """Linux's own list; the test asks for nothing that only Linux can do but this."""
    tasks = Path(f"/proc/{pid}/task").iterdir()  # a child belongs to the thread that started it
    return [int(child) for task in tasks for child in (task / "children").read_text().split()]


def wait_until_gone(pid: int, within_s: float = 10.0) -> None:
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return
        time.sleep(0.05)
    pytest.fail(f"process {pid} still runs")


@pytest.mark.model
async def test_the_embedded_model_answers_by_the_schema_and_is_gone_afterwards(
    tmp_path: Path,
) -> None:
    log = tmp_path / "server.log"
    before = children_of(os.getpid())
    with local.running_server(local.model_path(), slots=2, threads=1, log=log) as endpoint:
        (child,) = set(children_of(os.getpid())) - set(before)
        provider = SdkProvider(endpoint, SystemClock(), concurrency=2)
        reply = await provider.complete(REQUEST, Mode.JSON_SCHEMA)
        await provider.aclose()
        stranger = SdkProvider(
            Endpoint(endpoint.base_url, Secret("")), SystemClock(), concurrency=2
        )
        with pytest.raises(ProviderError) as refused:
            await stranger.complete(REQUEST, Mode.JSON_SCHEMA)
        await stranger.aclose()
    answer = json.loads(reply.completion.text)
    assert answer["instruction"].startswith(("What", "How", "Why"))
    assert reply.completion.finish_reason == "stop"
    assert reply.completion.usage.prompt_tokens > 20
    assert refused.value.kind is Kind.AUTH
    wait_until_gone(child)
    assert endpoint.key.reveal() not in log.read_text()


@pytest.mark.model
async def test_with_saved_prompts_one_slot_answers_by_the_request_alone(tmp_path: Path) -> None:
    """Whatever was asked before and is asked beside, and also of a server that began anew."""

    def asked(text: str, seed: int) -> Request:
        sampling = structs.replace(REQUEST.prompt.sampling, seed=seed)
        prompt = structs.replace(REQUEST.prompt, text=text, sampling=sampling)
        return structs.replace(REQUEST, prompt=prompt)

    texts = ["Glaciers flow downhill under their own weight.", REQUEST.prompt.text]
    questions = [(text, seed) for text in texts for seed in (1, 2)]
    answers: list[dict[tuple[str, int], str]] = [{}, {}]
    cached = 0
    path, states = local.model_path(), tmp_path / "states"
    for order, got in zip((questions, questions[::-1]), answers, strict=True):
        with local.running_server(path, slots=1, threads=1, states=states) as endpoint:
            inner = SdkProvider(endpoint, SystemClock(), concurrency=2)
            provider = SavedPrompts(inner, endpoint, timeout_s=120)

            async def ask(text: str, seed: int) -> None:
                nonlocal cached
                reply = await provider.complete(asked(text, seed), Mode.JSON_SCHEMA)  # noqa: B023
                got[text, seed] = reply.completion.text  # noqa: B023
                cached += reply.completion.usage.cached_tokens

            async with anyio.create_task_group() as group:
                for text, seed in order:
                    group.start_soon(ask, text, seed)
            await provider.aclose()
        assert not states.exists()
    assert answers[0] == answers[1]
    assert cached > 8 * 20  # the cache was used


@pytest.mark.model
@pytest.mark.fault
def test_the_server_ends_when_its_parent_is_killed() -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, str(local.model_path())], stdout=subprocess.PIPE
    )
    assert parent.stdout
    assert parent.stdout.readline().startswith(b"http://127.0.0.1:")
    (child,) = children_of(parent.pid)
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    parent.stdout.close()
    wait_until_gone(child)


@pytest.mark.model
@pytest.mark.fault
async def test_a_server_that_is_killed_is_started_again_at_the_same_address(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Fault 68: behind a proxy that leads nowhere as well, and without our key."""
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("ALL_PROXY", "socks5://127.0.0.1:9")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test-of-the-user")
    lines: list[tuple[str, bool]] = []
    before = set(children_of(os.getpid()))
    with local.running_server(
        local.model_path(), slots=1, threads=1, told=lambda *told: lines.append(told)
    ) as endpoint:
        (child,) = set(children_of(os.getpid())) - before
        with open(f"/proc/{child}/environ", "rb") as environ:  # noqa: PTH123, ASYNC230 (procfs)
            assert b"sk-test-of-the-user" not in environ.read()
        os.kill(child, signal.SIGKILL)
        provider = SdkProvider(endpoint, SystemClock(), concurrency=2)
        reply = None
        with anyio.fail_after(30):
            while reply is None:
                with suppress(ProviderError):
                    reply = await provider.complete(REQUEST, Mode.JSON_SCHEMA)
                await anyio.sleep(0.1)
        await provider.aclose()
        (again,) = set(children_of(os.getpid())) - before
    assert json.loads(reply.completion.text)["instruction"]
    assert again != child
    assert len(lines) == 1
    assert "signal 9" in lines[0][0]
    assert not lines[0][1]
    wait_until_gone(again)


@pytest.mark.model
@pytest.mark.fault
@pytest.mark.timeout(240)
def test_a_run_whose_server_is_killed_under_way_ends_with_all_its_chunks(tmp_path: Path) -> None:
    """Fault 68, through the command line: no zombie, no wait of half an hour, no chunk lost."""
    corpus, out = write_corpus(tmp_path / "articles", 3, 8), tmp_path / "out"
    config = tmp_path / "run.yaml"
    config.write_text("model: {timeout_s: 200}\nrecipe: {pairs_per_chunk: 1}\n", "utf-8")
    words = ["run", str(corpus), "-o", str(out), "--model", "local", "--config", str(config)]
    run = subprocess.Popen(
        [sys.executable, "-m", "pairmill", *words],
        env=environment(None),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        deadline = time.monotonic() + 120
        while not ledger_answers(out):
            assert run.poll() is None, "it ended before the server could be killed"
            assert time.monotonic() < deadline, "nothing was answered"
            time.sleep(0.05)
        (server,) = _servers_of(run.pid)
        os.kill(server, signal.SIGKILL)
        _, told = run.communicate(timeout=200)
    finally:
        run.kill()
    assert run.returncode in {0, 1}, told  # 1: a model this small may write no good pair
    assert "signal 9" in told
    ended = {it["chunk_id"] for it in (*rows(out), *rejects(out))}
    assert len(ended) == 3, told
    wait_until_gone(server)


def _servers_of(pid: int) -> list[int]:
    """The children of a process that serve a model."""
    found = []
    for child in children_of(pid):
        with suppress(OSError):
            if b"local_server" in Path(f"/proc/{child}/cmdline").read_bytes():
                found.append(child)
    return found


@pytest.mark.model
@pytest.mark.fault
def test_a_server_that_dies_again_and_again_is_given_up_with_its_last_words() -> None:
    """Fault 68."""
    lines: list[tuple[str, bool]] = []
    before = set(children_of(os.getpid()))
    path = local.model_path()
    with local.running_server(path, threads=1, told=lambda *told: lines.append(told)):
        deadline = time.monotonic() + 60
        while not (lines and lines[-1][1]):
            assert time.monotonic() < deadline
            for child in set(children_of(os.getpid())) - before:
                os.kill(child, signal.SIGKILL)
            time.sleep(0.2)
    assert [for_good for _, for_good in lines] == [False, False, False, True]


@pytest.mark.model
def test_a_file_that_is_no_model_gives_one_line(tmp_path: Path) -> None:
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(b"GGUF" + bytes(100))
    path = local.model_path(f"local:{broken}")
    with pytest.raises(ConfigError, match="does not start: ") as error, local.running_server(path):
        pytest.fail("it started")
    assert "\n" not in str(error.value)
