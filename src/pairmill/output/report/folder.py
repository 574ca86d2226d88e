"""The quality report of a run folder, from the folder's own data."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import orjson

from pairmill.errors import InputError, PairmillError
from pairmill.llm.prices import PICO
from pairmill.output.authorship import keep_voice
from pairmill.output.card import write_card
from pairmill.output.export_summary import read_exports
from pairmill.output.facts import RunFacts, cost_usd, counted, read_sums, why_nothing_published
from pairmill.output.marks.overlay import read_marks
from pairmill.output.marks.rescue import rescued_records
from pairmill.output.origins import read_run_origins
from pairmill.output.qc.read import documents_for, pairs_in, read_pairs
from pairmill.output.qc.report import check, run_verdict
from pairmill.output.report.page import Judged, write_report
from pairmill.output.report.pairs import findings_by_place, list_pairs
from pairmill.output.rows import published_shards
from pairmill.output.source_texts import find_chunks, has_code
from pairmill.quality.trust import parse_figures
from pairmill.recipes.make import make_recipe
from pairmill.store.folder import read_folder
from pairmill.store.row_encoding import read_fields
from pairmill.store.side_files import read_last_settings
from pairmill.store.timeline import read_timeline
from pairmill.store.verdict import keep_verdict, read_verdict

if TYPE_CHECKING:
    from pathlib import Path

    from pairmill.config import Settings
    from pairmill.output.marks.overlay import Marks
    from pairmill.output.qc.report import Report
    from pairmill.output.report.pairs import Finding
    from pairmill.output.rows import Place
    from pairmill.recipes.recipe import Recipe
    from pairmill.store.folder import RunFolder

__all__ = ["judge_folder", "measure_quality", "read_facts", "report_on"]

JUDGED_ROWS = 20_000  # of more, the verdict is taken of a sample: half a minute's work


def report_on(path: Path, *, version: str, seed: int = 0, run_code: bool = False) -> Path:
    """Write ``report.html`` for a finished run, or for the published part of a running one.

    Args:
        path: The run folder.
        version: Of pairmill.
        seed: Chooses the pairs that are listed.
        run_code: Whether Python code named by the folder (its recipe, sources) may run.

    Returns: Its path.

    Raises:
        FolderError: It is not a run folder, or a shard cannot be read.
        InputError: Nothing is published yet.
        StorageError: The disk refused.
    """
    folder = read_folder(path)
    if not published_shards(folder.path) and not published_shards(folder.path, "rejected"):
        raise InputError(why_nothing_published(path))
    judged = judge_folder(folder, seed, run_code=run_code)
    if judged.quality is not None:
        keep_verdict(folder, run_verdict(judged.quality))
    keep_voice(folder)
    facts = read_facts(folder, version, run_code=run_code)
    if facts.finished:  # else the run itself writes the card again
        origins = read_run_origins(folder)
        languages = origins.languages if origins else ()
        write_card(folder.path, replace(facts, origins=origins, languages=languages))
    return write_report(folder.path, facts, judged)


def measure_quality(
    path: Path, marks: Marks, seed: int = 0, *, run_code: bool = False
) -> tuple[Report, dict[Place, list[Finding]], int | None]:
    """Measure a run's published pairs, or any dataset, as ``qc`` does.

    Args:
        path: The run folder, or the dataset.
        marks: What people decided on it.
        seed: Of the sample that is taken of a large one.
        run_code: Whether Python code that a run folder names may run.

    Returns:
        The figures, what they found by place, and how many pairs were looked at where not all were.

    Raises:
        FolderError: A shard cannot be read.
        InputError: There is no pair.
    """
    pairs = read_pairs(
        pairs_in(path),
        marks=marks,
        more=rescued_records(path, marks),
        most=JUDGED_ROWS,
        seed=seed,
    )
    texts, reason = documents_for(path, (), None, run_code=run_code)
    quality = check(pairs, documents=texts, no_documents=reason)
    found = findings_by_place(quality, [row.place for row in pairs.rows])
    return quality, found, JUDGED_ROWS if pairs.is_sample else None


def judge_folder(folder: RunFolder, seed: int = 0, *, run_code: bool = False) -> Judged:
    """Measure a run's published pairs as ``qc`` does, and choose those to list.

    Raises:
        FolderError: A shard cannot be read.
        InputError: All that is published was rejected by people.
    """
    marks = read_marks(folder.path)
    quality: Report | None = None
    found: dict[Place, list[Finding]] = {}
    sample: int | None = None
    if published_shards(folder.path) or marks.wanted_rejects():
        quality, found, sample = measure_quality(folder.path, marks, seed, run_code=run_code)
    listed, how = list_pairs(
        folder.path,
        found,
        lambda ids: find_chunks(folder, ids, run_code=run_code),
        seed=seed,
        marks=marks,
    )
    return Judged(quality, sample, listed, how, marks)


def read_facts(folder: RunFolder, version: str, *, run_code: bool = False) -> RunFacts:
    """Read the facts of a run folder: from its ledger, its manifest and its settings.

    Args:
        folder: The run folder.
        version: Of pairmill.
        run_code: Whether a recipe in Python may be loaded for its version.

    Raises:
        FolderError: The ledger cannot be read.
    """
    totals, counts = read_sums(folder)
    told = _manifest_facts(folder)
    settings = _settings(folder)
    is_safe = run_code or (settings is not None and not has_code(settings))
    recipe = _recipe(settings, folder) if is_safe else None
    named = settings.recipe_name if settings else "unknown"
    return RunFacts(
        recipe=str(told.get("recipe") or (recipe.name if recipe else named)),
        prompt_version=str(
            told.get("prompt_version") or (recipe.prompt_version if recipe else "unknown")
        ),
        models=tuple(totals.models),
        version=version,
        **(counted(counts) if counts.ended else {}),
        usage=totals.usage,
        cost_usd=cost_usd(totals.bill, settings.prices if settings else None),
        doubt_usd=totals.bill.doubt_picodollars / PICO,
        figures=parse_figures(folder.read_figures(), folder.read_voice()),
        fields=read_fields(folder.state),
        verdict=read_verdict(folder),
        timeline=read_timeline(folder.timeline),
        exports=read_exports(folder.exports),
        finished=bool(told.get("finished")),
    )


def _manifest_facts(folder: RunFolder) -> dict[str, Any]:
    """Return what the run recorded when it last ended; {} if it has not ended."""
    try:
        facts = orjson.loads(folder.manifest.read_bytes())["facts"]
    except (OSError, ValueError, TypeError, KeyError):
        return {}
    return facts if isinstance(facts, dict) else {}


def _settings(folder: RunFolder) -> Settings | None:
    return read_last_settings(folder)


def _recipe(settings: Settings | None, folder: RunFolder) -> Recipe | None:
    try:
        return make_recipe(settings, folder.state / "recipe") if settings else None
    except PairmillError:
        return None
