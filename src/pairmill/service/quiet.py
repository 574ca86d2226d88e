"""A stream whose reader may go away: a run does not end because nobody watches it any more."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from typing import IO

__all__ = ["Quiet"]


class Quiet:
    """Passes on what is written for as long as somebody takes it, and then drops it."""

    def __init__(self, stream: IO[Any]) -> None:
        self._stream = stream

    @property
    def buffer(self) -> Quiet:
        """The stream of bytes underneath, as quiet."""
        return Quiet(self._stream.buffer)  # type: ignore[attr-defined]

    def write(self, data: Any) -> int:
        """Write, if that is possible; a full disk behind a redirection is no fault of the run."""
        try:
            return int(self._stream.write(data))
        except (OSError, ValueError):
            return len(data)

    def flush(self) -> None:
        """Likewise."""
        try:
            self._stream.flush()
        except (OSError, ValueError):
            return

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)
