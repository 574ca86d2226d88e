"""A stream whose reader may go away or stop reading: no run ends, or waits, because of that."""

from __future__ import annotations

import select
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from typing import IO

__all__ = ["Quiet"]

_PIECE = 1024  # characters: 4 kB at most, for which a pipe has room where it says that it has any


class Quiet:
    """Passes on what is written for as long as somebody takes it, and drops the rest.

    Args:
        stream: Of text or bytes.
        patience_s: How long to wait for a reader that is behind.
    """

    def __init__(self, stream: IO[Any], *, patience_s: float = 0.0) -> None:
        self._stream = stream
        self._patience_s = patience_s

    @property
    def buffer(self) -> Quiet:
        """Underlying byte stream, equally quiet."""
        return Quiet(self._stream.buffer, patience_s=self._patience_s)  # type: ignore[attr-defined]

    def write(self, data: Any) -> int:
        """Write as far as that is possible; a full disk behind it is no fault of the run."""
        try:
            for start in range(0, len(data) or 1, _PIECE):  # nothing has a type that may be wrong
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
