"""Analysis of many documents together: shared lines, and repeated texts.

Documents pass through a window: the first `_WINDOW` of them (or `_WINDOW_CHARS`) are held until all
were read, later ones until as many more were. So a corpus of that size is decided as a whole,
and which of several copies is kept depends only on their content: the longest, then the one with
most metadata, then the one with the lowest digest. In a larger corpus that holds within the window;
after it, the copy that is read first is kept.

Decisions are kept in the run folder (`intake_file`), so that a later start, with more input or in
another order, makes the same decisions about known texts.
"""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Protocol

from msgspec.structs import replace

from pairmill.chunking.document_filters import Dropped
from pairmill.chunking.follow import Pause
from pairmill.chunking.repeats import Repeat, RepeatIndex, sketch, union
from pairmill.chunking.shared_lines import SharedLines
from pairmill.records import digest
from pairmill.sources.notes import InputFate, Note

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from pairmill.chunking.chunk import Span
    from pairmill.chunking.intake_file import IntakeFile
    from pairmill.chunking.read_record import Recorder
    from pairmill.chunking.repeats import Sketch
    from pairmill.chunking.shared_lines import LineCounts
    from pairmill.records import Document
    from pairmill.sources.notes import Watch

__all__ = ["Corpus", "PreparedDocument"]

_WINDOW = 1024  # documents
_LEAST_WINDOW = 100  # for a trial of a few chunks, which should start soon
_WINDOW_CHARS = 2**24  # of their texts together
_COMMIT_EVERY = 256  # documents


@dataclass(slots=True)
class PreparedDocument:
    """A document on its way to its chunks.

    Attributes:
        raw: The document as read.
        document: The document as used.
        removed: Kind of text removed by cleaning to number of characters.
        lines: Lines that were removed because documents of the site share them.
        counted: Its lines in the counts of shared lines.
        spans: Its chunks' offsets; after comparison, without repeated ones.
        ids: Ids of these chunks, after comparison.
        name: Digest of the document's text, if needed.
        number: Its position among the documents read, if that is recorded.
    """

    raw: Document
    document: Document
    removed: Counter[str]
    lines: list[str] = field(default_factory=list)
    counted: LineCounts | None = None
    spans: list[Span] = field(default_factory=list)
    ids: list[str] = field(default_factory=list)
    name: str = ""
    number: int = 0


class Finish(Protocol):
    """Decides whether a clean document is used, and splits it."""

    def __call__(
        self, cleaned: Document, *, has_lost: bool
    ) -> tuple[Document, list[Span]] | Dropped:
        """Return its units' spans, or why there are none; ``has_lost``: lines were removed."""


class Corpus:
    """Takes cleaned documents, and returns them without the parts that they share with others."""

    def __init__(
        self,
        file: IntakeFile,
        watch: Watch,
        finish: Finish,
        *,
        shared_lines: bool,
        duplicates: str,
        least: float,
        limit: int | None = None,
        recorder: Recorder | None = None,
    ) -> None:
        """Continue from the state in a run folder.

        Args:
            file: The folder's.
            watch: Called for documents that are left out, and for repeated chunks.
            finish: Decides on a document, and splits it.
            shared_lines: Whether to remove lines that many documents of a site share.
            duplicates: ``off``, ``exact`` or ``near``.
            least: Minimum similarity of near duplicates.
            limit: Maximum number of chunks; if low, the window is smaller.
            recorder: Records decisions, and knows where this start begins to read.
        """
        self._file = file
        self._watch = watch
        self._finish = finish
        self._lines = SharedLines(file) if shared_lines else None
        self._recorder = recorder
        seen = recorder.begins_at.mark if recorder else None
        if self._lines is not None and recorder and (state := recorder.state()):
            self._lines.restore(state)
        self._chunks = self._documents = None
        if duplicates != "off":
            alike = least if duplicates == "near" else None
            self._chunks = RepeatIndex(file, "chunk", alike, keeps_from=seen)
        if duplicates == "near":
            self._documents = RepeatIndex(file, "document", least, keeps_from=seen)
        self._held: deque[PreparedDocument] = deque()
        self._held_chars = 0
        self._is_first = not seen  # a record ends behind the first window
        self._window = 0
        if shared_lines or duplicates == "near":
            self._window = _WINDOW if limit is None else min(_WINDOW, max(_LEAST_WINDOW, limit))
        self._undecided = 0

    def settle(
        self, documents: Iterable[PreparedDocument | Pause]
    ) -> Iterator[PreparedDocument | Pause]:
        """Yield the documents to use, and pauses between them."""
        for one in documents:
            if isinstance(one, Pause):
                yield from self._let_go(everything=True)
                self._commit()
                yield one
                continue
            if self._lines is not None:
                one.counted = self._lines.count(one.document)
            self._held.append(one)
            self._held_chars += len(one.document.text)
            if self._recorder and not self._is_first and self._recorder.is_due(one.number):
                self._recorder.end_stretch(one.number, self._state)
            yield from self._let_go(everything=False)
        was_first = self._is_first
        yield from self._let_go(everything=True)
        if self._recorder:
            self._write_stretch()
            if not was_first:
                self._recorder.end_stretch(self._recorder.number, self._state)
                self._write_stretch()
        self._commit()

    def _state(self) -> bytes:
        return self._lines.state() if self._lines is not None else b""

    def _write_stretch(self) -> None:
        """Write the complete stretch and all its decisions in one transaction."""
        assert self._recorder is not None  # noqa: S101
        for index in filter(None, (self._chunks, self._documents)):
            index.flush()
        self._recorder.write_stretch()
        self._commit()

    def _commit(self) -> None:
        if self._lines is not None:
            self._lines.flush()
        self._file.commit()

    def _let_go(self, *, everything: bool) -> Iterator[PreparedDocument]:
        is_full = len(self._held) > self._window or self._held_chars > _WINDOW_CHARS
        if not self._held or not (everything or is_full):
            return
        if self._is_first:
            self._is_first = False
            held = list(self._held)
            self._held.clear()
            self._held_chars = 0
            yield from self._decided_together(held)
            return
        while self._held and (
            everything or len(self._held) > self._window or self._held_chars > _WINDOW_CHARS
        ):
            one = self._held.popleft()
            self._held_chars -= len(one.document.text)
            if self._recorder and self._recorder.is_over(one.number):
                self._write_stretch()
            yield from self._decided_together([one])

    def _decided_together(self, held: list[PreparedDocument]) -> Iterator[PreparedDocument]:
        """Decide on documents regardless of order, and yield the remaining ones in order."""
        ready = [one for one in held if self._is_finished(one)]
        repeats = self._find_repeats(ready) if self._chunks else {}
        self._undecided += len(held)
        if self._undecided >= _COMMIT_EVERY:
            self._undecided = 0
            self._commit()
        for at, one in enumerate(ready):
            of = repeats.get(at)
            if of is not None:
                self._tell(one, of)
            if one.spans:
                self._record(one)
                yield one

    def _record(self, one: PreparedDocument) -> None:
        if self._recorder:
            text = one.document.text
            one.ids = one.ids or [digest(text[span[0] : span[1]]) for span in one.spans]
            self._recorder.chunks(one.number, one.ids)

    def _report(self, one: PreparedDocument, note: Note) -> None:
        if self._recorder:
            self._recorder.note(one.number, note)
        self._watch(note)

    def _is_finished(self, one: PreparedDocument) -> bool:
        if self._lines is not None:
            assert one.counted is not None  # noqa: S101 (it was, before it was held)
            one.name = digest(one.document.text)
            text, one.lines = self._lines.strip(one.document, one.name, one.counted)
            if one.lines:
                one.removed["shared lines"] += sum(map(len, one.lines))
                one.document = replace(one.document, text=text)
                one.name = ""
        before = one.document.text
        finished = self._finish(one.document, has_lost=bool(one.lines))
        if isinstance(finished, Dropped):
            source, reason, detail = one.document.source, finished.reason, finished.detail
            self._report(one, Note(InputFate.DROPPED, source, reason, detail))
            return False
        one.document, one.spans = finished
        if one.document.text is not before:
            one.name = ""
        return True

    def _find_repeats(self, ready: list[PreparedDocument]) -> dict[int, list[tuple[Span, Repeat]]]:
        """Remove repeated spans from documents; return the document's position to these spans."""
        order = [*range(len(ready))]
        if len(ready) > 1:
            order.sort(key=lambda at: _preference(ready[at].document))
        found: dict[int, list[tuple[Span, Repeat]]] = {}
        for at in order:
            gone = self._repeats_of(ready[at])
            if gone:
                found[at] = gone
                left = {span for span, _ in gone}
                kept = [place for place, span in enumerate(ready[at].spans) if span not in left]
                ready[at].spans = [ready[at].spans[place] for place in kept]
                ready[at].ids = [ready[at].ids[place] for place in kept]
        return found

    def _repeats_of(self, one: PreparedDocument) -> list[tuple[Span, Repeat]]:
        assert self._chunks is not None  # noqa: S101
        text, source = one.document.text, one.document.source
        pieces = [text[span[0] : span[1]] for span in one.spans]
        if one.name and len(pieces) == 1 and pieces[0] == text:
            one.ids = [one.name]
        else:
            one.ids = list(map(digest, pieces))
        made: dict[int, Sketch[int]] = {}

        def sketch_of(index: int) -> Sketch[int]:
            if index not in made:
                made[index] = sketch(pieces[index])
            return made[index]

        if self._documents and len(pieces) > 1:
            whole = self._documents.check(
                one.name or digest(text),
                lambda: union(map(sketch_of, range(len(pieces)))),
                source,
                one.number,
            )
            if whole is not None:
                return [(span, whole) for span in one.spans]
        found = []
        for index, span in enumerate(one.spans):
            repeat = self._chunks.check(
                one.ids[index], partial(sketch_of, index), source, one.number
            )
            if repeat is not None:
                found.append((span, repeat))
        return found

    def _tell(self, one: PreparedDocument, gone: list[tuple[Span, Repeat]]) -> None:
        """Report the repeated chunks of a document; if all are repeated, report the document."""
        is_exact = all(repeat.similarity == 1.0 for _, repeat in gone)
        chars = sum(span[1] - span[0] for span, _ in gone)
        of = gone[0][1]
        share = "" if is_exact else f", {100 * min(it.similarity for _, it in gone):.0f} % alike"
        others = len({repeat.source for _, repeat in gone}) - 1
        more = f" and {others:,} others" if others else ""
        reason = "duplicate" if is_exact else "near duplicate"
        if one.spans:
            fate = InputFate.REPEATED
            detail = f"{len(gone)} of {len(gone) + len(one.spans)} chunks, of {of.source}"
        else:
            fate, detail = InputFate.DROPPED, f"of {of.source}"
        detail = f"{detail}{more}{share}"
        self._report(one, Note(fate, one.document.source, reason, detail, len(gone), chars))


def _preference(document: Document) -> tuple[int, int, str, str]:
    """Return the sort key of duplicates; the first is kept."""
    known = sum(bool(it) for it in (document.url, document.title, document.author))
    return -len(document.text), -known, digest(document.text), document.source
