"""Standard streams that are closed, full, or read by nobody: the run ends as it would."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest
from tests.support.cli import environment, rows

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.endurance import Course

pytestmark = pytest.mark.fault

END_S = 40


def shell(words: str, *arguments: str | Path, url: str) -> int:
    """Run pairmill with some of its streams redirected by the shell."""
    line = f'exec "$0" -m pairmill "$@" {words}'
    command = ["sh", "-c", line, sys.executable, *map(str, arguments)]
    done = subprocess.run(command, env=environment(url), timeout=END_S, check=False)
    return done.returncode


@pytest.mark.parametrize(
    "words",
    ["<&-", ">&-", "2>&-", "<&- >&- 2>&-", "2>/dev/full", ">/dev/full 2>/dev/full"],
)
def test_a_run_with_odd_streams_ends_like_any_other(
    short_course: Course, fast_path: Path, words: str
) -> None:
    """Fault 52."""
    out, config = fast_path / "out", short_course.config
    command = ("run", short_course.corpus, "-o", out, "--config", config)
    assert shell(words, *command, url=short_course.endpoint.url) == 0
    assert {row["id"] for row in rows(fast_path / "out")} == set(short_course.told)


def test_a_reader_that_is_there_and_does_not_read_holds_nothing_up(
    short_course: Course, fast_path: Path
) -> None:
    """Fault 52: a pipe that is full from the beginning."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    with suppress(BlockingIOError):
        while True:
            os.write(writer, b"x" * 1024)
    os.set_blocking(writer, True)
    command = ["run", str(short_course.corpus), "-o", str(fast_path / "out")]
    child = subprocess.Popen(
        [sys.executable, "-m", "pairmill", *command, "--config", str(short_course.config)],
        env=environment(short_course.endpoint.url),
        stdin=subprocess.DEVNULL,
        stderr=writer,
    )
    os.close(writer)
    try:
        assert child.wait(timeout=END_S) == 0
    finally:
        child.kill()
        os.close(reader)
    assert {row["id"] for row in rows(fast_path / "out")} == set(short_course.told)


@pytest.mark.parametrize(("words", "code"), [("2>&-", 2), ("2>/dev/full", 2), ("<&-", 2)])
def test_an_error_keeps_its_exit_code(fast_path: Path, words: str, code: int) -> None:
    assert shell(words, "run", url="") == code


def test_output_that_cannot_be_written_is_said_and_fails(
    short_course: Course, fast_path: Path
) -> None:
    out = fast_path / "out"
    command = ("run", short_course.corpus, "-o", out, "--limit", "2")
    assert shell("", *command, url=short_course.endpoint.url) == 0
    line = 'exec "$0" -m pairmill status --json "$1" >/dev/full'
    done = subprocess.run(
        ["sh", "-c", line, sys.executable, str(out)],
        env=environment(None),
        capture_output=True,
        text=True,
        timeout=END_S,
        check=False,
    )
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1, done.stderr
    assert "standard output" in done.stderr


def test_standard_input_that_is_closed_holds_no_article(fast_path: Path) -> None:
    (fast_path / "settings.yaml").write_text(json.dumps({"recipe": "extractive"}))
    code = shell("<&-", "run", "-", "-o", fast_path / "out", url="http://127.0.0.1:9/v1")
    assert code == 1
