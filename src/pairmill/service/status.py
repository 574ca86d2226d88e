"""Shows the progress of a run from its ledger; works during a run and after it."""

from __future__ import annotations

import sys
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

import msgspec
import orjson
from rich.console import Console
from rich.table import Table

from pairmill.display import format_duration, sanitize
from pairmill.errors import PairmillError
from pairmill.llm.price_files import load_prices
from pairmill.llm.prices import PICO
from pairmill.quality.trust import parse_figures, verdicts
from pairmill.service.console import print_checks
from pairmill.store.counts import count_run, describe, describe_saved, read_pace, saved
from pairmill.store.folder import read_folder
from pairmill.store.manifest import read_manifest_counts, read_manifest_usd, read_totals
from pairmill.store.side_files import read_last_settings
from pairmill.store.timeline import read_timeline, stage_name
from pairmill.store.verdict import RunVerdict, read_verdict

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from pairmill.store.charges import Bill
    from pairmill.store.counts import RunCounts
    from pairmill.store.entries import ShardRecord, Totals
    from pairmill.store.folder import RunFolder

__all__ = ["figures", "print_status"]

_BLOCKS = "\u2581\u2582\u2583\u2584\u2585\u2586\u2587\u2588"
_CELLS = 24


def print_status(path: Path, *, as_json: bool) -> None:
    """Print a run's figures: a table for people, or one JSON object.

    Raises:
        FolderError: There is no run folder, or its ledger cannot be read.
    """
    folder = read_folder(path)
    if folder.has_ledger or not folder.manifest.exists():
        with folder.read_ledger() as lookup:
            counts = count_run(folder, lookup)
            found = figures(folder, lookup.totals(), counts, lookup.shards())
    else:  # a copy of the published files: the manifest has the sums
        counts = read_manifest_counts(folder)
        found = figures(folder, read_totals(folder.manifest), counts)
        found |= _published(folder) | {"usd": read_manifest_usd(folder.manifest)}
    known = parse_figures(folder.read_figures(), folder.read_voice())
    if as_json:
        found |= (
            known.model_dump(mode="json") if known else dict.fromkeys(("judge", "verify", "evolve"))
        )
        sys.stdout.write(orjson.dumps(found, option=orjson.OPT_INDENT_2).decode() + "\n")
        return
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    table.add_column(style="dim")
    table.add_column()
    for name, value in _lines(found, counts):
        table.add_row(name, sanitize(value, 1000))
    console = Console(highlight=False)
    console.print(table)
    print_checks(verdicts(known), console)


def figures(
    folder: RunFolder, totals: Totals, counts: RunCounts, shards: Sequence[ShardRecord] = ()
) -> dict[str, Any]:
    """Return the figures of ``status`` under stable names."""
    bill, usage = totals.bill, totals.usage
    usd = _usd(bill, folder)
    tokens = usage.prompt_tokens + usage.completion_tokens
    saved_tokens, saved_usd = saved(counts, tokens, usd)
    return {
        "folder": str(folder.path),
        "percent": _percent(counts),
        "verdict": _verdict(folder),
        **_pace(folder, counts, usd),
        "counts": counts.to_json(),
        "units": dict(totals.units),
        "pairs": counts.pairs,
        "rejections": dict(counts.rejected),
        "dropped_pairs": dict(counts.dropped),
        "skipped_input": dict(counts.skipped),
        "calls": totals.calls,
        "empty_calls": bill.empty,
        "lost_calls": bill.lost,
        "calls_by_model": dict(totals.models),
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "cached_tokens": usage.cached_tokens,
        "usd": None if usd is None else round(usd, 6),
        "saved_tokens": saved_tokens,
        "saved_usd": None if saved_usd is None else round(saved_usd, 6),
        "usd_in_doubt": round(bill.doubt_picodollars / PICO, 6),
        "timeline": msgspec.to_builtins(read_timeline(folder.timeline)),
        "published_shards": sum(shard.closed for shard in shards),
        "open_shards": sum(not shard.closed for shard in shards),
        "bytes": sum(shard.bytes for shard in shards),
    }


def _published(folder: RunFolder) -> dict[str, Any]:
    """Return what the shards tell without a ledger."""
    shards = [*folder.data.glob("train-*.jsonl"), *folder.rejected.glob("rejected-*.jsonl")]
    return {"published_shards": len(shards), "bytes": sum(path.stat().st_size for path in shards)}


def _verdict(folder: RunFolder) -> dict[str, Any] | None:
    """Return the last verdict of ``qc`` or ``report`` on the pairs; None if neither was run."""
    found = read_verdict(folder)
    return None if found is None else msgspec.structs.asdict(found)


def _percent(counts: RunCounts) -> float | None:
    """Return the share of chunks that ended; None until the input was read to its end."""
    if not counts.chunks or not counts.is_input_whole:
        return None
    return round(100 * counts.ended / counts.chunks, 1)


def _pace(folder: RunFolder, counts: RunCounts, usd: float | None) -> dict[str, Any]:
    """Return the pace of the current start, and the estimate for the rest; None if unknown."""
    per_min = read_pace(folder, time.time())
    eta_s = expected = None
    if counts.is_input_whole and per_min:
        eta_s = round(counts.to_do / per_min * 60)
    if counts.is_input_whole and usd is not None and counts.ended:
        expected = round(usd * counts.chunks / counts.ended, 4)
    of_chunk = counts.pairs / counts.ended if counts.ended else 0.0
    return {
        "chunks_per_min": None if per_min is None else round(per_min, 1),
        "pairs_per_min": None if per_min is None else round(per_min * of_chunk, 1),
        "eta_s": eta_s,
        "usd_expected": expected,
    }


def _usd(bill: Bill, folder: RunFolder) -> float | None:
    """Return the cost of all calls; None if a price is unknown."""
    rest: int | None = 0
    if bill.unpriced:
        settings = read_last_settings(folder)
        try:
            rest = load_prices(settings.prices).cost_of(bill.unpriced) if settings else None
        except PairmillError:
            rest = None
    return None if rest is None else (bill.picodollars + rest) / PICO


def _lines(found: Mapping[str, Any], counts: RunCounts) -> list[tuple[str, str]]:
    """Return the lines that people read, in reading order."""
    percent, pace, eta_s = found["percent"], found["pairs_per_min"], found["eta_s"]
    progress = "" if percent is None else f"{percent:g} % done, "
    progress += f"{counts.to_do:,} chunks to do"
    progress += "" if pace is None else f", {pace:,.0f} pairs a minute"
    progress += "" if eta_s is None else f", ETA {format_duration(eta_s)}"
    tokens = f"{found['prompt_tokens']:,} prompt ({found['cached_tokens']:,} cached)"
    calls = f"{found['calls']:,} paid, {found['empty_calls']:,} of them without an answer"
    lost = found["lost_calls"]
    shards = f"{found['published_shards']:,} published, {found['open_shards']:,} open"
    return [
        ("folder", found["folder"]),
        ("progress", progress),
        *describe(counts),
        *describe_saved(counts, found["prompt_tokens"] + found["completion_tokens"], found["usd"]),
        ("spent", _spent(found, counts)),
        ("tokens", f"{tokens}, {found['completion_tokens']:,} answer"),
        ("calls", f"{calls}; {lost:,} more with an unknown outcome" if lost else calls),
        ("models", _named(found["calls_by_model"])),
        *_over_time(found["timeline"]),
        ("shards", shards),
        ("verdict", _judged(found["verdict"], counts)),
    ]


def _over_time(timeline: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return the pace of all starts as a row of blocks, and the cost of each stage."""
    rates = [
        pairs * 60 / start["step_s"] for start in timeline["starts"] for pairs in start["pairs"]
    ]
    lines = []
    if any(rates):
        refused = sum(sum(start["refused"]) for start in timeline["starts"])
        means = _means(rates)
        told = f"{_blocks(means)}  up to {max(means):,.0f} pairs a minute, {refused:,} refusals"
        lines.append(("pace", told))
    stages: Counter[str] = Counter()
    for one in timeline["stages"]:
        stages[stage_name(one["stage"])] += one["prompt_tokens"] + one["completion_tokens"]
    if len(stages) > 1:
        total = stages.total() or 1
        told = ", ".join(f"{n / total:.0%} {name}" for name, n in stages.most_common(8))
        lines.append(("tokens by stage", told))
    return lines


def _means(rates: Sequence[float]) -> list[float]:
    """Means of equal parts, as many as a line has room for."""
    cells = min(_CELLS, len(rates))
    parts = (
        rates[at * len(rates) // cells : (at + 1) * len(rates) // cells] for at in range(cells)
    )
    return [sum(part) / len(part) for part in parts]


def _blocks(values: Sequence[float]) -> str:
    """Draw a chart of one line, on a scale from 0 to the highest."""
    highest = max(values) or 1.0
    return "".join(_BLOCKS[round(value / highest * (len(_BLOCKS) - 1))] for value in values)


def _judged(verdict: Mapping[str, Any] | None, counts: RunCounts) -> str:
    if verdict is None and counts.ended and not counts.pairs:
        return "nothing to judge: no pair was kept"
    if verdict is None:
        return "not judged yet; run pairmill report"
    return sanitize(RunVerdict(**verdict).line, 400)


def _spent(found: Mapping[str, Any], counts: RunCounts) -> str:
    if found["usd"] is None:
        return "no price known"
    spent = f"${found['usd']:,.4f}"
    if found["usd_expected"] is not None and counts.to_do:
        spent += f" of about ${found['usd_expected']:,.2f}"
    if found["usd_in_doubt"]:
        doubt = f"${found['usd_in_doubt']:,.4f}"
        spent += f" (plus at most {doubt} for calls whose outcome or token count is unknown)"
    return spent


def _named(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count:,} {name}" for name, count in counts.items()) or "none"
