"""One record of a data file, and where it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

__all__ = ["Place", "Record"]


@dataclass(frozen=True, slots=True)
class Place:
    """Place of a record: its file, and its line; in JSON, Parquet and Arrow its number."""

    file: str = ""
    line: int = 0


@dataclass(frozen=True, slots=True)
class Record:
    """One record of a file.

    Attributes:
        value: Parsed; None if the line is no JSON.
        split: What its file or the key above it says.
        raw: Its line as it is, or None if the container has no lines.
    """

    value: Any
    split: str | None
    place: Place
    raw: bytes | None = None
