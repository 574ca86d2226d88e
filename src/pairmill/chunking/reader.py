"""Files in, chunks out: one lazy stream from the inputs to what a model is asked about."""

from __future__ import annotations

import sys
import threading
from collections import deque
from queue import Empty, Queue
from typing import TYPE_CHECKING

from msgspec.structs import replace

from pairmill.chunking.chunk import find_spans, join_neighbours, make_chunk
from pairmill.chunking.clean import READING_VERSION, Dropped, clean
from pairmill.chunking.job import Job
from pairmill.chunking.subjects import gather
from pairmill.errors import ChangedError, PairmillError
from pairmill.quality.language import identify, primary
from pairmill.quality.privacy import redact
from pairmill.records import Document
from pairmill.sources.base import Deferred, Opener
from pairmill.sources.extractors import Extractors
from pairmill.sources.fences import part_long_blocks
from pairmill.sources.files import check_inputs, find_files
from pairmill.sources.notes import InputFate, Note
from pairmill.sources.registry import Formats, read_input
from pairmill.sources.streams import BombError, Piped, open_regular

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from pairmill.chunking.chunk import Span
    from pairmill.config import Settings
    from pairmill.records import Chunk
    from pairmill.sources.base import Documents
    from pairmill.sources.files import FoundFile
    from pairmill.sources.notes import Watch
    from pairmill.sources.streams import Source

__all__ = ["chunks_of", "read_chunks", "read_documents", "spans_of", "usable"]

_AHEAD = 4  # tasks a process that may wait for their turn
_AHEAD_BYTES = 2**26  # of these tasks together
_SHOWN_CHARS = 600  # of a text, by which its language is told
_PUMPED = 256  # documents from standard input that may wait


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
    check_inputs(settings.inputs, settings.output, settings.sources)
    return chunks_of(Job.of(settings), watch, stdin)


def read_documents(
    settings: Settings | Job,
    watch: Watch,
    stdin: Source | None = None,
    on_wait: Callable[[], None] | None = None,
) -> Iterator[Document]:
    """Yield the documents of all inputs as they are read, before cleaning; see ``read_chunks``.

    ``on_wait`` is called before standard input is waited for.
    """
    job = settings if isinstance(settings, Job) else Job.of(settings)
    formats = Formats(job.sources)
    with Extractors(job.page_s, job.page_processes) as extractors:
        for item in _in_order(_read_all(job, formats, extractors, stdin), extractors, on_wait):
            if isinstance(item, Note):
                watch(item)
            else:
                watch(Note(InputFate.READ, item.source))
                yield item


def chunks_of(
    job: Job,
    watch: Watch,
    stdin: Source | None = None,
    on_wait: Callable[[], None] | None = None,
) -> Iterator[Chunk]:
    """Yield what `read_chunks` does, of inputs that were checked before."""
    chunks = (
        make_chunk(document, index, span)
        for document, spans in spans_of(job, watch, stdin, on_wait)
        for index, span in enumerate(spans)
    )
    if job.chunks_by == "subject" and job.chunks_per_unit > 1:
        return gather(chunks, job.chunks_per_unit, on_wait)
    return chunks


def spans_of(
    job: Job,
    watch: Watch,
    stdin: Source | None = None,
    on_wait: Callable[[], None] | None = None,
) -> Iterator[tuple[Document, list[Span]]]:
    """Yield each cleaned document, and where its chunks are: what `chunks_of` makes chunks of."""
    bounds = (job.chunk_min_chars, job.chunk_target_chars, job.chunk_max_chars)
    for document in read_documents(job, watch, stdin, on_wait):
        cleaned = usable(document, job)
        if isinstance(cleaned, Dropped):
            watch(Note(InputFate.DROPPED, document.source, cleaned.reason, cleaned.detail))
            continue
        parted = part_long_blocks(cleaned.text, job.chunk_max_chars)
        if parted != cleaned.text:
            cleaned = replace(cleaned, text=parted, since=READING_VERSION)
        if 0 < job.begun_with < cleaned.since:
            raise ChangedError(
                f"{job.output}: begun with an earlier version of pairmill, which read"
                f" {cleaned.source} otherwise: its chunks count as new, and may be asked and paid"
                " for again; add --accept-change to do so, or give another folder with -o"
            )
        yield cleaned, units_of(cleaned.text, bounds, job)[: job.limit_per_document]


def usable(document: Document, job: Job) -> Document | Dropped:
    """Return a cleaned document as a run uses it, or why it does not.

    A language that a page's template claims is believed only where the text does not show another.
    """
    cleaned = clean(document, job.min_words)
    if isinstance(cleaned, Dropped):
        return cleaned
    claims_language = cleaned.language is not None and cleaned.since > 1
    if job.languages or claims_language:
        shown = identify(cleaned.text[:_SHOWN_CHARS], cleaned.language)
        if shown is not None and shown != primary(cleaned.language):
            cleaned = replace(cleaned, language=shown)
        if job.languages and primary(shown or cleaned.language) not in job.languages:
            return Dropped("language", shown or cleaned.language or "none shows")
    if job.privacy != "keep":
        text, private = redact(cleaned.text)
        if private and job.privacy == "drop":
            kinds = ", ".join(sorted({match.kind for match in private}))
            return Dropped("private data", f"{len(private)} places: {kinds}")
        cleaned = replace(cleaned, text=text)
    return cleaned


def units_of(text: str, bounds: tuple[int, int, int], job: Job) -> list[Span]:
    """Where the units of a text are: its chunks, or windows of neighbouring ones."""
    spans = find_spans(text, bounds)
    if job.chunks_per_unit == 1 or job.chunks_by == "subject":
        return spans
    return join_neighbours(spans, job.chunks_per_unit, job.chunk_step)


_Item = Document | Deferred | Note


def _read_all(
    job: Job, formats: Formats, extractors: Extractors, stdin: Source | None
) -> Iterator[_Item | _WaitingForInput]:
    notes: list[Note] = []
    for found in find_files(job.inputs, job.output, notes.append):
        yield from _taken(notes)
        if found.path is None:
            yield from _pumped(job, formats, extractors, stdin)
            continue
        for item in _read_file(found, found.path, job, formats, extractors, notes.append):
            if notes:
                yield from _taken(notes)
            yield item
        yield from _taken(notes)
    yield from _taken(notes)


def _taken(notes: list[Note]) -> list[Note]:
    taken = notes[:]
    notes.clear()
    return taken


class _WaitingForInput:
    """Stands where standard input had nothing more to give at the moment."""


def _in_order(
    items: Iterator[_Item | _WaitingForInput],
    extractors: Extractors,
    on_wait: Callable[[], None] | None,
) -> Iterator[Document | Note]:
    """Resolve what other processes work on, some of it at the same time, and keep the order."""
    pending: deque[_Item] = deque()
    tasks = held = 0
    most = _AHEAD * extractors.width
    for item in items:
        if isinstance(item, _WaitingForInput):
            while pending:
                yield from _resolve(pending.popleft())
            tasks = held = 0
            if on_wait is not None:
                on_wait()
            continue
        if isinstance(item, Deferred):
            tasks += 1
            held += item.size
        elif not pending:
            yield item
            continue
        pending.append(item)
        while pending and (tasks > most or held > _AHEAD_BYTES or not tasks):
            first = pending.popleft()
            if isinstance(first, Deferred):
                tasks -= 1
                held -= first.size
            yield from _resolve(first)
    while pending:
        yield from _resolve(pending.popleft())


def _resolve(item: _Item) -> Iterator[Document | Note]:
    if not isinstance(item, Deferred):
        yield item
        return
    notes: list[Note] = []
    watch, item.opener.watch = item.opener.watch, notes.append
    try:
        for document in item.resolve():
            yield from _taken(notes)
            yield document
    finally:
        item.opener.watch = watch
    yield from notes


def _pumped(
    job: Job, formats: Formats, extractors: Extractors, stdin: Source | None
) -> Iterator[_Item | _WaitingForInput]:
    """Read standard input in a thread, so that what it gave goes on while more is waited for."""
    queue: Queue[_Item | BaseException | None] = Queue(_PUMPED)

    def pump() -> None:
        try:
            opener = _opener(
                "", "standard input", Piped(stdin or sys.stdin.buffer), job, extractors
            )
            opener.watch = queue.put
            opener.formats = formats
            for item in _guarded(opener, formats):
                queue.put(item)
        except BaseException as error:  # noqa: BLE001 (raised again where it is waited for)
            queue.put(error)
        queue.put(None)

    threading.Thread(target=pump, daemon=True, name="stdin").start()
    while True:
        try:
            item = queue.get_nowait()
        except Empty:
            yield _WaitingForInput()
            item = queue.get()
        if item is None:
            return
        if isinstance(item, BaseException):
            raise item
        yield item


def _read_file(
    found: FoundFile,
    path: Path,
    job: Job,
    formats: Formats,
    extractors: Extractors,
    watch: Watch,
) -> Documents:
    try:
        file = open_regular(path)
    except OSError as error:
        reason = error.strerror or "no reason"
        watch(Note(InputFate.SKIPPED, found.label, "cannot read file", reason))
        return
    with file:
        opener = _opener(path.name, found.label, file, job, extractors)
        opener.watch = watch
        opener.from_folder = found.from_folder
        opener.formats = formats
        opener.path = path
        yield from _guarded(opener, formats)


def _opener(name: str, label: str, stream: object, job: Job, extractors: Extractors) -> Opener:
    return Opener(
        name, label, stream, job.text_field, job.max_line_bytes, lambda _: None, extractors  # type: ignore[arg-type]
    )  # fmt: skip


def _guarded(opener: Opener, formats: Formats) -> Documents:
    """Yield what one input holds; a fault that comes up while reading ends this input only."""
    try:
        yield from read_input(opener, formats)
    except BombError as error:
        opener.skip("", "gzip bomb", f"{error}; the rest of it is not read")
    except PairmillError:
        raise
    except OSError as error:
        opener.skip("", "cannot read file", error.strerror or "no reason")
    except MemoryError:
        opener.skip("", "cannot be read", "it takes more memory than there is")
    except Exception as error:  # noqa: BLE001 (a reader's fault is its input's, never the run's)
        words = str(error).split("\n", 1)[0][:200]
        opener.skip("", "cannot be read", f"{type(error).__name__}: {words}; the rest is not read")
