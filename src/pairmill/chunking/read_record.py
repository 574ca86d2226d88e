"""Record of what was read, in a run folder's ``intake.db``, so that a later start can skip it.

The stream of documents is divided into stretches of some thousands. For each stretch the record
holds its end in the input, a digest of the bytes read for it, the ids of its chunks, and its notes.
If a later start finds the bytes unchanged and all units of the first stretches finished, it begins
to read after them (`pairmill.chunking.pass_over`).

State that later documents need from earlier ones is restored:

* the counts of shared lines, from the state that some stretches end with;
* the texts that were seen, for exact repeats: a table that the record keeps;
* near duplicates, and lines that were found to be shared: both are in ``intake.db`` anyway;
* the window of documents that are decided together starts afresh: a document is decided once as
  many more were counted, wherever reading began. Only the first window differs, so that no
  stretch ends before it does.

All of it is written in one transaction with the decisions on the same documents. Only plain JSON
Lines files are recorded; the first input of another kind ends the record.
"""

from __future__ import annotations

import hashlib
import os
import sys
from typing import TYPE_CHECKING

import msgspec

from pairmill.errors import StoppedError
from pairmill.sources.json_files import JSON_LINES, is_one_value
from pairmill.sources.streams import open_regular

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from pairmill.chunking.intake_file import IntakeFile
    from pairmill.records import Document
    from pairmill.sources.files import FoundFile
    from pairmill.sources.notes import Note
    from pairmill.sources.registry import Formats
    from pairmill.sources.streams import Stream

__all__ = [
    "Recorder",
    "ResumePoint",
    "encode_notes",
    "hashing_is_steady",
    "is_recordable",
    "seal_of",
]

STRETCH = 16_384  # documents
_STATES_KEPT = 4  # the latest
_STATE_EVERY = 16  # the state of every 16th stretch is kept permanently
_BLOCK_BYTES = 2**20
_HEAD_BYTES = 2**16
_PROBE = "how this process hashes texts"

encode_notes = msgspec.msgpack.Encoder().encode


class ResumePoint(msgspec.Struct, frozen=True):
    """Where a start begins to read.

    Attributes:
        mark: Number of documents before it; 0: the beginning.
        file: Number of the file among those found.
        line: Lines of the file before it.
        offset: Bytes of the file before it.
    """

    mark: int = 0
    file: int = 0
    line: int = 0
    offset: int = 0


class Recorder:
    """Records one start's reading.

    Documents are numbered as they are read. A note or a chunk belongs to a document; what is
    reported of the input between two documents belongs to the second one, since reading begins
    behind the first.
    """

    def __init__(
        self,
        file: IntakeFile,
        key: str,
        begins_at: ResumePoint,
        *,
        hash_seed: int,
        takes: Callable[[str], bool] | None = None,
        stretch: int | None = None,
    ) -> None:
        """Continue a record, or begin it anew.

        Args:
            file: The run folder's own.
            key: Names everything that reading depends on besides the input.
            begins_at: Where this start begins to read.
            hash_seed: By which this process hashes texts.
            takes: Returns whether a chunk, by its id, belongs to this run's part; None: all do.
            stretch: Documents in a stretch; `STRETCH` if not given.

        Raises:
            StoppedError: Texts are hashed differently than when the record was begun.
        """
        self._file = file
        self._stretch = stretch or STRETCH
        self.begins_at = begins_at
        self.number = begins_at.mark  # of the latest document that was read
        self.is_on = True
        self._reader = _Reader(begins_at)
        self._notes: list[tuple[int, Note]] = []
        self._chunks: list[tuple[int, str]] = []
        self._open: _OpenStretch | None = None  # ends at a document that is not decided on yet
        self._last = begins_at.mark
        self._takes = takes
        if begins_at.mark:
            self._check_hashing()
        for table in ("seals", "stretches", "states"):
            file.run(f"DELETE FROM record_{table} WHERE mark > ?", begins_at.mark)  # noqa: S608
        after = (
            begins_at.file if begins_at.mark else -1
        )  # what was read ahead of them is read again
        file.run("DELETE FROM record_files WHERE number > ?", after)
        file.run("DELETE FROM record_seals WHERE file > ?", after)
        for name, value in (("key", key), ("seed", hash_seed), ("probe", hash(_PROBE))):
            file.run("INSERT OR REPLACE INTO record_of VALUES (?, ?)", name, value)
        file.commit()

    def _check_hashing(self) -> None:
        rows = self._file.rows("SELECT value FROM record_of WHERE name = 'probe'")
        if not rows or rows[0][0] != hash(_PROBE):
            self._file.run("DELETE FROM record_of")
            self._file.commit()
            raise StoppedError(
                "the record of what was read was made by another version of Python and has"
                " been discarded; run the same command again"
            )

    def state(self) -> bytes:
        """Return the state of the corpus where this start begins; empty at the beginning."""
        rows = self._file.rows(
            "SELECT state FROM record_states WHERE mark = ?", self.begins_at.mark
        )
        return bytes(rows[0][0]) if rows else b""

    # What is read

    def open_file(
        self, number: int, found: FoundFile, before: list[Note], formats: Formats
    ) -> None:
        """Register the file that is read next.

        Args:
            number: Its position among the files found.
            found: The file.
            before: Notes on other inputs before it.
            formats: Formats of the run.
        """
        path = found.path
        if not self.is_on:
            return
        if (
            path is None
            or not is_recordable(path, formats)
            or not self._reader.begin(number, found)
        ):
            self._stop()
            return
        self._file.run(
            "INSERT OR REPLACE INTO record_files VALUES (?, ?, ?, ?)",
            number, os.fsencode(path), found.label, encode_notes(before),
        )  # fmt: skip

    def sealed(self, found: FoundFile, stream: Stream) -> Stream:
        """Return a stream of the file that digests its bytes as they are read."""
        return self._reader.sealed(found, stream) if self.is_on else stream

    def begins_within(self, found: FoundFile) -> bool:
        """Return whether this start begins to read within a file."""
        return self.begins_at.mark > 0 and self._reader.number_of(found) == self.begins_at.file

    def read_note(self, note: Note) -> None:
        """Add a note on the input, between two documents."""
        if self._gathers:
            self._notes.append((self.number + 1, note))

    def read(self, document: Document) -> int:
        """Register a document that was read; return its number."""
        self.number += 1
        if self.is_on and not self._reader.place(document.source):
            self._stop()
        return self.number

    # What is decided

    def is_due(self, number: int) -> bool:
        """Return whether a stretch may end with this document, which was just counted."""
        return self.is_on and self._open is None and number >= self._last + self._stretch

    def end_stretch(self, number: int, state: Callable[[], bytes]) -> None:
        """End a stretch with a document; the stretch is written once the document is decided.

        Args:
            number: The document's, the latest one that was read.
            state: Returns the state of the corpus, with this document counted.
        """
        if not self.is_on or number != self.number or number <= self._last:
            return
        place = self._reader.place_in_file()
        if place is None:
            self._stop()
            return
        self._open = _OpenStretch(number, *place, state(), self._reader.take_seals())

    def note(self, number: int, note: Note) -> None:
        """Add a note on a document."""
        if self._gathers:
            self._notes.append((number, note))

    def chunks(self, number: int, names: Iterable[str]) -> None:
        """Register the ids of a document's chunks."""
        if self._gathers:
            takes = self._takes
            self._chunks += [(number, name) for name in names if takes is None or takes(name)]

    @property
    def _gathers(self) -> bool:
        return self.is_on or self._open is not None

    def is_over(self, number: int) -> bool:
        """Return whether a stretch is complete when this document is the next to be decided."""
        return self._open is not None and number > self._open.mark

    def write_stretch(self) -> None:
        """Write the complete stretch; it is durable with the file's next commit."""
        done, self._open = self._open, None
        if done is None:
            return
        notes = [note for at, note in self._notes if at <= done.mark]
        self._notes = [one for one in self._notes if one[0] > done.mark]
        chunks = b"".join(bytes.fromhex(name) for at, name in self._chunks if at <= done.mark)
        self._chunks = [one for one in self._chunks if one[0] > done.mark]
        run = self._file.run
        run(
            "INSERT INTO record_stretches VALUES (?, ?, ?, ?, ?, ?)",
            done.mark, done.file, done.line, done.offset, chunks, encode_notes(notes),
        )  # fmt: skip
        self._file.run_many(
            "INSERT INTO record_seals VALUES (?, ?, ?, ?, ?)",
            [(done.mark, *seal) for seal in done.seals],
        )
        run("INSERT INTO record_states VALUES (?, ?)", done.mark, done.state)
        self._drop_states()
        self._last = done.mark
        if not self.is_on:
            self._stop()

    def _drop_states(self) -> None:
        """Keep the latest states, and every sixteenth permanently."""
        marks = [row[0] for row in self._file.rows("SELECT mark FROM record_stretches")]
        held = {row[0] for row in self._file.rows("SELECT mark FROM record_states")}
        for at, mark in enumerate(sorted(marks)[:-_STATES_KEPT], 1):
            if mark in held and at % _STATE_EVERY:
                self._file.run("DELETE FROM record_states WHERE mark = ?", mark)

    def _stop(self) -> None:
        """Stop recording after the open stretch; complete stretches are kept."""
        self.is_on = False
        if self._open is None:
            self._notes.clear()
            self._chunks.clear()


class _OpenStretch(msgspec.Struct, frozen=True):
    mark: int
    file: int
    line: int
    offset: int
    state: bytes
    seals: list[tuple[int, int, int, bytes]]


class _Reader:
    """Current position of reading: the opened files, and the bytes read from them."""

    def __init__(self, begins_at: ResumePoint) -> None:
        self._begins_at = begins_at
        self._numbers: dict[str, int] = {}
        self._streams: dict[int, _Sealed] = {}
        self._paths: dict[int, Path] = {}
        self._file, self._line = begins_at.file, begins_at.line
        self._scanned = (begins_at.file, begins_at.line, begins_at.offset)

    def begin(self, number: int, found: FoundFile) -> bool:
        if found.label in self._numbers:
            return False  # its lines could not be distinguished from those of the other file
        self._numbers[found.label] = number
        return True

    def number_of(self, found: FoundFile) -> int | None:
        return self._numbers.get(found.label)

    def sealed(self, found: FoundFile, stream: Stream) -> _Sealed:
        number = self._numbers[found.label]
        begins_at = self._begins_at
        start = begins_at.offset if begins_at.mark and number == begins_at.file else 0
        assert found.path is not None  # noqa: S101 (see `Recorder.open_file`)
        self._paths[number] = found.path
        self._streams[number] = _Sealed(stream, start)
        return self._streams[number]

    def place(self, source: str) -> bool:
        """Set the file and line of a document; return False if it has no line."""
        label, _, line = source.rpartition(":")
        number = self._numbers.get(label)
        if number is None or not line.isdigit():
            return False
        if number < self._file or (number == self._file and int(line) < self._line):
            return False
        self._file, self._line = number, int(line)
        return True

    def place_in_file(self) -> tuple[int, int, int] | None:
        """Return the file, the lines and the bytes of it up to the latest document's line end."""
        number, line, offset = self._scanned
        if number != self._file:
            line = offset = 0
        found = _end_of_line(self._paths[self._file], offset, self._line - line)
        if found is None:
            return None
        self._scanned = (self._file, self._line, found)
        return self._scanned

    def take_seals(self) -> list[tuple[int, int, int, bytes]]:
        """Return the seals of what was read since the last call; forget finished files."""
        seals = []
        for number, stream in list(self._streams.items()):
            if (seal := stream.take_seal()) is not None:
                seals.append((number, *seal))
            if number < self._file:
                del self._streams[number], self._paths[number]
        return seals


class _Sealed:
    """A stream that digests its bytes as they are read."""

    def __init__(self, stream: Stream, start: int) -> None:
        self._stream = stream
        self._start = self._at = start
        self._digest = hashlib.sha256()

    def read(self, size: int, /) -> bytes:
        block = self._stream.read(size)
        self._digest.update(block)
        self._at += len(block)
        return block

    def take_seal(self) -> tuple[int, int, bytes] | None:
        if self._at == self._start:
            return None
        seal = (self._start, self._at, self._digest.digest())
        self._start, self._digest = self._at, hashlib.sha256()
        return seal


def is_recordable(path: Path, formats: Formats) -> bool:
    """Return whether a file is plain JSON Lines, by its ending and its first bytes."""
    if formats.of_name(path.name) is not JSON_LINES or path.name.casefold().endswith(".gz"):
        return False
    try:
        with open_regular(path) as file:
            head = file.read(_HEAD_BYTES)
    except OSError:
        return False
    start = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    return start.startswith((b"{", b'"')) and b"\0" not in head and not is_one_value(head)


def seal_of(path: Path, start: int, until: int) -> bytes | None:
    """Return the digest of a range of bytes of a file; None if it is shorter."""
    digest = hashlib.sha256()
    try:
        with open_regular(path) as file:
            file.seek(start)
            rest = until - start
            while rest and (block := file.read(min(rest, _BLOCK_BYTES))):
                digest.update(block)
                rest -= len(block)
    except OSError:
        return None
    return None if rest else digest.digest()


def hashing_is_steady() -> bool:
    """Return whether a child process hashes texts as `PYTHONHASHSEED` says."""
    return not (sys.flags.ignore_environment or sys.flags.isolated)


def _end_of_line(path: Path, offset: int, lines: int) -> int | None:
    """Return the end offset of a number of lines after an offset; None if the file has fewer."""
    try:
        with open_regular(path) as file:
            file.seek(offset)
            while lines > 0 and (block := file.read(_BLOCK_BYTES)):
                here = block.count(b"\n")
                if here < lines:
                    lines -= here
                    offset += len(block)
                    continue
                at = -1
                for _ in range(lines):
                    at = block.index(b"\n", at + 1)
                return offset + at + 1
    except OSError:
        return None
    return offset if lines == 0 else None
