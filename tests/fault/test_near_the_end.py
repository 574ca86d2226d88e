"""A start near the end of a run, where what is left is what the model finds hard."""

from __future__ import annotations

import json
import signal
import threading
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
from tests.support.billing import answer_for
from tests.support.cli import rows
from tests.support.corpus import write_corpus
from tests.support.endurance import ledger_answers
from tests.support.strange import Answer, chat, strange_server
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.forge import Forge

pytestmark = [pytest.mark.fault, pytest.mark.slow]

CHUNKS, HARD = 100, 30
SETTINGS = {"concurrency": 40, "structured_output": "json_schema", "checks": "off"}


class Moody:
    """Writes nothing usable about hard chunks twice, and then does; holds those back at first."""

    def __init__(self) -> None:
        self.is_holding = True
        self.held = threading.Event()
        self.tries: Counter[int] = Counter()
        self.asked: set[int] = set()

    def __call__(self, request: dict[str, Any], _key: str) -> Answer:
        text = "\n".join(str(message["content"]) for message in request["messages"])
        number = next((n for n in range(HARD) if f"marker{n:03} " in text), None)
        if number is None:
            return 200, {}, chat(answer_for(text))
        self.asked.add(number)
        if self.is_holding:
            self.held.wait(60)
        self.tries[number] += 1
        said = answer_for(text) if self.tries[number] > 2 else "I would rather not say."
        return 200, {}, chat(said)


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM])
def test_a_start_that_has_only_hard_chunks_left_is_no_misfit(
    end: int, tmp_path: Path, forge: Forge
) -> None:
    """Fault 59, through the command line: all of the first 20 answers are unusable."""
    corpus, out = write_corpus(tmp_path / "articles", CHUNKS, 10), tmp_path / "out"
    for number, path in enumerate(sorted(corpus.iterdir())):
        told = f"In Perth the marker{number:03} is kept because {number} people rely on it."
        path.write_text(f"{path.read_text('utf-8')}\n{told}\n", "utf-8")
    config = tmp_path / "settings.json"
    config.write_text(json.dumps({**SETTINGS, "grace_s": 0.1}), "utf-8")
    moody = Moody()
    command = ("run", corpus, "-o", out, "--config", config)
    with strange_server(moody) as server:
        first = forge.start(*command, url=server.url)
        easy = CHUNKS - HARD
        wait_until(lambda: ledger_answers(out) >= easy and len(moody.asked) == HARD, first)
        first.kill(end)
        assert first.wait() in {75, -signal.SIGKILL}
        moody.is_holding = False
        moody.held.set()
        forge.run(*command, url=server.url)
    assert len({row["chunk_id"] for row in rows(out)}) == CHUNKS
    assert sum(moody.tries.values()) >= 3 * HARD
