"""Main function of the reading process: files in, batches of chunks out, while its parent lives.

`pairmill.chunking.reader_process` starts it. The job arrives on the first of its two descriptors,
which stays open as long as the parent lives; batches leave by the second. A full pipe causes
back-pressure.
"""

from __future__ import annotations

import gc
import os
import select
import signal
import sys
import threading
from contextlib import suppress

from msgspec import Struct

from pairmill.chunking.chunk_batches import BatchBuilder, ChunkBatch, packed_of
from pairmill.chunking.reader_job import ReaderJob
from pairmill.errors import ChangedError, PairmillError, StoppedError
from pairmill.sources.notes import Note  # noqa: TC001 (msgspec reads the annotations)
from pairmill.sources.processes import end_with_parent, read_frame, write_frame

__all__ = ["Frame", "main"]


_COLLECTED_EVERY = (50_000, 20, 20)  # objects: nearly all are freed without the collector


class Frame(Struct, frozen=True, array_like=True):
    """A message of the reading process: a batch, followed by its chunks' bytes; or its end.

    Attributes:
        ids: Ids of the chunks.
        documents: Ids of their documents.
        sizes: Bytes of each chunk.
        count: Number of documents read meanwhile.
        notes: Other notes of the reader.
        is_end: True at the end.
        fault: Why reading ended early; empty if it did not.
        is_resumable: True if the same command can resume after the fault.
        is_change: True if the folder was begun with another version of reading.
        mark: As `ChunkBatch.mark`.
    """

    ids: list[str] = []
    documents: list[str] = []
    sizes: list[int] = []
    count: int = 0
    notes: list[Note] = []
    is_end: bool = False
    fault: str = ""
    is_resumable: bool = False
    is_change: bool = False
    mark: int = 0


def main() -> int:
    """Read the job's input until it ends or the parent is gone; return the exit code."""
    # The parent handles signals: it may still want what was read before.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    lifeline, out = map(int, sys.argv[1:])
    job = read_frame(lifeline, ReaderJob)
    threading.Thread(target=end_with_parent, args=(lifeline,), daemon=True).start()
    gc.freeze()
    gc.set_threshold(*_COLLECTED_EVERY)
    with suppress(BrokenPipeError):
        _read(job, out)
    return 0


def _read(job: ReaderJob, out: int) -> None:
    def send(batch: ChunkBatch) -> None:
        ids, documents, blobs = zip(*batch.chunks, strict=True) if batch.chunks else ((),) * 3
        sizes = list(map(len, blobs))
        head = Frame(
            list(ids),
            list(documents),
            sizes,
            batch.documents,
            batch.notes,
            mark=batch.mark,
        )
        write_frame(out, head, blobs)

    tray = BatchBuilder(send)
    try:
        for packed in packed_of(job, tray.watch, _Input(), tray.flush):
            tray.add(packed)
    except PairmillError as error:
        tray.flush()
        is_resumable = isinstance(error, StoppedError)
        write_frame(
            out,
            Frame(
                is_end=True,
                fault=str(error),
                is_resumable=is_resumable,
                is_change=isinstance(error, ChangedError),
            ),
        )
    else:
        tray.flush()
        write_frame(out, Frame(is_end=True))


class _Input:
    """Standard input, read without Python's buffer."""

    def read(self, size: int, /) -> bytes:
        """Return the data that has arrived."""
        while True:
            select.select([0], [], [])
            # another process with the same end of the pipe was faster
            with suppress(BlockingIOError):
                return os.read(0, size)
