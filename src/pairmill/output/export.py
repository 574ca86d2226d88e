"""Exports a run folder as a dataset to train on: ordered, deduplicated, split, in one format.

The same set of rows gives the same bytes, whatever order a run wrote them in. The result appears
whole under its name or not at all.
"""

from __future__ import annotations

import json
import shutil
from collections import Counter, deque
from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING, TypeAlias

import orjson

from pairmill.errors import InputError, StorageError, UsageError
from pairmill.output.export_card import write_neighbours
from pairmill.output.export_options import ExportOptions, drop_same_instruction
from pairmill.output.export_place import (
    check_replaceable,
    describe_earlier,
    make_staging,
    put_in_place,
)
from pairmill.output.export_summary import ExportSummary, note_export
from pairmill.output.facts import read_counts, why_nothing_published
from pairmill.output.formats.format import fold_systems, with_columns
from pairmill.output.formats.registry import FORMATS, find_format, hint_for
from pairmill.output.leak import GapCounter, Leak, measure_leak
from pairmill.output.marks.overlay import NO_MARKS, Marks, read_marks
from pairmill.output.marks.rescue import rescued_rows
from pairmill.output.open_book import OpenBook, PassageStore
from pairmill.output.origins import UNKNOWN, Origins, is_wanted, license_name
from pairmill.output.related import SourceSketches
from pairmill.output.rows import OrderedRows, is_rated_higher, published_shards
from pairmill.output.split import SPLITS, SplitRecord, Splitter, read_splits
from pairmill.output.table_files import SplitWriter, WrittenTable, check_file_type, stored_schema
from pairmill.store.folder import RunFolder
from pairmill.store.row_encoding import read_fields
from pairmill.store.side_files import check_formats
from pairmill.store.superseded import read_superseded

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
    from pathlib import Path

    from pairmill.output.formats.format import Format, Record
    from pairmill.output.rows import Row
    from pairmill.output.source_texts import SourceText

__all__ = ["FindRelated", "FindRepeats", "ReadTexts", "export"]

_MOST_NAMES = 20
_ALL = 100
_MARKS = ("apply", "accepted", "ignore")

FindRepeats: TypeAlias = "Callable[[Iterable[Row]], Mapping[str, str]]"
"""Given all rows that passed the thresholds, in order: id of each to drop, to the reason."""

FindRelated: TypeAlias = "Callable[[Iterable[Row]], Collection[tuple[str, str]]]"
"""Given all rows that passed and repeat none, in order: documents that must share a split."""

ReadTexts: TypeAlias = "Callable[[set[str]], Iterator[SourceText]]"
"""Given the ids of chunks that are wanted: texts of the run's inputs, as far as they are there."""


def export(
    folder: Path,
    out: Path,
    options: ExportOptions | None = None,
    *,
    find_repeats: FindRepeats | None = None,
    find_related: FindRelated | None = None,
    read_texts: ReadTexts | None = None,
    version: str = "",
) -> ExportSummary:
    """Export the published shards of a run folder.

    Args:
        folder: The run folder; it is only read.
        out: A new or empty folder, or one with an earlier export, which is replaced.
        options: Options of the export.
        find_repeats: Finds repeats among all rows, and may keep something of each in memory; None:
            the first row of each normalised instruction is kept, in constant memory.
        find_related: Finds documents that must be in one split, likewise; None: only the pairs of
            each document are kept together.
        read_texts: Reads the texts of documents again, to compare them too; with
            ``find_related`` only.
        version: pairmill's own, for the card.

    Raises:
        UsageError: Unknown format, column or file type, or the extra for it is missing.
        InputError: The run folder has no published row, or no row passed.
        FolderError: ``out`` holds something else, a shard is damaged, or a newer version made the
            run folder.
        StorageError: The disk refused.
    """
    options = options or ExportOptions()
    check_formats(RunFolder(folder))
    shape = with_columns(find_format(options.shape), options.columns, read_fields(folder / ".run"))
    check_file_type(options.file_type)
    shape = replace(shape, schema=stored_schema(shape, options.file_type))
    _check_open_book(options, shape, read_texts)
    shards = published_shards(folder)
    marks = _read_marks(folder, options)
    if not shards and not marks.wanted_rejects():
        raise InputError(why_nothing_published(folder))
    _check_system(options, shape)
    shape = fold_systems(shape) if options.fold_system else shape
    check_replaceable(out, even_changed=options.replace_changed or options.dry_run)
    staging = make_staging(out)
    try:
        with OrderedRows(staging / "scratch.db", marks.revise) as rows:
            rescued = staging / "rescued.jsonl"
            shards += _write_rescued(rescued, folder, marks)
            work = _Pass(rows, shape, options, find_repeats, find_related, read_texts, marks)
            summary = replace(
                work.run(shards, staging, out),
                replaced=describe_earlier(out),
                is_dry=options.dry_run,
                first=work.first,
                counts=read_counts(folder),
                marked=marks.counts(),
                notices=marks.notices(),
            )
        (staging / "scratch.db").unlink()
        rescued.unlink(missing_ok=True)
        (staging / "passages.db").unlink(missing_ok=True)
        write_neighbours(staging, summary, shape, options, version)
        summary = replace(summary, sizes=_sizes(staging))
        if not options.dry_run:
            put_in_place(staging, out)
            note_export(folder / ".run" / "exports.jsonl", summary, shape.name)
    except OSError as error:
        raise StorageError(f"cannot write {out}: {error.strerror}") from None
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return summary


class _Pass:
    """One ordered pass over the rows: format, thresholds, deduplication, split, in this order."""

    def __init__(
        self,
        rows: OrderedRows,
        shape: Format,
        options: ExportOptions,
        find_repeats: FindRepeats | None,
        find_related: FindRelated | None,
        read_texts: ReadTexts | None,
        marks: Marks = NO_MARKS,
    ) -> None:
        self._rows = rows
        self._marks = marks
        self._shape = shape
        self._options = options
        self._splitter = Splitter(options.shares, options.seed)
        self._find_repeats = find_repeats
        self._find_related = find_related
        self._read_texts = read_texts
        self._sources = SourceSketches()
        self._book: OpenBook | None = None
        self._repeats = drop_same_instruction(rows.first_time)
        self._dropped: Counter[str] = Counter()
        self._gap = GapCounter()
        self._origins = Origins()
        self._chosen_by: Counter[str] = Counter()
        self._models: set[str] = set()
        self._recipes: set[str] = set()
        self._systems: Counter[str] = Counter()
        self.first = ""

    def run(self, shards: Iterable[Path], staging: Path, out: Path) -> ExportSummary:
        read = self._take_in(shards)
        found: Mapping[str, str] = {}
        if self._find_repeats:
            found = self._find_repeats(self._passing())
            self._repeats = lambda row: found.get(row["id"])
        options = self._options
        passage_store = PassageStore(staging / "passages.db") if options.open_book else None
        if passage_store is not None:
            self._book = OpenBook(
                options.open_book, options.unanswerable, options.seed, passage_store
            )
        related = self._relate(found, passage_store)
        moved = self._splitter.hold(self._earlier(out))
        (staging / "data").mkdir()
        files, kept = self._write_all(staging)
        if passage_store is not None:
            passage_store.close()
        self._dropped += Counter()  # forget zeros
        if not any(kept.values()):
            why = ", ".join(f"{count} {reason}" for reason, count in self._dropped.most_common(3))
            raise InputError(
                f"nothing to export: none of {read} rows passed ({why or 'no rows'})"
                f"{hint_for(self._dropped)}"
            )
        return ExportSummary(
            folder=out,
            rows=read,
            kept=kept,
            dropped=dict(sorted(self._dropped.items())),
            leak=self._measure(kept, staging),
            files=files,
            recipes=tuple(sorted(self._recipes))[:_MOST_NAMES],
            models=tuple(sorted(self._models))[:_MOST_NAMES],
            length_gap=self._gap.result(),
            chosen_by=dict(self._chosen_by.most_common()),
            related=related,
            sources_read=len(self._sources),
            moved=tuple(moved),
            open_book=dict(self._book.counts) if self._book else {},
            origins=self._origins,
            without_system=self._systems["lost"],
            folded_systems=self._systems["folded"],
        )

    def _relate(self, repeats: Mapping[str, str], passage_store: PassageStore | None) -> int | None:
        """Keep together what belongs together; the number of documents that are kin to others."""
        options = self._options
        is_split = self._find_related is not None and options.shares.train != 100  # noqa: PLR2004
        documents: set[str] = set()
        chunks: set[str] = set()

        def seen() -> Iterator[Row]:
            for row in self._passing():
                if row["id"] not in repeats:
                    documents.add(row["document_id"])
                    chunks.add(row["chunk_id"])
                    yield row

        edges: set[tuple[str, str]] = set()
        if is_split and self._find_related is not None:
            edges.update(self._find_related(seen()))
        elif passage_store is not None:
            deque(seen(), maxlen=0)
        if is_split or passage_store is not None:
            self._take_texts(documents if is_split else frozenset(), chunks, passage_store)
        if not is_split:
            return None
        edges |= self._sources.kin()
        self._splitter = Splitter(options.shares, options.seed, sorted(edges))
        return len({document for edge in edges for document in edge})

    def _take_texts(
        self, documents: Collection[str], chunks: set[str], passage_store: PassageStore | None
    ) -> None:
        """Read the texts again: those of documents to find kin, those of chunks for the shelf."""
        if self._read_texts is None:
            return
        shown = frozenset(chunks)
        for chunk in self._read_texts(chunks):
            if chunk.document_id in documents:
                self._sources.add(chunk.document_id, chunk.id, chunk.text, chunk.sketch)
            if passage_store is not None and chunk.id in shown:
                passage_store.add(chunk.document_id, chunk.id, chunk.text)

    def _earlier(self, place: Path) -> Iterator[tuple[str, str]]:
        """Yield the documents of an earlier export in the same place, with their splits."""
        return read_splits(place, self._options.shares, self._options.seed)

    def _take_in(self, shards: Iterable[Path]) -> int:
        total = 0
        for shard in shards:
            read, new = self._rows.add(shard)
            total += read
            self._dropped["same_id"] += read - new
        return total

    def _passing(self) -> Iterator[Row]:
        for chunk in self._rows.chunks():
            rows = [row for row, _ in chunk if not self._unfit(row)]
            for row, *_ in self._shape.write(self._without_parents(rows)):
                if not self._reason_to_drop(row):
                    yield row

    def _unfit(self, row: Row) -> str | None:
        """Return why a row is excluded whatever its figures: its article, a mark, or its task."""
        if self._marks.is_superseded(row):
            return "superseded"
        mark = self._marks.of(row["id"])
        if mark.is_out:
            return "marked_rejected"
        if self._options.marks == "accepted" and not mark.is_in:
            return "not_accepted"
        licenses = self._options.licenses
        if licenses and not is_wanted(said := row.get("license"), licenses):
            return "license_unknown" if license_name(said) == UNKNOWN else "license_not_wanted"
        return self._shape.reason_to_drop(row)

    def _reason_to_drop(self, row: Row) -> str | None:
        """Apply the thresholds; to a pair that a person wants, only the check for emptiness."""
        reason = self._options.policy.reason_to_drop(row)
        return None if reason != "empty" and self._marks.of(row["id"]).is_in else reason

    def _write_all(self, staging: Path) -> tuple[dict[str, list[WrittenTable]], dict[str, int]]:
        options = self._options
        writers = {
            split: SplitWriter(
                staging, split, options.file_type, self._shape.schema, options.file_bytes
            )
            for split in SPLITS
        }
        with ExitStack() as stack:
            for writer in writers.values():
                stack.callback(writer.abandon)
            record = stack.enter_context(SplitRecord(staging, options.shares, options.seed))
            for chunk in self._rows.chunks():
                self._write_chunk(chunk, writers, record)
            files = {split: writer.close() for split, writer in writers.items() if writer.rows}
        return files, {split: writers[split].rows for split in files}

    def _write_chunk(
        self,
        chunk: list[tuple[Row, tuple[int, int, int]]],
        writers: dict[str, SplitWriter],
        record: SplitRecord,
    ) -> None:
        places = {row["id"]: place for row, place in chunk}
        fitting = []
        for row, _ in chunk:
            reason = self._unfit(row)
            if reason:
                self._dropped[reason] += 1
            else:
                fitting.append(self._with_system(row))
        rows = self._without_parents(fitting)
        self._dropped["evolved_from"] += len(fitting) - len(rows)
        unpaired = len(rows)
        for row, written, chosen_by in self._shape.write(rows):
            unpaired -= 1 if row.get("alternative") else 2
            reason = self._reason_to_drop(row) or self._repeats(row)
            if reason:
                self._dropped[reason] += 1
                continue
            split = self._splitter.split_of(row["document_id"])
            shown = self._opened(row, split) or written
            writers[split].write(shown)
            record.note(row["document_id"], split)
            self.first = self.first or json.dumps(shown, ensure_ascii=False, default=str)
            self._rows.keep(split, places[row["id"]])
            self._note_origin(row)
            if self._shape.loses_system(row):
                self._systems["folded" if self._options.fold_system else "lost"] += 1
            if self._shape.paired:
                self._gap.add(written)
                self._chosen_by[chosen_by] += 1
        if self._shape.paired and unpaired > 0:
            self._dropped["unpaired"] += unpaired

    def _opened(self, row: Row, split: str) -> Record | None:
        """Return the record with passages in its prompt; None if it stays unchanged."""
        if self._book is None:
            return None
        splitter = self._splitter
        own = splitter.component(row["document_id"])

        def may_stand_beside(document: str) -> bool:
            return splitter.component(document) != own and splitter.split_of(document) == split

        opened = self._book.open(row, may_stand_beside, apart=self._shape.passage == "apart")
        if opened is None:
            return None
        return next(iter(self._shape.write([opened]))).record

    def _with_system(self, row: Row) -> Row:
        system = self._options.system
        return row | {"system": system} if system and not row.get("system") else row

    def _without_parents(self, rows: list[Row]) -> list[Row]:
        """Leave out one of an evolved row and its parent: usually the parent.

        The child is left out if it does not pass the thresholds, or if the judge rated the parent
        higher.
        """
        if self._options.keep_parents or self._shape.paired:
            return rows
        reason = self._reason_to_drop
        by_id = {row["id"]: row for row in rows}
        left_out: set[str] = set()
        for row in rows:
            parent = by_id.get(row.get("parent_id") or "")
            if parent is not None and not reason(row):
                worse = row if is_rated_higher(parent, row) and not reason(parent) else parent
                left_out.add(worse["id"])
        return [row for row in rows if row["id"] not in left_out] if left_out else rows

    def _note_origin(self, row: Row) -> None:
        self._origins.add(row)
        if len(self._models) < _MOST_NAMES and row.get("model"):
            self._models.add(str(row["model"]))
        if len(self._recipes) < _MOST_NAMES:
            self._recipes.add(f"{row.get('recipe')} {row.get('prompt_version')}")

    def _measure(self, kept: dict[str, int], staging: Path) -> Leak | None:
        held_out = [split for split in kept if split != "train"]
        if not held_out or "train" not in kept:
            return None
        leak = measure_leak(self._rows.kept(held_out), self._rows.kept(("train",)))
        if not self._sources:
            return leak
        shares, seed = self._options.shares, self._options.seed
        trained = (name for name, split in read_splits(staging, shares, seed) if split == "train")
        told = self._sources.leaked(self._rows.kept(held_out), trained)
        return replace(leak, copied_source=told)


def _write_rescued(file: Path, folder: Path, marks: Marks) -> list[Path]:
    """Write a shard of the dropped pairs that people want, for the duration of the export."""
    found = [row for row, _ in rescued_rows(folder, marks)]
    if not found:
        return []
    with file.open("wb") as stream:
        for row in found:
            stream.write(orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE))
    return [file]


def _sizes(staging: Path) -> dict[str, int]:
    files = (path for path in staging.rglob("*") if path.is_file())
    return {str(path.relative_to(staging)): path.stat().st_size for path in files}


def _read_marks(folder: Path, options: ExportOptions) -> Marks:
    if options.marks not in _MARKS:
        raise UsageError(f"--marks: one of {', '.join(_MARKS)}")
    if options.marks == "ignore":
        return Marks(superseded=read_superseded(folder))
    return read_marks(folder)


def _check_system(options: ExportOptions, shape: Format) -> None:
    if options.fold_system and shape.system == "none":
        raise UsageError(f"--fold-system: the format '{shape.name}' has no prompt to put it before")
    if options.system and shape.system != "own" and not options.fold_system:
        have = sorted(name for name, item in FORMATS.items() if item.system == "own")
        more = "; --fold-system puts it before the prompt" if shape.system == "prompt" else ""
        raise UsageError(
            f"--system: the format '{shape.name}' has no place for a system message;"
            f" {', '.join(have)} have one{more}"
        )


def _check_open_book(options: ExportOptions, shape: Format, read_texts: ReadTexts | None) -> None:
    if not options.open_book:
        return
    if not 0 < options.open_book <= _ALL or not 0 <= options.unanswerable <= _ALL:
        raise UsageError("--open-book and --unanswerable are percentages, up to 100")
    if shape.passage == "none":
        known = ", ".join(name for name, item in FORMATS.items() if item.passage != "none")
        raise UsageError(f"--open-book: '{shape.name}' has no prompt; one of: {known}")
    if read_texts is None:
        raise UsageError("open_book needs the run's texts (read_texts)")
