"""Extracts text from hostile bytes, in processes that may be killed: one per core.

If a task takes too long, uses too much memory or crashes a library, its process ends, the task is
reported, and the next task starts a new process. Results come in the order of the tasks. The queue
is short, so a slow extraction slows the reader down.
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
    """No article in these bytes; ``reason`` is a few stable words, ``missing`` a module's name."""

    def __init__(self, reason: str, detail: str, missing: str = "") -> None:
        super().__init__(detail)
        self.reason = reason
        self.missing = missing


class Extractors:
    """Extracts articles from bytes, several at a time; use it in ``with``.

    Processes are started on demand, and restarted after a document has ended one.

    Attributes:
        width: Number of tasks processed at the same time.
    """

    def __init__(self, page_s: float, processes: int = 1) -> None:
        """Set the processor time per task in seconds, and the number of processes."""
        self.width = processes
        self._page_s = page_s
        self._wall_s = _WALL_TIMES * page_s
        self._local = threading.local()
        self._lock = threading.Lock()
        self._processes: set[Process] = set()
        self._threads: ThreadPoolExecutor | None = None
        self._is_closed = False

    def extract(self, entry: str, data: bytes) -> list[Article]:
        """Return the articles; ``entry`` is the ``module:function`` that extracts them.

        Raises:
            ExtractionError: There is no article.
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
        """Start an extraction; the result raises what `extract` would."""
        if self._threads is None:
            self._threads = ThreadPoolExecutor(self.width, thread_name_prefix="extract")
        return self._threads.submit(self.extract, entry, data)

    def close(self) -> None:
        """End all processes, together with the tasks in progress."""
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
