"""Facts about a run, for the card and the report."""

from __future__ import annotations

import json
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pairmill.display import sanitize
from pairmill.errors import PairmillError
from pairmill.llm.price_files import load_prices
from pairmill.llm.prices import PICO
from pairmill.output.rows import complete_lines, open_shards
from pairmill.store.counts import count_run
from pairmill.store.folder import read_folder
from pairmill.store.manifest import read_manifest_counts, read_totals

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from pairmill.output.export_summary import ExportRecord
    from pairmill.output.origins import Origins
    from pairmill.quality.trust import RunFigures
    from pairmill.records import Usage
    from pairmill.store.charges import Bill
    from pairmill.store.columns import Feature
    from pairmill.store.counts import RunCounts
    from pairmill.store.entries import Totals
    from pairmill.store.folder import RunFolder
    from pairmill.store.timeline import Timeline
    from pairmill.store.verdict import RunVerdict

__all__ = ["RunFacts", "cost_usd", "counted", "read_counts", "read_sums", "why_nothing_published"]


@dataclass(frozen=True, slots=True)
class RunFacts:
    """Names and numbers of one run. Unknown numbers are None and not printed.

    Attributes:
        models: The models' names as returned by the server, or as requested before the first
            answer.
        documents: Documents read.
        chunks: Chunks cut from them.
        units: Finished units.
        empty_units: Units with nothing to write about.
        pairs: Pairs written to ``data/``.
        rejections: Reason to number of dropped units and pairs.
        repairs: Answers that a second call had to repair.
        usage: Tokens paid for, replayed answers not counted again.
        cost_usd: What they cost, where prices are known.
        doubt_usd: What calls may have cost besides, whose end or count is not known.
        counts: What became of documents, chunks and pairs; the numbers above follow from it.
        figures: How far the judge can be trusted, and what evolution gains.
        fields: A recipe's own fields: name to type, as ``store.rows.Feature`` has it.
        verdict: The last one of ``qc`` or ``report`` on its pairs; None if neither was asked.
        languages: ISO 639 codes of the texts.
        timeline: What the run did over time, and what its stages took.
        exports: What was exported from it, the newest first.
        origins: Sites, licences and languages of the published rows; None where not counted.
        finished: True if the run has ended; the card of an unfinished run says so.
    """

    recipe: str
    prompt_version: str
    models: tuple[str, ...]
    version: str
    documents: int | None = None
    chunks: int | None = None
    units: int | None = None
    empty_units: int | None = None
    pairs: int | None = None
    rejections: Mapping[str, int] = field(default_factory=dict)
    repairs: int | None = None
    usage: Usage | None = None
    cost_usd: float | None = None
    doubt_usd: float = 0.0
    counts: RunCounts | None = None
    figures: RunFigures | None = None
    fields: Mapping[str, Feature] = field(default_factory=dict)
    verdict: RunVerdict | None = None
    languages: tuple[str, ...] = ()
    timeline: Timeline | None = None
    exports: Sequence[ExportRecord] = ()
    origins: Origins | None = None
    finished: bool = False

    @property
    def rejected(self) -> int:
        """All units and pairs that were dropped."""
        return sum(self.rejections.values())


def counted(counts: RunCounts) -> dict[str, Any]:
    """Return the fields of `RunFacts` that follow from a run's counts."""
    rejections = Counter(counts.rejected) + Counter(counts.dropped)
    return {
        "documents": counts.documents or None,
        "chunks": counts.chunks,
        "units": counts.ended,
        "empty_units": counts.empty,
        "pairs": counts.pairs,
        "rejections": rejections,
        "counts": counts,
    }


def read_sums(folder: RunFolder) -> tuple[Totals, RunCounts]:
    """Return all sums and counts of a run; without a ledger, those in the manifest.

    Raises:
        FolderError: The ledger cannot be read.
    """
    if not folder.has_ledger:
        return read_totals(folder.manifest), read_manifest_counts(folder)
    with folder.read_ledger() as lookup:
        totals = lookup.totals()
        return totals, count_run(folder, lookup, totals)


def read_counts(path: Path) -> RunCounts | None:
    """Return the counts of a folder, which may not be a run folder; None if it has none."""
    try:
        _, counts = read_sums(read_folder(path))
    except PairmillError:
        return None
    return counts if counts.ended else None


def why_nothing_published(path: Path) -> str:
    """Explain why a run folder has no published pair, and say when it will, or what to do."""
    if not path.is_dir():
        return f"{path}: there is no such folder"
    waiting = sum(1 for shard in open_shards(path) for _ in complete_lines(shard))
    if waiting:
        age_s = 0.0
        with suppress(OSError, ValueError):
            settings = json.loads((path / ".run" / "config.json").read_bytes())
            age_s = float(settings.get("shard_age_s") or 0)
        when = f"at most {age_s / 60:g} minutes after its first pair, or " if age_s else ""
        return (
            f"{path}: {waiting:,} pairs are written and none is published yet; the first shard"
            f" comes {when}when the run ends or is stopped"
        )
    counts = read_counts(path)
    if counts is None or counts.pairs:
        yet = " yet" if (path / ".run").is_dir() else ""
        return f"{path} holds no published pairs{yet} (data/train-*.jsonl)"
    of = Counter(counts.dropped) + Counter(counts.rejected) + Counter(counts.empty_reasons)
    told = ", ".join(f"{count:,} {sanitize(why, 40)}" for why, count in of.most_common(3))
    return (
        f"{path}: no pair was kept of {counts.ended:,} chunks ({told or 'all empty'}); what was"
        f" dropped is in {path / 'rejected'}, and in the page of 'pairmill report {path}'"
    )


def cost_usd(bill: Bill, prices: Path | None) -> float | None:
    """Return the cost of a run's calls in dollars; None if a price is unknown.

    Args:
        bill: Of the run.
        prices: The user's own price table, for calls that had no price when they were made.
    """
    if not bill.unpriced:
        return bill.picodollars / PICO
    try:
        rest = load_prices(prices).cost_of(bill.unpriced)
    except PairmillError:
        return None
    return None if rest is None else (bill.picodollars + rest) / PICO
