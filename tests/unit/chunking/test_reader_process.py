from __future__ import annotations

import os
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from tests.support import pages

from pairmill.chunking.job import Job
from pairmill.chunking.portions import PORTION_CHUNKS, ChunkBatch, read_portions, unpack
from pairmill.chunking.reader import read_chunks
from pairmill.chunking.reader_process import ReaderProcess
from pairmill.config import load
from pairmill.errors import InputError, StoppedError

EXAMPLES = Path(__file__).parents[3] / "examples" / "articles"
PROSE = "The mill stands by the river and grinds whatever the farmers bring to it. " * 8


def _settings(*inputs: Path, **given: Any) -> Any:
    return load(given={"inputs": tuple(map(str, inputs)), **given})


def _read(settings: Any) -> list[ChunkBatch]:
    with ReaderProcess(Job.of(settings)) as portions:
        return list(portions)


def test_it_gives_what_reading_here_gives(tmp_path: Path) -> None:
    name = tmp_path / "a\udcff.jsonl"  # a name that is no UTF-8
    name.write_bytes(b'{"text": "%s"}\nbroken\n' % PROSE.encode() * 300)
    settings = _settings(EXAMPLES, tmp_path)
    apart, here = _read(settings), list(read_portions(Job.of(settings)))
    chunks = [unpack(packed) for portion in apart for packed in portion.chunks]
    assert chunks == list(read_chunks(settings, lambda _: None))
    assert [note for portion in apart for note in portion.notes] == [
        note for portion in here for note in portion.notes
    ]
    documents = [sum(portion.documents for portion in portions) for portions in (apart, here)]
    assert documents[0] == documents[1] > 300
    assert max(len(portion.chunks) for portion in apart) <= PORTION_CHUNKS


def test_the_limit_counts_chunks(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(b'{"text": "%s"}\n' % PROSE.encode() * 700)
    portions = _read(_settings(tmp_path, limit=300, duplicates="off"))
    assert sum(len(portion.chunks) for portion in portions) == 300


def test_nothing_but_notes_is_handed_on_in_portions_too(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(b"broken\n" * 1000)
    portions = _read(_settings(tmp_path))
    assert sum(len(portion.notes) for portion in portions) == 1000
    assert max(len(portion.notes) for portion in portions) == PORTION_CHUNKS


def test_what_stops_the_reading_is_raised_here(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text(f'{{"text": "{PROSE}"}}\n')
    job = replace(Job.of(_settings(tmp_path / "a.jsonl")), sources=("nowhere:FORMAT",))
    with (
        ReaderProcess(job) as portions,
        pytest.raises(InputError, match="sources: cannot load 'nowhere:FORMAT'"),
    ):
        list(portions)


def test_a_process_that_fails_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pairmill.chunking.reader_process._MODULE", "pairmill.nowhere")
    with (
        ReaderProcess(Job.of(_settings(tmp_path))) as portions,
        pytest.raises(InputError, match=r"the process that reads the input failed: .*nowhere"),
    ):
        next(iter(portions))


def test_closing_lets_go_of_who_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pairmill.chunking.reader_process._MODULE", "tests.support.idle")
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[3]))
    portions = ReaderProcess(Job.of(_settings(EXAMPLES)))
    found: list[ChunkBatch | None] = []
    waiting = threading.Thread(target=lambda: found.append(next(iter(portions), None)))
    waiting.start()
    portions.close()
    waiting.join(timeout=10)
    assert found == [None]
    portions.close()


def _children() -> set[str]:
    """Of this process, also those that ended and were not waited for."""
    lists = Path("/proc/self/task").glob("*/children")
    return {name for one in lists for name in one.read_text().split()}


def _descriptors() -> list[str]:
    return os.listdir("/proc/self/fd")  # noqa: PTH208 (names alone)


@pytest.mark.parametrize("name", ["a.jsonl", "a.html"])
def test_what_is_printed_at_the_start_is_no_frame(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    page = f"<html><body><article><p>{PROSE}</p></article></body></html>"
    text = page if name.endswith("html") else f'{{"text": "{PROSE}"}}'
    (tmp_path / name).write_text(text)
    (tmp_path / "sitecustomize.py").write_text("print('Hello from a company's set-up')\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("PYTHONUNBUFFERED", "1")
    (portion,) = _read(_settings(tmp_path / name))
    assert len(portion.chunks) == 1


def test_a_process_that_is_done_is_not_left_behind(tmp_path: Path) -> None:
    before = _children()
    (tmp_path / "a.jsonl").write_text(f'{{"text": "{PROSE}"}}')
    with ReaderProcess(Job.of(_settings(tmp_path))) as portions:
        assert len(list(portions)) == 1
        assert _children() == before


def test_nor_is_one_that_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = _children()
    (tmp_path / "a.html").write_text(pages.PAGE)
    monkeypatch.syspath_prepend(pages.install(tmp_path, "raise ImportError('broken')"))
    with ReaderProcess(Job.of(_settings(tmp_path / "a.html"))) as portions:
        (portion,) = portions
        assert [note.reason for note in portion.notes] == ["extra not installed"]
        assert _children() == before


def test_without_a_temporary_folder_there_is_one_clear_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "none"))
    with pytest.raises(StoppedError, match="cannot start a process to read: No such file"):
        ReaderProcess(Job.of(_settings(EXAMPLES)))


def test_without_open_files_nothing_is_left_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    ends = [os.pipe()]
    before = _descriptors()
    monkeypatch.setattr(os, "pipe", lambda: ends.pop() if ends else os.open(EXAMPLES / "none", 0))
    with pytest.raises(StoppedError, match="cannot start a process to read"):
        ReaderProcess(Job.of(_settings(EXAMPLES)))
    assert len(_descriptors()) == len(before) - 2  # those two ends were given back


def test_a_job_that_cannot_travel_leaves_nothing_behind() -> None:
    files, children = _descriptors(), _children()
    job = replace(Job.of(_settings(EXAMPLES)), text_field=object())
    with pytest.raises(TypeError, match="unsupported"):
        ReaderProcess(job)
    assert (_descriptors(), _children()) == (files, children)


def test_a_python_that_does_not_know_itself_is_told_of(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "")
    with pytest.raises(InputError, match=r"sys\.executable is empty"):
        ReaderProcess(Job.of(_settings(EXAMPLES)))


def test_what_python_passes_over_in_its_path_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.jsonl").write_text(f'{{"text": "{PROSE}"}}')
    monkeypatch.setattr(sys, "path", [*sys.path, None, Path("somewhere")])
    assert len(_read(_settings(tmp_path))) == 1
