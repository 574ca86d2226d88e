"""What the intake noted, as events of the run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pairmill.events import InputSkipped, Notice
from pairmill.sources.notes import InputFate

if TYPE_CHECKING:
    from pairmill.events import Bus
    from pairmill.sources.notes import Note

__all__ = ["tell"]


def tell(note: Note, bus: Bus) -> None:
    """Tell whoever watches of one piece of input."""
    if note.fate is InputFate.NOTICE:
        bus.emit(Notice(text=f"{note.source}: {note.reason} {note.detail}".rstrip()))
    else:
        reason = f"{note.reason}: {note.detail}" if note.detail else note.reason
        bus.emit(InputSkipped(source=note.source, reason=reason, fate=note.fate.value))
