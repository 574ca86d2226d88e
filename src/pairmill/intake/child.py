"""The process that reads: files in, portions of chunks out, for as long as its parent lives.

Run as ``python -P -m pairmill.intake.child JOB_FD``; `pairmill.intake.apart` is what starts it. The
job comes through that descriptor, which stays open as long as the parent lives; portions leave by
standard output. A full pipe is what holds it back.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import threading
from contextlib import suppress
from typing import TYPE_CHECKING

from pairmill.errors import InputError
from pairmill.intake.frames import read_frame, write_frame
from pairmill.intake.job import Job
from pairmill.intake.portions import Portion, Tray, packed_of

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["DONE", "FAULT", "PORTION", "main"]

PORTION, DONE, FAULT = 0, 1, 2
"""What a frame is: ``(PORTION, chunks' ids, documents' ids, sizes, documents, notes)`` and then the
chunks, each of its size; ``(DONE,)``; or ``(FAULT, text)``."""


def main() -> int:
    """Read what the job says until it is done or nobody listens; return the exit code."""
    # The parent answers signals: it may still want what was read when they come.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    out = os.dup(1)
    os.dup2(2, 1)  # what a library prints is no frame
    lifeline = int(sys.argv[1])
    job = Job.unpack(read_frame(lifeline))
    threading.Thread(target=_end_with_parent, args=(lifeline,), daemon=True).start()
    with suppress(BrokenPipeError):
        _read(job, out)
    return 0


def _read(job: Job, out: int) -> None:
    def send(portion: Portion) -> None:
        ids, documents, blobs = zip(*portion.chunks, strict=True) if portion.chunks else ((),) * 3
        notes = [(note.fate.value, *note[1:]) for note in portion.notes]
        head = (PORTION, ids, documents, list(map(len, blobs)), portion.documents, notes)
        write_frame(out, head, blobs)

    tray = Tray(send)
    try:
        for packed in packed_of(job, tray.watch, _Patient(tray.flush)):
            tray.add(packed)
    except InputError as error:
        tray.flush()
        write_frame(out, (FAULT, str(error)))
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
        return os.read(0, size)


def _end_with_parent(lifeline: int) -> None:
    """Wait for the end of a pipe whose other end only the parent holds."""
    while os.read(lifeline, 1):
        pass
    os._exit(0)


if __name__ == "__main__":
    sys.exit(main())
