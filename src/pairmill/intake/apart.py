"""Reading in a process of its own, so that it takes neither the run's processor nor its lock."""

from __future__ import annotations

import fcntl
import os
import subprocess
import tempfile
import threading
from contextlib import suppress
from itertools import accumulate
from typing import TYPE_CHECKING, Self

from pairmill.errors import InputError, StoppedError
from pairmill.intake.child import FAULT, PORTION
from pairmill.intake.frames import BrokenFrameError, read_bytes, read_frame, write_frame
from pairmill.intake.notes import Fate, Note
from pairmill.intake.portions import Portion
from pairmill.intake.processes import environment, python
from pairmill.intake.sources.files import STANDARD_INPUT
from pairmill.plain import plain

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

    from pairmill.intake.job import Job

__all__ = ["Apart"]

_MODULE = "pairmill.intake.child"
_PIPE_BYTES = 2**20  # so that the next portions are read while these are worked on
_LAST_WORDS_BYTES = 4096


class Apart:
    """The portions of a job, read by a child process. Close it, or use it in ``with``.

    Iterate from one thread at a time. `close` may come from another: whoever waits for a portion
    then sees the end.
    """

    def __init__(self, job: Job) -> None:
        """Start to read.

        Raises:
            StoppedError: No process can be started now.
        """
        self._words = tempfile.TemporaryFile()  # noqa: SIM115 (until it is closed)
        self._reading = threading.Lock()
        self._is_closed = False
        job_end, self._lifeline = os.pipe()
        try:
            self._child = subprocess.Popen(
                python(_MODULE, str(job_end)),
                stdin=None if STANDARD_INPUT in job.inputs else subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=self._words,
                bufsize=0,
                env=environment(),
                pass_fds=(job_end,),
                start_new_session=True,  # Ctrl-C in the terminal is for the run to answer
            )
        except OSError as error:
            self._words.close()
            os.close(self._lifeline)
            raise StoppedError(f"cannot start a process to read: {error.strerror}") from None
        finally:
            os.close(job_end)
        assert self._child.stdout is not None  # noqa: S101 (a pipe)
        self._pipe = self._child.stdout
        _widen(self._pipe.fileno())
        with suppress(BrokenPipeError):  # its end is told when a portion is wanted
            write_frame(self._lifeline, job.pack())

    def __iter__(self) -> Iterator[Portion]:
        """Yield portions up to the end of the input.

        Raises:
            InputError: The input as a whole cannot be read.
            StoppedError: The process was killed.
        """
        while True:
            with self._reading:
                if self._is_closed:
                    return
                try:
                    kind, *rest = read_frame(self._pipe.fileno())
                    portion = self._portion(*rest) if kind == PORTION else None
                except BrokenFrameError:
                    return self._end_without_word()
            if kind == FAULT:
                raise InputError(rest[0])
            if portion is None:
                return
            yield portion

    def close(self) -> None:
        """End the process, wherever it is; it has nothing to save."""
        if self._is_closed:
            return
        self._is_closed = True
        self._child.kill()
        self._child.wait()
        with self._reading:  # who waited for a portion has seen the end of the pipe by now
            self._pipe.close()
        os.close(self._lifeline)
        self._words.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _portion(
        self,
        ids: tuple[str, ...],
        documents: tuple[str, ...],
        sizes: list[int],
        count: int,
        notes: list[tuple[str, str, str, str]],
    ) -> Portion:
        whole = memoryview(read_bytes(self._pipe.fileno(), sum(sizes)))
        ends = list(accumulate(sizes))
        blobs = [whole[end - size : end] for end, size in zip(ends, sizes, strict=True)]
        told = [Note(Fate(fate), *others) for fate, *others in notes]
        return Portion(list(zip(ids, documents, blobs, strict=True)), count, told)

    def _end_without_word(self) -> None:
        if self._is_closed:
            return
        code = self._child.wait()
        how = f"was killed (signal {-code})" if code < 0 else f"failed: {self._last_words()}"
        raise StoppedError(f"the process that reads the input {how}") from None

    def _last_words(self) -> str:
        size = self._words.seek(0, os.SEEK_END)
        self._words.seek(max(0, size - _LAST_WORDS_BYTES))
        lines = self._words.read().decode("utf-8", "replace").split("\n")
        told = next((line for line in reversed(lines) if line.strip()), "it gave no reason")
        return plain(told)


def _widen(descriptor: int) -> None:
    """Make room in a pipe, where the system allows it."""
    resize = getattr(fcntl, "F_SETPIPE_SZ", None)
    if resize is not None:
        with suppress(OSError):
            fcntl.fcntl(descriptor, resize, _PIPE_BYTES)
