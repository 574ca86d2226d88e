"""Input that goes on coming: what is read, in which order, and what is remembered of it."""

from __future__ import annotations

import io
import json
import os
from typing import TYPE_CHECKING

import pytest
from tests.support.corpus import article

from pairmill.chunking.follow import check_follow
from pairmill.chunking.follow_state import MARK_FILE, FollowState, followed_counts
from pairmill.chunking.reader import prepared_of
from pairmill.chunking.reader_job import ReaderJob
from pairmill.config import load
from pairmill.errors import UsageError
from pairmill.store.superseded import read_superseded

if TYPE_CHECKING:
    from pathlib import Path

    from pairmill.sources.notes import Note


class Place:
    """A run folder and an input that is followed until it is looked through once."""

    def __init__(self, folder: Path) -> None:
        self.input, self.output = folder / "in", folder / "out"
        self.input.mkdir()
        (self.output / ".run").mkdir(parents=True)
        self.notes: list[Note] = []
        self.marks: list[int] = []

    def write(self, name: str, text: str) -> Path:
        """Write a file that was left alone for a while."""
        path = self.input / name
        path.write_text(text, "utf-8")
        long_ago = path.stat().st_mtime - 60
        os.utime(path, (long_ago, long_ago))
        return path

    def append(self, name: str, *records: object, tail: str = "") -> None:
        with (self.input / name).open("a", encoding="utf-8") as file:
            file.writelines(f"{json.dumps(record)}\n" for record in records)
            file.write(tail)

    def read(self, stdin: bytes | None = None, *, settle: bool = True) -> list[str]:
        """Where the documents come from that one start reads; with ``settle`` all of them end."""
        inputs = ("-",) if stdin is not None else (str(self.input),)
        settings = load(
            given={
                "inputs": inputs,
                "output": self.output,
                "follow": True,
                "follow_idle_s": 0,
                "page_processes": 1,
            }
        )
        job = ReaderJob.of(settings, keeps_memory=True, follows=True)
        self.notes.clear()
        self.marks.clear()
        given = io.BytesIO(stdin) if stdin is not None else None
        found = [
            f"{one.document.source.rpartition('/')[2]} {one.document.text.split()[2]}"
            for one in prepared_of(job, self.notes.append, given, self.marks.append)
            if one.spans
        ]
        if settle and max(self.marks, default=0) > 0:
            (self.output / ".run" / MARK_FILE).write_text(f"{max(self.marks)}\n")
        return found

    @property
    def superseded(self) -> int:
        return len(read_superseded(self.output))


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def record(number: int, url: str | None = None) -> dict[str, str]:
    return {"text": article(number)} | ({"url": url} if url else {})


def test_what_is_new_or_changed_is_read_and_nothing_twice(place: Place) -> None:
    place.write("a.md", article(1))
    place.write("b.md", article(2))
    assert place.read() == ["a.md 1", "b.md 2"]
    assert place.read() == []
    place.write("b.md", article(3))
    place.write("c.md", article(4))
    assert place.read() == ["b.md 3", "c.md 4"]
    assert place.superseded == 1
    place.write("b.md", article(2))  # as it was before
    assert place.read() == ["b.md 2"]
    assert place.superseded == 1


def test_a_file_that_vanishes_or_becomes_no_article_keeps_its_pairs(place: Place) -> None:
    place.write("a.md", article(1))
    place.write("b.md", article(2))
    place.read()
    (place.input / "a.md").unlink()
    place.write("b.md", "Not found.")
    assert place.read() == []
    assert place.superseded == 0


def test_a_growing_file_is_read_on_line_by_line(place: Place) -> None:
    place.append("c.jsonl", record(1, "u1"), record(2), tail='{"text": "torn')
    assert place.read() == ["c.jsonl:1 1", "c.jsonl:2 2"]
    place.append("c.jsonl", tail=' line"}\n')
    place.append("c.jsonl", record(3, "u1"), record(4))
    assert place.read() == ["c.jsonl:4 3", "c.jsonl:5 4"]
    assert place.superseded == 1  # u1's first version; what has no name supersedes nothing


def test_a_file_that_was_replaced_is_read_from_its_beginning(place: Place) -> None:
    place.append("c.jsonl", record(1), record(2))
    place.read()
    (place.input / "c.jsonl").unlink()
    place.append("c.jsonl", record(3), record(4), record(5))
    assert place.read() == ["c.jsonl:1 3", "c.jsonl:2 4", "c.jsonl:3 5"]


def test_what_had_not_ended_is_read_again_and_brings_no_former_version_back(place: Place) -> None:
    place.append("c.jsonl", record(1, "u"))
    place.append("d.jsonl", record(2, "u"))
    assert place.read(settle=False) == ["c.jsonl:1 1", "d.jsonl:1 2"]
    before = read_superseded(place.output)
    assert place.read(settle=False) == ["c.jsonl:1 1", "d.jsonl:1 2"]
    assert read_superseded(place.output) == before
    place.append("c.jsonl", record(3, "u"))
    assert place.read() == ["c.jsonl:1 1", "c.jsonl:2 3", "d.jsonl:1 2"]
    assert place.superseded == 2  # those of the articles 1 and 2
    assert place.read() == []


def test_counts_are_those_of_all_that_was_read_once(place: Place) -> None:
    place.append("c.jsonl", record(1), {"text": "short"})
    place.read(settle=False)
    place.read(settle=True)
    place.append("c.jsonl", record(2))
    place.read()
    counts = followed_counts(place.output)
    assert (counts.read, counts.dropped) == (3, 1)
    assert sum(counts.skipped.values()) == 1


def test_a_text_that_another_article_still_holds_is_not_superseded(place: Place) -> None:
    place.write("a.md", article(1))
    place.write("b.md", article(1))
    place.read()
    place.write("a.md", article(2))
    place.read()
    assert place.superseded == 0
    place.write("b.md", article(3))
    place.read()
    assert place.superseded == 1


def test_of_a_changed_table_the_rows_that_stayed_count_on(place: Place) -> None:
    def table(*numbers: int) -> str:
        lines = [json.dumps(article(number).replace("\n", " ")) for number in numbers]
        return "text\n" + "\n".join(lines) + "\n"

    place.write("t.csv", table(1, 2, 3))
    assert len(place.read()) == 3
    place.write("t.csv", table(1, 3, 4))
    place.read()
    assert place.superseded == 1


def test_what_cannot_be_read_is_told_once(place: Place) -> None:
    place.write("a.png", "no text")
    place.write("a.md", article(1))
    place.read()
    assert [note.reason for note in place.notes if note.reason] == ["not a document"]
    place.read()
    assert place.notes == []


def test_a_file_that_is_being_written_is_left_alone(place: Place) -> None:
    (place.input / "a.md").write_text(article(1), "utf-8")
    assert place.read() == []


def test_standard_input_is_kept_until_it_is_done_with(place: Place) -> None:
    lines = b"".join(json.dumps(record(n)).encode() + b"\n" for n in (1, 2))
    first = place.read(lines + b'{"text": "torn', settle=False)
    assert [where.split()[-1] for where in first] == ["1", "2"]
    assert [note.reason for note in place.notes if note.reason] == ["broken JSON"]
    again = place.read(json.dumps(record(3)).encode(), settle=True)
    assert [where.split()[-1] for where in again] == ["1", "2", "3"]
    assert [where.split()[-1] for where in place.read(b"")] == []
    assert list((place.output / ".run" / "stdin").iterdir()) == []


def test_a_memory_of_another_kind_is_named(place: Place) -> None:
    (place.output / ".run" / "follow.db").write_bytes(b"no database" * 400)
    with pytest.raises(Exception, match="may be deleted"):
        FollowState(place.output)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"duplicates": "near"}, "duplicates: near"),
        ({"limit": 5}, "limit"),
        ({"partition": "0/2"}, "shared_lines: keep"),
        ({"chunks_by": "subject"}, "one subject"),
        ({"inputs": ("https://example.org/a.jsonl",)}, "example.org"),
    ],
)
def test_what_needs_the_whole_input_is_refused(given: dict[str, object], said: str) -> None:
    settings = load(given={"inputs": ("in",), "follow": True, **given})
    with pytest.raises(UsageError, match=said):
        check_follow(settings)
    check_follow(load(given={"inputs": ("in",), **given}))


def test_what_goes_with_it_is_not_refused() -> None:
    given = {"inputs": ("in", "-"), "follow": True, "partition": "0/2", "shared_lines": "keep"}
    check_follow(load(given={**given, "target_pairs": None, "duplicates": "exact"}))
