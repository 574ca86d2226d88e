"""A start that passes over what is finished decides as one that reads all of it again."""

from __future__ import annotations

import json
import random
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace
from tests.support.asks import settings

from pairmill.chunking import corpus, read_record, shared_lines
from pairmill.chunking.intake_file import IntakeFile
from pairmill.chunking.pass_over import pass_over, recording
from pairmill.chunking.reader import prepared_of
from pairmill.chunking.reader_job import ReaderJob
from pairmill.sources.notes import InputFate, Note

if TYPE_CHECKING:
    from pathlib import Path

SPEECH = (
    "kettle steam copper water boils slowly under grey morning light while somebody reads about"
    " rivers bridges engines gardens winters letters markets harbours songs and quiet machines"
)
WORDS = SPEECH.split()


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make windows, stretches and tables so small that short corpora overflow them."""
    monkeypatch.setattr(corpus, "_WINDOW", 8)
    monkeypatch.setattr(corpus, "_COMMIT_EVERY", 5)
    monkeypatch.setattr(read_record, "STRETCH", 5)
    monkeypatch.setattr(read_record, "_STATE_EVERY", 3)
    monkeypatch.setattr(shared_lines, "_MOST_COUNTED", 150)


@dataclass
class Writer:
    """Makes records, of which some repeat others, share lines with them, or are of no use."""

    draw: random.Random
    texts: list[str] = field(default_factory=list)

    def sentence(self) -> str:
        return " ".join(self.draw.choices(WORDS, k=self.draw.randint(6, 12))).capitalize() + "."

    def text(self) -> str:
        draw = self.draw
        if self.texts and draw.random() < 0.12:
            return draw.choice(self.texts)
        if self.texts and draw.random() < 0.1:
            words = draw.choice(self.texts).split(" ")
            words[draw.randrange(len(words))] = "changed"
            return " ".join(words)
        made = "\n\n".join(
            " ".join(self.sentence() for _ in range(4)) for _ in range(draw.randint(1, 3))
        )
        self.texts.append(made)
        return made

    def line(self) -> str:
        draw = self.draw
        kind = draw.random()
        if kind < 0.04:
            return '{"text": "broken'
        if kind < 0.08:
            return json.dumps({"text": "too short"})
        if kind < 0.1:
            return ""
        if kind < 0.12:
            return json.dumps({"number": 3})
        site = draw.choice(["one.example", "two.example", "three.example"])
        top = f"Read more of {site} every single day" if draw.random() < 0.7 else self.sentence()
        end = f"All rights of {site} are reserved {draw.randint(1, 3)}"
        text = f"{top}\n\n{self.text()}\n\n{end}"
        return json.dumps({"text": text, "url": f"https://{site}/{draw.randrange(10**6)}"})

    def lines(self, count: int) -> str:
        return "".join(f"{self.line()}\n" for _ in range(count))


@dataclass
class Outcome:
    """What a start gave, what it passed over included."""

    chunks: list[str] = field(default_factory=list)
    documents: int = 0
    notes: Counter[Note] = field(default_factory=Counter)
    passed: int = 0

    def watch(self, note: Note) -> None:
        if note.fate is InputFate.READ:
            self.documents += 1
        else:
            self.notes[note] += 1


@dataclass
class Folder:
    """A run folder, and which of its chunks are finished."""

    path: Path
    uses_record: bool
    monkeypatch: pytest.MonkeyPatch
    finished: set[str] = field(default_factory=set)

    def start(
        self, job: ReaderJob, *, chunks: int | None = None, is_killed: bool = False
    ) -> Outcome:
        """Read up to so many chunks, or all; where it is killed, what is not committed is lost."""
        (self.path / ".run").mkdir(parents=True, exist_ok=True)
        job = recording(replace(job, folder=bytes(self.path), keeps_memory=True), "1")
        assert job.record_key
        outcome = Outcome()
        if self.uses_record:
            names: list[str] = []

            def are_finished(batch: list[str]) -> bool:
                names.extend(batch)
                return self.finished.issuperset(batch)

            job, passed = pass_over(job, are_finished)  # type: ignore[arg-type]
            for one in passed:
                outcome.documents += one.documents
                outcome.notes.update(one.notes)
                outcome.passed += one.chunks
            outcome.chunks = names[: outcome.passed]
        prepared = prepared_of(job, outcome.watch)
        while chunks is None or len(outcome.chunks) < chunks:
            one_document = next(prepared, None)
            if one_document is None:
                break
            outcome.chunks += one_document.ids
        with self.monkeypatch.context() as patch:
            if is_killed:
                patch.setattr(IntakeFile, "__exit__", lambda file, *_: file._connection.close())
            prepared.close()  # type: ignore[attr-defined]
        return outcome


def change(file: Path, writer: Writer) -> None:
    """Write one of a file's lines anew."""
    lines = file.read_text("utf-8").splitlines(keepends=True)
    lines[writer.draw.randrange(len(lines))] = f"{writer.line()}\n"
    file.write_text("".join(lines), "utf-8")


@pytest.mark.parametrize("changes", [False, True])
@pytest.mark.parametrize("duplicates", ["exact", "near", "off"])
@pytest.mark.parametrize("seed", range(8))
def test_passing_over_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int, duplicates: str, changes: bool
) -> None:
    """Starts that are killed, or stop, and inputs that grow, or change, in between.

    What a kill loses of decisions is decided anew by what is in the input then. So kills and
    changes are not mixed: both folders would be right, and differ.
    """
    draw = random.Random(f"{seed} {duplicates}")
    writer = Writer(draw)
    inputs = tmp_path / "in"
    inputs.mkdir()
    files = [inputs / f"{name}.jsonl" for name in "abc"[: draw.randint(1, 3)]]
    least, most = draw.choice([(2, 4), (20, 70)])  # below the first window, and above
    for file in files:
        file.write_text(writer.lines(draw.randint(least, most)), "utf-8")
    given = settings(
        inputs=(str(inputs),), model="m", min_words=10, duplicates=duplicates,
        chunk_min_chars=20, chunk_target_chars=150, chunk_max_chars=300,
    )  # fmt: skip
    job = ReaderJob.of(given)
    ours, theirs = (Folder(tmp_path / name, name == "ours", monkeypatch) for name in ("ours", "b"))
    passed = 0
    for _ in range(6):
        chunks = draw.randint(0, 500) if draw.random() < 0.6 else None
        is_killed = chunks is not None and not changes
        one = ours.start(job, chunks=chunks, is_killed=is_killed)
        other = theirs.start(job, chunks=chunks, is_killed=is_killed)
        passed += one.passed
        both = min(len(one.chunks), len(other.chunks))  # it may pass over more than it would read
        assert one.chunks[:both] == other.chunks[:both]
        if chunks is None or len(other.chunks) < chunks:  # both were at the end
            assert len(one.chunks) == len(other.chunks)
            assert one.documents == other.documents
            assert one.notes == other.notes
        done = set(one.chunks[: len(one.chunks) - draw.choice([0, 0, 3, 20])])
        done -= {name for name in done if draw.random() < draw.choice([0, 0, 0, 0.01])}
        ours.finished |= done
        if changes and draw.random() < 0.4:
            change(draw.choice(files), writer)
        with files[-1].open("a", encoding="utf-8") as end:
            end.write(writer.lines(draw.randint(0, 40)))
    assert passed or changes or most < 20
