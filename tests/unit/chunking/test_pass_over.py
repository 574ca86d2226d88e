"""When a record of what was read is void: the input is read whole then."""

from __future__ import annotations

import json
import os
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest
from msgspec.structs import replace
from tests.support.asks import settings
from tests.support.corpus import article

from pairmill.chunking import corpus, read_record
from pairmill.chunking.pass_over import pass_over, recording
from pairmill.chunking.reader import prepared_of
from pairmill.chunking.reader_job import ReaderJob
from pairmill.errors import StoppedError

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder whose input was read and recorded."""
    monkeypatch.setattr(corpus, "_WINDOW", 4)
    monkeypatch.setattr(read_record, "STRETCH", 10)
    (tmp_path / "in").mkdir()
    (tmp_path / "run" / ".run").mkdir(parents=True)
    for name in "bc":
        lines = [json.dumps({"text": article(at + 50 * (name == "c"), 4)}) for at in range(30)]
        (tmp_path / "in" / f"{name}.jsonl").write_text("".join(f"{it}\n" for it in lines), "utf-8")
    for _ in prepared_of(recording(job_of(tmp_path), "1"), lambda _: None):
        pass
    return tmp_path


def job_of(folder: Path, **given: Any) -> ReaderJob:
    given = {"inputs": (str(folder / "in"),), "output": folder / "run", "model": "m"} | given
    return ReaderJob.of(settings(**given), keeps_memory=True)


def passed_documents(job: ReaderJob, version: str = "1") -> int:
    passed = pass_over(recording(job, version), lambda _: True)[1]
    return sum(one.documents for one in passed)


def test_all_of_an_unchanged_input_is_passed_over(read: Path) -> None:
    job, passed = pass_over(recording(job_of(read), "1"), lambda _: True)
    assert sum(one.documents for one in passed) == 60
    assert list(prepared_of(job, lambda _: None)) == []


def test_other_settings_or_another_version_make_it_void(read: Path) -> None:
    assert passed_documents(job_of(read), "2") == 0
    assert passed_documents(job_of(read, min_words=3)) == 0
    assert passed_documents(job_of(read, shared_lines="keep")) == 0
    assert passed_documents(job_of(read)) == 60


@pytest.mark.parametrize("limit", [{"limit": 5}, {"chunks_by": "subject", "chunks_per_unit": 2}])
def test_what_is_not_read_whole_or_in_order_is_not_recorded(
    tmp_path: Path, limit: dict[str, Any]
) -> None:
    job = job_of(tmp_path, **limit)
    assert recording(job, "1") == job
    assert not recording(replace(job_of(tmp_path), paths=(b"-",)), "1").record_key
    assert not recording(replace(job_of(tmp_path), sources=("a:b",)), "1").record_key


def test_a_file_that_comes_before_or_grows_in_between_ends_what_is_passed_over(read: Path) -> None:
    with (read / "in" / "b.jsonl").open("a") as file:
        file.write(json.dumps({"text": article(99, 4)}) + "\n")
    assert 0 < passed_documents(job_of(read)) <= 30
    (read / "in" / "a.jsonl").write_text(json.dumps({"text": article(98, 4)}) + "\n")
    assert passed_documents(job_of(read)) == 0


def test_what_is_reported_of_other_files_must_be_the_same(read: Path) -> None:
    (read / "in" / "a.png").write_bytes(b"x")
    assert passed_documents(job_of(read)) == 0


def test_a_changed_byte_ends_it_even_where_size_and_time_are_the_same(read: Path) -> None:
    path = read / "in" / "c.jsonl"
    text, about = path.read_bytes(), path.stat()
    path.write_bytes(text[:40] + b"#" + text[41:])
    os.utime(path, ns=(about.st_atime_ns, about.st_mtime_ns))
    assert passed_documents(job_of(read)) <= 30


def test_unfinished_chunks_end_it(read: Path) -> None:
    asked: list[str] = []

    def are_finished(chunks: Any) -> bool:
        asked.extend(chunks)
        return len(asked) < 40

    _, passed = pass_over(recording(job_of(read), "1"), are_finished)
    assert 0 < sum(one.chunks for one in passed) < 40


def test_a_folder_without_a_record_or_with_a_damaged_one_is_read_whole(read: Path) -> None:
    path = read / "run" / ".run" / "intake.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("DROP TABLE record_stretches")
        connection.commit()
    assert passed_documents(job_of(read)) == 0
    path.write_bytes(b"not a database")
    assert passed_documents(job_of(read)) == 0
    path.unlink()
    assert passed_documents(job_of(read)) == 0


def test_each_file_and_each_seal_is_looked_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Twice as many files took four times as long: with ten thousand, longer than reading them."""
    monkeypatch.setattr(corpus, "_WINDOW", 4)
    monkeypatch.setattr(read_record, "STRETCH", 10)

    def rows_seen(files: int) -> int:
        folder = tmp_path / f"{files}"
        (folder / "in").mkdir(parents=True)
        (folder / "run" / ".run").mkdir(parents=True)
        for name in range(files):
            lines = [json.dumps({"text": article(6 * name + at, 4)}) for at in range(6)]
            text = "".join(f"{it}\n" for it in lines)
            (folder / "in" / f"{name:03}.jsonl").write_text(text, "utf-8")
        job = recording(job_of(folder), "1")
        for _ in prepared_of(job, lambda _: None):
            pass
        steps = 0

        def count() -> int:
            nonlocal steps
            steps += 1
            return 0

        connect = sqlite3.connect

        def watched(*given: Any, **more: Any) -> sqlite3.Connection:
            connection: sqlite3.Connection = connect(*given, **more)
            connection.set_progress_handler(count, 10)
            return connection

        with monkeypatch.context() as patched:
            patched.setattr(sqlite3, "connect", watched)
            passed = pass_over(job, lambda _: True)[1]
        assert sum(one.documents for one in passed) == 6 * files
        return steps

    assert rows_seen(100) < 2.5 * rows_seen(50)


def test_a_record_of_a_process_that_hashes_otherwise_is_made_anew(read: Path) -> None:
    with closing(sqlite3.connect(read / "run" / ".run" / "intake.db")) as connection:
        connection.execute("UPDATE record_of SET value = 0 WHERE name = 'probe'")
        connection.commit()
    job, passed = pass_over(recording(job_of(read), "1"), lambda _: True)
    assert passed
    with pytest.raises(StoppedError, match="run the same command again"):
        next(prepared_of(job, lambda _: None))
    assert passed_documents(job_of(read)) == 0
