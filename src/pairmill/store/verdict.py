"""The last verdict on a run's pairs, kept in its folder so that all places show the same one.

``qc`` and ``report`` measure, and keep what they found; ``status`` and the card tell it on, with
the number of pairs that it was taken of.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct

from pairmill.store.files import atomic_write

if TYPE_CHECKING:
    from pairmill.store.folder import RunFolder

__all__ = ["RunVerdict", "keep_verdict", "read_verdict"]

_FILE = "verdict.json"


class RunVerdict(Struct, frozen=True):
    """Verdict of the measures on a run's pairs.

    Attributes:
        status: ``ok``, ``warn`` or ``fail``.
        text: The same in a sentence.
        pairs: How many pairs were judged.
    """

    status: str
    text: str
    pairs: int

    @property
    def line(self) -> str:
        """For people."""
        return f"{self.status}, of {self.pairs:,} pairs: {self.text}"


def keep_verdict(folder: RunFolder, verdict: RunVerdict) -> None:
    """Keep it; a folder without ``.run/`` keeps none.

    Raises:
        StorageError: The disk refused.
    """
    if folder.state.is_dir():
        atomic_write(folder.state / _FILE, msgspec.json.encode(verdict))


def read_verdict(folder: RunFolder) -> RunVerdict | None:
    """Return the last one; None if none was kept, or it cannot be read."""
    try:
        return msgspec.json.decode((folder.state / _FILE).read_bytes(), type=RunVerdict)
    except (OSError, msgspec.DecodeError):
        return None
