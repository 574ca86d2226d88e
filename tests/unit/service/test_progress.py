from __future__ import annotations

import io
import json
import time

from rich.console import Console

from pairmill.events import Bus, Topic
from pairmill.service.progress import show
from pairmill.service.tally import RunTally

HOSTILE = "page\x1b[31m\r\nlevel=error\u202e\x07"


class _Pipe(io.TextIOWrapper):
    def __init__(self) -> None:
        super().__init__(io.BytesIO(), "utf-8", write_through=True)

    def text(self) -> str:
        raw = self.buffer
        assert isinstance(raw, io.BytesIO)
        return raw.getvalue().decode()


def _run(console: Console) -> None:
    bus, tally = Bus(), RunTally(time.monotonic)
    tally.listen(bus)
    with show(bus, tally, console) as tick:
        bus.emit(Topic.INPUT_SKIPPED, source=HOSTILE, reason="broken JSON")
        bus.emit(Topic.NOTICE, text=HOSTILE)
        tick()


def test_a_pipe_gets_json_lines_without_control_characters() -> None:
    pipe = _Pipe()
    _run(Console(file=pipe))
    lines = pipe.text().splitlines()
    found = [json.loads(line) for line in lines]
    assert [line["event"] for line in found] == ["input_skipped", "notice", "progress"]
    assert list(found[0])[:3] == ["timestamp", "level", "event"]
    assert not any(char in pipe.text() for char in "\x1b\r\x07\u202e")


def test_a_terminal_gets_a_drawing_and_nothing_that_a_page_says_can_steer_it() -> None:
    pipe = _Pipe()
    _run(Console(file=pipe, force_terminal=True, width=100, color_system=None))
    text = pipe.text()
    assert "chunks" in text
    assert "per min" in text
    assert "\x1b[31m" not in text
    assert "\x07" not in text
    assert "\u202e" not in text
