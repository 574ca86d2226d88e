from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

import pytest
from tests.support.asks import settings

from pairmill.errors import ConfigError
from pairmill.events import Bus, CallAnswered, Notice, UnitFinished, UnitsPlanned
from pairmill.llm.limits.quota import Limits
from pairmill.records import Outcome, Usage
from pairmill.service import companions
from pairmill.service.companions import (
    QuotaUse,
    RunView,
    beside,
    check_companion,
    load_companions,
)

if TYPE_CHECKING:
    from pathlib import Path


def view_and_notices() -> tuple[RunView, list[str]]:
    bus, told = Bus(), list[str]()
    bus.subscribe(lambda event: told.append(event.text), Notice)
    return RunView(settings(), bus), told


async def test_a_view_counts_what_the_run_told() -> None:
    view, _ = view_and_notices()
    view.bus.emit(UnitsPlanned(3))
    view.bus.emit(UnitFinished(Outcome.WRITTEN, pairs=2))
    view.bus.emit(CallAnswered("m", "answer", Usage(10, 5), 2 * 10**12))
    found = view.progress()
    assert (found.units, found.planned, found.pairs, found.calls) == (1, 3, 2, 1)
    assert found.usd == 2.0
    assert view.pools() == ()


def test_the_use_of_a_quota_is_that_of_the_limit_used_most_over_a_minute() -> None:
    moment = [0.0]
    use = QuotaUse(lambda: moment[0])
    limits = Limits(requests_per_min=60, tokens_per_min=60_000, share=0.5)
    seen = []
    for second in range(200):
        moment[0] = float(second)
        calls = min(second, 120)  # one a second, then none
        seen.append(use.measure({"REQUESTS": calls, "TOKENS": 300.0 * calls}, limits))
    assert seen[0] is None
    assert seen[60] == pytest.approx(2.0)  # twice this process's share of the requests
    assert seen[150] == pytest.approx(1.0)
    assert seen[185] == 0.0
    assert QuotaUse(lambda: 5.0).measure({"REQUESTS": 1.0}, Limits()) is None


async def test_companions_subscribe_before_the_first_event_and_end_with_the_run() -> None:
    view, _ = view_and_notices()
    seen: list[str] = []

    async def watch(view: RunView) -> None:
        view.bus.subscribe(lambda _: seen.append("planned"), UnitsPlanned)
        try:
            await asyncio.sleep(3600)
        finally:
            seen.append("over")

    async with beside([watch], view):
        view.bus.emit(UnitsPlanned(1))
    assert seen == ["planned", "over"]


async def test_a_companion_that_fails_is_told_and_harms_nobody() -> None:
    view, told = view_and_notices()
    lived: list[bool] = []

    async def fall(_view: RunView) -> None:
        raise ValueError("no such port\x1b[31m")

    async def live(_view: RunView) -> None:
        await asyncio.sleep(0)
        lived.append(True)

    async with beside([fall, live], view):
        for _ in range(3):
            await asyncio.sleep(0)
    assert lived == [True]
    (text,) = told
    assert "fall' failed: ValueError: no such port" in text
    assert "\x1b" not in text


async def test_a_companion_that_will_not_end_is_left_behind(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(companions, "_PATIENCE_S", 0.05)
    view, _ = view_and_notices()
    release = asyncio.Event()

    async def cling(_view: RunView) -> None:
        while not release.is_set():
            try:
                await release.wait()
            except asyncio.CancelledError:
                continue

    began = time.monotonic()
    async with beside([cling], view):
        pass
    assert time.monotonic() - began < 5
    release.set()
    await asyncio.sleep(0)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("mine.py:serve", "def serve(view): ...", "needs 'async def"),
        ("mine.py:serve", "serve = 3", "is a int; needs"),
        ("mine.py:sevre", "async def serve(view): ...", "did you mean 'serve'"),
        ("mine.py:serve", "import nothing_of_that_name", "ModuleNotFoundError"),
        ("gone.py:serve", "", "there is no such file"),
        ("serve", "", "not of the form"),
        ("nothing_of_that_name:serve", "", "cannot import"),
    ],
)
def test_what_is_no_companion_is_refused_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, text: str, message: str
) -> None:
    (tmp_path / "mine.py").write_text(text, "utf-8")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=message) as caught:
        load_companions([name])
    assert str(caught.value).startswith("companions: ")
    assert "\n" not in str(caught.value)


def test_an_object_with_a_coroutine_as_its_call_is_a_companion() -> None:
    class Exporter:
        async def __call__(self, view: RunView) -> None: ...

    exporter: Any = Exporter()
    assert check_companion(exporter, "exporter") is exporter
    with pytest.raises(ConfigError):
        check_companion(Exporter, "Exporter")
