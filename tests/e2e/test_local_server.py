"""The embedded model for real: it answers, and its process never outlives what started it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import anyio
import pytest
from msgspec import structs

from pairmill.clock import SystemClock
from pairmill.errors import ConfigError, Kind, ProviderError
from pairmill.llm import local
from pairmill.llm.endpoint import Endpoint, Secret
from pairmill.llm.providers.provider import Mode
from pairmill.llm.providers.sdk import SdkProvider
from pairmill.records import AnswerSchema, Message, Prompt, Request, Sampling, Template

if TYPE_CHECKING:
    from pathlib import Path

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
    with open(f"/proc/{pid}/task/{pid}/children") as file:  # noqa: PTH123 (procfs)
        return [int(child) for child in file.read().split()]


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
async def test_one_slot_without_a_cache_answers_by_the_request_alone() -> None:
    def asked(text: str) -> Request:
        return structs.replace(REQUEST, prompt=structs.replace(REQUEST.prompt, text=text))

    texts = ["Glaciers flow downhill under their own weight.", REQUEST.prompt.text]
    answers: list[dict[str, str]] = [{}, {}]
    path = local.model_path()
    with local.running_server(path, slots=1, threads=1, prompt_cache=False) as endpoint:
        provider = SdkProvider(endpoint, SystemClock(), concurrency=2)

        async def ask(text: str, got: dict[str, str]) -> None:
            reply = await provider.complete(asked(text), Mode.JSON_SCHEMA)
            got[text] = reply.completion.text

        for order, got in zip((texts, texts[::-1]), answers, strict=True):
            async with anyio.create_task_group() as group:
                for text in order:
                    group.start_soon(ask, text, got)
        await provider.aclose()
    assert answers[0] == answers[1]


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
def test_a_file_that_is_no_model_gives_one_line(tmp_path: Path) -> None:
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(b"GGUF" + bytes(100))
    path = local.model_path(f"local:{broken}")
    with pytest.raises(ConfigError, match="does not start: ") as error, local.running_server(path):
        pytest.fail("it started")
    assert "\n" not in str(error.value)
