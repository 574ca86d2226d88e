"""Extracts text from hostile bytes, in processes that may be killed: one per core.

A task that takes too long or too much memory, or crashes a library, ends its process and is
reported; the next task starts a new one. Results come in the order of the tasks, and only a few
tasks wait: the reader is slowed down accordingly.
"""

from __future__ import annotations

import signal
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Self

from pairmill.errors import StoppedError
from pairmill.sources.extractor_process import Extracted, Task
from pairmill.sources.processes import BrokenFrameError, Process, read_frame, write_frame

if TYPE_CHECKING:
    from types import TracebackType

    from pairmill.sources.notes import Article

__all__ = ["ExtractionError", "Extractors"]

_MODULE = "pairmill.sources.extractor_process"
_WALL_TIMES = 30  # as long as the processor time: a page that is waiting, on a machine that is not


class ExtractionError(Exception):
    """Bytes that give no article; ``reason`` is a few stable words, ``missing`` a module's name."""

    def __init__(self, reason: str, detail: str, missing: str = "") -> None:
        super().__init__(detail)
        self.reason = reason
        self.missing = missing


class Extractors:
    """Takes articles out of bytes, some at a time; use it in ``with``.

    Processes are started as tasks come, and again where a document has ended one.

    Attributes:
        width: How many tasks are worked on at the same time.
    """

    def __init__(self, page_s: float, processes: int = 1) -> None:
        """Take how many seconds of processor time a task may cost, and how many processes."""
        self.width = processes
        self._page_s = page_s
        self._wall_s = _WALL_TIMES * page_s
        self._local = threading.local()
        self._lock = threading.Lock()
        self._processes: set[Process] = set()
        self._threads: ThreadPoolExecutor | None = None
        self._is_closed = False

    def extract(self, entry: str, data: bytes) -> list[Article]:
        """Return the articles; ``entry`` is our ``module:function`` that finds them.

        Raises:
            ExtractionError: There is no article to be had.
            StoppedError: No process can be started now.
        """
        process = self._process()
        task = Task(entry, self._page_s, self._wall_s, len(data))
        try:
            write_frame(process.inward, task, (data,))
            reply = read_frame(process.outward, Extracted)
        except (BrokenFrameError, BrokenPipeError):
            code = process.end()
            self._let_go(process)
            raise self._why(code) from None
        if reply.missing:
            raise ExtractionError("extra not installed", reply.missing, reply.missing)
        if reply.error:
            raise ExtractionError("cannot be read", reply.error)
        return reply.articles

    def submit(self, entry: str, data: bytes) -> Future[list[Article]]:
        """Begin what `extract` does; the result raises what it raises."""
        if self._threads is None:
            self._threads = ThreadPoolExecutor(self.width, thread_name_prefix="extract")
        return self._threads.submit(self.extract, entry, data)

    def close(self) -> None:
        """End all processes, and with them whatever is worked on."""
        with self._lock:
            self._is_closed = True
            processes = list(self._processes)
        if self._threads is not None:
            self._threads.shutdown(wait=False, cancel_futures=True)
        for process in processes:
            process.end()
        if self._threads is not None:
            self._threads.shutdown(wait=True)
        for process in processes:
            self._let_go(process)

    def _process(self) -> Process:
        process: Process | None = getattr(self._local, "process", None)
        return process or self._start()

    def _start(self) -> Process:
        with self._lock:
            if self._is_closed:
                raise StoppedError("reading has ended")
            process = Process(_MODULE)
            self._processes.add(process)
        try:
            read_frame(process.outward, bool)  # it is ready
        except BrokenFrameError:
            code, words = process.end() or 0, process.last_words()
            self._let_go(process)
            how = f"was killed (signal {-code})" if code < 0 else f"failed: {words}"
            raise StoppedError(f"the process that reads pages {how}") from None
        self._local.process = process
        return process

    def _let_go(self, process: Process) -> None:
        with self._lock:
            if process not in self._processes:
                return
            self._processes.discard(process)
        if getattr(self._local, "process", None) is process:
            self._local.process = None
        process.close()

    def _why(self, code: int | None) -> ExtractionError:
        if code == -signal.SIGPROF:
            detail = f"more than {self._page_s:g} s of processor time; page_s allows no more"
        elif code == -signal.SIGALRM:
            detail = f"no end after {self._wall_s:g} s, {_WALL_TIMES} times page_s"
        else:
            detail = f"the process that worked on it ended with {code}"
            return ExtractionError("page cannot be read", detail)
        return ExtractionError("page takes too long", detail)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
