"""Reports the reader's notes as events of the run, and in ``skipped.jsonl`` for people."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, BinaryIO, Self

import orjson

from pairmill.events import InputSkipped, Notice
from pairmill.sources.notes import InputFate

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

    from pairmill.events import Bus
    from pairmill.sources.notes import Note

__all__ = ["SkippedLog", "tell"]


def tell(note: Note, bus: Bus) -> None:
    """Emit the event of one note."""
    if note.fate is InputFate.NOTICE:
        bus.emit(Notice(text=f"{note.source}: {note.reason} {note.detail}".rstrip()))
    else:
        reason = f"{note.reason}: {note.detail}" if note.detail else note.reason
        bus.emit(
            InputSkipped(
                source=note.source,
                reason=reason,
                fate=note.fate.value,
                chunks=note.chunks,
                chars=note.chars,
            )
        )


class SkippedLog:
    """Lists each piece of input that this start cannot use, as JSON lines.

    Fields are ``source``, ``reason`` (a few stable words), ``detail`` and ``fate`` (``skipped``: it
    gave no document; ``dropped``: its document is unusable or repeats another; ``repeated``: some
    of its chunks do). Each start rewrites the file, except when following an input. A full disk
    loses lines here, but does not end the run.

    Attributes:
        count: Pieces that were listed, except duplicates, whose content is used.
    """

    def __init__(self, path: Path, *, goes_on: bool = False) -> None:
        self._path = path
        self._goes_on = goes_on
        self._file: BinaryIO | None = None
        self.count = 0

    def listen(self, event: InputSkipped) -> None:
        """Write the line of one event."""
        self.count += event.is_lost
        reason, _, detail = event.reason.partition(": ")
        line = {
            "source": event.source,
            "reason": reason,
            "detail": detail,
            "fate": event.fate,
        }
        with suppress(OSError):
            if self._file is None:
                self._file = self._path.open("ab")
            self._file.write(orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE))

    def __enter__(self) -> Self:
        if not self._goes_on:
            with suppress(OSError):
                self._path.unlink(missing_ok=True)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._file is not None:
            with suppress(OSError):
                self._file.close()
