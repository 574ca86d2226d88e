from __future__ import annotations

import io
import json
import time

import pytest
from rich.console import Console

from pairmill.events import (
    Bus,
    CallAnswered,
    InputSkipped,
    Notice,
    ReadingDone,
    RepairAsked,
    RunOpened,
    UnitFinished,
    UnitsKnown,
    UnitsPlanned,
)
from pairmill.records import Outcome, Usage
from pairmill.service.progress import _drawing, show, show_in_python
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
        bus.emit(InputSkipped(source=HOSTILE, reason="broken JSON"))
        bus.emit(Notice(text=HOSTILE))
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


def _line_widths(width: int, **before: float) -> list[int]:
    bus, tally = Bus(), RunTally(lambda: 4000.0)
    tally.listen(bus)
    tally.started = 0.0
    bus.emit(RunOpened( pairs=1_234_567, ended=400_000, rejected=12_345, dropped=67_890,
             prompt_tokens=987_654_321, completion_tokens=123_456_789, usd=1234.56))  # fmt: skip
    bus.emit(UnitsPlanned(count=12_345_678))
    bus.emit(UnitsKnown(count=400_000))
    bus.emit(ReadingDone())
    usage = Usage(123_456_789, 12_345_678)
    bus.emit(CallAnswered("m", "answer", usage, 10**15))
    for _ in range(500):
        bus.emit(UnitFinished(outcome=Outcome.WRITTEN, pairs=3, rejected=1, dropped=1))
        bus.emit(RepairAsked(reason="r"))
        bus.emit(InputSkipped(source="s", reason="broken JSON: x"))
    pipe = _Pipe()
    console = Console(file=pipe, force_terminal=True, width=width, color_system=None)
    console.print(_drawing(tally, width))
    return [len(line) for line in pipe.text().splitlines()]


@pytest.mark.parametrize("width", [40, 80, 120])
def test_two_lines_fit_the_terminal_whatever_they_count(width: int) -> None:
    widths = _line_widths(width)
    assert len(widths) == 2
    assert max(widths) <= width
    assert min(widths) > width // 3


def test_what_is_skipped_is_named_once_for_each_reason_or_each_time_if_asked() -> None:
    for verbosity, expected in ((0, 2), (1, 4), (-1, 0)):
        pipe, bus, tally = _Pipe(), Bus(), RunTally(time.monotonic)
        tally.listen(bus)
        with show(bus, tally, Console(file=pipe), verbosity=verbosity):
            for number in range(3):
                bus.emit(InputSkipped(source=f"a:{number}", reason="broken JSON: at 1"))
            bus.emit(InputSkipped(source="b", reason="too short: 3 words"))
        assert pipe.text().count("input_skipped") == expected


def test_a_log_is_silent_while_nothing_changes_but_for_a_line_each_minute(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = 0.0
    monkeypatch.setattr("pairmill.service.progress.time.monotonic", lambda: now)
    pipe, bus, tally = _Pipe(), Bus(), RunTally(lambda: now)
    tally.listen(bus)
    with show(bus, tally, Console(file=pipe)) as tick:
        for _ in range(240):
            now += 0.5
            tick()
        assert pipe.text().count('"progress"') == 2
        bus.emit(UnitFinished(outcome=Outcome.WRITTEN, pairs=3, rejected=0))
        for _ in range(24):
            now += 0.5
            tick()
        assert pipe.text().count('"progress"') == 3


def test_a_notebook_gets_one_line_that_is_written_anew(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("rich.console._is_jupyter", lambda: True)
    bus, tally = Bus(), RunTally(time.monotonic)
    tally.listen(bus)
    with show_in_python(bus, tally) as tick:
        tick()
        tick()
    said = capsys.readouterr().err
    assert said.count("\r") == 2  # the second call came too soon
    assert said.endswith("\n")
    assert "chunks 0/0" in said
    with show_in_python(bus, tally, progress=False) as tick:
        tick()
    assert capsys.readouterr().err == ""
