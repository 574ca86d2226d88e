"""HTML pages, worked on in a process that may be ended: for taking too long, or by the page."""

from __future__ import annotations

import signal
import subprocess
from typing import TYPE_CHECKING, Self

from pairmill.intake.frames import BrokenFrameError, read_frame, write_frame
from pairmill.intake.processes import environment, python

if TYPE_CHECKING:
    from types import TracebackType

    from pairmill.intake.sources.page_child import Article

__all__ = ["PageError", "Pages"]

_MODULE = "pairmill.intake.sources.page_child"


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
        self._child: subprocess.Popen[bytes] | None = None

    def extract(self, page: bytes) -> Article:
        """Return the article of a page.

        Raises:
            PageError: There is no article to be had from it.
        """
        child = self._child = self._child or _start()
        assert child.stdin is not None  # noqa: S101 (a pipe)
        assert child.stdout is not None  # noqa: S101 (likewise)
        try:
            write_frame(child.stdin.fileno(), (self._page_s, page))
            article: Article = read_frame(child.stdout.fileno())
        except (BrokenFrameError, BrokenPipeError):
            code = child.wait()
            self.close()
            if code == -signal.SIGPROF:
                detail = f"more than {self._page_s:g} s of processor time; page_s allows no more"
                raise PageError("page takes too long", detail) from None
            detail = f"the process that worked on it ended with {code}"
            raise PageError("page cannot be read", detail) from None
        return article

    def close(self) -> None:
        """End the process."""
        child, self._child = self._child, None
        if child is None:
            return
        child.kill()
        child.wait()
        for pipe in (child.stdin, child.stdout):
            if pipe is not None:
                pipe.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _start() -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        python(_MODULE),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        bufsize=0,
        env=environment(),
        start_new_session=True,  # Ctrl-C in the terminal is for its parent to answer
    )
