"""Record of the exports from a run folder, one line each, for the report."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct

if TYPE_CHECKING:
    from pathlib import Path

    from pairmill.output.export_summary import ExportSummary

__all__ = ["ExportRecord", "note_export", "read_exports"]

_MOST_BYTES = 2**20  # of the file that are looked at, from its end


class ExportRecord(Struct, frozen=True, omit_defaults=True):
    """One export.

    Attributes:
        at: Time, ISO 8601 in UTC.
        shape: Name of the format.
        name: Name of its folder.
        rows: Rows read.
        kept: Split to number of rows.
        dropped: Reason to number of rows.
        held_out: Rows of other splits that were compared with train; None: not compared.
        same_instruction: Of these, how many have an instruction that is also in train.
        copied_answer: Of these, how many have an answer that is also in train.
        copied_source: Of these, how many have a source text that is also in train; None if unknown.
    """

    at: str
    shape: str
    name: str
    rows: int
    kept: dict[str, int]
    dropped: dict[str, int] = {}
    held_out: int | None = None
    same_instruction: int = 0
    copied_answer: int = 0
    copied_source: int | None = None


def note_export(path: Path, summary: ExportSummary, shape: str) -> None:
    """Add an export to a run folder's list; a folder that cannot be written to stays as it is."""
    leak = summary.leak
    record = ExportRecord(
        at=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        shape=shape,
        name=summary.folder.absolute().name,
        rows=summary.rows,
        kept=summary.kept,
        dropped=summary.dropped,
        held_out=leak.held_out if leak else None,
        same_instruction=leak.same_instruction if leak else 0,
        copied_answer=leak.copied_answer if leak else 0,
        copied_source=leak.copied_source if leak else None,
    )
    with suppress(OSError), path.open("ab") as file:
        file.write(msgspec.json.encode(record) + b"\n")


def read_exports(path: Path) -> list[ExportRecord]:
    """Return the last export to each place and format, newest first; invalid lines are skipped."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - _MOST_BYTES))
            lines = file.read().splitlines()
    except OSError:
        return []
    found: dict[tuple[str, str], ExportRecord] = {}
    for line in lines:
        with suppress(msgspec.DecodeError, UnicodeDecodeError):
            record = msgspec.json.decode(line, type=ExportRecord)
            found.pop((record.name, record.shape), None)
            found[record.name, record.shape] = record
    return list(found.values())[::-1]
