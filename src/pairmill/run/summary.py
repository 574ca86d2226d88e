"""How a run ended, and what to tell a person about it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pairmill.errors import EXIT_DONE, EXIT_RESUMABLE

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["Summary"]


@dataclass(frozen=True, slots=True)
class Summary:
    """How a run ended.

    Attributes:
        exit_code: 0 done, 1 no pair was written, 75 stopped and resumable, 78 bad config.
        reason: One plain line where the exit code is not 0.
        asked: Whether there was anything new to ask the model.
        chunks: Chunks seen in this start.
        pairs: Pairs in the folder, those of earlier starts included.
        warning: What is wrong with the pairs of this start, as far as so few can tell.
    """

    folder: Path
    exit_code: int
    reason: str
    asked: bool
    chunks: int
    pairs: int
    warning: str = ""

    def lines(self) -> list[str]:
        """What to tell a person at the end."""
        return [*self._lines(), *([f"warning: {self.warning}"] if self.warning else [])]

    def _lines(self) -> list[str]:
        told = f"{self.pairs:,} pairs in {self.folder}"
        if self.exit_code == EXIT_DONE:
            if self.asked:
                return [told]
            return [f"nothing new in {self.chunks:,} chunks: the model was not asked; {told}"]
        line = f"pairmill: {self.reason}; {told}" if self.chunks else f"pairmill: {self.reason}"
        return [f"{line}; the same command goes on" if self.exit_code == EXIT_RESUMABLE else line]
