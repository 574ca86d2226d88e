"""Writes lines for people: wrapped on a terminal, one line each in a file or a pipe."""

from __future__ import annotations

import re
import select
import shutil
import sys
from typing import TYPE_CHECKING, Any

from pairmill.display import sanitize, wrap_line

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import IO

    from rich.console import Console

    from pairmill.quality.trust import Check

__all__ = ["BestEffortStream", "print_checks", "tell"]

_LABEL = re.compile(r" +\S+ {2,}")
"""A name and its value in columns, as in the totals at the end of a run."""

_LONGEST = 400
_UNLIMITED = 10_000  # columns of a file or a pipe


def tell(line: str) -> None:
    """Write a line to standard error, wrapped at blanks if that is a terminal."""
    if sys.stderr.isatty():
        label = _LABEL.match(line)
        start = len(line) - len(line.lstrip())
        indent = label.end() - start if label else 2
        line = wrap_line(line, shutil.get_terminal_size().columns, indent)
    sys.stderr.write(f"{line}\n")


def print_checks(checks: Iterable[Check], console: Console) -> None:
    """Print one line per check, followed by its advice if it warns or fails."""
    from rich.text import Text  # noqa: PLC0415 (slow to load; ``tell`` needs none of it)

    from pairmill.quality.trust import STATUS_STYLES, Status  # noqa: PLC0415 (likewise)

    for check in checks:
        width = console.width if console.is_terminal else _UNLIMITED
        said = wrap_line(
            f"{' ' * 6}{sanitize(check.name)}: {sanitize(check.found, _LONGEST)}", width, 0
        )
        line = Text(f"{check.status:<6}", style=STATUS_STYLES[check.status])
        line.append(said[6:], style="not dim")
        console.print(line, soft_wrap=True)
        if check.status in {Status.WARN, Status.FAIL} and check.hint:
            hint = wrap_line(f"{' ' * 6}{sanitize(check.hint)}", width, 0)
            console.print(Text(hint, style="dim"), soft_wrap=True)


_PIECE = 1024  # characters: at most 4 kB, which fit into any pipe that reports to be writable


class BestEffortStream:
    """Forwards writes while they are read, and drops the rest.

    Args:
        stream: Text or byte stream.
        patience_s: How long to wait for a reader that is behind.
    """

    def __init__(self, stream: IO[Any], *, patience_s: float = 0.0) -> None:
        self._stream = stream
        self._patience_s = patience_s

    @property
    def buffer(self) -> BestEffortStream:
        """Underlying byte stream, with the same behaviour."""
        return BestEffortStream(self._stream.buffer, patience_s=self._patience_s)  # type: ignore[attr-defined]

    def write(self, data: Any) -> int:
        """Write as much as possible; errors such as a full disk are ignored."""
        try:
            for start in range(0, len(data) or 1, _PIECE):  # at least once, to check the type
                if not self._has_room():
                    break
                self._stream.write(data[start : start + _PIECE])
                self._stream.flush()
        except (OSError, ValueError):
            pass
        return len(data)

    def flush(self) -> None:
        """Do nothing: every write is flushed."""

    def _has_room(self) -> bool:
        try:
            number = self._stream.fileno()
        except (OSError, ValueError):
            return True  # in memory
        watch = select.poll()
        watch.register(number, select.POLLOUT)
        return bool(watch.poll(1000 * self._patience_s))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)
