"""Batches of chunks from the reader to the run: some hundreds each, encoded until needed."""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING

import msgspec

from pairmill.chunking.chunk import ChunkValues, chunk_values
from pairmill.chunking.reader import chunks_of, prepared_of
from pairmill.records import Chunk
from pairmill.sources.notes import InputFate, Note

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from pairmill.chunking.chunk import Span
    from pairmill.chunking.reader_job import ReaderJob
    from pairmill.partition import Partition
    from pairmill.records import Document
    from pairmill.sources.notes import Watch
    from pairmill.sources.streams import Source

__all__ = [
    "BATCH_CHUNKS",
    "BatchBuilder",
    "ChunkBatch",
    "Packed",
    "pack",
    "packed_of",
    "read_batches",
    "unpack",
]

BATCH_CHUNKS = 256
BATCH_S = 0.05  # a slow source passes on what it has, so that the first call is not delayed

Packed = tuple[str, str, bytes | memoryview]
"""A chunk's id, its document's id, and the whole chunk as bytes, for `unpack`."""

_encode = msgspec.msgpack.Encoder().encode
_FIELDS = Chunk.__struct_fields__
_decode = msgspec.msgpack.Decoder(ChunkValues).decode


@dataclass(frozen=True, slots=True)
class ChunkBatch:
    """Result of one poll.

    Attributes:
        chunks: In order. A chunk that is finished need never be unpacked.
        documents: Number of documents read meanwhile.
        notes: Other notes of the reader.
        mark: Mark that covers everything so far, if the input is followed; 0: none.
    """

    chunks: Sequence[Packed]
    documents: int
    notes: list[Note]
    mark: int = 0


def pack(document: Document, index: int, span: Span, name: str = "") -> Packed:
    """Encode a chunk of a document without creating it first; ``name``: its id, if known."""
    values = chunk_values(document, index, span, name)
    return values[0], document.id, _encode(values)


def unpack(packed: Packed) -> Chunk:
    """Decode a chunk that was packed by this process or by one that it started."""
    return Chunk(*_decode(packed[2]))


class BatchBuilder:
    """Collects chunks and notes, and sends a batch when it is large or old enough."""

    def __init__(self, send: Callable[[ChunkBatch], None]) -> None:
        self._send = send
        self._chunks: list[Packed] = []
        self._documents = 0
        self._notes: list[Note] = []
        self._until = 0.0

    def watch(self, note: Note) -> None:
        """Add a note; see `notes.Watch`."""
        if note.fate is InputFate.READ:
            self._documents += 1
            return
        self._notes.append(note)
        if len(self._notes) >= BATCH_CHUNKS:
            self.flush()

    def add(self, packed: Packed) -> None:
        """Add a chunk."""
        now = time.monotonic()
        if not self._chunks:
            self._until = now + BATCH_S
        self._chunks.append(packed)
        if len(self._chunks) >= BATCH_CHUNKS or now > self._until:
            self.flush()

    def flush(self, mark: int = 0) -> None:
        """Send the collected chunks and notes, if any, and the mark that covers them."""
        if self._chunks or self._documents or self._notes or mark:
            batch = ChunkBatch(self._chunks, self._documents, self._notes, mark)
            self._chunks, self._documents, self._notes = [], 0, []
            self._send(batch)


def packed_of(
    job: ReaderJob,
    watch: Watch,
    stdin: Source | None = None,
    on_wait: Callable[[int], None] | None = None,
) -> Iterator[Packed]:
    """Yield the chunks of inputs that were checked, packed; the first ``limit`` of them.

    If the job names a part, only the chunks of that part.

    Raises:
        InputError: An input as a whole cannot be read.
    """
    found = islice(_packed_of(job, watch, stdin, on_wait), job.limit)
    if job.part is None:
        return found
    return filter(partial(_falls_to, job.part), found)


def _falls_to(part: Partition, packed: Packed) -> bool:
    return part.takes(packed[0])


def read_batches(job: ReaderJob) -> Iterator[ChunkBatch]:
    """Yield what `packed_of` does in batches, read in this very process."""
    sent: list[ChunkBatch] = []
    tray = BatchBuilder(sent.append)
    for packed in packed_of(job, tray.watch):
        tray.add(packed)
        yield from sent
        sent.clear()
    tray.flush()
    yield from sent


def _packed_of(
    job: ReaderJob, watch: Watch, stdin: Source | None, on_wait: Callable[[int], None] | None
) -> Iterator[Packed]:
    if job.chunks_by == "subject":
        for chunk in chunks_of(job, watch, stdin, on_wait):
            values = tuple(getattr(chunk, name) for name in _FIELDS)
            yield chunk.id, chunk.document_id, _encode(values)
        return
    for one in prepared_of(job, watch, stdin, on_wait):
        for index, span in enumerate(one.spans):
            yield pack(one.document, index, span, one.ids[index] if one.ids else "")
