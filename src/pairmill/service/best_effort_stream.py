"""A stream whose reader may disappear or stop reading without ending or blocking a run."""

from __future__ import annotations

import select
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from typing import IO

__all__ = ["BestEffortStream"]

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
