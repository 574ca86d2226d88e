"""Inspects an input as a run would see it: reads, cleans and cuts it, without asking a model."""

from __future__ import annotations

import difflib
import os
import sys
from collections import Counter
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Any

import orjson
from rich.console import Console
from rich.table import Table
from rich.text import Text

from pairmill.chunking.reader import chunks_of, prepared_of
from pairmill.chunking.reader_job import ReaderJob
from pairmill.display import sanitize
from pairmill.llm.price_files import load_prices
from pairmill.quality.language import identify
from pairmill.quality.privacy import find as find_private
from pairmill.sources.files import check_inputs
from pairmill.sources.notes import InputFate
from pairmill.sources.registry import ending_of

if TYPE_CHECKING:
    from pairmill.chunking.corpus import PreparedDocument
    from pairmill.config import Settings
    from pairmill.sources.notes import Note

__all__ = ["Inspection", "inspect_input", "print_chunks", "print_diff", "print_inspection"]

_EXAMPLES = 3
_BARS = 10
_BAR_WIDTH = 40
_SAMPLED_CHARS = 2000  # of a document, to detect its language
_LOOKED_AT = 2000  # documents that are searched for private data
_MOST_LINES = 100_000  # different lines that are counted; the most frequent are kept
_LONGEST_LINE = 200
_PARTLY = "partly duplicate"
_TOP = 8
_CHARS_A_TOKEN = 4.0


@dataclass(slots=True)
class Inspection:
    """Result of an inspection.

    Attributes:
        documents: Documents used for at least one chunk.
        skipped: Map of reason to number of inputs, records and documents.
        examples: Map of reason to the first few of them.
        endings: Map of file name ending to documents.
        languages: Map of language (``?`` if unknown) to documents.
        sizes: Characters of each chunk.
        repeats: Chunks that repeat others, those of repeated documents included.
        repeated_chars: Total length of these.
        repeated_documents: Documents all of whose chunks repeat others.
        removed_chars: Characters removed by cleaning.
        removed: Map of kind of removed text to characters.
        removed_lines: Removed lines with their counts.
        shared_lines: Lines removed because documents of a site share them.
        private: Map of kind of private data to its count in the first documents.
        read: Documents that were read.
    """

    read: int = 0
    documents: int = 0
    skipped: Counter[str] = field(default_factory=Counter)
    examples: dict[str, list[str]] = field(default_factory=dict)
    endings: Counter[str] = field(default_factory=Counter)
    languages: Counter[str] = field(default_factory=Counter)
    sizes: list[int] = field(default_factory=list)
    repeats: int = 0
    repeated_chars: int = 0
    repeated_documents: int = 0
    removed_chars: int = 0
    removed: Counter[str] = field(default_factory=Counter)
    removed_lines: Counter[str] = field(default_factory=Counter)
    shared_lines: Counter[str] = field(default_factory=Counter)
    private: Counter[str] = field(default_factory=Counter)

    @property
    def tokens(self) -> int:
        """Estimated tokens of all chunks' texts, at four characters each."""
        return round(sum(self.sizes) / _CHARS_A_TOKEN)

    @property
    def saved_tokens(self) -> int:
        """Estimated tokens of the texts of chunks that repeat others."""
        return round(self.repeated_chars / _CHARS_A_TOKEN)


def inspect_input(settings: Settings) -> Inspection:
    """Read all input as a run would.

    Raises:
        InputError: An input cannot be read.
    """
    check_inputs(settings.inputs, settings.output, settings.sources)
    job = ReaderJob.of(settings)
    found = Inspection()

    def note(one: Note) -> None:
        found.read += one.fate is InputFate.READ
        found.repeats += one.chunks
        found.repeated_chars += one.chars
        if one.fate in (InputFate.SKIPPED, InputFate.DROPPED):
            found.repeated_documents += bool(one.chunks)
            _skip(found, one.reason, one.source, one.detail)
        elif one.fate is InputFate.REPEATED:
            _name(found, _PARTLY, one.source, one.detail)

    for one in prepared_of(job, note):
        _count(found, one)
        found.sizes.extend(span[1] - span[0] for span in one.spans)
        if job.limit is not None and len(found.sizes) >= job.limit:
            break
    return found


def _skip(found: Inspection, reason: str, source: str, detail: str) -> None:
    found.skipped[reason] += 1
    _name(found, reason, source, detail)


def _name(found: Inspection, reason: str, source: str, detail: str) -> None:
    named = found.examples.setdefault(reason, [])
    if len(named) < _EXAMPLES:
        named.append(f"{source}: {detail}" if detail else source)


def _count(found: Inspection, one: PreparedDocument) -> None:
    found.documents += 1
    cleaned = one.document
    name = cleaned.source.rpartition("/")[2].partition("#")[0].partition(":")[0]
    found.endings[ending_of(name) or "(none)"] += 1
    language = identify(cleaned.text[:_SAMPLED_CHARS], cleaned.language)
    found.languages[language or "?"] += 1
    found.removed_chars += max(0, len(one.raw.text) - len(cleaned.text))
    found.removed.update(one.removed)
    found.shared_lines.update(line.strip() for line in one.lines)
    if len(found.shared_lines) > _MOST_LINES:
        found.shared_lines = Counter(dict(found.shared_lines.most_common(_MOST_LINES // 2)))
    lines = {line.strip() for line in cleaned.text.split("\n")} | {"", *map(str.strip, one.lines)}
    for raw in one.raw.text.split("\n"):
        line = raw.strip()
        if line not in lines and len(line) < _LONGEST_LINE:
            found.removed_lines[line] += 1
    if len(found.removed_lines) > _MOST_LINES:
        found.removed_lines = Counter(dict(found.removed_lines.most_common(_MOST_LINES // 2)))
    if found.documents <= _LOOKED_AT:
        found.private.update(match.kind for match in find_private(cleaned.text))


def to_json(found: Inspection, settings: Settings) -> dict[str, Any]:
    """Return the result as plain values under stable names."""
    return {
        "documents_read": found.read,
        "documents_used": found.documents,
        "skipped": sum(found.skipped.values()),
        "skipped_by_reason": dict(found.skipped.most_common()),
        "skipped_examples": found.examples,
        "endings": dict(found.endings.most_common()),
        "languages": dict(found.languages.most_common()),
        "chunks": len(found.sizes),
        "chunk_chars": _percentiles(found.sizes),
        "chunk_histogram": _histogram(found.sizes, settings.chunk_max_chars),
        "repeated_chunks": found.repeats,
        "repeated_documents": found.repeated_documents,
        "saved_tokens": found.saved_tokens,
        "saved_usd": _dollars(found.saved_tokens, settings),
        "removed_chars": found.removed_chars,
        "removed_by_kind": dict(found.removed.most_common()),
        "removed_lines": dict(found.removed_lines.most_common(_TOP)),
        "shared_lines": dict(found.shared_lines.most_common(_TOP)),
        "private_data": dict(found.private.most_common()),
        "text_tokens": found.tokens,
        "text_usd": _dollars(found.tokens, settings),
    }


def print_inspection(found: Inspection, settings: Settings, *, as_json: bool) -> None:
    """Print the result as a table for people, or as one JSON object."""
    figures = to_json(found, settings)
    if as_json:
        options = orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE
        sys.stdout.write(orjson.dumps(figures, option=options).decode())
        return
    out = Console(highlight=False)
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    table.add_column(style="dim")
    table.add_column()
    usd = figures["text_usd"]
    rows = [
        ("documents", f"{found.read:,} read, {found.documents:,} used"),
        ("files", _counts(found.endings)),
        ("languages", _counts(found.languages)),
        ("chunks", f"{len(found.sizes):,}, {_sizes(figures['chunk_chars'])}"),
        ("duplicates", _repeats(found, figures["saved_usd"])),
        ("text", f"{found.tokens:,} tokens" + (f", ${usd:,.4f} to send once" if usd else "")),
        ("cleaning", _cleaning(found)),
        ("private data", _counts(found.private) or "none found"),
    ]
    for name, value in rows:
        table.add_row(name, Text(value))
    out.print(table)
    most = max(figures["chunk_histogram"].values(), default=0)
    for span, count in figures["chunk_histogram"].items():
        bar = "█" * round(_BAR_WIDTH * count / most) if most else ""
        out.print(Text(f"  {span:>13} {bar} {count:,}"), soft_wrap=True)
    _print_counts(out, "not used", found.skipped, found.examples)
    _print_counts(out, "lines that cleaning removed", found.removed_lines, {})
    _print_counts(out, "lines that documents of a site share (removed)", found.shared_lines, {})
    if found.examples.get(_PARTLY):
        partly = Counter({_PARTLY: len(found.examples[_PARTLY])})
        _print_counts(out, "documents of which some chunks repeat others", partly, found.examples)


def _repeats(found: Inspection, usd: float | None) -> str:
    if not found.repeats:
        return "none"
    line = f"{found.repeated_documents:,} documents, {found.repeats:,} chunks"
    return f"{line}: {found.saved_tokens:,} tokens not sent" + (f", ${usd:,.4f}" if usd else "")


def _cleaning(found: Inspection) -> str:
    line = f"{found.removed_chars:,} characters removed"
    kinds = ", ".join(f"{kind} {count:,}" for kind, count in found.removed.most_common())
    return f"{line} ({kinds})" if kinds else line


def print_chunks(settings: Settings, count: int) -> None:
    """Print the first chunks as a model would see them."""
    check_inputs(settings.inputs, settings.output, settings.sources)
    for chunk in islice(chunks_of(ReaderJob.of(settings), lambda _: None), count):
        section = " > ".join(chunk.section)
        head = f"--- {chunk.source} [{chunk.start}:{chunk.end}] {section}".rstrip()
        sys.stdout.write(f"{sanitize(head)}\n{_shown(chunk.text)}\n\n")


def print_diff(settings: Settings, name: str) -> None:
    """Print what cleaning removes from the documents of one file, as a unified diff.

    Lines that documents of a site share can be found only if the settings name the other inputs.
    """
    check_inputs((name,), settings.output, settings.sources)
    inputs = settings.inputs or (name,)
    job = ReaderJob.of(settings.model_copy(update={"inputs": inputs}))
    path = os.path.realpath(name)

    def note(one: Note) -> None:
        if one.fate is not InputFate.READ and _is_of(one.source, path):
            what = "skipped" if one.fate is InputFate.SKIPPED else one.fate.value
            sys.stdout.write(
                f"{sanitize(one.source)}: {what}, {sanitize(f'{one.reason}: {one.detail}')}\n"
            )

    for one in prepared_of(job, note):
        if not _is_of(one.document.source, path):
            continue
        source = sanitize(one.document.source)
        lines = difflib.unified_diff(
            one.raw.text.split("\n"), one.document.text.split("\n"),
            f"{source} as read", f"{source} as used", lineterm="",
        )  # fmt: skip
        for line in lines:
            sys.stdout.write(f"{_shown(line)}\n")
        for kind, chars in one.removed.most_common():
            sys.stdout.write(f"{source}: {kind}: {chars:,} characters\n")


def _is_of(source: str, path: str) -> bool:
    """Return whether a document or note belongs to a file: its label begins with the file's."""
    file = source.partition("#")[0]
    return path in {os.path.realpath(it) for it in (source, file, file.rpartition(":")[0]) if it}


def _shown(text: str) -> str:
    """Return crawled text without terminal control sequences."""
    return "\n".join(sanitize(line) if line.strip() else line for line in text.split("\n"))


def _histogram(sizes: list[int], most: int) -> dict[str, int]:
    step = max(1, -(-most // _BARS))
    counts = Counter(min(size, most - 1) // step for size in sizes)
    return {
        f"{at * step}-{(at + 1) * step - 1}": counts.get(at, 0)
        for at in range(max(counts, default=-1) + 1)
    }


def _percentiles(sizes: list[int]) -> dict[str, int]:
    if not sizes:
        return {}
    ordered = sorted(sizes)
    return {
        name: ordered[min(len(ordered) - 1, int(share * len(ordered)))]
        for name, share in (
            ("least", 0.0),
            ("p5", 0.05),
            ("median", 0.5),
            ("p95", 0.95),
            ("most", 1.0),
        )
    }


def _sizes(figures: dict[str, int]) -> str:
    return ", ".join(f"{name} {value:,}" for name, value in figures.items()) + " characters"


def _counts(counts: Counter[str]) -> str:
    return ", ".join(f"{sanitize(name)} {count:,}" for name, count in counts.most_common(_TOP))


def _dollars(tokens: int, settings: Settings) -> float | None:
    price = load_prices(settings.prices).find(settings.model)
    return round(tokens * price.input / 1e12, 8) if price else None


def _print_counts(
    out: Console, title: str, counts: Counter[str], examples: dict[str, list[str]]
) -> None:
    if not counts:
        return
    out.print(Text(f"{title}:", style="bold"))
    for name, count in counts.most_common(_TOP):
        named = "; ".join(examples.get(name, ()))
        line = f"  {count:,} {sanitize(name)}" + (f": {sanitize(named)}" if named else "")
        out.print(Text(line, style="dim"), soft_wrap=True)
