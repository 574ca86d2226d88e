"""The Python API: what the commands do, as functions that return values.

Everything here may also be imported from ``pairmill`` itself. Errors that a user can fix are
`PairmillError`; the text says what to do.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pairmill import __version__
from pairmill.config import Settings, load
from pairmill.errors import PairmillError, PendingError, RejectedError, UsageError
from pairmill.events import Bus, Event
from pairmill.recipes.answers import AnswerModel
from pairmill.recipes.python_recipe import ChunkQuestion
from pairmill.recipes.recipe import Ask, Generator, Recipe
from pairmill.records import Chunk, Document, Message, Pair, Rejection
from pairmill.run.summary import Summary
from pairmill.sources.in_memory import as_paths

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

    from pairmill.output.export_options import ExportOptions
    from pairmill.output.export_summary import ExportSummary
    from pairmill.output.hub import HubTarget
    from pairmill.output.qc.report import Report
    from pairmill.run.generate import generate
    from pairmill.service.companions import Companion, PoolView, RunView
    from pairmill.service.estimate import Estimate, Pace
    from pairmill.service.tally import RunProgress
    from pairmill.sources.in_memory import Given

__all__ = [
    "AnswerModel",
    "Ask",
    "Bus",
    "Chunk",
    "ChunkQuestion",
    "Companion",
    "Document",
    "Event",
    "Generator",
    "Message",
    "Pair",
    "PairmillError",
    "PendingError",
    "PoolView",
    "Recipe",
    "RejectedError",
    "Rejection",
    "RunProgress",
    "RunView",
    "Settings",
    "Summary",
    "estimate",
    "estimate_settings",
    "export",
    "generate",
    "push",
    "qc",
    "report",
]


_OF_RUNS = {
    "generate": "pairmill.run.generate",
    "RunProgress": "pairmill.service.tally",
    **dict.fromkeys(("Companion", "PoolView", "RunView"), "pairmill.service.companions"),
}


def __getattr__(name: str) -> object:
    """Load what only a run needs on first use: exports start in half the time without."""
    if name not in _OF_RUNS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_OF_RUNS[name]), name)


def estimate(
    *inputs: Given,
    output: str | os.PathLike[str] = "dataset",
    **settings: Any,
) -> Estimate:
    """Estimate a run without a call: tokens, dollars and hours, each as a range.

    Args:
        inputs: As for `generate`. They are read completely.
        output: The run folder, if it exists: its finished work is not counted, but measured.
        settings: As for `generate`.

    Raises:
        PairmillError: The inputs or settings cannot be used.
    """
    if not inputs:
        raise UsageError("nothing to read: name files or folders")
    paths = as_paths(inputs, output)
    return estimate_settings(load(given={**settings, "inputs": paths, "output": str(output)}))


def estimate_settings(settings: Settings, pace: Pace | None = None) -> Estimate:
    """Estimate a run by its settings; see `estimate`.

    Args:
        settings: All of them.
        pace: How fast a pilot was answered, for hours where no limits were given.
    """
    from pairmill.llm.price_files import load_prices
    from pairmill.run.generate import run_blocking
    from pairmill.service.estimate import estimate as estimate_survey
    from pairmill.service.survey import survey

    prices = load_prices(settings.prices)
    models = {pool.model or settings.model for pool in settings.pools} or {settings.model}
    known = [prices.find(model, tier=settings.service_tier) for model in sorted(models)]
    return estimate_survey(
        run_blocking(survey, settings),
        settings,
        [price.at(time.time()) if price else None for price in known],
        pace,
    )


def export(
    folder: str | os.PathLike[str],
    to: str = "messages",
    output: str | os.PathLike[str] | None = None,
    *,
    near: str = "words",
    exact: bool = False,
    options: ExportOptions | None = None,
    run_code: bool = False,
) -> ExportSummary:
    """Write the pairs of a run folder as a dataset to train on: deduplicated, split, in one format.

    Args:
        folder: The run folder; it is only read.
        to: Name of the training format.
        output: A folder that is new, empty, or holds an earlier export; ``FOLDER-FORMAT`` if None.
        near: How near duplicates are found: ``words``, or ``embed`` for similar meaning too.
        exact: Drop only identical instructions, in constant memory.
        options: Split, thresholds and more; ``to`` overrides their ``shape``.
        run_code: Allow Python code that the folder names: its recipe and sources.

    Raises:
        PairmillError: There is no such format or no row, or the disk refused a write.
    """
    from dataclasses import replace
    from functools import partial

    from pairmill.output import export as exporting
    from pairmill.output.export_options import ExportOptions
    from pairmill.output.export_place import default_place
    from pairmill.output.related import choose_repeats, related_documents
    from pairmill.output.source_texts import read_source_texts

    source = Path(folder)
    return exporting.export(
        source,
        default_place(source, to) if output is None else Path(output),
        replace(options or ExportOptions(), shape=to),
        find_repeats=None if exact else choose_repeats(near),
        find_related=None if exact else related_documents,
        read_texts=partial(read_source_texts, source, run_code=run_code),
        version=__version__,
    )


def push(folder: str | os.PathLike[str], repo: str, *, public: bool = False) -> str:
    """Push an export to the Hugging Face hub as a dataset, in one commit; needs the extra ``hub``.

    Args:
        folder: An exported folder.
        repo: ``OWNER/NAME``; created if missing. An earlier export there is replaced, anything
            else is kept.
        public: True to create a public repository; else it is private.

    Returns:
        URL of the repository.

    Raises:
        PairmillError: It is not an export; or the hub refuses the token, holds something else
            under this name, or cannot be reached.
    """
    from pairmill.output.export_place import check_is_export
    from pairmill.output.hub import look_at_hub

    check_is_export(Path(folder))
    return push_to(Path(folder), look_at_hub(repo, public=public))


def push_to(export: Path, target: HubTarget) -> str:
    """Push an export to a repository that was checked; see `push`."""
    from pairmill.output.hub import push_to_hub

    return push_to_hub(export, target, __version__)


def qc(
    pairs: str | os.PathLike[str],
    documents: Sequence[str] = (),
    *,
    text_field: str | None = None,
    instruction_field: str | None = None,
    answer_field: str | None = None,
    examples: str | os.PathLike[str] | None = None,
    near: str = "words",
    profile: str | None = None,
    rows: str | os.PathLike[str] | None = None,
    clean: str | os.PathLike[str] | None = None,
    run_code: bool = False,
) -> Report:
    """Measure a dataset made by any tool, and judge each figure.

    Args:
        pairs: JSONL, JSON, CSV, Parquet, a folder of them, or a run folder.
        documents: Documents that the pairs were made from; not needed for a run folder.
        text_field: Field of the documents that holds the text.
        instruction_field: Field of the instruction, if it is not detected.
        answer_field: Field of the answer, if it is not detected.
        examples: A file with phrases of the prompt's own examples, one per line.
        near: How duplicates are found: ``words``, or ``embed`` for similar meaning too.
        profile: ``grounded`` or ``general``; None: detected.
        rows: File to write every finding to as a line of JSON, or None.
        clean: Place to write the dataset to without bad rows, or None.
        run_code: Allow Python code that the folder names: its recipe and sources.

    Raises:
        PairmillError: The files cannot be read, or hold no pairs.
    """
    from pairmill.output.check_dataset import check_dataset
    from pairmill.output.qc.read import Fields

    found, _ = check_dataset(
        Path(pairs),
        list(documents),
        text_field=text_field,
        fields=Fields(instruction_field, answer_field),
        examples=Path(examples) if examples else None,
        near=near,
        profile=profile,
        rows=Path(rows) if rows else None,
        clean=Path(clean) if clean else None,
        run_code=run_code,
    )
    return found


def report(folder: str | os.PathLike[str], *, seed: int = 0, run_code: bool = False) -> Path:
    """Write ``report.html`` into a run folder and return its path.

    Args:
        folder: The run folder.
        seed: Selects the pairs that are shown.
        run_code: Allow Python code that the folder names: its recipe and sources.

    Raises:
        PairmillError: It is not a run folder, or the disk refused a write.
    """
    from pairmill.output.report.folder import report_on

    return report_on(Path(folder), version=__version__, seed=seed, run_code=run_code)
