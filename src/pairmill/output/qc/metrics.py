"""What ``qc`` measures, as plain values: figures, what was found, and as which kind of data."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

__all__ = ["Hit", "Profile", "QcMetrics", "Variety"]


class Profile(StrEnum):
    """What kind of data is judged.

    ``grounded``: answers that rest on documents, or on a text of their own.
    ``general``: any requests with their replies.
    """

    GROUNDED = "grounded"
    GENERAL = "general"


class Hit(NamedTuple):
    """One thing found: in which row (from 1) and exchange (from 0), what, and the figure if any."""

    row: int
    exchange: int
    detail: str
    number: float | None = None


class Variety(NamedTuple):
    """How much a sample of texts repeats itself.

    Attributes:
        name: What the texts are.
        words: How many words the sample has.
        distinct_2: Different word pairs among all.
        compression: How far zlib packs it.
    """

    name: str
    words: int
    distinct_2: float
    compression: float


@dataclass(slots=True)
class QcMetrics:
    """Measured values.

    Attributes:
        values: Key to figure.
        hits: For shares: key to everything found, in the order of the rows.
        notes: Key to a remark.
        unchecked: Key to why it could not be measured.
        grounding: Of each answer that was held against a passage: coverage by it, and by the best
            passage of another document where there is one.
        variety: Of the instructions, and of as many words of the documents' sentences where these
            are at hand; empty for too few rows.
    """

    values: dict[str, float] = field(default_factory=dict)
    hits: dict[str, list[Hit]] = field(default_factory=dict)
    notes: dict[str, str] = field(default_factory=dict)
    unchecked: dict[str, str] = field(default_factory=dict)
    grounding: list[tuple[float, float | None]] = field(default_factory=list)
    variety: list[Variety] = field(default_factory=list)

    def rows(self, key: str) -> list[int]:
        """Numbers of the rows with something of this key, each once."""
        return list(dict.fromkeys(hit.row for hit in self.hits.get(key, ())))
