"""Decides what a later start may skip: the stretches of a record whose input is unchanged.

See `pairmill.chunking.read_record`. This runs in the process that knows which units are finished,
before it starts the reading process.
"""

from __future__ import annotations

import os
import secrets
import sqlite3
import sys
from collections import deque
from contextlib import closing, suppress
from dataclasses import dataclass
from importlib import metadata
from typing import TYPE_CHECKING, NamedTuple

import msgspec
import orjson
from msgspec.structs import replace

from pairmill.chunking.read_record import (
    ResumePoint,
    encode_notes,
    hashing_is_steady,
    is_recordable,
    seal_of,
)
from pairmill.records import digest
from pairmill.sources.files import STANDARD_INPUT, find_files
from pairmill.sources.notes import Note
from pairmill.sources.registry import Formats
from pairmill.sources.remote import is_remote

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from pairmill.chunking.reader_job import ReaderJob

__all__ = ["Stretch", "pass_over", "recording"]

_ACROSS_SINCE = 3  # version of reading, see `pairmill.chunking.reader`
_ID_BYTES = 16
_BATCH = 512  # chunks per query
_READERS = ("charset-normalizer", "lxml")  # modules that records with pages in them need
_NOT_OF_READING = {
    "paths": (), "folder": b"", "page_processes": 0, "keeps_memory": False, "begun_with": 0,
    "record_key": "", "begins_at": ResumePoint(), "hash_seed": 0,
}  # fmt: skip


class Stretch(NamedTuple):
    """A stretch of the input that is not read again.

    Attributes:
        documents: Number of documents read in it.
        chunks: Number of chunks it made.
        packed_notes: Notes on it, encoded; see `notes`.
    """

    documents: int
    chunks: int
    packed_notes: bytes

    @property
    def notes(self) -> list[Note]:
        """Return the notes on it."""
        return msgspec.msgpack.decode(self.packed_notes, type=list[Note])


class _Recorded(NamedTuple):
    mark: int
    file: int
    line: int
    offset: int
    chunks: bytes
    notes: bytes
    has_state: bool


class _Seal(NamedTuple):
    mark: int
    file: int
    start: int
    until: int
    digest: bytes


def recording(job: ReaderJob, version: str) -> ReaderJob:
    """Return a run's job, changed to record what is read, if that is possible.

    It is not if reading depends on more than the files and the settings (a user's own formats and
    splitters, standard input, remote files), or if a start does not read everything.
    ``version``: pairmill's.
    """
    can = (
        job.keeps_memory
        and not job.follow
        and job.limit is None
        and job.reading >= _ACROSS_SINCE
        and job.chunks_by != "subject"
        and not (job.sources or job.splitter or job.tokenizer)
        and not any(given == STANDARD_INPUT or is_remote(given) for given in job.inputs)
        and hashing_is_steady()
    )
    if not can:
        return job
    return replace(job, record_key=_key_of(job, version), hash_seed=secrets.randbelow(2**32))


def pass_over(
    job: ReaderJob, are_finished: Callable[[Sequence[str]], bool]
) -> tuple[ReaderJob, list[Stretch]]:
    """Return a job that begins after the finished stretches, and the skipped part.

    Args:
        job: A job that records, see `recording`; any other is returned unchanged.
        are_finished: Returns whether the units of all these chunks are finished.
    """
    if not job.record_key or not job.memory.exists():
        return job, []
    with suppress(sqlite3.Error, OSError, msgspec.DecodeError, ValueError):
        address = f"{job.memory.absolute().as_uri()}?mode=ro"
        with closing(sqlite3.connect(address, uri=True)) as connection:
            return _pass_over(job, connection, are_finished)
    return job, []  # it is damaged, or of an earlier version: all of the input is read


def _pass_over(
    job: ReaderJob, connection: sqlite3.Connection, are_finished: Callable[[Sequence[str]], bool]
) -> tuple[ReaderJob, list[Stretch]]:
    of = dict(connection.execute("SELECT name, value FROM record_of"))
    if of.get("key") != job.record_key:
        return job, []
    begins_at, passed, since = ResumePoint(), [], []
    before = 0
    is_unchanged = _Unchanged(job, connection)
    for one in _stretches(connection):
        if not is_unchanged(one) or not all(map(are_finished, _batches(one.chunks))):
            break
        since.append(Stretch(one.mark - before, len(one.chunks) // _ID_BYTES, one.notes))
        before = one.mark
        if one.has_state:
            begins_at = ResumePoint(one.mark, one.file, one.line, one.offset)
            passed += since
            since = []
    if not begins_at.mark:
        return job, []
    return replace(job, begins_at=begins_at, hash_seed=int(of["seed"])), passed


def _stretches(connection: sqlite3.Connection) -> Iterator[_Recorded]:
    rows = connection.execute(
        "SELECT mark, file, line, until, chunks, notes,"
        " EXISTS (SELECT 1 FROM record_states WHERE record_states.mark = record_stretches.mark)"
        " FROM record_stretches ORDER BY mark"
    )
    for row in rows:
        yield _Recorded(*row)


def _batches(chunks: bytes) -> Iterator[list[str]]:
    size = _ID_BYTES * _BATCH
    for start in range(0, len(chunks), size):
        text = chunks[start : start + size].hex()
        yield [text[at : at + 2 * _ID_BYTES] for at in range(0, len(text), 2 * _ID_BYTES)]


class _Unchanged:
    """Checks, stretch by stretch, whether the input is the same as when it was read.

    Each file and each seal is checked once, with the first stretch that reaches it.
    """

    def __init__(self, job: ReaderJob, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._notes: list[Note] = []
        self._found = enumerate(find_files(job.inputs, job.output, self._notes.append))
        self._formats = Formats(job.sources)
        # files that the stretches so far have not finished, in order
        self._files: deque[_OpenFile] = deque()
        self._taken = 0
        rows = connection.execute(
            "SELECT mark, file, start, until, digest FROM record_seals ORDER BY mark, rowid"
        )
        self._sealed = map(_Seal._make, rows)
        self._next = next(self._sealed, None)
        self._ahead: list[_Seal] = []  # notes of files that no stretch has reached yet

    def __call__(self, stretch: _Recorded) -> bool:
        """Return whether a stretch is unchanged, given that those before it are."""
        while self._taken <= stretch.file:
            if not self._takes_next():
                return False
        if not all(map(self._is_intact, self._seals_of(stretch))):
            return False
        while self._files[0].number < stretch.file:
            if not self._files.popleft().is_whole():
                return False
        return True

    def _seals_of(self, stretch: _Recorded) -> list[_Seal]:
        """Return the seals up to the end of a stretch that were not checked yet."""
        while self._next is not None and self._next.mark <= stretch.mark:
            self._ahead.append(self._next)
            self._next = next(self._sealed, None)
        here = [seal for seal in self._ahead if seal.file <= stretch.file]
        self._ahead = [seal for seal in self._ahead if seal.file > stretch.file]
        return here

    def _is_intact(self, seal: _Seal) -> bool:
        file = next((it for it in self._files if it.number == seal.file), None)
        if file is None or seal_of(file.path, seal.start, seal.until) != seal.digest:
            return False
        file.until = max(file.until, seal.until)
        return True

    def _takes_next(self) -> bool:
        number, found = next(self._found, (0, None))
        row = self._connection.execute(
            "SELECT path, label, before FROM record_files WHERE number = ?", (number,)
        ).fetchone()
        if found is None or found.path is None or row is None:
            return False
        path, label, before = row
        is_same = path == os.fsencode(found.path) and label == found.label
        is_same = is_same and before == encode_notes(self._notes)
        self._notes.clear()
        if not is_same or not is_recordable(found.path, self._formats):
            return False
        self._files.append(_OpenFile(number, found.path))
        self._taken += 1
        return True


@dataclass(slots=True)
class _OpenFile:
    """A file of the input, and the position up to which it is unchanged."""

    number: int
    path: Path
    until: int = -1

    def is_whole(self) -> bool:
        """Return whether it was read to its end and has not grown."""
        return self.until >= 0 and self.path.stat().st_size == self.until


def _key_of(job: ReaderJob, version: str) -> str:
    """Return a digest of everything that reading depends on besides the input."""
    settings = orjson.dumps(msgspec.to_builtins(replace(job, **_NOT_OF_READING)))
    return digest(settings.decode(), version, sys.version, *map(_version_of, _READERS))


def _version_of(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "none"
