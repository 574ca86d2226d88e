"""``manifest.json``: what was published, with checksums, and its cost."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

import orjson

from pairmill.records import Usage
from pairmill.store.chain import read_manifest
from pairmill.store.charges import Bill
from pairmill.store.counts import RunCounts, add_up, count_run
from pairmill.store.entries import Totals
from pairmill.store.files import DISK, Files, atomic_write
from pairmill.store.side_files import FORMATS

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from pairmill.store.entries import ShardRecord
    from pairmill.store.folder import RunFolder
    from pairmill.store.ledger import LedgerReader

__all__ = ["read_manifest_counts", "read_manifest_usd", "read_totals", "write_manifest"]

_PICO = 10**12


def write_manifest(
    folder: RunFolder,
    lookup: LedgerReader,
    *,
    facts: Mapping[str, object],
    usd: float | None = None,
    counts: RunCounts | None = None,
    files: Files = DISK,
) -> None:
    """Replace the manifest atomically.

    Args:
        folder: Where to.
        lookup: The ledger, for shards and totals.
        facts: What only the caller knows, as plain JSON values: prompt versions, recipe, settings,
            cost. All of it is written, so it must not hold secrets.
        usd: Cost of all calls in dollars; None if a price is unknown.
        counts: The run's, if the caller has them.
        files: The operations on the disk.

    Raises:
        StorageError: The disk refused.
        FolderError: The ledger is damaged.
    """
    totals, chain = lookup.totals(), lookup.chain()
    shards = [_shard(folder, record) for record in lookup.shards() if record.closed]
    document = {
        "format": FORMATS["manifest.json"],
        "version": folder.version,
        "chain": {"ledger": chain.id, "generation": chain.generation} if chain else None,
        "origin": _origin(folder),
        "shards": shards,
        "pairs": totals.pairs,
        "counts": (counts or count_run(folder, lookup, totals)).to_json(),
        "units": totals.units,
        "rejected": totals.reasons,
        "calls": totals.calls,
        "tokens": {
            "prompt": totals.usage.prompt_tokens,
            "completion": totals.usage.completion_tokens,
            "cached": totals.usage.cached_tokens,
        },
        "cost": {
            "usd": _dollars(usd),
            "usd_in_doubt": _dollars(totals.bill.doubt_picodollars / _PICO),
            "tokens_in_doubt": totals.bill.doubt_tokens,
            "empty_calls": totals.bill.empty,
            "lost_calls": totals.bill.lost,
        },
        "models": totals.models,
        "facts": dict(facts),
    }
    options = orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE
    atomic_write(folder.manifest, orjson.dumps(document, option=options), files=files)


def read_totals(path: Path) -> Totals:
    """Return the sums in a manifest, for a folder without a ledger; zeros if it has none."""
    found = read_manifest(path)
    tokens, units, reasons, models = (
        _counts(found.get(name)) for name in ("tokens", "units", "rejected", "models")
    )
    usage = Usage(*(tokens.get(name, 0) for name in ("prompt", "completion", "cached")))
    calls = _counts(found).get("calls", 0)
    return Totals(
        units=units,
        reasons=reasons,
        pairs=_counts(found).get("pairs", 0),
        calls=calls,
        usage=usage,
        models=models,
        bill=Bill(calls, 0, 0, 0, usage, 0, {}, 0, 0),
    )


def read_manifest_counts(folder: RunFolder) -> RunCounts:
    """Return the counts of a folder without a ledger, as written at the end of its last start.

    For a manifest of an early version without counts, they are computed from its totals.
    """
    found = read_manifest(folder.manifest)
    try:
        return RunCounts.from_json(found["counts"])
    except (LookupError, TypeError, AttributeError):
        return add_up(folder, read_totals(folder.manifest), {})


def read_manifest_usd(path: Path) -> float | None:
    """Return the cost of a run's calls in dollars, from its manifest; None if unknown."""
    cost = read_manifest(path).get("cost")
    usd = cost.get("usd") if isinstance(cost, dict) else None
    return float(usd) if isinstance(usd, int | float) else None


def _counts(value: object) -> dict[str, int]:
    found = value.items() if isinstance(value, dict) else ()
    return {str(name): count for name, count in found if type(count) is int and count >= 0}


def _origin(folder: RunFolder) -> dict[str, object]:
    """Return what is needed to rebuild a lost ``.run/``: settings and recipes' identities."""
    found: dict[str, object] = {"settings": {}, "identities": []}
    known = ("settings", folder.settings), ("identities", folder.origin), ("prompts", folder.origin)
    for name, path in known:
        with suppress(OSError, orjson.JSONDecodeError, KeyError, TypeError):
            found[name] = orjson.loads(path.read_bytes())[name]
    return found


def _shard(folder: RunFolder, record: ShardRecord) -> dict[str, object]:
    return {
        "name": f"{folder.published(record.kind).name}/{record.name}",
        "rows": record.rows,
        "bytes": record.bytes,
        "sha256": record.sha256,
    }


def _dollars(amount: float | None) -> float | None:
    return None if amount is None else round(amount, 6)
