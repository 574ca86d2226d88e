"""Judges a dataset in its own process: the verdict, the figures, and the findings."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from pairmill.errors import PairmillError
from pairmill.output.marks.overlay import read_marks
from pairmill.output.qc.read import data_files, pairs_in
from pairmill.output.report.folder import measure_quality, read_facts
from pairmill.output.report.page import Judged, dataset_parts, run_parts, wanted_rows
from pairmill.output.report.row_counts import measure
from pairmill.output.rows import published_shards
from pairmill.output.view.indexer import JUDGED
from pairmill.store.folder import read_folder

if TYPE_CHECKING:
    from pairmill.output.view.place import ViewJob

__all__ = ["JUDGE_NOW", "judge", "judge_forever"]

JUDGE_NOW = "judge-now"
"""A file that is touched to have the dataset judged again."""
_POLL_S = 1.0
_LEAST_PAUSE_S = 60.0
_GROWTH = 1.2  # of a dataset, after which its figures are counted again
_NICENESS = 10
_NOTHING: dict[str, Any] = {"verdict": "", "figures": "", "findings": []}


def judge_forever(job: ViewJob) -> None:
    """Judge now, on request, and when the dataset has grown, until ended."""
    os.nice(_NICENESS)
    path, scratch = Path(job.path), Path(job.scratch)
    asked, size, judged_at = 0, -1, 0.0
    while True:
        now_asked, now_size = _asked(scratch), _size(path)
        pause = _LEAST_PAUSE_S if size > 0 else 0.0
        is_grown = now_size > size * _GROWTH and time.monotonic() - judged_at >= pause
        if size < 0 or now_asked != asked or is_grown:
            result = judge(path, job.version, is_run=job.is_run, run_code=job.run_code)
            _keep(scratch, result)
            asked, size, judged_at = now_asked, now_size, time.monotonic()
        time.sleep(_POLL_S)


def judge(path: Path, version: str, *, is_run: bool, run_code: bool = False) -> dict[str, Any]:
    """Return the verdict and the figures as HTML, and every finding by file and line."""
    if is_run and not published_shards(path):
        return {**_NOTHING, "note": "no shard is published yet; the verdict comes with the first"}
    try:
        marks = read_marks(path)
        quality, found, sample = measure_quality(path, marks, run_code=run_code)
        judged = Judged(quality, sample, marks=marks)
        if is_run:
            facts = read_facts(read_folder(path), version, run_code=run_code)
            parts = run_parts(facts, measure(wanted_rows(path, marks)), judged)
        else:
            parts = dataset_parts(judged)
    except (OSError, PairmillError) as error:
        return {**_NOTHING, "note": str(error)}
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        # Rows that no run writes: the pairs can be looked at all the same.
        return {**_NOTHING, "note": f"its rows cannot be measured ({type(error).__name__})"}
    findings = [[place.file, place.line, items] for place, items in found.items()]
    return {
        "note": "",
        "verdict": parts.verdict,
        "figures": parts.figures,
        "status": quality.status.value,
        "findings": findings,
    }


def _keep(scratch: Path, result: dict[str, Any]) -> None:
    part = scratch / f"{JUDGED}.part"
    part.write_bytes(orjson.dumps(result))
    part.replace(scratch / JUDGED)


def _asked(scratch: Path) -> int:
    try:
        return (scratch / JUDGE_NOW).stat().st_mtime_ns
    except OSError:
        return 0


def _size(path: Path) -> int:
    try:
        return sum(file.stat().st_size for file in data_files(pairs_in(path)))
    except (OSError, PairmillError):
        return 0
