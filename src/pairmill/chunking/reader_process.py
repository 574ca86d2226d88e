"""Reads in a separate process, so that it takes neither the run's CPU time nor its GIL."""

from __future__ import annotations

import subprocess
import threading
from contextlib import ExitStack, suppress
from itertools import accumulate
from typing import TYPE_CHECKING, Self

from pairmill.chunking.chunk_batches import ChunkBatch
from pairmill.chunking.worker_process import Frame
from pairmill.errors import ChangedError, InputError, StoppedError
from pairmill.sources.files import STANDARD_INPUT
from pairmill.sources.processes import (
    BrokenFrameError,
    Process,
    read_bytes,
    read_frame,
    widen,
    write_frame,
)
from pairmill.sources.remote import credentials_for

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

    from pairmill.chunking.chunk_batches import Packed
    from pairmill.chunking.reader_job import ReaderJob

__all__ = ["ReaderProcess"]

_MODULE = "pairmill.chunking.worker_process"
_PIPE_BYTES = 2**20  # so that the next batches are read while these are worked on


class ReaderProcess:
    """Batches of a job, read by a child process. Close it, or use it in ``with``.

    Iterate from one thread at a time. `close` may be called from another, and ends the iteration.
    """

    def __init__(self, job: ReaderJob) -> None:
        """Start to read.

        Raises:
            InputError: The path of the Python program is unknown.
            StoppedError: No process can be started now.
        """
        self._reading = threading.Lock()
        self._is_closed = False
        stdin = None if STANDARD_INPUT in job.inputs else subprocess.DEVNULL
        environment = credentials_for(job.inputs)
        variables = {"PYTHONHASHSEED": str(job.hash_seed)} if job.record_key else {}
        self._process = Process(
            _MODULE, stdin=stdin, leads=True, environment=environment, variables=variables
        )
        with ExitStack() as undo:
            undo.callback(self.close)
            widen(self._process.outward, _PIPE_BYTES)
            with suppress(BrokenPipeError):  # its end is reported when the next batch is requested
                write_frame(self._process.inward, job)
            undo.pop_all()

    def __iter__(self) -> Iterator[ChunkBatch]:
        """Yield batches up to the end of the input.

        Raises:
            InputError: The input as a whole cannot be read, or reading failed by a bug.
            StoppedError: The process was killed.
        """
        while True:
            with self._reading:
                if self._is_closed:
                    return
                try:
                    frame = read_frame(self._process.outward, Frame)
                    batch = None if frame.is_end else self._batch(frame)
                except BrokenFrameError as error:
                    return self._end_without_word(str(error))
                if batch is None:
                    self._process.wait()
            if frame.is_change:
                raise ChangedError(frame.fault)
            if frame.fault:
                raise (StoppedError if frame.is_resumable else InputError)(frame.fault)
            if batch is None:
                return
            yield batch

    def close(self) -> None:
        """Kill the process and all processes that it started; it has nothing to save."""
        if self._is_closed:
            return
        self._is_closed = True
        if self._process.end() is not None:
            # a thread that waited for a batch has seen the end of the pipe by now
            with self._reading:
                self._process.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _batch(self, frame: Frame) -> ChunkBatch:
        sizes = frame.sizes
        whole = memoryview(read_bytes(self._process.outward, sum(sizes)))
        ends = list(accumulate(sizes))
        blobs = [whole[end - size : end] for end, size in zip(ends, sizes, strict=True)]
        chunks: list[Packed] = list(zip(frame.ids, frame.documents, blobs, strict=True))
        return ChunkBatch(chunks, frame.count, frame.notes, frame.mark)

    def _end_without_word(self, fault: str) -> None:
        if self._is_closed:
            return
        code = self._process.end() or 0
        what = "the process that reads the input"
        if code > 0 and not fault:  # a bug: the same input would trigger it again
            raise InputError(f"{what} failed: {self._process.last_words()}") from None
        how = f"failed: {fault}" if fault else f"was killed (signal {-code})"
        raise StoppedError(f"{what} {how}") from None
