"""Files in, chunks out: one lazy stream."""

from __future__ import annotations

import sys
import threading
from collections import Counter, deque
from functools import partial
from queue import Empty, Queue
from typing import TYPE_CHECKING

from msgspec.structs import replace

from pairmill.chunking.blocks import is_cut_anew
from pairmill.chunking.chunk import join_neighbours, make_chunk
from pairmill.chunking.clean import clean
from pairmill.chunking.corpus import Corpus, PreparedDocument
from pairmill.chunking.document_filters import Dropped, too_short
from pairmill.chunking.follow import Follower, Pause
from pairmill.chunking.follow_state import FollowState
from pairmill.chunking.intake_file import IntakeFile
from pairmill.chunking.read_record import Recorder
from pairmill.chunking.reader_job import ReaderJob
from pairmill.chunking.splitters import make_splitter
from pairmill.chunking.subjects import gather
from pairmill.errors import ChangedError, PairmillError
from pairmill.quality.language import identify, primary
from pairmill.quality.privacy import redact
from pairmill.records import Document, digest
from pairmill.sources.base import Deferred, Opener
from pairmill.sources.extractors import Extractors
from pairmill.sources.fences import part_long_blocks
from pairmill.sources.files import check_inputs, find_files
from pairmill.sources.json_files import JSON_LINES, read_lines
from pairmill.sources.notes import InputFate, Note
from pairmill.sources.registry import Formats, read_input
from pairmill.sources.remote import RemoteStream
from pairmill.sources.streams import BombError, Piped, open_regular

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from pairmill.chunking.chunk import Span
    from pairmill.chunking.splitters import Splitter
    from pairmill.config import Settings
    from pairmill.records import Chunk
    from pairmill.sources.base import Documents
    from pairmill.sources.files import FoundFile
    from pairmill.sources.notes import Watch
    from pairmill.sources.streams import Source, Stream

__all__ = ["chunks_of", "prepared_of", "read_chunks", "read_documents", "spans_of", "usable"]

_AHEAD = 4  # tasks that may wait, per process
_AHEAD_BYTES = 2**26  # bytes of these tasks together
_SHOWN_CHARS = 600  # characters of a text used to identify its language
_CHARS_A_TOKEN = 2  # typical minimum, for code and tables
_PUMPED = 256  # documents from standard input that may be queued
_PAUSE_S = 0.1  # without data on standard input; then what was read is passed on
_PARTED_SINCE = 2  # versions of reading, see `clean.READING_VERSION`
_ACROSS_SINCE = 3


def read_chunks(settings: Settings, watch: Watch, stdin: Source | None = None) -> Iterator[Chunk]:
    """Check all inputs, then return a lazy stream of the chunks of their cleaned documents.

    Order and content depend on the inputs and the settings alone. Memory is bounded by the longest
    record (``max_line_bytes``), whatever the size of the input. ``watch`` is called for each
    document read, each piece of input without one, and each document dropped by cleaning, in the
    thread that takes the chunks. ``limit_per_document`` is applied here, ``limit`` is not.

    Raises:
        InputError: An input as a whole cannot be used. Errors that can be found beforehand are
            raised by the call, others by the iterator.
    """
    check_inputs(settings.inputs, settings.output, settings.sources)
    return chunks_of(ReaderJob.of(settings), watch, stdin)


def read_documents(
    settings: Settings | ReaderJob, watch: Watch, stdin: Source | None = None
) -> Iterator[Document]:
    """Yield the documents of all inputs as they are read, before cleaning; see ``read_chunks``."""
    job = settings if isinstance(settings, ReaderJob) else ReaderJob.of(settings)
    for document in _documents(job, watch, stdin):
        if not isinstance(document, Pause):
            yield document


def _documents(
    job: ReaderJob,
    watch: Watch,
    stdin: Source | None,
    state: FollowState | None = None,
    recorder: Recorder | None = None,
) -> Iterator[Document | Pause]:
    """Yield the documents of all inputs, and a pause before waiting for more input.

    With ``state`` the input is followed. ``recorder`` is informed of everything read.
    """
    formats = Formats(job.sources)
    with Extractors(job.page_s, job.page_processes) as extractors:
        items = _read_all(job, formats, extractors, stdin, recorder)
        if state is not None:
            items = _follow(job, formats, extractors, stdin, state)
        for item in _in_order(items, extractors):
            if isinstance(item, Note):
                if recorder:
                    recorder.read_note(item)
                watch(item)
            elif isinstance(item, Pause):
                yield item
            else:
                if recorder:
                    recorder.read(item)
                watch(Note(InputFate.READ, item.source))
                yield item


def chunks_of(
    job: ReaderJob,
    watch: Watch,
    stdin: Source | None = None,
    on_wait: Callable[[int], None] | None = None,
) -> Iterator[Chunk]:
    """Yield the same as `read_chunks`, from inputs that were already checked."""
    chunks = (
        make_chunk(document, index, span)
        for document, spans in spans_of(job, watch, stdin, on_wait)
        for index, span in enumerate(spans)
    )
    if job.chunks_by == "subject" and job.chunks_per_unit > 1:
        return gather(chunks, job.chunks_per_unit, on_wait)
    return chunks


def spans_of(
    job: ReaderJob,
    watch: Watch,
    stdin: Source | None = None,
    on_wait: Callable[[int], None] | None = None,
) -> Iterator[tuple[Document, list[Span]]]:
    """Yield each cleaned document, and the spans of its chunks, as input of `chunks_of`."""
    for one in prepared_of(job, watch, stdin, on_wait):
        yield one.document, one.spans


def prepared_of(
    job: ReaderJob,
    watch: Watch,
    stdin: Source | None = None,
    on_wait: Callable[[int], None] | None = None,
) -> Iterator[PreparedDocument]:
    """Yield each usable document, with what was removed from it.

    ``on_wait`` is called before waiting for more input, with the mark that covers everything read
    so far; see `pairmill.chunking.follow`.
    """
    if not job.follow:
        yield from _prepared_of(job, watch, stdin, on_wait)
        return
    with FollowState(job.output) as state:

        def told(note: Note) -> None:
            state.watch(note)
            watch(note)

        yield from _prepared_of(job, told, stdin, on_wait, state)


def _prepared_of(
    job: ReaderJob,
    watch: Watch,
    stdin: Source | None,
    on_wait: Callable[[int], None] | None,
    state: FollowState | None = None,
) -> Iterator[PreparedDocument]:
    finish = partial(_finished, job, make_splitter(job), state)
    if job.reading < _ACROSS_SINCE:  # a folder that was begun before documents were compared
        for one in _cleaned(job, watch, stdin):
            if not isinstance(one, Pause):
                finished = finish(one.document)
                if isinstance(finished, Dropped):
                    watch(_dropped(one.raw, finished))
                    continue
                one.document, one.spans = finished
                yield one
            elif on_wait is not None:
                on_wait(one.mark)
        return
    is_searched = job.duplicates == "near"
    with IntakeFile(job.memory, is_own=job.keeps_memory, is_searched=is_searched) as file:
        recorder = _recorder(job, file)
        corpus = Corpus(
            file,
            watch,
            finish,
            shared_lines=job.shared_lines,
            duplicates=job.duplicates,
            least=job.duplicate_similarity,
            limit=job.limit,
            recorder=recorder,
        )
        for settled in corpus.settle(_cleaned(job, watch, stdin, state, recorder)):
            if not isinstance(settled, Pause):
                yield settled
            elif on_wait is not None:
                on_wait(settled.mark)


def _recorder(job: ReaderJob, file: IntakeFile) -> Recorder | None:
    if not job.record_key:
        return None
    takes = job.part.takes if job.part else None
    return Recorder(file, job.record_key, job.begins_at, hash_seed=job.hash_seed, takes=takes)


def _cleaned(
    job: ReaderJob,
    watch: Watch,
    stdin: Source | None,
    state: FollowState | None = None,
    recorder: Recorder | None = None,
) -> Iterator[PreparedDocument | Pause]:
    """Yield the documents that are usable by themselves, cleaned."""
    for document in _documents(job, watch, stdin, state, recorder):
        if isinstance(document, Pause):
            yield document
            continue
        removed: Counter[str] = Counter()
        cleaned = clean(document, job.min_words, job.reading, removed)
        number = recorder.number if recorder else 0
        if isinstance(cleaned, Dropped):
            note = _dropped(document, cleaned)
            if recorder:
                recorder.note(number, note)
            watch(note)
        else:
            yield PreparedDocument(document, cleaned, removed, number=number)


def usable(document: Document, job: ReaderJob) -> Document | Dropped:
    """Return a document as a run uses it, before comparison with others, or why it is not used.

    It still contains lines shared with other documents of its site.
    """
    cleaned = clean(document, job.min_words, job.reading)
    return cleaned if isinstance(cleaned, Dropped) else _admitted(cleaned, job)


def _dropped(document: Document, why: Dropped) -> Note:
    return Note(InputFate.DROPPED, document.source, why.reason, why.detail)


def _finished(
    job: ReaderJob,
    split: Splitter,
    state: FollowState | None,
    cleaned: Document,
    *,
    has_lost: bool = False,
) -> tuple[Document, list[Span]] | Dropped:
    """Return a document as a run uses it, with its chunks' offsets; or why it is not used.

    ``has_lost``: lines were taken out of it since it was cleaned.

    Raises:
        ChangedError: The run folder was begun with a version of reading that read it differently.
    """
    if has_lost and (short := too_short(cleaned.text, job.min_words)):
        return short
    admitted = _admitted(cleaned, job)
    if isinstance(admitted, Dropped):
        return admitted
    most = _CHARS_A_TOKEN * job.chunk_max_tokens if job.tokenizer else job.chunk_max_chars
    parted = part_long_blocks(admitted.text, most)
    if parted != admitted.text:
        admitted = replace(admitted, text=parted, since=max(admitted.since, _PARTED_SINCE))
    is_long = len(admitted.text) > most
    if 0 < job.begun_with < _ACROSS_SINCE and is_long and is_cut_anew(admitted.text):
        admitted = replace(admitted, since=_ACROSS_SINCE)
    if 0 < job.begun_with < admitted.since:
        raise ChangedError(
            f"{job.output}: begun with an earlier version of pairmill, which read"
            f" {admitted.source} differently: its chunks count as new and may be paid for again;"
            f" add --accept-change to continue, or give another folder with -o"
        )
    spans = units_of(split, admitted.text, job)[: job.limit_per_document]
    if state is not None and admitted.version is not None:
        state.note(admitted.version, (digest(admitted.text[span[0] : span[1]]) for span in spans))
    return admitted, spans


def _admitted(cleaned: Document, job: ReaderJob) -> Document | Dropped:
    """Return a document with private data handled, or why it must not be sent.

    A page's declared language is ignored if the text is clearly in another one.
    """
    claims_language = cleaned.language is not None and cleaned.since > 1
    if job.languages or claims_language:
        shown = identify(cleaned.text[:_SHOWN_CHARS], cleaned.language)
        if shown is not None and shown != primary(cleaned.language):
            cleaned = replace(cleaned, language=shown)
        if job.languages and primary(shown or cleaned.language) not in job.languages:
            return Dropped("language", shown or cleaned.language or "none shows")
    if cleaned.license is None and job.license:
        cleaned = replace(cleaned, license=job.license)
    if job.privacy != "keep":
        text, private = redact(cleaned.text)
        if private and job.privacy == "drop":
            kinds = ", ".join(sorted({match.kind for match in private}))
            return Dropped("private data", f"{len(private)} places: {kinds}")
        cleaned = replace(cleaned, text=text)
    return cleaned


def units_of(split: Splitter, text: str, job: ReaderJob) -> list[Span]:
    """Return the spans of a text's units: its chunks, or windows of neighbouring ones."""
    spans = split(text)
    if job.chunks_per_unit == 1 or job.chunks_by == "subject":
        return spans
    return join_neighbours(spans, job.chunks_per_unit, job.chunk_step)


_Item = Document | Deferred | Note


def _follow(
    job: ReaderJob,
    formats: Formats,
    extractors: Extractors,
    stdin: Source | None,
    state: FollowState,
) -> Iterator[_Item | Pause]:
    """Read from standard input until it ends."""

    def read_whole(found: FoundFile, watch: Watch) -> Documents:
        return _read_file(found, job, formats, extractors, watch)

    def read_stretch(found: FoundFile, stream: Stream, first_line: int, watch: Watch) -> Documents:
        opener = _opener("lines.jsonl", found.label, stream, job, extractors)
        opener.watch, opener.formats, opener.first_line = watch, formats, first_line
        return _guarded(opener, formats)

    given = stdin or sys.stdin.buffer
    return Follower(job, formats, state, read_whole, read_stretch, given).items()


def _read_all(
    job: ReaderJob,
    formats: Formats,
    extractors: Extractors,
    stdin: Source | None,
    recorder: Recorder | None = None,
) -> Iterator[_Item | Pause]:
    notes: list[Note] = []
    begins_at = job.begins_at
    for number, found in enumerate(find_files(job.inputs, job.output, notes.append)):
        if recorder:
            if number < begins_at.file or (number == begins_at.file and begins_at.mark):
                notes.clear()  # already reported when they were recorded
            if number < begins_at.file:
                continue
            recorder.open_file(number, found, notes, formats)
        yield from _taken(notes)
        if found.path is None and found.remote is None:
            yield from _pumped(job, formats, extractors, stdin)
            continue
        for item in _read_file(found, job, formats, extractors, notes.append, recorder):
            if notes:
                yield from _taken(notes)
            yield item
        yield from _taken(notes)
    yield from _taken(notes)


def _taken(notes: list[Note]) -> list[Note]:
    taken = notes[:]
    notes.clear()
    return taken


def _in_order(
    items: Iterator[_Item | Pause], extractors: Extractors
) -> Iterator[Document | Note | Pause]:
    """Resolve documents that other processes extract in parallel, in their original order."""
    pending: deque[_Item] = deque()
    tasks = held = 0
    most = _AHEAD * extractors.width
    for item in items:
        if isinstance(item, Pause):
            while pending:
                yield from _resolve(pending.popleft())
            tasks = held = 0
            yield item
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
    job: ReaderJob, formats: Formats, extractors: Extractors, stdin: Source | None
) -> Iterator[_Item | Pause]:
    """Read standard input in a thread, to process its documents while waiting for more."""
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
            item = queue.get(timeout=_PAUSE_S)
        except Empty:
            yield Pause()
            item = queue.get()
        if item is None:
            return
        if isinstance(item, BaseException):
            raise item
        yield item


def _read_file(
    found: FoundFile,
    job: ReaderJob,
    formats: Formats,
    extractors: Extractors,
    watch: Watch,
    recorder: Recorder | None = None,
) -> Documents:
    try:
        file = RemoteStream(found.remote) if found.remote else open_regular(_path_of(found))
    except OSError as error:
        reason = error.strerror or "no reason"
        watch(Note(InputFate.SKIPPED, found.label, "cannot read file", reason))
        return
    with file:
        name = found.remote.name if found.remote else _path_of(found).name
        opener = _opener(name, found.label, file, job, extractors)
        opener.watch = watch
        opener.from_folder = found.from_folder
        opener.formats = formats
        opener.path = found.path
        if recorder:
            opener.stream = recorder.sealed(found, file)
            if recorder.begins_within(found) and not isinstance(file, RemoteStream):
                file.seek(job.begins_at.offset)
                opener.first_line = job.begins_at.line + 1
        yield from _guarded(opener, formats)


def _path_of(found: FoundFile) -> Path:
    assert found.path is not None  # noqa: S101 (it is neither remote nor standard input)
    return found.path


def _opener(
    name: str, label: str, stream: object, job: ReaderJob, extractors: Extractors
) -> Opener:
    return Opener(
        name, label, stream, job.text_field, job.max_line_bytes, lambda _: None, extractors  # type: ignore[arg-type]
    )  # fmt: skip


def _guarded(opener: Opener, formats: Formats) -> Documents:
    """Yield the documents of one input; an error while reading ends only this input."""
    try:
        if opener.first_line and opener.path is not None:  # the rest of a file of lines
            opener.format = JSON_LINES
            yield from read_lines(opener)
        else:
            yield from read_input(opener, formats)
    except BombError as error:
        opener.skip("", f"{error.packed} bomb", f"{error}; the rest of it is not read")
    except PairmillError:
        raise
    except OSError as error:
        opener.skip("", "cannot read file", error.strerror or "no reason")
    except MemoryError:
        opener.skip("", "cannot be read", "not enough memory to read it")
    except Exception as error:  # noqa: BLE001 (a reader's fault is its input's, never the run's)
        words = str(error).split("\n", 1)[0][:200]
        opener.skip("", "cannot be read", f"{type(error).__name__}: {words}; the rest is not read")
