"""Before each question the server's cache is put into the state of exactly its prompt."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import anyio
import anyio.lowlevel
import pytest

from pairmill.llm.providers.endpoint import Endpoint, Secret
from pairmill.llm.providers.provider import Mode, ProviderReply
from pairmill.llm.providers.saved_prompts import SavedPrompts
from pairmill.records import Completion, Message, Prompt, Request, Sampling, Template, Usage

if TYPE_CHECKING:
    from collections.abc import Iterator

TEMPLATE = Template("ask", "1", (Message("system", "Write a question."),))


class Slot:
    """A server with one slot that only keeps account of what its cache holds.

    Attributes:
        held: Last user message of what the cache holds; "" where it is empty.
        files: What was saved, by name.
        seen: (action, value) of every request.
        broken: Actions that fail.
    """

    def __init__(self) -> None:
        self.held = ""
        self.files: dict[str, str] = {}
        self.seen: list[tuple[str, str]] = []
        self.broken: set[str] = set()

    def act(self, path: str, body: dict[str, object]) -> int:
        action = path.partition("action=")[2] or "read"
        if action in self.broken:
            return 500
        if action == "read":
            messages = body["messages"]
            assert isinstance(messages, list)
            self.held = messages[-1]["content"]
        elif action == "save":
            self.files[str(body["filename"])] = self.held
        elif action == "restore":
            self.held = self.files[str(body["filename"])]
        else:
            self.held = ""
        self.seen.append((action, self.held))
        return 200


class Asked:
    """A provider that keeps what the cache held when it was asked."""

    def __init__(self, slot: Slot) -> None:
        self._slot = slot
        self.held: list[str] = []

    async def complete(self, request: Request, mode: Mode) -> ProviderReply:
        self.held.append(self._slot.held)
        self._slot.held = f"{request.prompt.text} and its answer"
        await anyio.lowlevel.checkpoint()
        return ProviderReply(Completion("x", "stop", "local", Usage(), 0.0))

    async def aclose(self) -> None:
        pass


@pytest.fixture
def slot() -> Slot:
    return Slot()


@pytest.fixture
def endpoint(slot: Slot) -> Iterator[Endpoint]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            code = slot.act(self.path, body) if self.headers["Authorization"] else 401
            self.send_response(code)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield Endpoint(f"http://127.0.0.1:{server.server_port}/v1", Secret("k"))
    server.shutdown()
    server.server_close()
    thread.join()


def request(text: str, seed: int = 0, template: Template = TEMPLATE) -> Request:
    return Request(Prompt(template, text, Sampling(0.5, 10, seed)), "local")


async def asked_in_turn(slot: Slot, endpoint: Endpoint, *requests: Request) -> list[str]:
    inner = Asked(slot)
    provider = SavedPrompts(inner, endpoint, timeout_s=10)
    async with anyio.create_task_group() as group:
        for each in requests:
            group.start_soon(provider.complete, each, Mode.JSON_SCHEMA)
    await provider.aclose()
    return inner.held


async def test_each_question_finds_exactly_its_prompt_in_the_cache(
    slot: Slot, endpoint: Endpoint
) -> None:
    texts = ["one", "two", "one", "one"]
    requests = [request(text, seed) for seed, text in enumerate(texts)]
    assert await asked_in_turn(slot, endpoint, *requests) == texts
    read = [held for action, held in slot.seen if action == "read"]
    assert read == ["§", "one", "two"]  # the constant beginning once, each prompt once


async def test_a_prompt_is_read_from_the_saved_beginning_and_that_from_an_empty_slot(
    slot: Slot, endpoint: Endpoint
) -> None:
    await asked_in_turn(slot, endpoint, request("one"), request("two"))
    before = [slot.seen[at - 1] for at, (action, _) in enumerate(slot.seen) if action == "read"]
    assert before == [("erase", ""), ("save", "§"), ("restore", "§")]


async def test_without_a_constant_beginning_prompts_are_read_from_an_empty_slot(
    slot: Slot, endpoint: Endpoint
) -> None:
    bare = Template("bare", "1", ())
    held = await asked_in_turn(
        slot, endpoint, request("one", 0, bare), request("two", 0, bare), request("one", 1, bare)
    )
    assert held == ["one", "two", "one"]
    before = [slot.seen[at - 1] for at, (action, _) in enumerate(slot.seen) if action == "read"]
    assert before == [("erase", ""), ("erase", "")]


async def test_few_files_are_kept_however_many_prompts_there_are(
    slot: Slot, endpoint: Endpoint
) -> None:
    texts = [f"text {index}" for index in range(30)]
    assert await asked_in_turn(slot, endpoint, *map(request, texts), request(texts[0])) == [
        *texts,
        texts[0],
    ]
    assert len(slot.files) <= 8
    assert sum(held == "§" for action, held in slot.seen if action == "read") == 1


@pytest.mark.parametrize("broken", ["save", "restore"])
async def test_where_states_cannot_be_kept_the_cache_is_emptied(
    slot: Slot, endpoint: Endpoint, broken: str
) -> None:
    slot.broken = {broken}
    held = await asked_in_turn(slot, endpoint, *(request("one", seed) for seed in range(4)))
    assert set(held) <= {"", "one"}
    assert "" in held


async def test_a_server_that_is_gone_is_for_the_question_to_find_out(slot: Slot) -> None:
    nobody = Endpoint("http://127.0.0.1:9/v1", Secret("k"))
    assert await asked_in_turn(slot, nobody, request("one")) == [""]
