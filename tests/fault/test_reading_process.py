"""The process that reads: it ends with its run, however either of them ends, and knows no key."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from sysconfig import get_path
from typing import TYPE_CHECKING

import pytest
from tests.support import pages
from tests.support.cli import KEY, environment, pairmill, rows
from tests.support.corpus import article
from tests.support.waiting import wait_until

from pairmill import __file__ as package
from pairmill.simulator import Simulator

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.fault

RUN = (sys.executable, "-m", "pairmill", "run")
LINES = [json.dumps({"text": article(number, 10)}) + "\n" for number in range(8)]


@pytest.fixture
def waiting(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], Simulator]]:
    """A run that has asked about all that came, and waits for more on standard input."""
    config = tmp_path / "run.yaml"
    config.write_text("structured_output: json_schema\n", "utf-8")
    with Simulator() as endpoint:
        command = ["run", "-", "-o", str(tmp_path / "out"), "--config", str(config)]
        child = subprocess.Popen(
            [sys.executable, "-m", "pairmill", *command],
            env=environment(endpoint.url),
            stdin=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert child.stdin is not None
        try:
            child.stdin.write(LINES[0])
            child.stdin.flush()
            wait_until(lambda: endpoint.report()["answered"] == 1)  # though its end is not in sight
            yield child, endpoint
        finally:
            child.kill()
            child.communicate()


def _readers(pid: int) -> list[int]:
    """The processes that read for this one."""
    listed = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [int(name) for name in listed if b"chunking.worker_process" in _command(int(name))]


def _command(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return b""


def test_what_came_is_worked_on_while_more_is_awaited(
    waiting: tuple[subprocess.Popen[str], Simulator], tmp_path: Path
) -> None:
    child, endpoint = waiting
    _, errors = child.communicate("".join(LINES[1:]))
    assert child.returncode == 0, errors
    assert endpoint.report()["calls"] == len(LINES)
    assert len({row["document_id"] for row in rows(tmp_path / "out")}) == len(LINES)


def test_it_ends_with_a_run_that_is_killed(
    waiting: tuple[subprocess.Popen[str], Simulator],
) -> None:
    child, _ = waiting
    (reader,) = _readers(child.pid)
    child.kill()
    child.wait()
    wait_until(
        lambda: b"chunking.worker_process" not in _command(reader)
    )  # its input is open, and silent


def test_a_signal_to_all_of_a_runs_processes_is_for_the_run_to_answer(
    waiting: tuple[subprocess.Popen[str], Simulator],
) -> None:
    """As a service manager sends it."""
    child, _ = waiting
    (reader,) = _readers(child.pid)
    os.kill(reader, signal.SIGTERM)
    child.terminate()
    _, errors = child.communicate()
    assert child.returncode == 75
    assert "Traceback" not in errors
    assert b"chunking.worker_process" not in _command(reader)


def test_a_run_whose_reading_is_killed_can_be_gone_on_with(
    waiting: tuple[subprocess.Popen[str], Simulator], tmp_path: Path
) -> None:
    child, endpoint = waiting
    (reader,) = _readers(child.pid)
    os.kill(reader, signal.SIGKILL)
    _, errors = child.communicate()
    assert child.returncode == 75, errors
    assert "the process that reads the input was killed (signal 9)" in errors
    assert "Traceback" not in errors
    command = ("run", "-", "-o", tmp_path / "out", "--config", tmp_path / "run.yaml")
    again = pairmill(*command, url=endpoint.url, input_text="".join(LINES))
    assert again.returncode == 0, again.stderr
    assert endpoint.report()["calls"] == len(LINES)


def test_it_knows_no_key(waiting: tuple[subprocess.Popen[str], Simulator]) -> None:
    child, _ = waiting
    (reader,) = _readers(child.pid)
    assert KEY.encode() in Path(f"/proc/{child.pid}/environ").read_bytes()
    assert KEY.encode() not in Path(f"/proc/{reader}/environ").read_bytes()


def test_standard_input_that_does_not_wait_is_read_to_its_end(tmp_path: Path) -> None:
    """As a parent leaves it that does not wait at its own end either."""
    theirs, ours = os.pipe()
    os.set_blocking(theirs, False)
    with Simulator() as endpoint:
        child = subprocess.Popen(
            [sys.executable, "-m", "pairmill", "run", "-", "-o", str(tmp_path / "out")],
            env=environment(endpoint.url),
            stdin=theirs,
            stderr=subprocess.PIPE,
            text=True,
        )
        os.close(theirs)
        with open(ours, "w", encoding="utf-8") as stdin:  # noqa: PTH123 (a descriptor)
            stdin.write(LINES[0])
            stdin.flush()
            wait_until(lambda: endpoint.report()["answered"])
            stdin.write("".join(LINES[1:]))
        _, errors = child.communicate()
    assert child.returncode == 0, errors
    assert len({row["document_id"] for row in rows(tmp_path / "out")}) == len(LINES)


@pytest.fixture
def paged(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """A run whose page never comes to an end, and the number of the process that works on it."""
    place = pages.install(tmp_path, pages.BLOCKS)
    (tmp_path / "a.html").write_text(pages.PAGE, "utf-8")
    with Simulator() as endpoint:
        child = subprocess.Popen(
            # Without style cards: their first pass over the input would meet the page before.
            [*RUN, "a.html", "-o", "out", "--set", "recipe.style_card=off"],
            cwd=tmp_path,
            env={**environment(endpoint.url), "PYTHONPATH": str(place)},
            stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            wait_until((place / "pid").exists)
            yield child, int((place / "pid").read_text())
        finally:
            child.kill()
            child.wait()
            assert child.stderr is not None
            child.stderr.close()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_page_ends_with_its_run(paged: tuple[subprocess.Popen[str], int], number: int) -> None:
    child, page = paged
    child.send_signal(number)
    child.wait()
    wait_until(lambda: b"extractor_process" not in _command(page))


def test_a_page_ends_with_the_process_that_reads(paged: tuple[subprocess.Popen[str], int]) -> None:
    child, page = paged
    (reader,) = _readers(child.pid)
    os.kill(reader, signal.SIGKILL)
    _, errors = child.communicate()
    assert "the process that reads the input was killed (signal 9)" in errors
    wait_until(lambda: b"extractor_process" not in _command(page))


def test_a_page_can_be_ended_by_hand(paged: tuple[subprocess.Popen[str], int]) -> None:
    child, page = paged
    os.kill(page, signal.SIGTERM)
    _, errors = child.communicate()
    assert child.returncode == 1
    assert "page cannot be read" in errors


_AS_PROCESS_1 = """
import ctypes, pathlib, sys, threading
from pairmill.config import load
from pairmill.chunking.reader_process import ReaderProcess
from pairmill.chunking.reader_job import Job
ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER: orphans come to us
place = pathlib.Path(sys.argv[1])
batches = ReaderProcess(Job.of(load(given={"inputs": (str(place.parent / "a.html"),)})))
while not (place / "pid").exists():
    pass
batches.close()
lists = pathlib.Path("/proc/self/task").glob("*/children")
print([name for one in lists for name in one.read_text().split()])
"""


def test_as_process_1_of_a_container_it_leaves_no_orphan(tmp_path: Path) -> None:
    place = pages.install(tmp_path, pages.BLOCKS)
    (tmp_path / "a.html").write_text(pages.PAGE, "utf-8")
    done = subprocess.run(
        [sys.executable, "-c", _AS_PROCESS_1, str(place)],
        env={**environment(None), "PYTHONPATH": str(place)},
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert (done.stdout, done.stderr) == ("[]\n", "")


_FROM_A_CHECKOUT = """
import os, sys
sys.path[:0] = ["src", {libraries!r}]
from pairmill import generate
os.chdir("elsewhere")
print(generate("../a.jsonl", output="out", base_url={url!r}).chunks)
"""


@pytest.mark.parametrize("flags", [[], ["-I"]])
def test_a_script_that_finds_pairmill_by_itself_can_run_it(
    tmp_path: Path, flags: list[str]
) -> None:
    """Not installed, by a relative path, from ``python -``: as in a notebook beside a checkout."""
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "a.jsonl").write_text(LINES[0], "utf-8")
    (tmp_path / "src").symlink_to(Path(package).parents[1])
    with Simulator() as endpoint:
        done = subprocess.run(
            [os.path.realpath(sys.executable), *flags, "-"],
            input=_FROM_A_CHECKOUT.format(libraries=get_path("purelib"), url=endpoint.url),
            env=environment(endpoint.url),
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
    assert (done.returncode, done.stdout) == (0, "1\n"), done.stderr


@pytest.mark.parametrize("flag", ["-I", "-E"])
def test_a_python_that_ignores_its_environment_starts_such_a_one(flag: str, tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text("import os\nos._exit(9)\n", "utf-8")
    (tmp_path / "a.jsonl").write_text(LINES[0], "utf-8")
    with Simulator() as endpoint:
        done = subprocess.run(
            [sys.executable, flag, "-m", "pairmill", "run", "a.jsonl", "-o", "out"],
            env={**environment(endpoint.url), "PYTHONPATH": str(tmp_path)},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
    assert done.returncode == 0, done.stderr
