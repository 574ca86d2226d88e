"""Which marks of a followed input are settled: every unit that was read before them has ended."""

from __future__ import annotations

import threading
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

__all__ = ["FollowMarks"]


@dataclass(slots=True)
class _Span:
    """Units that were read between two marks and have not ended; ``mark`` 0: it is still open."""

    open: int = 0
    mark: int = 0


class FollowMarks:
    """Counts the units between marks, and writes down the last mark before which all have ended.

    Units are added by the thread that reads and ended by the event loop. A mark that could not be
    written is written with the next one; until then more of the input would be read again.
    """

    def __init__(self, path: Path) -> None:
        """Begin with no unit; ``path`` is where the mark is kept for the reading process."""
        self._path = path
        self._lock = threading.Lock()
        self._spans: deque[_Span] = deque([_Span()])
        self._span_of: dict[str, _Span] = {}

    def add(self, units: Iterable[str], mark: int = 0) -> None:
        """Take in units that were read, and the mark behind them, if it is above 0."""
        with self._lock:
            span = self._spans[-1]
            for unit in units:
                self._span_of[unit] = span
                span.open += 1
            if mark > 0:
                span.mark = mark
                self._spans.append(_Span())
            self._settle()

    def end(self, unit: str) -> None:
        """Learn that a unit has ended, durably."""
        with self._lock:
            span = self._span_of.pop(unit, None)
            if span is not None:
                span.open -= 1
                self._settle()

    def _settle(self) -> None:
        settled = 0
        while self._spans[0].mark and not self._spans[0].open:
            settled = self._spans.popleft().mark
        if settled:
            new = self._path.with_name(f"{self._path.name}.new")
            with suppress(OSError):
                new.write_bytes(b"%d\n" % settled)
                new.replace(self._path)
