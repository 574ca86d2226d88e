"""Check a dataset: read it, measure it, and write findings, a cleaned copy and a page.

`findings` are one line per row that a check names; the cleaned copy leaves these rows out.
"""

from __future__ import annotations

import os
from contextlib import contextmanager, suppress
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from pairmill.errors import InputError, StorageError, UsageError
from pairmill.output.facts import why_nothing_published
from pairmill.output.marks.overlay import Marks, RecordMarks, is_run_folder, read_marks
from pairmill.output.marks.rescue import rescued_records
from pairmill.output.qc.limits import DROPPED, LIMITS
from pairmill.output.qc.read import (
    Fields,
    documents_for,
    pairs_in,
    phrases_in,
    read_pairs,
    records_in,
)
from pairmill.output.qc.report import check, run_verdict
from pairmill.output.qc.variety import Profile
from pairmill.output.related import choose_embedder
from pairmill.output.report.page import Judged, render_dataset
from pairmill.output.report.pairs import list_rows
from pairmill.output.rows import published_shards
from pairmill.quality.privacy import redact
from pairmill.store.files import write_text
from pairmill.store.folder import read_folder
from pairmill.store.verdict import keep_verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from typing import BinaryIO

    from pairmill.output.qc.read import Pairs
    from pairmill.output.qc.report import Report
    from pairmill.output.qc.variety import Hit
    from pairmill.output.rows import Place, Record

__all__ = ["check_dataset", "finding_rows", "parse_keys", "write_clean", "write_findings"]

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
        kept, dropped = write_clean(source, clean, report, pairs, keys, marks, more)
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


_EXCERPT_CHARS = 200


def finding_rows(report: Report, pairs: Pairs) -> Iterator[dict[str, Any]]:
    """Yield the findings of all figures, worst figures first: place, kind and an excerpt.

    Personal data and secrets are replaced in the excerpts.
    """
    for metric in report.by_severity:
        for hit in metric.hits:
            row = pairs.rows[hit.row - 1]
            asked, said = row.exchanges[hit.exchange]
            is_request = metric.key in _OF_REQUESTS or hit.detail.startswith("the instruction")
            yield {
                "file": row.place.file,
                "line": row.place.line,
                "check": metric.key,
                "status": metric.status.value,
                "number": hit.number,
                "found": _found(hit, pairs),
                "exchange": hit.exchange + 1,
                "excerpt": _excerpt(asked if is_request else said),
            }


_OF_REQUESTS = frozenset(
    {"exact_repeats", "near_repeats", "alike_meanings", "common_phrase", "train_test_leak"}
)


def write_findings(path: Path, report: Report, pairs: Pairs) -> int:
    """Write `finding_rows` as JSONL, with the records that hold no pair; return how many.

    Raises:
        StorageError: The disk refused.
    """
    count = 0
    with _written(path) as file:
        for place in pairs.bad:
            unreadable = {
                "file": place.file, "line": place.line, "check": "unreadable", "status": "fail",
                "number": None, "found": "holds no pair that can be read", "exchange": 0,
                "excerpt": "",
            }  # fmt: skip
            file.write(orjson.dumps(unreadable, option=orjson.OPT_APPEND_NEWLINE))
            count += 1
        for row in finding_rows(report, pairs):
            file.write(orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE))
            count += 1
    return count


def parse_keys(given: str) -> tuple[str, ...]:
    """Parse the figures whose rows are removed, from comma-separated names.

    Raises:
        UsageError: One of them is no figure, or none of single rows.
    """
    if not given:
        return DROPPED
    if given == "none":
        return ()
    keys = tuple(key.strip() for key in given.split(",") if key.strip())
    for key in keys:
        if key not in LIMITS:
            raise UsageError(f"--drop: unknown figure '{key}'; known: {', '.join(LIMITS)}")
    return keys


def write_clean(
    source: Path,
    target: Path,
    report: Report,
    pairs: Pairs,
    keys: tuple[str, ...] = DROPPED,
    marks: Marks | None = None,
    more: Iterable[Record] = (),
) -> tuple[int, int]:
    """Write a dataset again without the records in which certain figures found something.

    A record keeps its bytes if it was a line of JSONL; else it becomes one. A file becomes a file,
    a folder a folder. Records that hold no pair are left out as well, and those that a person
    rejected; edited ones are written with their new texts.

    Args:
        source: What the pairs were read from.
        target: Must not exist.
        report: Of these pairs.
        pairs: What was read.
        keys: Figures whose findings go.
        marks: Those with which the pairs were read.
        more: The further records that were read with them; they become files of their own.

    Returns:
        How many records were kept, and how many left out.

    Raises:
        UsageError: The target is there already.
        StorageError: The disk refused.
    """
    if target.exists():
        raise UsageError(f"{target} already exists; give --clean a new place")
    out: set[Place] = set(pairs.bad)
    for metric in report.metrics:
        if metric.key in keys:
            out.update(pairs.rows[hit.row - 1].place for hit in metric.hits)
    kept = dropped = 0
    overlay = RecordMarks(marks or Marks())
    records = chain(records_in(source), more)
    record = next(records, None)
    while record is not None:
        file = record.place.file
        place = target if source.is_file() else target / _name_in(source, Path(file))
        with _written(place) as stream:
            while record is not None and record.place.file == file:
                wanted = overlay.apply(record)
                if wanted is None or record.place in out:
                    dropped += 1
                else:
                    line = wanted.raw or orjson.dumps(wanted.value, default=str)
                    stream.write(line if line.endswith(b"\n") else line + b"\n")
                    kept += 1
                record = next(records, None)
    return kept, dropped


def _name_in(source: Path, file: Path) -> Path:
    """Return the name of a file below the target; one from elsewhere is named as rescued."""
    if file.is_relative_to(source):
        return _as_lines(file.relative_to(source))
    return _as_lines(Path(f"train-rescued-{file.name.rpartition('-')[2]}"))


def _as_lines(name: Path) -> Path:
    """Return the name of a file once its records are lines."""
    bare = name.name.removesuffix(".gz")
    return name.with_name(bare if bare.endswith((".jsonl", ".ndjson")) else f"{bare}.jsonl")


def _found(hit: Hit, pairs: Pairs) -> str:
    words = hit.detail.split(" record ")
    if len(words) == 2 and words[1].isdigit():  # noqa: PLR2004 (before and behind it)
        place = pairs.rows[int(words[1]) - 1].place
        return f"{words[0]} {place.file}:{place.line}" if place.line else hit.detail
    return hit.detail


def _excerpt(text: str) -> str:
    shown = redact(text[: 2 * _EXCERPT_CHARS])[0]
    return shown if len(shown) <= _EXCERPT_CHARS else f"{shown[:_EXCERPT_CHARS]}…"


@contextmanager
def _written(path: Path) -> Iterator[BinaryIO]:
    """Open a file that is written completely or not at all."""
    half = path.with_name(f".{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with half.open("wb") as file:
            yield file
        os.replace(half, path)  # noqa: PTH105 (over what is there)
    except OSError as error:
        raise StorageError(f"cannot write {path}: {error.strerror}") from None
    finally:
        half.unlink(missing_ok=True)
