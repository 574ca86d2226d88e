from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import pytest

from pairmill.chunking.reader import read_documents
from pairmill.config import load
from pairmill.sources.notes import InputFate, Note

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pairmill.records import Document


class Read:
    """What came of reading: the documents, and the notes by what they say."""

    def __init__(self) -> None:
        self.documents: list[Document] = []
        self.notes: list[Note] = []

    @property
    def texts(self) -> list[str]:
        return [document.text for document in self.documents]

    @property
    def skips(self) -> list[tuple[str, str]]:
        """Place within the file, and reason."""
        return [
            (note.source.rsplit("/", 1)[-1], note.reason)
            for note in self.notes
            if note.fate is InputFate.SKIPPED
        ]

    @property
    def details(self) -> str:
        return " | ".join(note.detail for note in self.notes)

    @property
    def notices(self) -> list[str]:
        return [note.reason for note in self.notes if note.fate is InputFate.NOTICE]


@pytest.fixture
def read(tmp_path: Path) -> Callable[..., Read]:
    """Write bytes to a file of that name, read it, and check that every document is reported."""

    def run(name: str, data: bytes, **settings: Any) -> Read:
        result = Read()
        stdin = io.BytesIO(data) if name == "-" else None
        if stdin is None:
            (tmp_path / name).write_bytes(data)
        given = "-" if stdin else str(tmp_path / name)
        chosen = load(given={"inputs": (given,), "output": tmp_path / "out", **settings})
        result.documents.extend(read_documents(chosen, result.notes.append, stdin))
        read_notes = [note for note in result.notes if note.fate is InputFate.READ]
        assert [note.source for note in read_notes] == [one.source for one in result.documents]
        return result

    return run
