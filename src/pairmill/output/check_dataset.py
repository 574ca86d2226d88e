"""Check a dataset: read it, measure it, and write findings, a cleaned copy and a page."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from pairmill.errors import InputError, StorageError, UsageError
from pairmill.output.facts import why_nothing_published
from pairmill.output.marks.overlay import is_run_folder, read_marks
from pairmill.output.marks.rescue import rescued_records
from pairmill.output.qc.findings import clean as clean_dataset
from pairmill.output.qc.findings import parse_keys, write_findings
from pairmill.output.qc.read import Fields, documents_for, pairs_in, phrases_in, read_pairs
from pairmill.output.qc.report import check, run_verdict
from pairmill.output.qc.variety import Profile
from pairmill.output.related import choose_embedder
from pairmill.output.report.page import Judged, render_dataset
from pairmill.output.report.pairs import list_rows
from pairmill.output.rows import published_shards
from pairmill.store.files import write_text
from pairmill.store.folder import read_folder
from pairmill.store.verdict import keep_verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from pairmill.output.qc.read import Pairs
    from pairmill.output.qc.report import Report

__all__ = ["check_dataset"]

_USUAL = Fields()


def check_dataset(
    path: Path,
    documents: Sequence[str] = (),
    *,
    text_field: str | None = None,
    fields: Fields = _USUAL,
    examples: Path | None = None,
    near: str = "words",
    profile: str | None = None,
    rows: Path | None = None,
    clean: Path | None = None,
    drop: str = "",
    html: Path | None = None,
    run_code: bool = False,
    version: str = "",
    progress: Callable[[str, int, int | None], None] | None = None,
) -> tuple[Report, list[str]]:
    """Read a dataset, measure it, and write its findings and what is left without them.

    Args:
        path: The dataset, or a run folder.
        documents: What it was made from; not needed for a run folder.
        text_field: The documents' field that holds the text.
        fields: Names of the fields, if they are not detected.
        examples: A file with phrases of the prompt's own examples, one a line.
        near: ``words``, or ``embed`` to find repeats with a similar meaning too.
        profile: ``grounded`` or ``general``; None: detected.
        rows: Where to write every finding, or None.
        clean: Where to write the dataset without bad rows, or None.
        drop: Figures whose rows go, with commas between; "" for the usual ones.
        run_code: Whether Python code that a run folder names may run, to read its inputs.
        html: Where to write a page with the figures and the pairs, or None.
        version: Of pairmill, for the page.
        progress: Called periodically with the step, and the number of records done and in all.

    Returns:
        The report, and a line on each file that was written.

    Raises:
        PairmillError: A name is unknown, something cannot be read, or the disk refused.
    """
    if profile is not None and profile not in set(Profile):
        raise UsageError(f"--profile: needs one of {', '.join(Profile)}")
    if clean is not None and clean.exists():
        raise UsageError(f"{clean} already exists; give --clean a new place")
    keys = parse_keys(drop)
    embed = choose_embedder(near)
    tell = progress or (lambda _what, _done, _total: None)
    source = pairs_in(path)
    marks = read_marks(path)
    if is_run_folder(path) and not published_shards(path) and not marks.wanted_rejects():
        raise InputError(why_nothing_published(path))
    pairs = read_pairs(
        source,
        fields,
        progress=lambda done: tell("read", done, None),
        marks=marks,
        more=rescued_records(path, marks),
    )
    texts, why_none = documents_for(path, documents, text_field, run_code=run_code)
    report = check(
        pairs,
        documents=texts,
        examples=phrases_in(examples) if examples else (),
        embed=embed,
        profile=Profile(profile) if profile else None,
        no_documents=why_none,
        progress=lambda done: tell("checked", done, len(pairs.rows)),
    )
    if not documents and profile is None and is_run_folder(path):
        with suppress(StorageError):  # it may be another's folder, that can only be read
            keep_verdict(read_folder(path), run_verdict(report))
    lines = []
    if rows is not None:
        lines.append(f"{write_findings(rows, report, pairs):,} findings in {rows}")
    if clean is not None:
        more = rescued_records(path, marks)
        kept, dropped = clean_dataset(source, clean, report, pairs, keys, marks, more)
        lines.append(f"{kept:,} records in {clean}, {dropped:,} left out")
    if html is not None:
        lines.append(_write_page(html, path, report, pairs, version))
    return report, lines


def _write_page(html: Path, path: Path, report: Report, pairs: Pairs, version: str) -> str:
    """Write the page with figures and pairs, and return a line that says where it is."""
    listed, how = list_rows(pairs.rows, report)
    page = render_dataset(path.resolve().name, Judged(report, None, listed, how), version)
    write_text(html, page)
    return f"the page is {html}"
