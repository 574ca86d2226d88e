"""Files in, chunks out: one lazy stream from the inputs to what a model is asked about."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from pairmill.chunking.chunk import find_spans, join_neighbours, make_chunk
from pairmill.chunking.clean import Dropped, clean
from pairmill.chunking.job import Job
from pairmill.sources.files import check_inputs, find_files
from pairmill.sources.notes import InputFate, Note
from pairmill.sources.origin import DocumentOrigin
from pairmill.sources.pages import Pages
from pairmill.sources.registry import read_stream
from pairmill.sources.streams import BombError, Piped, open_regular

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pairmill.chunking.chunk import Span
    from pairmill.config import Settings
    from pairmill.records import Chunk, Document
    from pairmill.sources.files import FoundFile
    from pairmill.sources.notes import Watch
    from pairmill.sources.streams import Source

__all__ = ["chunks_of", "read_chunks", "read_documents", "spans_of"]


def read_chunks(settings: Settings, watch: Watch, stdin: Source | None = None) -> Iterator[Chunk]:
    """Check all inputs, then return a lazy stream of the chunks of their cleaned documents.

    Order and content depend on the inputs and the settings alone. Memory is bounded by the longest
    record (``max_line_bytes``), whatever the size of the input. Each document that is read, each
    piece of input that gives none, and each document dropped by cleaning is told to ``watch``, in
    the thread that takes the chunks. ``limit_per_document`` is applied here, ``limit`` is not.

    Raises:
        InputError: An input as a whole cannot be used. Those that can be seen beforehand are raised
            by the call itself, the others by the iterator.
    """
    check_inputs(settings.inputs, settings.output)
    return chunks_of(Job.of(settings), watch, stdin)


def read_documents(
    settings: Settings | Job, watch: Watch, stdin: Source | None = None
) -> Iterator[Document]:
    """Yield the documents of all inputs as they are read, before cleaning; see ``read_chunks``."""
    text_field, most = settings.text_field, settings.max_line_bytes
    with Pages(settings.page_s) as pages:
        for found in find_files(settings.inputs, settings.output, watch):
            origin = DocumentOrigin(found.label, text_field, most, watch, pages)
            for document in _read_file(found, origin, stdin):
                watch(Note(InputFate.READ, document.source))
                yield document


def chunks_of(job: Job, watch: Watch, stdin: Source | None = None) -> Iterator[Chunk]:
    """Yield what `read_chunks` does, of inputs that were checked before."""
    for document, spans in spans_of(job, watch, stdin):
        for index, span in enumerate(spans):
            yield make_chunk(document, index, span)


def spans_of(
    job: Job, watch: Watch, stdin: Source | None = None
) -> Iterator[tuple[Document, list[Span]]]:
    """Yield each cleaned document, and where its chunks are: what `chunks_of` makes chunks of."""
    bounds = (job.chunk_min_chars, job.chunk_target_chars, job.chunk_max_chars)
    for document in read_documents(job, watch, stdin):
        cleaned = clean(document)
        if isinstance(cleaned, Dropped):
            watch(Note(InputFate.DROPPED, document.source, cleaned.reason, cleaned.detail))
            continue
        yield cleaned, units_of(cleaned.text, bounds, job)[: job.limit_per_document]


def units_of(text: str, bounds: tuple[int, int, int], job: Job) -> list[Span]:
    """Where the units of a text are: its chunks, or windows of neighbouring ones."""
    spans = find_spans(text, bounds)
    if job.chunks_per_unit == 1:
        return spans
    return join_neighbours(spans, job.chunks_per_unit, job.chunk_step)


def _read_file(
    found: FoundFile, origin: DocumentOrigin, stdin: Source | None
) -> Iterator[Document]:
    """Yield what one file holds; a fault that comes up while reading ends this file only."""
    try:
        if found.path is None:
            stream = Piped(stdin or sys.stdin.buffer)
            yield from read_stream(stream, "", origin)
        else:
            with open_regular(found.path) as file:
                yield from read_stream(file, found.path.name, origin)
    except BombError as error:
        origin.skip("", "gzip bomb", f"{error}; the rest of it is not read")
    except OSError as error:
        origin.skip("", "cannot read file", error.strerror or "no reason")
