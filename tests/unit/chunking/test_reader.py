from __future__ import annotations

import io
import os
import re
from typing import TYPE_CHECKING, Any

import pytest

from pairmill.chunking.reader import read_chunks
from pairmill.config import Settings, load
from pairmill.errors import InputError
from pairmill.sources.notes import InputFate, Note

if TYPE_CHECKING:
    from pathlib import Path

    from pairmill.records import Chunk

PROSE = "The mill stands by the river and grinds whatever the farmers bring to it. " * 8


def _settings(*inputs: Path | str, **settings: Any) -> Settings:
    plain = {"duplicates": "off", "shared_lines": "keep"}  # each document by itself
    return load(given={"inputs": tuple(map(str, inputs)), **plain, **settings})


def _read(*inputs: Path | str, **settings: Any) -> tuple[list[Chunk], list[Note]]:
    notes: list[Note] = []
    chosen = _settings(*inputs, **settings)
    return list(read_chunks(chosen, notes.append)), notes


def _ignore(_: Note) -> None:
    pass


def _skips(notes: list[Note]) -> dict[str, str]:
    return {
        note.source.rsplit("/", 1)[-1]: note.reason
        for note in notes
        if note.fate is InputFate.SKIPPED
    }


def test_a_folder_is_read_in_order_and_all_else_is_named(tmp_path: Path) -> None:
    root = tmp_path / "in"
    (root / "b").mkdir(parents=True)
    (root / "out").mkdir()
    outside = tmp_path / "outside.txt"
    outside.write_text(PROSE)
    for name in ("c.txt", "b/x.md", "a.txt", ".hidden.txt", "image.png", "out/shard.jsonl"):
        (root / name).write_text(f"{name} {PROSE}")
    (root / "short.txt").write_text("too short")
    (root / "leads-out.txt").symlink_to(outside)
    (root / "loop").symlink_to(root)
    (root / "same.txt").symlink_to(root / "a.txt")
    os.mkfifo(root / "pipe.txt")
    chunks, notes = _read(root, output=root / "out")
    assert [chunk.text.split()[0] for chunk in chunks] == ["a.txt", "b/x.md", "c.txt", "a.txt"]
    assert _skips(notes) == {
        "image.png": "not a document",
        "leads-out.txt": "link out of the folder",
        "loop": "link to a folder",
        "pipe.txt": "not a regular file",
    }
    dropped = [note for note in notes if note.fate is InputFate.DROPPED]
    assert [(note.source[-9:], note.reason) for note in dropped] == [("short.txt", "too short")]


def test_a_named_file_is_read_whatever_its_name_and_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "article").write_text(PROSE)
    (tmp_path / "link").symlink_to(tmp_path / "article")
    chunks, _ = _read(tmp_path / "article", tmp_path / "link")
    assert len(chunks) == 2


def test_faults_of_a_whole_input_are_told_before_anything_is_read(tmp_path: Path) -> None:
    good = tmp_path / "good.txt"
    good.write_text(PROSE)
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "a.png").touch()
    os.mkfifo(tmp_path / "pipe")
    faults: list[tuple[Path | str, str]] = [
        (tmp_path / "none\x1b[2J", r"no such file or folder: .*/none$"),
        (tmp_path / "empty", r"nothing to read in the folder .*known: .*\.htm "),
        (tmp_path / "pipe", "is a pipe or a device"),
        ("/dev/zero", "is a pipe or a device"),
        ("a" * 5000, r"cannot read a+.*: File name too long"),
    ]
    for given, says in faults:
        with pytest.raises(InputError, match=says) as caught:
            read_chunks(_settings(good, given), _ignore)
        assert "\n" not in str(caught.value)
    with pytest.raises(InputError, match="no input given"):
        read_chunks(_settings(), _ignore)


def test_an_unreadable_file_or_folder_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.txt").write_text(PROSE)
    monkeypatch.setattr("os.access", lambda *_: False)  # root may read everything
    for given in (tmp_path, tmp_path / "a.txt"):
        with pytest.raises(InputError, match=r"cannot read .*: permission denied"):
            _read(given)


def test_a_file_that_goes_away_meanwhile_ends_only_itself(tmp_path: Path) -> None:
    for name in ("a.txt", "b.txt", "c.txt"):
        (tmp_path / name).write_text(name + " " + PROSE)
    notes: list[Note] = []
    chunks = read_chunks(_settings(tmp_path), notes.append)
    next(chunks)
    (tmp_path / "b.txt").unlink()
    assert [chunk.text[:5] for chunk in chunks] == ["c.txt"]
    assert _skips(notes) == {"b.txt": "cannot read file"}


def test_names_with_control_characters_are_made_printable(tmp_path: Path) -> None:
    (tmp_path / "a\x1b[31m\n.txt").write_text("short")
    os.close(os.open(os.fsencode(tmp_path) + b"/b\xff.txt", os.O_CREAT))
    _, notes = _read(tmp_path)
    assert all(re.fullmatch(r"[\x20-\x7e]+", note.source) for note in notes)
    assert len(notes) == 3


def test_the_first_chunks_of_each_document(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("a " + PROSE * 12)
    (tmp_path / "b.txt").write_text("b " + PROSE * 12)
    chunks, _ = _read(tmp_path, limit_per_document=2, limit=1)
    assert [(chunk.text[0], chunk.index) for chunk in chunks] == [
        ("a", 0), ("T", 1), ("b", 0), ("T", 1),
    ]  # fmt: skip


def test_chunks_come_before_all_is_read() -> None:
    class _Counting(io.BytesIO):
        taken = 0

        def read1(self, size: int | None = -1, /) -> bytes:
            block = super().read1(size)
            self.taken += len(block)
            return block

    stdin = _Counting(b'{"text": "%s"}\n' % PROSE.encode() * 20_000)
    chunks = read_chunks(_settings("-"), lambda _: None, stdin)
    for _ in range(50):
        next(chunks)
    assert stdin.taken < 2**19


def test_standard_input_is_named(tmp_path: Path) -> None:
    stdin = io.BytesIO(b'{"text": "short"}\n{"text": "x')
    notes: list[Note] = []
    assert list(read_chunks(_settings("-"), notes.append, stdin)) == []
    assert [note.source for note in notes][-1] == "standard input:2"


def test_reading_twice_gives_the_same(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(b'{"text": "%s"}\n' % PROSE.encode() * 3)
    assert _read(tmp_path) == _read(tmp_path)


def test_private_data_is_replaced_or_its_document_dropped_before_anything_is_asked(
    tmp_path: Path,
) -> None:
    (tmp_path / "a.txt").write_text(f"{PROSE} Write to ada@mill.org today.")
    (tmp_path / "b.txt").write_text(PROSE)
    assert len(_read(tmp_path)[0]) == 2
    chunks, _ = _read(tmp_path, privacy="redact")
    assert "ada@mill.org" not in chunks[0].text
    assert "Write to " in chunks[0].text
    chunks, notes = _read(tmp_path, privacy="drop")
    assert [chunk.source[-5:] for chunk in chunks] == ["b.txt"]
    assert [note.reason for note in notes if note.fate is InputFate.DROPPED] == ["private data"]


def test_only_documents_in_the_wanted_languages_are_used(tmp_path: Path) -> None:
    german = "Die Mühle steht am Fluss und mahlt, was die Bauern ihr im Herbst bringen. " * 8
    (tmp_path / "a.txt").write_text(german)
    (tmp_path / "b.txt").write_text(PROSE)
    chunks, notes = _read(tmp_path, languages=("de",))
    assert [chunk.source[-5:] for chunk in chunks] == ["a.txt"]
    assert [note.reason for note in notes if note.fate is InputFate.DROPPED] == ["language"]


def test_the_language_of_a_template_is_not_believed_against_the_text(tmp_path: Path) -> None:
    german = "Die Mühle steht am Fluss und mahlt, was die Bauern ihr im Herbst bringen. " * 8
    page = f"<html lang='en'><body><p>{german}</p></body></html>"
    (tmp_path / "a.html").write_text(page)
    (chunk,) = _read(tmp_path)[0]
    assert chunk.language == "de"
