"""Reads a dataset from files: JSONL (also gzipped), JSON, CSV, Parquet, Arrow, and folders."""

from __future__ import annotations

import csv
import gzip
import importlib
import io
import sys
import zlib
from collections import Counter
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Any

import orjson

from pairmill.chunking.reader import read_documents
from pairmill.config import load
from pairmill.errors import ConfigError, InputError
from pairmill.output.marks.overlay import Marks, RecordMarks, is_run_folder
from pairmill.output.qc.record_formats import (
    SPLITS,
    Fields,
    PairRow,
    read_record,
    to_pair,
    unread_fields,
)
from pairmill.output.rows import Place, Record
from pairmill.output.show import Reservoir
from pairmill.output.source_texts import find_inputs
from pairmill.sources.files import check_inputs
from pairmill.store.folder import read_folder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

    from pairmill.records import Document

__all__ = [
    "Fields",
    "PairRow",
    "Pairs",
    "data_files",
    "documents_for",
    "pairs_in",
    "phrases_in",
    "read_pairs",
    "records_in",
    "records_of",
    "to_pair",
]

_SUFFIXES = (".jsonl", ".ndjson", ".jsonl.gz", ".json", ".parquet", ".csv", ".tsv", ".arrow")
_NOT_DATA = frozenset(
    {"manifest.json", "dataset_info.json", "dataset_dict.json", "state.json", "report.json",
     "export.json", "figures.json"}
)  # fmt: skip
_NESTING = 8
_MANY = 0.1  # of the records: from here on a field that was not read is named
_SHOWN = 12
_USUAL = Fields()


@dataclass(frozen=True, slots=True)
class Pairs:
    """Result of reading.

    Attributes:
        rows: The pairs, in their order.
        unreadable: How many records held none.
        notes: One line each on what was left unread, and why.
        bad: Where the unreadable records are.
        is_sample: There are more pairs than these.
    """

    rows: list[PairRow]
    unreadable: int
    notes: tuple[str, ...] = ()
    bad: tuple[Place, ...] = ()
    is_sample: bool = False


def read_pairs(
    path: Path,
    fields: Fields = _USUAL,
    *,
    progress: Callable[[int], None] | None = None,
    marks: Marks | None = None,
    more: Iterable[Record] = (),
    most: int | None = None,
    seed: int = 0,
) -> Pairs:
    """Read a dataset, or a sample of its pairs, into memory.

    Args:
        path: A file, or a folder of them.
        fields: Names of the fields, if they are not detected.
        progress: Called periodically with the number of records read.
        marks: Decisions of people: rejected pairs are left out, edited ones have their new texts.
        more: Further records.
        most: Maximum number of pairs, a random sample in order; None: all.
        seed: Of that choice.

    Raises:
        InputError: The path is missing or unreadable, or no record holds a pair.
        ConfigError: It is Parquet or Arrow, and pyarrow is not installed.
    """
    chosen: Reservoir[tuple[int, PairRow]] = Reservoir(sys.maxsize if most is None else most, seed)
    count = 0
    bad: list[Place] = []
    seen: dict[str, None] = {}
    unread: Counter[str] = Counter()
    overlay = RecordMarks(marks or Marks())
    for number, found in enumerate(chain(records_in(path), more), 1):
        if progress and not number % 1000:
            progress(number)
        record = overlay.apply(found)
        if record is None:
            continue
        row = read_record(record.value, fields, record.split, record.place)
        if row:
            count += 1
            chosen.offer((count, row))
            unread.update(unread_fields(record.value, row))
            continue
        bad.append(record.place)
        if isinstance(record.value, dict):
            seen.update(dict.fromkeys(str(name) for name in record.value))
    rows = [row for _, row in sorted(chosen.items, key=lambda item: item[0])]
    if not rows:
        listed = ", ".join(list(seen)[:_SHOWN])
        hint = (
            f" (fields: {listed}); name the fields that hold them with --instruction-field and"
            " --answer-field, dotted where they lie deeper (instances.0.output)"
            if listed
            else ""
        )
        raise InputError(f"{path}: no pairs found{hint}")
    notes = [*_notes(rows, bad, seen, unread), *_marked(marks)]
    return Pairs(rows, len(bad), tuple(notes), tuple(bad), count > len(rows))


def records_in(path: Path) -> Iterator[Record]:
    """Yield all records of a file or folder, in order, in constant memory for JSONL.

    Raises:
        InputError: Nothing is there, or it cannot be read.
        ConfigError: It is Parquet or Arrow, and pyarrow is not installed.
    """
    for file in data_files(path):
        yield from records_of(file)


def _notes(
    rows: list[PairRow], bad: list[Place], seen: dict[str, None], unread: Counter[str]
) -> Iterator[str]:
    if bad:
        names = f"; their fields: {', '.join(list(seen)[:_SHOWN])}" if seen else ""
        first = f"{bad[0].file}:{bad[0].line}"
        yield f"{len(bad):,} records hold no pair that can be read, the first {first}{names}"
    unwanted = sum(not row.is_wanted for row in rows)
    if unwanted:
        yield f"{unwanted:,} answers are labelled as ones to avoid (label), and were not judged"
    choices = sum(row.is_choice for row in rows)
    if choices:
        yield f"of {choices:,} preferences the chosen answer is judged, the rejected one is not"
    thoughts = sum(row.has_thought for row in rows)
    if thoughts:
        yield f"the thoughts before the replies of {thoughts:,} records were not judged"
    for name, count in sorted(unread.items()):
        if count >= _MANY * len(rows):
            yield f"field '{name}' was not read"


def _marked(marks: Marks | None) -> Iterator[str]:
    if marks:
        counts = marks.counts()
        named = ", ".join(f"{count:,} {what}" for what, count in counts.items())
        yield f"marks of people apply: {named}"
        yield from marks.notices()


def data_files(path: Path) -> list[Path]:
    """Return the files that hold records: the file itself, or those of a folder, by name.

    Raises:
        InputError: There are none.
    """
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise InputError(f"{path}: no such file or folder")
    found = sorted(
        file
        for file in path.rglob("*")
        if file.name.endswith(_SUFFIXES)
        and file.name not in _NOT_DATA
        and not file.name.startswith("cache-")
        and "rejected" not in file.relative_to(path).parts
        and not any(part.startswith(".") for part in file.relative_to(path).parts)
    )
    if not found:
        raise InputError(f"{path}: holds no {', '.join(_SUFFIXES)} file")
    return found


def _split_of(file: Path) -> str | None:
    """Return the split named by a file, or by its folder, as written by ``save_to_disk``."""
    by_name = SPLITS.get(file.name.replace("_", "-").split("-")[0].split(".")[0].lower())
    if by_name is None and file.suffix == ".arrow":
        return SPLITS.get(file.parent.name.lower())
    return by_name


def records_of(file: Path) -> Iterator[Record]:
    """Yield all records of a file; see `records_in`."""
    split, name = _split_of(file), str(file)
    try:
        if file.name.endswith((".parquet", ".arrow")):
            values: Iterator[tuple[Any, str | None]] = ((v, split) for v in _columns(file))
        elif file.name.endswith(".json"):
            values = _json(file, split)
        elif file.name.endswith((".csv", ".tsv")):
            yield from _table(file, split)
            return
        else:
            yield from _lines(file, split)
            return
        for number, (value, own) in enumerate(values, 1):
            yield Record(value, own, Place(name, number))
    except orjson.JSONDecodeError:
        raise InputError(f"{file}: not valid JSON") from None
    except (OSError, EOFError, zlib.error) as error:
        reason = getattr(error, "strerror", None) or "damaged"
        raise InputError(f"{file}: cannot be read: {reason}") from None


def _lines(file: Path, split: str | None) -> Iterator[Record]:
    """One record a line; a line that is not JSON counts as a record without a pair."""
    with gzip.open(file) if file.name.endswith(".gz") else file.open("rb") as stream:
        for number, line in enumerate(stream, 1):
            if not line.strip():
                continue
            try:
                value = orjson.loads(line)
            except orjson.JSONDecodeError:
                value = None
            yield Record(value, split, Place(str(file), number), line)


def _table(file: Path, split: str | None) -> Iterator[Record]:
    """Yield the rows of a CSV or TSV file, keyed by its header; places are their last lines."""
    csv.field_size_limit(sys.maxsize)
    with file.open("rb") as raw:
        stream = io.TextIOWrapper(raw, "utf-8-sig", errors="replace", newline="")
        try:
            reader = csv.DictReader(stream, delimiter="\t" if file.suffix == ".tsv" else ",")
            for value in reader:
                value.pop(None, None)
                record = {name: text for name, text in value.items() if text is not None}
                yield Record(record, split, Place(str(file), reader.line_num))
        except csv.Error as error:
            raise InputError(f"{file}: not a CSV file that can be read: {error}") from None


def _json(file: Path, split: str | None) -> Iterator[tuple[Any, str | None]]:
    """Yield the records of a JSON file, or of JSONL with that name."""
    data = file.read_bytes()
    try:
        value = orjson.loads(data)
    except orjson.JSONDecodeError:
        lines = [line for line in data.splitlines() if line.strip()]
        if len(lines) <= 1:
            raise
        yield from ((orjson.loads(line), split) for line in lines)
        return
    if isinstance(value, dict) and to_pair(value, Fields(), split):
        yield value, split
        return
    yield from _walk(value, split)


def _walk(value: Any, split: str | None, depth: int = 0) -> Iterator[tuple[Any, str | None]]:
    """Yield the records of all lists in a JSON value; a key may name the split of its list."""
    if isinstance(value, list):
        for entry in value:
            if isinstance(entry, dict):
                yield entry, split
            elif entry and isinstance(entry, list) and all(isinstance(e, dict) for e in entry):
                yield {"messages": entry}, split
    elif isinstance(value, dict) and depth < _NESTING:
        for name, inner in value.items():
            yield from _walk(inner, SPLITS.get(name.lower(), split), depth + 1)


def _columns(file: Path) -> Iterator[Any]:
    try:
        parquet = importlib.import_module("pyarrow.parquet")
        arrow = importlib.import_module("pyarrow")
    except ImportError:
        raise ConfigError(f"{file}: needs the extra: pip install 'pairmill[parquet]'") from None
    kind = "Parquet" if file.suffix == ".parquet" else "Arrow"
    try:
        if kind == "Parquet":
            with parquet.ParquetFile(file) as table:
                for batch in table.iter_batches():
                    yield from batch.to_pylist()
            return
        with arrow.memory_map(str(file)) as source:
            try:
                batches = arrow.ipc.open_stream(source)
            except arrow.ArrowInvalid:
                opened = arrow.ipc.open_file(source)
                batches = (opened.get_batch(at) for at in range(opened.num_record_batches))
            for batch in batches:
                yield from batch.to_pylist()
    except arrow.ArrowException:
        raise InputError(f"{file}: not a {kind} file that can be read") from None


def pairs_in(path: Path) -> Path:
    """Return where the pairs are: a run folder's ``data``, else the path itself."""
    return path / "data" if is_run_folder(path) else path


def documents_for(
    path: Path, named: Sequence[str], text_field: str | None, *, run_code: bool = False
) -> tuple[Iterable[Document] | None, str]:
    """Return the documents that the pairs in ``path`` were made from; else None and why.

    Args:
        path: The dataset; a run folder knows its inputs, and is believed.
        named: Files and folders that the user named instead.
        text_field: Of the named ones: the field that holds the text.
        run_code: Whether Python code that a run folder names may run, to read its inputs.

    Raises:
        InputError: A named one cannot be read.
    """
    if named:
        settings = load(given={"inputs": tuple(named), "output": path, "text_field": text_field})
        check_inputs(settings.inputs, path)
        return read_documents(settings, lambda _note: None), ""
    if not is_run_folder(path):
        return None, "give the documents (--documents)"
    found, reason = find_inputs(read_folder(path), run_code=run_code)
    return (read_documents(found, lambda _note: None) if found else None), reason


def phrases_in(path: Path) -> list[str]:
    """Return the non-blank lines of a file.

    Raises:
        InputError: It cannot be read.
    """
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError):
        raise InputError(f"cannot read examples from {path}") from None
    return [line.strip() for line in text.splitlines() if line.strip()]
