"""``pairmill retry``: retries rejected units, and nothing else."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import orjson

from pairmill.display import sanitize
from pairmill.errors import FolderError, UsageError
from pairmill.run.origin import read_origin
from pairmill.sources.files import STANDARD_INPUT
from pairmill.store.counts import count_run
from pairmill.store.entries import UnitKey
from pairmill.store.folder import read_folder
from pairmill.store.shards import read_lines
from pairmill.store.side_files import read_last_settings

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from pairmill.config import Settings
    from pairmill.store.entries import ShardRecord
    from pairmill.store.folder import RunFolder

__all__ = ["RetryRequest", "begun", "prepare"]


@dataclass(frozen=True, slots=True)
class RetryRequest:
    """Rejected units to retry, and the settings for that.

    Attributes:
        begun: Settings that the folder was begun with; it keeps them.
        reason: Reason of the rejection; None: any.
        units: Ids of the units with this reason, if one is given.
    """

    begun: Settings
    reason: str | None = None
    units: frozenset[str] | None = None


def prepare(
    path: Path, *, reason: str | None = None, model: str | None = None
) -> tuple[Settings, RetryRequest, Path | None]:
    """Find out how to retry a folder's rejected units.

    Returns:
        The settings to run with; what to retry; and the working directory that the inputs' names
        are relative to, if known.

    Raises:
        FolderError: It is not a run folder, or its settings cannot be read.
        UsageError: No chunk without a pair was rejected for this reason.
    """
    folder = read_folder(path)
    settings = begun(folder)
    units = _rejected_for(folder, reason)
    changes = {
        "model": model or settings.model,
        "pools": tuple(pool for pool in settings.pools if model in {None, pool.model}),
        "recipe": settings.recipe_name,  # a different model does not select a different recipe
        "limit": None,
        "limit_per_document": None,
        "accept_change": False,
        "output": path.absolute(),
        # A copy of a run on an object store is a run of its own.
        "store": settings.store if path.absolute() == settings.output.absolute() else None,
    }
    own = settings.model_copy(update={"accept_change": False})
    place = read_origin(folder).place
    known_place = place if place and place.is_dir() else None
    return settings.model_copy(update=changes), RetryRequest(own, reason, units), known_place


def begun(folder: RunFolder) -> Settings:
    """Return the settings of a folder's last start.

    Raises:
        FolderError: They cannot be read.
    """
    settings = read_last_settings(folder)
    if settings is None:
        raise FolderError(
            f"{folder.resolved}: missing or damaged; run 'pairmill run' once more with the inputs"
        )
    if STANDARD_INPUT in settings.inputs:
        raise UsageError(
            f"{folder.path}: made from standard input, which cannot be read again; give a file to"
            " 'pairmill run' if you have it"
        )
    return settings


def _rejected_for(folder: RunFolder, reason: str | None) -> frozenset[str] | None:
    """Return the units to retry for a reason; None: all rejected ones.

    A chunk with other pairs is not retried, since those are in a shard.
    """
    with folder.read_ledger() as lookup:
        totals, shards, pending = lookup.totals(), lookup.shards(), lookup.reopened()
        if reason is None and (totals.reasons or pending):
            return None
        counts = count_run(folder, lookup, totals)
        named = _units_with(folder, shards, reason) if reason is not None else {}
        known = lookup.known([UnitKey(unit, line.chunk) for unit, line in named.items()])
    bare = frozenset(unit for unit, pairs in known.pairs.items() if not pairs)
    if bare or pending:
        return bare
    kept = sum(named[unit].is_pair for unit in known.pairs)
    if kept:
        raise UsageError(
            f"{folder.path}: what was dropped as '{reason}' is of {kept:,} chunks that gave"
            " other pairs; retry only asks again about chunks without a pair"
        )
    reasons = Counter(counts.rejected) + Counter(counts.empty_reasons) + Counter(counts.dropped)
    there = ", ".join(f"{count:,} {sanitize(name)}" for name, count in reasons.most_common())
    if not there:
        raise UsageError(
            f"{folder.path}: nothing to ask again: no chunk was rejected, and no pair dropped"
        )
    if reason is None:
        raise UsageError(
            f"{folder.path}: no chunk was rejected; to ask chunks again for another reason, name"
            f" it with --reason; there is: {there}"
        )
    raise UsageError(
        f"{folder.path}: nothing was rejected as '{sanitize(reason, 40)}'; there is: {there}"
    )


class _Line(NamedTuple):
    """A line of ``rejected/``: its chunk, and whether it concerns a single pair."""

    chunk: str
    is_pair: bool


def _units_with(folder: RunFolder, shards: Sequence[ShardRecord], reason: str) -> dict[str, _Line]:
    """Return unit to the line in ``rejected/`` with its reason.

    Of a retried chunk, only the last answers count.
    """
    found: dict[str, _Line] = {}
    closed: set[str] = set()  # end of a unit's answers
    for line in read_lines(folder, shards, "rejected"):
        row = orjson.loads(line)
        unit = row["id"]
        if unit in closed:
            closed.discard(unit)
            found.pop(unit, None)
        if row["reason"] == reason:
            found[unit] = _Line(row["chunk_id"], not row["whole_unit"])
        if row["whole_unit"]:
            closed.add(unit)
    return found
