"""The quality report of a run folder, from what the folder itself knows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import orjson

from pairmill.config import Settings
from pairmill.errors import InputError, PairmillError
from pairmill.llm.prices import PICO
from pairmill.output.facts import RunFacts, cost_usd, counted
from pairmill.output.qc.limits import Status
from pairmill.output.qc.read import Fields, Pairs, to_pair
from pairmill.output.qc.report import check, shown
from pairmill.output.report import write_report
from pairmill.output.rows import published_shards
from pairmill.output.run_inputs import find_chunks
from pairmill.output.sample import random_rows
from pairmill.quality.trust import parse_figures
from pairmill.quality.verdict import Check
from pairmill.recipes.registry import make_recipe
from pairmill.store.counts import RunCounts, add_up, count_run
from pairmill.store.fields import read_fields
from pairmill.store.folder import read_folder
from pairmill.store.lookup import Lookup
from pairmill.store.manifest import read_totals

if TYPE_CHECKING:
    from pathlib import Path

    from pairmill.output.qc.report import Metric
    from pairmill.recipes.recipe import Recipe
    from pairmill.store.entries import Totals
    from pairmill.store.folder import RunFolder

__all__ = ["read_facts", "report_on"]

JUDGED_ROWS = 5_000  # of which the verdicts are taken: held in memory, and judged in seconds


def report_on(path: Path, *, version: str, seed: int = 0) -> Path:
    """Write ``report.html`` for a run that has ended, or for what is published of one that goes on.

    Returns:
        Where it is.

    Raises:
        FolderError: There is no run folder, or a shard cannot be read.
        InputError: Nothing is published yet.
        StorageError: The disk refused.
    """
    folder = read_folder(path)
    if not published_shards(folder.path):
        raise InputError(f"{path} holds no published pairs yet")
    return write_report(
        folder.path,
        read_facts(folder, version),
        checks=_verdicts(folder.path, seed),
        find_chunks=lambda ids: {
            key: chunk.text for key, chunk in find_chunks(folder, ids).items()
        },
        seed=seed,
    )


def read_facts(folder: RunFolder, version: str) -> RunFacts:
    """What a run folder knows of its run: from its ledger, its manifest and its settings.

    Raises:
        FolderError: The ledger cannot be read.
    """
    totals, counts = _sums(folder)
    told = _manifest_facts(folder)
    settings = _settings(folder)
    recipe = _recipe(settings, folder)
    return RunFacts(
        recipe=str(told.get("recipe") or (recipe.name if recipe else "unknown")),
        prompt_version=str(
            told.get("prompt_version") or (recipe.prompt_version if recipe else "unknown")
        ),
        models=tuple(totals.models),
        version=version,
        **counted(counts),
        usage=totals.usage,
        cost_usd=cost_usd(totals.bill, settings.prices if settings else None),
        doubt_usd=totals.bill.doubt_picodollars / PICO,
        figures=parse_figures(folder.read_figures()),
        fields=read_fields(folder.state),
        finished=bool(told.get("finished")),
    )


def _sums(folder: RunFolder) -> tuple[Totals, RunCounts]:
    """All sums and counts; if there is no ledger, those sums that the manifest has."""
    if not folder.ledger.exists():
        totals = read_totals(folder.manifest)
        return totals, add_up(folder, totals, {})
    with Lookup(folder.ledger) as lookup:
        totals = lookup.totals()
        return totals, count_run(folder, lookup, totals)


def _verdicts(folder: Path, seed: int) -> list[Check]:
    """The figures of ``qc`` on a sample of the rows, those without a good or bad left out."""
    rows = random_rows(folder, JUDGED_ROWS, seed)
    pairs = [pair for row in rows if (pair := to_pair(row, Fields(), None))]
    report = check(Pairs(pairs, len(rows) - len(pairs)))
    return [_verdict(metric) for metric in report.metrics if metric.status is not Status.INFO]


def _verdict(metric: Metric) -> Check:
    if metric.status is Status.OK:
        return Check(metric.limit.label, shown(metric), "ok")
    status: Literal["warn", "fail"] = "warn" if metric.status is Status.WARN else "fail"
    return Check(metric.limit.label, shown(metric), status, metric.limit.hint)


def _manifest_facts(folder: RunFolder) -> dict[str, Any]:
    """What the run wrote of itself when it last ended; {} while it has not."""
    try:
        facts = orjson.loads(folder.manifest.read_bytes())["facts"]
    except (OSError, ValueError, TypeError, KeyError):
        return {}
    return facts if isinstance(facts, dict) else {}


def _settings(folder: RunFolder) -> Settings | None:
    try:
        return Settings.model_validate_json(folder.resolved.read_bytes())
    except (OSError, ValueError):
        return None


def _recipe(settings: Settings | None, folder: RunFolder) -> Recipe | None:
    try:
        return make_recipe(settings, folder.state / "recipe") if settings else None
    except PairmillError:
        return None
