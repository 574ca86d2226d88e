"""The quality report of a run folder, from what the folder itself knows."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import orjson

from pairmill.config import Settings
from pairmill.errors import InputError, PairmillError
from pairmill.llm.prices import PICO
from pairmill.output.card import write_card
from pairmill.output.facts import RunFacts, cost_usd, counted, read_sums
from pairmill.output.qc.inputs import documents_for, pairs_in
from pairmill.output.qc.read import read_pairs
from pairmill.output.qc.report import check, run_verdict
from pairmill.output.report.page import Judged, write_report
from pairmill.output.report.pairs import findings_by_place, list_pairs
from pairmill.output.rows import published_shards
from pairmill.output.run_inputs import find_chunks
from pairmill.quality.trust import parse_figures
from pairmill.recipes.registry import make_recipe
from pairmill.store.fields import read_fields
from pairmill.store.folder import read_folder
from pairmill.store.verdict import keep_verdict, read_verdict

if TYPE_CHECKING:
    from pathlib import Path

    from pairmill.recipes.recipe import Recipe
    from pairmill.store.folder import RunFolder

__all__ = ["read_facts", "report_on"]

JUDGED_ROWS = 20_000  # of more, the verdict is taken of a sample: half a minute's work


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
    judged = judge_folder(folder, seed)
    if judged.quality is not None:
        keep_verdict(folder, run_verdict(judged.quality))
    facts = read_facts(folder, version)
    if facts.finished:  # else the run itself writes the card again
        write_card(folder.path, facts)
    return write_report(folder.path, facts, judged)


def judge_folder(folder: RunFolder, seed: int = 0) -> Judged:
    """Measure a run's published pairs as ``qc`` does, and choose those to list.

    Raises:
        FolderError: A shard cannot be read.
        InputError: Nothing is published yet.
    """
    pairs = read_pairs(pairs_in(folder.path))
    sample = None
    if len(pairs.rows) > JUDGED_ROWS:
        sample = JUDGED_ROWS
        rows = random.Random(seed).sample(pairs.rows, sample)  # noqa: S311 (no secret)
        pairs = replace(pairs, rows=rows)
    texts, reason = documents_for(folder.path, (), None)
    quality = check(pairs, documents=texts, no_documents=reason)
    found = findings_by_place(quality, [row.place for row in pairs.rows])
    listed, how = list_pairs(
        folder.path,
        found,
        lambda ids: {at: chunk.text for at, chunk in find_chunks(folder, ids).items()},
        seed=seed,
    )
    return Judged(quality, sample, listed, how)


def read_facts(folder: RunFolder, version: str) -> RunFacts:
    """What a run folder knows of its run: from its ledger, its manifest and its settings.

    Raises:
        FolderError: The ledger cannot be read.
    """
    totals, counts = read_sums(folder)
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
        verdict=read_verdict(folder),
        finished=bool(told.get("finished")),
    )


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
