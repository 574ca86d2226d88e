"""Tracks which marks of a followed input are settled: all units read before them have ended."""

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
    """Unfinished units read between two marks; ``mark`` 0: the next one is not known yet."""

    open: int = 0
    mark: int = 0


class FollowMarks:
    """Counts the units between marks, and stores the last mark before which all have ended.

    Units are added by the reading thread and ended by the event loop. A mark that could not be
    written is superseded by the next one; until then, a restart reads more of the input again.
    """

    def __init__(self, path: Path) -> None:
        """Start empty; the mark is stored at ``path`` for the reading process."""
        self._path = path
        self._lock = threading.Lock()
        self._spans: deque[_Span] = deque([_Span()])
        self._span_of: dict[str, _Span] = {}

    def add(self, units: Iterable[str], mark: int = 0) -> None:
        """Add units that were read, and the mark after them, if it is above 0."""
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
        """Record that a unit has ended durably."""
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
