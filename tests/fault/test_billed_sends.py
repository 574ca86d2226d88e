"""A request that may be billed is sent at most twice, however many starts there are."""

from __future__ import annotations

import json
import signal
import threading
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
from tests.support.billing import answer_for
from tests.support.cli import rejects, rows
from tests.support.corpus import write_corpus
from tests.support.strange import Answer, chat, strange_server
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.forge import Forge

pytestmark = pytest.mark.slow

CHUNKS = 12
ODD = "7"  # the number of the chunk whose replies break
SETTINGS = {
    "concurrency": 2,
    "grace_s": 0.2,
    "timeout_s": 2,
    "commit_interval_s": 0.02,
    "checks": "off",
    "structured_output": "json_schema",
}


class Breaking:
    """Breaks every reply about one chunk; answers about the others, or holds them back."""

    def __init__(self, way: str) -> None:
        self.way = way
        self.sends: Counter[str] = Counter()
        self.is_holding = True
        self.held = threading.Condition()

    def __call__(self, request: dict[str, Any], _key: str) -> Answer | bytes | None:
        text = "\n".join(str(message["content"]) for message in request["messages"])
        body = chat(answer_for(text))
        if f"marker{ODD} " not in text:
            if self.is_holding and self.sends:
                with self.held:  # longer than timeout_s it would break as well
                    self.held.wait(1.5 if self.way == "hangs" else 60)
            return 200, {}, body
        self.sends[json.dumps(request, sort_keys=True)] += 1
        return self.broken(body)

    def broken(self, body: bytes) -> Answer | bytes | None:
        if self.way == "hangs":
            return None
        if self.way == "closes":
            return b""
        if self.way in {"504", "524"}:
            return int(self.way), {}, b"gateway time-out"
        if self.way == "empty":
            usage = {"prompt_tokens": 90, "completion_tokens": 7, "total_tokens": 97}
            return 200, {}, chat("", usage=usage)
        head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n\r\n".encode()
        return head + body[: len(body) // 2]


@pytest.mark.parametrize(
    ("way", "end"),
    [
        ("cut", signal.SIGKILL),
        ("closes", signal.SIGTERM),
        ("hangs", signal.SIGKILL),
        ("504", signal.SIGTERM),
        ("524", signal.SIGKILL),
        ("empty", signal.SIGTERM),
    ],
)
def test_over_all_starts_it_is_sent_twice_and_then_rejected(
    way: str, end: int, tmp_path: Path, forge: Forge
) -> None:
    """Fault 80: each start ends after the odd chunk's reply broke, and before others are answered.

    An empty reply that was paid for is an answer: it is not asked for again, and what follows it
    are other questions, as many as the attempts allow.
    """
    corpus, out = write_corpus(tmp_path / "articles", CHUNKS, 10), tmp_path / "out"
    for number, path in enumerate(sorted(corpus.iterdir())):
        told = f"In Perth the marker{number} is kept because {number} people rely on it."
        path.write_text(f"{path.read_text('utf-8')}\n{told}\n", "utf-8")
    config = tmp_path / "settings.json"
    config.write_text(json.dumps(SETTINGS), "utf-8")
    breaking = Breaking(way)
    command = ("run", corpus, "-o", out, "--config", config)
    with strange_server(breaking) as server:
        for _ in range(3):
            child = forge.start(*command, url=server.url)
            before = breaking.sends.total()
            wait_until(lambda: breaking.sends.total() > before or _is_idle(server), child)  # noqa: B023
            time.sleep(2.5 if way == "hangs" else 0.3)  # until it is known that it broke, and kept
            child.kill(end)
            child.wait()
        breaking.is_holding = False
        with breaking.held:
            breaking.held.notify_all()
        last = forge.start(*command, url=server.url)
        assert last.wait() == 0, last.stderr
    # What was in flight at a kill was not counted yet; the first two kills may meet that.
    most = 2 + (end == signal.SIGKILL)
    assert max(breaking.sends.values()) <= most, breaking.sends
    (reject,) = rejects(out)
    assert reject["created"] > "2020"
    assert reject["reason"] == {"hangs": "timeout", "504": "timeout", "524": "timeout"}.get(
        way, "empty" if way == "empty" else "connection_lost"
    )
    assert len({row["chunk_id"] for row in rows(out)}) == CHUNKS - 1


def _is_idle(server: Any) -> bool:
    """Whether nothing new was asked for a moment: all that is left is held back."""
    before = len(server.asked)
    time.sleep(1.0)
    return len(server.asked) == before


@pytest.mark.parametrize("way", ["cut", "closes", "504"])
def test_no_question_of_a_start_is_sent_again_by_the_next_ones(
    way: str, tmp_path: Path, forge: Forge
) -> None:
    """Fault 83: starts whose first calls break cost two sends each, and none is a third of one."""
    corpus, out = write_corpus(tmp_path / "articles", 2, 10), tmp_path / "out"
    config = tmp_path / "settings.json"
    config.write_text(json.dumps({**SETTINGS, "structured_output": "auto"}), "utf-8")
    breaking = Breaking(way)
    sends: Counter[str] = Counter()

    def answer(request: dict[str, Any], key: str) -> Answer | bytes | None:
        if not breaking.is_holding:
            return breaking(request, key)
        sends[json.dumps(request, sort_keys=True)] += 1
        return breaking.broken(chat("{}"))

    command = ("run", corpus, "-o", out, "--config", config)
    with strange_server(answer) as server:
        for start in range(1, 5):
            child = forge.start(*command, url=server.url)
            assert child.wait() == 75, child.stderr
            assert sends.total() <= 2 * start
        breaking.is_holding = False
        forge.run(*command, url=server.url)
    assert max(sends.values()) == 1  # with all that it may say, and without
    assert len({row["chunk_id"] for row in rows(out)}) == 2
