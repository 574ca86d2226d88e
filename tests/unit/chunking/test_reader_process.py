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

from pairmill.chunking.chunk_batches import BATCH_CHUNKS, ChunkBatch, read_batches, unpack
from pairmill.chunking.reader import read_chunks
from pairmill.chunking.reader_job import ReaderJob
from pairmill.chunking.reader_process import ReaderProcess
from pairmill.config import load
from pairmill.errors import InputError, StoppedError

EXAMPLES = Path(__file__).parents[3] / "examples" / "articles"
PROSE = "The mill stands by the river and grinds whatever the farmers bring to it. " * 8


def _settings(*inputs: Path, **given: Any) -> Any:
    return load(given={"inputs": tuple(map(str, inputs)), **given})


def _read(settings: Any) -> list[ChunkBatch]:
    with ReaderProcess(ReaderJob.of(settings)) as batches:
        return list(batches)


def test_it_gives_what_reading_here_gives(tmp_path: Path) -> None:
    name = tmp_path / "a\udcff.jsonl"  # a name that is no UTF-8
    name.write_bytes(b'{"text": "%s"}\nbroken\n' % PROSE.encode() * 300)
    settings = _settings(EXAMPLES, tmp_path)
    apart, here = _read(settings), list(read_batches(ReaderJob.of(settings)))
    chunks = [unpack(packed) for batch in apart for packed in batch.chunks]
    assert chunks == list(read_chunks(settings, lambda _: None))
    assert [note for batch in apart for note in batch.notes] == [
        note for batch in here for note in batch.notes
    ]
    documents = [sum(batch.documents for batch in batches) for batches in (apart, here)]
    assert documents[0] == documents[1] > 300
    assert max(len(batch.chunks) for batch in apart) <= BATCH_CHUNKS


def test_the_limit_counts_chunks(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(b'{"text": "%s"}\n' % PROSE.encode() * 700)
    batches = _read(_settings(tmp_path, limit=300, duplicates="off"))
    assert sum(len(batch.chunks) for batch in batches) == 300


def test_nothing_but_notes_is_handed_on_in_batches_too(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(b"broken\n" * 1000)
    batches = _read(_settings(tmp_path))
    assert sum(len(batch.notes) for batch in batches) == 1000
    assert max(len(batch.notes) for batch in batches) == BATCH_CHUNKS


def test_what_stops_the_reading_is_raised_here(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text(f'{{"text": "{PROSE}"}}\n')
    job = replace(ReaderJob.of(_settings(tmp_path / "a.jsonl")), sources=("nowhere:FORMAT",))
    with (
        ReaderProcess(job) as batches,
        pytest.raises(InputError, match="sources: cannot load 'nowhere:FORMAT'"),
    ):
        list(batches)


def test_a_process_that_fails_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pairmill.chunking.reader_process._MODULE", "pairmill.nowhere")
    with (
        ReaderProcess(ReaderJob.of(_settings(tmp_path))) as batches,
        pytest.raises(InputError, match=r"the process that reads the input failed: .*nowhere"),
    ):
        next(iter(batches))


def test_closing_lets_go_of_who_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pairmill.chunking.reader_process._MODULE", "tests.support.idle")
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[3]))
    batches = ReaderProcess(ReaderJob.of(_settings(EXAMPLES)))
    found: list[ChunkBatch | None] = []
    waiting = threading.Thread(target=lambda: found.append(next(iter(batches), None)))
    waiting.start()
    batches.close()
    waiting.join(timeout=10)
    assert found == [None]
    batches.close()


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
    (batch,) = _read(_settings(tmp_path / name))
    assert len(batch.chunks) == 1


def test_a_process_that_is_done_is_not_left_behind(tmp_path: Path) -> None:
    before = _children()
    (tmp_path / "a.jsonl").write_text(f'{{"text": "{PROSE}"}}')
    with ReaderProcess(ReaderJob.of(_settings(tmp_path))) as batches:
        assert len(list(batches)) == 1
        assert _children() == before


def test_nor_is_one_that_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = _children()
    (tmp_path / "a.html").write_text(pages.PAGE)
    monkeypatch.syspath_prepend(pages.install(tmp_path, "raise ImportError('broken')"))
    with ReaderProcess(ReaderJob.of(_settings(tmp_path / "a.html"))) as batches:
        (batch,) = batches
        assert [note.reason for note in batch.notes] == ["extra not installed"]
        assert _children() == before


def test_without_a_temporary_folder_there_is_one_clear_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "none"))
    with pytest.raises(StoppedError, match="cannot start a process to read: No such file"):
        ReaderProcess(ReaderJob.of(_settings(EXAMPLES)))


def test_without_open_files_nothing_is_left_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    ends = [os.pipe()]
    before = _descriptors()
    monkeypatch.setattr(os, "pipe", lambda: ends.pop() if ends else os.open(EXAMPLES / "none", 0))
    with pytest.raises(StoppedError, match="cannot start a process to read"):
        ReaderProcess(ReaderJob.of(_settings(EXAMPLES)))
    assert len(_descriptors()) == len(before) - 2  # those two ends were given back


def test_a_job_that_cannot_travel_leaves_nothing_behind() -> None:
    files, children = _descriptors(), _children()
    job = replace(ReaderJob.of(_settings(EXAMPLES)), text_field=object())
    with pytest.raises(TypeError, match="unsupported"):
        ReaderProcess(job)
    assert (_descriptors(), _children()) == (files, children)


def test_a_python_that_does_not_know_itself_is_told_of(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "")
    with pytest.raises(InputError, match=r"sys\.executable is empty"):
        ReaderProcess(ReaderJob.of(_settings(EXAMPLES)))


def test_what_python_passes_over_in_its_path_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.jsonl").write_text(f'{{"text": "{PROSE}"}}')
    monkeypatch.setattr(sys, "path", [*sys.path, None, Path("somewhere")])
    assert len(_read(_settings(tmp_path))) == 1
