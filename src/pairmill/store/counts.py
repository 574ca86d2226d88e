"""Outcome of documents, chunks and pairs, as sums that add up.

``documents = used + skipped by reason``; ``chunks = written + empty + rejected + to do``;
``pairs = kept + superseded + dropped by reason``. Card, manifest, report, ``status``, the live line
and the end of a run all use `count_run`.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass, field, fields
from typing import TYPE_CHECKING, Any

import orjson

from pairmill.display import sanitize
from pairmill.records import Outcome
from pairmill.store.charges import DropKey
from pairmill.store.files import refusal
from pairmill.store.shards import read_lines
from pairmill.store.superseded import SupersededPairs

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from pairmill.store.entries import ShardRecord, Totals
    from pairmill.store.folder import RunFolder
    from pairmill.store.ledger import LedgerReader

__all__ = [
    "InputCounts",
    "RunCounts",
    "add_up",
    "chunk_sums",
    "count_drops",
    "count_run",
    "describe",
    "describe_saved",
    "drop_key",
    "pair_sums",
    "read_input_counts",
    "read_pace",
    "saved",
    "write_pace",
]

MOST_REASONS = 5  # named in a line for people
_FILE = "input.json"
_PACE = "pace.json"
_FRESH_S = 30.0  # an older pace belongs to a run that was killed


@dataclass(frozen=True, slots=True)
class InputCounts:
    """Result of the last start that read the input.

    Attributes:
        read: Documents read from their sources.
        skipped: Reason to number of unusable files, records and documents.
        dropped: How many of these were read, but had nothing usable after cleaning.
        expected: Total chunks once everything found is done, including earlier starts.
        is_whole: The input was read to its end, or to the limit in the settings.
        inputs: What was read, to tell inputs apart.
        repeated_chunks: Chunks that repeat others, which the model is not asked about.
        repeated_chars: Their total length.
    """

    read: int = 0
    skipped: Mapping[str, int] = field(default_factory=dict)
    dropped: int = 0
    expected: int = 0
    is_whole: bool = False
    inputs: tuple[str, ...] = ()
    repeated_chunks: int = 0
    repeated_chars: int = 0

    def write(self, folder: RunFolder) -> None:
        """Store it in the run folder.

        Raises:
            StorageError: The disk refused.
        """
        document = asdict(self) | {"skipped": dict(self.skipped)}
        _keep(folder.state / _FILE, orjson.dumps(document))


_INPUT_COUNTS = {field.name for field in fields(InputCounts)}


@dataclass(frozen=True, slots=True)
class RunCounts:
    """Sums over all starts of a run.

    Attributes:
        documents: Documents of the input as it was last read, and other pieces found there.
        used: Documents with usable text.
        skipped: Reason to number of unusable ones.
        is_input_whole: The input was read to its end; else there may be more than counted.
        written: Chunks with at least one pair.
        empty: Chunks with nothing to write about, according to the model.
        empty_reasons: Reason to number of chunks; {} if some were retried since.
        rejected: Reason to chunks that ended without a valid answer.
        to_do: Chunks of the input that have not ended.
        pairs: Kept pairs, in ``data/`` or about to be published there.
        dropped: Reason to number of pairs that failed a check.
        retried: Lines of ``rejected/`` about chunks that were retried since.
        repeated: Chunks that were found in the input and repeat others; none of ``chunks``.
        repeated_chars: Their total length.
        superseded: Pairs that are in ``data/``, and whose article has changed since; none of
            ``pairs``.
    """

    documents: int
    used: int
    skipped: Mapping[str, int]
    is_input_whole: bool
    written: int
    empty: int
    empty_reasons: Mapping[str, int]
    rejected: Mapping[str, int]
    to_do: int
    pairs: int
    dropped: Mapping[str, int]
    retried: int
    repeated: int = 0
    repeated_chars: int = 0
    superseded: int = 0

    @property
    def rejected_chunks(self) -> int:
        """All chunks that ended without a valid answer."""
        return sum(self.rejected.values())

    @property
    def chunks(self) -> int:
        """All known chunks."""
        return self.ended + self.to_do

    @property
    def ended(self) -> int:
        """All chunks that have ended."""
        return self.written + self.empty + self.rejected_chunks

    @property
    def dropped_pairs(self) -> int:
        """All pairs that failed a check."""
        return sum(self.dropped.values())

    @property
    def reject_lines(self) -> int:
        """Number of lines in ``rejected/``."""
        return self.empty + self.rejected_chunks + self.dropped_pairs + self.retried

    @classmethod
    def from_json(cls, found: Mapping[str, Any]) -> RunCounts:
        """Restore the sums from the output of `to_json`.

        Raises:
            LookupError: One is missing.
            TypeError: One is not a number, or not a mapping.
        """
        documents, chunks, pairs = found["documents"], found["chunks"], found["pairs"]
        rejected, dropped = dict(chunks["rejected"]), dict(pairs["dropped"])
        told = chunks["empty"] + sum(rejected.values()) + sum(dropped.values())
        return cls(
            documents=documents["all"],
            used=documents["used"],
            skipped=dict(documents["skipped"]),
            is_input_whole=documents["is_whole"],
            written=chunks["written"],
            empty=chunks["empty"],
            empty_reasons={},
            rejected=rejected,
            to_do=chunks["to_do"],
            pairs=pairs["kept"],
            dropped=dropped,
            retried=found["reject_lines"] - told,
            repeated=found.get("duplicates", {}).get("chunks", 0),
            repeated_chars=found.get("duplicates", {}).get("chars", 0),
            superseded=pairs.get("superseded", 0),
        )

    def to_json(self) -> dict[str, Any]:
        """Return the sums as plain values under stable names."""
        return {
            "documents": {
                "all": self.documents,
                "used": self.used,
                "skipped": dict(self.skipped),
                "is_whole": self.is_input_whole,
            },
            "chunks": {
                "all": self.chunks,
                "written": self.written,
                "empty": self.empty,
                "rejected": dict(self.rejected),
                "to_do": self.to_do,
            },
            "pairs": {
                "all": self.pairs + self.superseded + self.dropped_pairs,
                "kept": self.pairs,
                "superseded": self.superseded,
                "dropped": dict(self.dropped),
            },
            "duplicates": {"chunks": self.repeated, "chars": self.repeated_chars},
            "reject_lines": self.reject_lines,
        }


def write_pace(folder: RunFolder, chunks_per_min: float | None, now: float) -> None:
    """Store the pace of the current start, for ``status``; None: it has ended.

    Args:
        folder: The run folder.
        chunks_per_min: Over the last minute or so.
        now: Seconds since the epoch.

    Raises:
        StorageError: The disk refused.
    """
    _keep(folder.state / _PACE, orjson.dumps({"at": now, "chunks_per_min": chunks_per_min}))


def read_pace(folder: RunFolder, now: float) -> float | None:
    """Return the chunks a minute of the current start; None if unknown, or nothing runs."""
    try:
        found = orjson.loads((folder.state / _PACE).read_bytes())
        pace, at = found["chunks_per_min"], float(found["at"])
    except (OSError, ValueError, TypeError, KeyError):
        return None
    return float(pace) if isinstance(pace, int | float) and abs(now - at) < _FRESH_S else None


def describe(counts: RunCounts) -> list[tuple[str, str]]:
    """Describe the sums: a name and a line each for documents, chunks and pairs."""
    skipped = sum(counts.skipped.values())
    documents = f"{counts.documents:,} = {counts.used:,} used + {skipped:,} skipped"
    chunks = f"{counts.chunks:,} = {counts.written:,} written + {counts.empty:,} empty"
    chunks += f" + {counts.rejected_chunks:,} rejected"
    more = "" if counts.is_input_whole else ", more of the input was not read"
    chunks += f" + {counts.to_do:,} to do{more}" if counts.to_do or more else ""
    made = counts.pairs + counts.superseded + counts.dropped_pairs
    pairs = f"{made:,} = {counts.pairs:,} kept"
    pairs += f" + {counts.superseded:,} superseded" if counts.superseded else ""
    pairs += f" + {counts.dropped_pairs:,} dropped"
    lines = [
        ("documents", documents + _reasons(counts.skipped)),
        ("chunks", chunks + _reasons(counts.rejected)),
        ("pairs", pairs + _reasons(counts.dropped)),
    ]
    return lines if counts.documents else lines[1:]


def saved(counts: RunCounts, tokens: int, usd: float | None) -> tuple[int, float | None]:
    """Return tokens and dollars that were not spent, since chunks repeat others.

    Each is assumed to cost as much as the chunks that have ended.

    Args:
        counts: Of the run.
        tokens: Of all its calls, prompts and answers.
        usd: Their cost; None: unknown.
    """
    share = counts.repeated / counts.ended if counts.ended else 0.0
    return round(tokens * share), None if usd is None else usd * share


def describe_saved(counts: RunCounts, tokens: int, usd: float | None) -> list[tuple[str, str]]:
    """Describe what duplicates saved, as a name and a line; [] if there are none."""
    if not counts.repeated:
        return []
    line = f"{counts.repeated:,} {'chunk' if counts.repeated == 1 else 'chunks'} not asked about"
    spared, dollars = saved(counts, tokens, usd)
    if spared:
        line += f": about {spared:,} tokens"
        line += f", ${dollars:,.4f}" if dollars else ""
        line += " saved"
    return [("duplicates", line)]


def _reasons(counts: Mapping[str, int]) -> str:
    """Format the most frequent reasons, in brackets; "" if there are none."""
    if not counts:
        return ""
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    shown = [f"{count:,} {sanitize(reason)}" for reason, count in ordered[:MOST_REASONS]]
    rest = sum(count for _, count in ordered[MOST_REASONS:])
    return f" ({', '.join([*shown, f'{rest:,} others'] if rest else shown)})"


def _keep(path: Path, data: bytes) -> None:
    """Replace a file atomically, without syncing: after a power cut it is computed again."""
    new = path.with_name(f"{path.name}.new")
    try:
        new.write_bytes(data)
        new.replace(path)
    except OSError as error:
        raise refusal(error, path) from None


def chunk_sums(counts: RunCounts) -> list[tuple[str, int]]:
    """Return the outcomes of all chunks, by labels for people."""
    return [
        ("all", counts.chunks),
        ("written", counts.written),
        ("empty: nothing to write about", counts.empty),
        *((f"rejected: {reason}", number) for reason, number in counts.rejected.items()),
        ("to do", counts.to_do),
    ]


def pair_sums(counts: RunCounts) -> list[tuple[str, int]]:
    """Return the outcomes of all pairs, by labels for people."""
    return [
        ("all", counts.pairs + counts.superseded + counts.dropped_pairs),
        ("kept", counts.pairs),
        *([("superseded: the article changed", counts.superseded)] if counts.superseded else []),
        *((f"dropped: {reason}", number) for reason, number in counts.dropped.items()),
    ]


def count_run(
    folder: RunFolder,
    lookup: LedgerReader,
    totals: Totals | None = None,
    superseded: SupersededPairs | None = None,
) -> RunCounts:
    """Add up a run from its ledger, its shards and what it last found in the input.

    Args:
        folder: The run folder.
        lookup: Its ledger.
        totals: The ledger's, if the caller has them.
        superseded: The folder's, if the caller has them.

    Raises:
        FolderError: Ledger or shards cannot be read.
    """
    totals = totals or lookup.totals()
    drops: Mapping[DropKey, int] | None = totals.drops
    if drops is None:
        drops = count_drops(folder, lookup.shards())
    old = (superseded or SupersededPairs(folder.path)).count(_identities(folder), lookup)
    return add_up(folder, totals, drops, lookup.reopened(), old)


def _identities(folder: RunFolder) -> list[str]:
    """Of the recipes that the folder was filled with."""
    try:
        found = orjson.loads(folder.origin.read_bytes())["identities"]
    except (OSError, ValueError, TypeError, KeyError):
        return []
    return [name for name in found if isinstance(name, str)] if isinstance(found, list) else []


def add_up(
    folder: RunFolder,
    totals: Totals,
    drops: Mapping[DropKey, int],
    reopened: int = 0,
    superseded: int = 0,
) -> RunCounts:
    """Add up a run from the sums of its ledger; see ``count_run``."""
    found = read_input_counts(folder)
    units = totals.units
    empty = units.get(Outcome.EMPTY.value, 0)
    ended = sum(units.values())
    of_empty = _of_scope(drops, "empty")
    whole_lines = sum(of_empty.values()) + sum(_of_scope(drops, "chunk").values())
    return RunCounts(
        documents=found.read - found.dropped + sum(found.skipped.values()),
        used=found.read - found.dropped,
        skipped=dict(found.skipped),
        is_input_whole=found.is_whole,
        written=units.get(Outcome.WRITTEN.value, 0),
        empty=empty,
        empty_reasons=of_empty if sum(of_empty.values()) == empty else {},
        rejected=dict(totals.reasons),
        to_do=max(0, found.expected - ended, reopened),
        pairs=totals.pairs - superseded,
        dropped=_of_scope(drops, "pair"),
        retried=whole_lines - empty - sum(totals.reasons.values()),
        repeated=found.repeated_chunks,
        repeated_chars=found.repeated_chars,
        superseded=superseded,
    )


def read_input_counts(folder: RunFolder) -> InputCounts:
    """Return what a run last found in its input; empty if not stored."""
    try:
        found = orjson.loads((folder.state / _FILE).read_bytes())
        known = {name: found[name] for name in _INPUT_COUNTS & found.keys()}
        return InputCounts(**{**known, "inputs": tuple(found["inputs"])})
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return InputCounts()


def count_drops(folder: RunFolder, records: Sequence[ShardRecord]) -> Counter[DropKey]:
    """Count the lines of ``rejected/`` by reading them, open shards included."""
    found: Counter[DropKey] = Counter()
    for line in read_lines(folder, records, "rejected"):
        try:
            row = orjson.loads(line)
        except orjson.JSONDecodeError:
            row = None
        if isinstance(row, dict):
            found[drop_key(row)] += 1
    return found


def drop_key(row: Mapping[str, Any]) -> DropKey:
    """Return why a line is in ``rejected/``."""
    if row.get("whole_unit") is not True:
        return DropKey("pair", str(row.get("reason")))
    return DropKey("empty" if row.get("class") is None else "chunk", str(row.get("reason")))


def _of_scope(drops: Mapping[DropKey, int], scope: str) -> dict[str, int]:
    found = [(key.reason, lines) for key, lines in drops.items() if key.scope == scope]
    return dict(sorted(found, key=lambda item: (-item[1], item[0])))
