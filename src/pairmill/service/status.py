"""How far a run is, read from its ledger; works beside a running process, and after it."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import orjson
from rich.console import Console
from rich.table import Table

from pairmill.plain import plain
from pairmill.quality.trust import parse_figures, verdicts
from pairmill.service.verdicts import print_checks
from pairmill.store.folder import read_folder
from pairmill.store.lookup import Lookup

if TYPE_CHECKING:
    from pathlib import Path

    from pairmill.store.entries import Totals
    from pairmill.store.folder import RunFolder

__all__ = ["figures", "print_status"]


def print_status(path: Path, *, as_json: bool) -> None:
    """Print a run's figures: a table for people, or one JSON object.

    Raises:
        FolderError: There is no run folder, or its ledger cannot be read.
    """
    folder = read_folder(path)
    found = figures(folder)
    known = parse_figures(folder.read_figures())
    if as_json:
        found |= known.model_dump(mode="json") if known else {"judge": None, "evolve": None}
        sys.stdout.write(orjson.dumps(found, option=orjson.OPT_INDENT_2).decode() + "\n")
        return
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    table.add_column(style="dim")
    table.add_column()
    for name, value in found.items():
        table.add_row(name.replace("_", " "), plain(_shown(value)))
    console = Console(highlight=False)
    console.print(table)
    print_checks(verdicts(known), console)


def figures(folder: RunFolder) -> dict[str, object]:
    """The figures of ``status``, by stable names."""
    with Lookup(folder.ledger) as lookup:
        totals = lookup.totals()
        shards = lookup.shards()
    return {
        "folder": str(folder.path),
        "units": dict(totals.units),
        "pairs": totals.pairs,
        "rejections": dict(totals.reasons),
        "calls": totals.calls,
        "calls_by_model": dict(totals.models),
        **_tokens(totals),
        "published_shards": sum(shard.closed for shard in shards),
        "open_shards": sum(not shard.closed for shard in shards),
        "bytes": sum(shard.bytes for shard in shards),
    }


def _tokens(totals: Totals) -> dict[str, int]:
    usage = totals.usage
    return {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "cached_tokens": usage.cached_tokens,
    }


def _shown(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{count:,} {name}" for name, count in value.items()) or "none"
    return f"{value:,}" if isinstance(value, int) else str(value)
