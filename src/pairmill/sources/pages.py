"""HTML pages, worked on in a process that may be ended: for taking too long, or by the page."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING, Self

from pairmill.errors import InputError, StoppedError
from pairmill.sources.frames import BrokenFrameError, read_frame, write_frame
from pairmill.sources.processes import Process

if TYPE_CHECKING:
    from types import TracebackType

    from pairmill.sources.page_child import Article

__all__ = ["PageError", "Pages"]

_MODULE = "pairmill.sources.page_child"
_WALL_TIMES = 30  # as long as the processor time: a page that is waiting, on a machine that is not


class PageError(Exception):
    """A page that gives no article; ``reason`` is a few stable words."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


class Pages:
    """Takes articles out of pages, one at a time; use it in ``with``.

    The process is started by the first page, and again by the next one where a page has ended it.
    """

    def __init__(self, page_s: float) -> None:
        """Take how many seconds of processor time a page may cost."""
        self._page_s = page_s
        self._wall_s = _WALL_TIMES * page_s
        self._process: Process | None = None

    def extract(self, page: bytes) -> Article:
        """Return the article of a page.

        Raises:
            InputError: The library for it cannot be loaded.
            PageError: There is no article to be had from it.
            StoppedError: No process can be started now.
        """
        process = self._process or self._start()
        try:
            write_frame(process.inward, (self._page_s, self._wall_s, page))
            article: Article = read_frame(process.outward)
        except (BrokenFrameError, BrokenPipeError):
            code = process.end()
            self.close()
            raise self._why(code) from None
        return article

    def close(self) -> None:
        """End the process."""
        process, self._process = self._process, None
        if process is not None:
            process.end()
            process.close()

    def _start(self) -> Process:
        process = self._process = Process(_MODULE)
        try:
            read_frame(process.outward)  # it is ready
        except BrokenFrameError:
            code, words = process.end() or 0, process.last_words()
            self.close()
            if code < 0:
                what = f"the process for HTML was killed (signal {-code})"
                raise StoppedError(what) from None
            advice = "to repair it: pip install --upgrade 'pairmill[html]'"
            raise InputError(f"HTML cannot be read here ({words}); {advice}") from None
        return process

    def _why(self, code: int | None) -> PageError:
        if code == -signal.SIGPROF:
            detail = f"more than {self._page_s:g} s of processor time; page_s allows no more"
        elif code == -signal.SIGALRM:
            detail = f"no end after {self._wall_s:g} s, {_WALL_TIMES} times page_s"
        else:
            detail = f"the process that worked on it ended with {code}"
            return PageError("page cannot be read", detail)
        return PageError("page takes too long", detail)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
