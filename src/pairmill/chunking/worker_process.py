"""The reading process: files in, batches of chunks out, for as long as its parent lives.

`pairmill.chunking.reader_process` starts it. The job arrives on the first of its two descriptors,
which stays open as long as the parent lives; batches leave by the second. A full pipe provides the
back-pressure.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import threading
from contextlib import suppress
from typing import TYPE_CHECKING

from pairmill.chunking.job import Job
from pairmill.chunking.portions import BatchBuilder, ChunkBatch, packed_of
from pairmill.errors import InputError, StoppedError
from pairmill.sources.frames import read_frame, write_frame

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["DONE", "FAULT", "PORTION", "main"]

PORTION, DONE, FAULT = 0, 1, 2
"""What a frame is: ``(PORTION, chunks' ids, documents' ids, sizes, documents, notes)`` and then the
chunks, each of its size; ``(DONE,)``; or ``(FAULT, text, whether the same command may go on)``."""


def main() -> int:
    """Read what the job says until it is done or nobody listens; return the exit code."""
    # The parent answers signals: it may still want what was read when they come.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    lifeline, out = map(int, sys.argv[1:])
    job = Job.unpack(read_frame(lifeline))
    threading.Thread(target=_end_with_parent, args=(lifeline,), daemon=True).start()
    with suppress(BrokenPipeError):
        _read(job, out)
    return 0


def _read(job: Job, out: int) -> None:
    def send(portion: ChunkBatch) -> None:
        ids, documents, blobs = zip(*portion.chunks, strict=True) if portion.chunks else ((),) * 3
        notes = [(it.fate.value, it.source, it.reason, it.detail) for it in portion.notes]
        head = (PORTION, ids, documents, list(map(len, blobs)), portion.documents, notes)
        write_frame(out, head, blobs)

    tray = BatchBuilder(send)
    try:
        for packed in packed_of(job, tray.watch, _Patient(tray.flush)):
            tray.add(packed)
    except (InputError, StoppedError) as error:
        tray.flush()
        write_frame(out, (FAULT, str(error), isinstance(error, StoppedError)))
    else:
        tray.flush()
        write_frame(out, (DONE,))


class _Patient:
    """Standard input; before it is waited for, what was read so far is handed over."""

    def __init__(self, hand_over: Callable[[], None]) -> None:
        self._hand_over = hand_over

    def read(self, size: int, /) -> bytes:
        """Return what has arrived."""
        if not select.select([0], [], [], 0)[0]:
            self._hand_over()
        while True:
            select.select([0], [], [])
            with suppress(BlockingIOError):  # another that holds the same end was faster
                return os.read(0, size)


def _end_with_parent(lifeline: int) -> None:
    """Wait for the end of a pipe whose other end only the parent holds."""
    while os.read(lifeline, 1):
        pass
    os.killpg(0, signal.SIGKILL)  # it leads a session of its own: what works on a page goes too
