"""Result of an export: in a few lines for people, and as a line of the folder's record."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct

from pairmill.display import sanitize
from pairmill.output.origins import UNKNOWN, Origins, warnings

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from pairmill.output.leak import Leak, LengthGap
    from pairmill.output.table_files import WrittenTable
    from pairmill.store.counts import RunCounts

__all__ = ["ExportRecord", "ExportSummary", "note_export", "read_exports", "summary_lines"]

_MOST_NAMES = 20
_SHOWN_CHARS = 600


@dataclass(frozen=True, slots=True)
class ExportSummary:
    """Result of an export.

    Attributes:
        folder: Where it is.
        rows: Rows read from the run's shards, with dropped pairs that people rescued.
        kept: Split to its records.
        dropped: Reason to number of rows. Without a paired format, ``rows`` is the sum of all
            kept and dropped.
        leak: How much of the held-out splits is also in train; None without one or the other.
        files: Split to its files.
        recipes: Recipes with their prompt version, as ``name version``.
        models: Models that wrote the kept rows.
        length_gap: Of a format with chosen and rejected answers, how their lengths differ.
        chosen_by: Of such a format, what made an answer the chosen one, to how many records.
        related: Documents that share text with others, and so their split; None if nobody
            looked.
        sources_read: Documents whose own texts were compared for that; the others by their answers
            alone.
        moved: Documents that an earlier export in this place had put into another split, since
            joined to documents of a third.
        open_book: Rows ``opened``, of these ``unanswerable``, and chosen ones with ``no_text``.
        replaced: What was there before, an earlier export; "" if there was nothing.
        is_dry: Nothing was written.
        first: The first record, as JSON.
        origins: Sites, documents and languages of the kept rows.
        counts: Outcome of the run's documents, chunks and pairs; None if unknown.
        sizes: Every file of the export to its bytes.
        marked: How many pairs of the run are marked as accepted, rejected, rescued or edited.
        notices: Plain lines on marks that could not be read.
        without_system: Kept rows whose system text the format has no place for.
        folded_systems: Kept rows whose system text is before their prompt.
    """

    folder: Path
    rows: int
    kept: dict[str, int]
    dropped: dict[str, int]
    leak: Leak | None
    files: dict[str, list[WrittenTable]]
    recipes: tuple[str, ...]
    models: tuple[str, ...]
    length_gap: LengthGap | None = None
    chosen_by: Mapping[str, int] = field(default_factory=dict)
    related: int | None = None
    sources_read: int = 0
    moved: tuple[str, ...] = ()
    open_book: dict[str, int] = field(default_factory=dict)
    replaced: str = ""
    is_dry: bool = False
    first: str = ""
    origins: Origins = field(default_factory=Origins)
    counts: RunCounts | None = None
    sizes: dict[str, int] = field(default_factory=dict)
    marked: dict[str, int] = field(default_factory=dict)
    notices: tuple[str, ...] = ()
    without_system: int = 0
    folded_systems: int = 0


def summary_lines(summary: ExportSummary) -> list[str]:
    """Describe the place, the splits, what was dropped and why, and the leak between splits."""
    kept = ", ".join(f"{count:,} {split}" for split, count in summary.kept.items())
    total = sum(summary.kept.values())
    lines = [f"{total:,} of {summary.rows:,} pairs in {summary.folder}: {kept}"]
    if summary.is_dry:
        would = f", in the place of an earlier export ({summary.replaced})" * bool(summary.replaced)
        lines = [
            f"{total:,} of {summary.rows:,} pairs would go to {summary.folder}{would}: {kept}",
            f"the first: {sanitize(summary.first, _SHOWN_CHARS)}",
        ]
    elif summary.replaced:
        lines.append(f"replaced the export that was there: {summary.replaced}")
    if summary.dropped:
        most = sorted(summary.dropped.items(), key=lambda item: (-item[1], item[0]))
        reasons = ", ".join(f"{count:,} {sanitize(reason, 80)}" for reason, count in most)
        lines.append(f"dropped: {reasons}")
    lines += _system_lines(summary)
    if summary.marked:
        lines.append(f"marks: {', '.join(f'{n:,} {what}' for what, n in summary.marked.items())}")
    lines += [sanitize(line, _SHOWN_CHARS) for line in summary.notices]
    lines += _license_lines(summary)
    lines.append(_leak_line(summary.leak))
    if summary.related is not None and not summary.sources_read:
        lines.append("kin: by answers alone, since the run's inputs are not at hand")
    if summary.moved:
        names = ", ".join(sanitize(name, 80) for name in summary.moved[:_MOST_NAMES])
        more = len(summary.moved) - _MOST_NAMES
        lines.append(
            f"moved to another split than in the export before, since new text joins them to"
            f" others: {names}{f' and {more:,} more' if more > 0 else ''}"
        )
    if summary.open_book:
        lines.append(_open_book_line(summary.open_book))
    if summary.length_gap:
        lines.append(summary.length_gap.line())
    return lines


def _license_lines(summary: ExportSummary) -> list[str]:
    counts = summary.origins.licenses
    if set(counts) <= {UNKNOWN}:
        return []
    named = ", ".join(f"{count:,} {sanitize(name, 80)}" for name, count in list(counts.items())[:5])
    more = f" and {len(counts) - 5} more" if len(counts) > 5 else ""  # noqa: PLR2004 (a line)
    return [f"licences of the texts: {named}{more}", *warnings(counts)]


def _system_lines(summary: ExportSummary) -> list[str]:
    if summary.without_system:
        left = f"system texts left out: {summary.without_system:,}, since this format has no place"
        how = "--columns system keeps them, --fold-system puts each before its prompt"
        return [f"{left} for them; {how}"]
    if summary.folded_systems:
        return [f"system texts put before their prompts: {summary.folded_systems:,}"]
    return []


def _leak_line(leak: Leak | None) -> str:
    if leak is None:
        return "leak into train: not measured, since there is no held-out split beside it"
    return (
        f"leak into train: {leak.share:.1%} of {leak.held_out:,} held-out pairs "
        f"({leak.same_instruction:,} same instruction, {leak.copied_answer:,} copied answer)"
        f"{_source_part(leak)}"
    )


def _source_part(leak: Leak) -> str:
    if leak.copied_source is None:
        return ""
    return f", {leak.copied_source:,} from a source whose text is in train"


def _open_book_line(counts: dict[str, int]) -> str:
    line = (
        f"open book: {counts.get('opened', 0):,} pairs with passages in the prompt,"
        f" {counts.get('unanswerable', 0):,} of them without their own"
    )
    missing = counts.get("no_text", 0)
    if missing:
        line += (
            f"; {missing:,} more as they are, since their text is not among the run's inputs now"
        )
    return line


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
