"""SIGTERM and SIGINT on real runs: a gentle end, in time, and nothing that was received is lost."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest
from tests.support.billing import answer_for
from tests.support.cli import environment, rows
from tests.support.corpus import article, write_corpus
from tests.support.endurance import ledger_answers
from tests.support.strange import Answer, chat, strange_server
from tests.support.waiting import wait_until

from pairmill.simulator import ScheduledStep, Simulator, SimulatorSettings

if TYPE_CHECKING:
    import random
    from pathlib import Path

    from tests.support.endurance import Course
    from tests.support.forge import Forge

pytestmark = pytest.mark.fault

SIGNALS = pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["TERM", "INT"])
GENTLE = pytest.mark.parametrize(
    "number", [signal.SIGTERM, signal.SIGINT, signal.SIGXCPU], ids=["TERM", "INT", "XCPU"]
)


def _holds(lock: Path, holder: str) -> bool:
    return lock.exists() and lock.read_text().startswith(holder)


def write_settings(folder: Path, **settings: object) -> Path:
    config = folder / "settings.yaml"
    config.write_text(json.dumps({"structured_output": "json_schema", **settings}), "utf-8")
    return config


@GENTLE
def test_a_busy_run_ends_gently_and_goes_on(
    long_course: Course, forge: Forge, fast_path: Path, dice: random.Random, number: int
) -> None:
    """Fault 02: also in the middle of rotations, of which this course has one in a few commits."""
    long_course.endpoint.reset()
    out, stops = fast_path / "out", 0
    for _ in range(3):
        child = long_course.start(forge, out)
        time.sleep(dice.uniform(0.3, 0.6))
        child.kill(number)
        began = time.monotonic()
        code = child.wait()
        if code == 0:
            break
        stops += 1
        assert code == 75, child.stderr
        assert time.monotonic() - began < 5
        assert "Traceback" not in child.stderr
        assert "run the same command again to resume" in child.stderr
        assert long_course.wasted(out) == 0, "an answer that was received is lost"
        long_course.check(out)
    assert stops
    long_course.finish(forge, out)
    assert long_course.endpoint.report()["bought_again"] == 0


def test_intake_stops_at_once(long_course: Course, forge: Forge, fast_path: Path) -> None:
    """Fault 02: after the signal no call is begun."""
    long_course.endpoint.reset()
    child = long_course.start(forge, fast_path / "out")
    wait_until(lambda: long_course.endpoint.report()["calls"] > 20, child)
    child.kill(signal.SIGTERM)
    wait_until(lambda: "finishing the calls in flight" in child.stderr, child)
    calls = long_course.endpoint.report()["calls"]
    assert child.wait() == 75
    assert long_course.endpoint.report()["calls"] == calls


@SIGNALS
def test_calls_that_hang_get_the_grace_period_and_no_more(
    forge: Forge, fast_path: Path, number: int
) -> None:
    """Fault 02: what was answered meanwhile is kept."""
    corpus = write_corpus(fast_path / "articles", 12, 10)
    config = write_settings(fast_path, grace_s=0.6, concurrency=4)
    hang = ScheduledStep(fault="hang", match="# Report 2\n", times=1)
    with Simulator(SimulatorSettings(script=(hang,))) as endpoint:
        command = ("run", corpus, "-o", fast_path / "out", "--config", config)
        child = forge.start(*command, url=endpoint.url)
        wait_until(lambda: endpoint.report()["answered"] == 11, child)
        began = time.monotonic()
        child.kill(number)
        assert child.wait() == 75, child.stderr
        assert 0.5 < time.monotonic() - began < 3
        forge.run(*command, url=endpoint.url)
        report = endpoint.report()
        assert report["bought_again"] == 1  # the one that hung: billed, and never answered
        assert report["calls"] == 13
    assert len({row["document_id"] for row in rows(fast_path / "out")}) == 12


@SIGNALS
def test_the_second_signal_ends_it_now(forge: Forge, fast_path: Path, number: int) -> None:
    """Fault 03."""
    corpus = write_corpus(fast_path / "articles", 6, 10)
    hang = ScheduledStep(fault="hang", match="# Report 2\n", times=1)
    with Simulator(SimulatorSettings(script=(hang,))) as endpoint:
        config = write_settings(fast_path)
        command = ("run", corpus, "-o", fast_path / "out", "--config", config)
        child = forge.start(*command, url=endpoint.url)
        wait_until(lambda: ledger_answers(fast_path / "out") == 5, child)
        began = time.monotonic()
        child.kill(number)
        wait_until(lambda: "again to quit now" in child.stderr, child)
        time.sleep(0.6)  # what comes together is one signal
        child.kill(number)
        assert child.wait() == 75
        assert time.monotonic() - began < 3
        forge.run(*command, url=endpoint.url)
        assert endpoint.report()["calls"] == 7
    assert len({row["document_id"] for row in rows(fast_path / "out")}) == 6


@pytest.mark.parametrize("again", [False, True], ids=["once", "twice"])
@SIGNALS
def test_the_first_signal_is_gentle_also_where_the_run_was_ending_by_itself(
    forge: Forge, fast_path: Path, number: int, *, again: bool
) -> None:
    """Fault 82: money is gone; what is in flight gets its time, unless a second signal comes."""
    corpus, out = write_corpus(fast_path / "articles", 8, 10), fast_path / "out"
    config = write_settings(fast_path, grace_s=30, concurrency=8, checks="off")
    slow = threading.Event()

    def answer(request: dict[str, Any], _key: str) -> Answer:
        text = "\n".join(str(message["content"]) for message in request["messages"])
        if "# Report 2\n" in text:
            slow.wait(50)
            return 200, {}, chat(answer_for(text))
        error = {"message": "You exceeded your current quota", "code": "insufficient_quota"}
        return 429, {}, json.dumps({"error": error}).encode()

    try:
        with strange_server(answer) as server:
            child = forge.start("run", corpus, "-o", out, "--config", config, url=server.url)
            wait_until(lambda: len(server.asked) >= 3, child)
            time.sleep(0.7)  # by now the run is ending, and waits for the one call
            child.kill(number)
            wait_until(lambda: "again to quit now" in child.stderr, child)
            time.sleep(0.6)  # what comes together is one signal
            began = time.monotonic()
            if again:
                child.kill(number)
            else:
                slow.set()
            assert child.wait() == 75, child.stderr
            assert time.monotonic() - began < 15  # where neither the answer nor grace_s is over
    finally:
        slow.set()
    assert len(rows(out)) == (0 if again else 1)


@SIGNALS
def test_who_waits_for_a_slow_server_is_let_go_at_once(
    forge: Forge, fast_path: Path, number: int
) -> None:
    """Fault 02: a wait that the server asked for is no call in flight."""
    corpus = write_corpus(fast_path / "articles", 6, 10)
    config = write_settings(fast_path, concurrency=2)
    busy = ScheduledStep(fault="rate_limit", retry_after="seconds", retry_after_s=60.0, times=None)
    with Simulator(SimulatorSettings(script=(busy,))) as endpoint:
        command = ("run", corpus, "-o", fast_path / "out", "--config", config)
        child = forge.start(*command, url=endpoint.url)
        wait_until(lambda: endpoint.report()["rate_limited"] >= 1, child)
        time.sleep(0.1)
        began = time.monotonic()
        child.kill(number)
        assert child.wait() == 75, child.stderr
        assert time.monotonic() - began < 3


@SIGNALS
def test_a_run_that_waits_for_standard_input_ends(fast_path: Path, number: int) -> None:
    """Fault 02, idle: before the first line, and after some."""
    config = write_settings(fast_path)
    lines = [json.dumps({"text": article(n, 10)}) + "\n" for n in range(60)]
    with Simulator() as endpoint:
        for sent in ([], lines):
            command = ["run", "-", "-o", str(fast_path / "out"), "--config", str(config)]
            child = subprocess.Popen(
                [sys.executable, "-m", "pairmill", *command],
                env=environment(endpoint.url),
                stdin=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            assert child.stdin is not None
            wait_until((fast_path / "out/README.md").exists)
            for line in sent:  # a chunk is handed over when later ones show how slow they come
                if endpoint.report()["answered"]:
                    break
                child.stdin.write(line)
                child.stdin.flush()
                time.sleep(0.2)
            assert bool(sent) == bool(endpoint.report()["answered"])
            time.sleep(0.2)
            began = time.monotonic()
            child.send_signal(number)
            try:
                assert child.wait(timeout=5) == 75
            finally:
                child.kill()
                stderr = child.communicate()[1]
            assert time.monotonic() - began < 3
            assert "Traceback" not in stderr
            assert "Fatal" not in stderr
    assert len(rows(fast_path / "out")) >= 3


@SIGNALS
def test_at_start_up_it_ends_as_resumable(
    short_course: Course, forge: Forge, fast_path: Path, dice: random.Random, number: int
) -> None:
    """Fault 04: from the moment that it touches its folder."""
    codes = []
    for turn in range(9):
        out = fast_path / f"out-{turn % 3}"
        child = short_course.start(forge, out)
        lock, holder = out / ".run/lock", f"{child.pid} "
        wait_until(lambda lock=lock, holder=holder: _holds(lock, holder), child)  # type: ignore[misc]
        time.sleep(dice.uniform(0.0, 0.06))
        child.kill(number)
        codes.append(child.wait())
        assert codes[-1] in {0, 75}, child.stderr
        assert "Traceback" not in child.stderr
        short_course.check(out)
    assert 75 in codes
    for turn in range(3):
        short_course.finish(forge, fast_path / f"out-{turn}")


def test_at_the_end_it_still_leaves_the_folder_in_order(
    short_course: Course, forge: Forge, fast_path: Path, dice: random.Random
) -> None:
    """Fault 04: while shards are published, and card and manifest written."""
    for turn in range(4):
        out = fast_path / f"out-{turn}"
        short_course.endpoint.reset()
        child = short_course.start(forge, out)
        wait_until(lambda: short_course.endpoint.report()["answered"] >= 27, child)
        time.sleep(dice.uniform(0.0, 0.1))
        child.kill(signal.SIGTERM)
        code = child.wait()
        assert "Traceback" not in child.stderr
        assert code in {0, 75}, child.stderr
        short_course.finish(forge, out)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_after_all_is_said_keeps_the_exit_code(fast_path: Path, number: int) -> None:
    """Fault 86: while Python takes itself down, its signal handlers first."""
    hook = fast_path / "sitecustomize.py"
    hook.write_text(
        "import os, sys\n"
        "class Late:\n"
        f"    def __del__(self, os=os): os.kill(os.getpid(), {int(number)})\n"
        "sys.modules['late'] = Late()\n"  # dropped with the modules, behind the handlers
    )
    found = subprocess.run(
        [sys.executable, "-m", "pairmill", "recover", str(fast_path / "none")],
        env={**environment(None), "PYTHONPATH": str(fast_path)},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert found.returncode == 1, found.stderr
    assert "no pairmill run here" in found.stderr


def test_a_closed_terminal_does_not_end_a_run(short_course: Course, fast_path: Path) -> None:
    """Fault 52: who read standard error is gone; the run goes on to its end."""
    reader, writer = os.pipe()
    command = ["run", str(short_course.corpus), "-o", str(fast_path / "out")]
    child = subprocess.Popen(
        [sys.executable, "-m", "pairmill", *command, "--config", str(short_course.config)],
        env=environment(short_course.endpoint.url),
        stdin=subprocess.DEVNULL,
        stderr=writer,
    )
    os.close(writer)
    os.close(reader)
    assert child.wait(timeout=30) == 0
    assert {row["id"] for row in rows(fast_path / "out")} == set(short_course.told)
