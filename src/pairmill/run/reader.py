"""Turns batches of chunks into work, queues it for the workers, and reports what was read."""

from __future__ import annotations

import asyncio
import dataclasses
import threading
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO, Self

import orjson
from msgspec import Struct, field

from pairmill.chunking.chunk_batches import unpack
from pairmill.events import InputSkipped, Notice
from pairmill.records import Chunk, Completion, digest_with
from pairmill.sources.notes import InputFate
from pairmill.store.entries import UnitKey

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path
    from types import TracebackType

    from pairmill.chunking.chunk_batches import ChunkBatch, Packed
    from pairmill.chunking.pass_over import Stretch
    from pairmill.events import Bus
    from pairmill.recipes.recipe import Recipe
    from pairmill.sources.notes import Note
    from pairmill.store.entries import BilledSend
    from pairmill.store.ledger import LedgerReader

__all__ = [
    "FollowMarks",
    "Inbox",
    "Reader",
    "SkippedLog",
    "UnitBatch",
    "Work",
    "finished_units",
    "tell",
]


class Work(Struct, frozen=True):
    """A unit to do, and what was asked for it before.

    Attributes:
        unit: Its id.
        chunk: Its chunk.
        answers: Call id to answer, of calls that it or a related unit has made; grows during work.
        sends: Call id to number of sends that may have been billed without an answer; likewise.
    """

    unit: str
    chunk: Chunk
    answers: dict[str, Completion]
    sends: dict[str, BilledSend] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class UnitBatch:
    """Result of one poll of the input.

    Attributes:
        work: Units to do.
        known: Number of chunks whose unit is already finished or in progress.
        notes: Reports of the intake.
        documents: Number of documents read.
        pairs: Document id and number of pairs of each finished unit.
    """

    work: list[Work]
    known: int
    notes: list[Note]
    documents: int = 0
    pairs: list[tuple[str, int]] = dataclasses.field(default_factory=list)


def finished_units(recipe: Recipe, lookup: LedgerReader) -> Callable[[Sequence[str]], bool]:
    """Return a test whether the units of some chunks, by their ids, are all finished."""
    unit_of = digest_with(recipe.identity)

    def are_finished(chunks: Sequence[str]) -> bool:
        keys = [UnitKey(unit_of(chunk), chunk) for chunk in chunks]
        finished = lookup.known(keys).finished
        return all(key.unit_id in finished for key in keys)

    return are_finished


class Reader:
    """Takes batches from the intake and looks them up in the ledger.

    Synchronous code for a worker thread; ``done_with`` is called from the event loop.
    """

    def __init__(
        self,
        batches: Iterable[ChunkBatch],
        recipe: Recipe,
        lookup: LedgerReader,
        only: frozenset[str] | None = None,
        marks: FollowMarks | None = None,
        passed: Iterable[Stretch] = (),
    ) -> None:
        """With ``only``, all other units are skipped as if they were finished.

        ``marks`` track how far a followed input is done. ``passed``: what is not read, since all of
        it is finished.
        """
        self._batches = iter(batches)
        self._unit_of = digest_with(recipe.identity)
        self._lookup = lookup
        self._only = only
        self._marks = marks
        self._active: set[str] = set()
        self._passed = iter(passed)

    def next_batch(self) -> UnitBatch | None:
        """Return the next batch; None at the end of the input.

        Raises:
            InputError: The input as a whole cannot be read.
            StoppedError: The reading process has ended.
        """
        if (stretch := next(self._passed, None)) is not None:
            return UnitBatch([], stretch.chunks, stretch.notes, stretch.documents)
        batch = next(self._batches, None)
        if batch is None:
            return None
        # The set is checked before the ledger: a unit leaves it only after its commit, so one
        # that is in neither was never started.
        fresh: dict[str, Packed] = {}
        for packed in batch.chunks:
            unit = self._unit_of(packed[0])
            is_wanted = self._only is None or unit in self._only
            if is_wanted and unit not in self._active and unit not in fresh:
                fresh[unit] = packed
        known = self._lookup.known([UnitKey(unit, packed[0]) for unit, packed in fresh.items()])
        work = [
            Work(
                unit,
                unpack(packed),
                known.answers.get(packed[0], {}),
                known.sends.get(packed[0], {}),
            )
            for unit, packed in fresh.items()
            if unit not in known.finished
        ]
        self._active.update(item.unit for item in work)
        if self._marks is not None:
            self._marks.add((item.unit for item in work), batch.mark)
        pairs = [(fresh[unit][1], count) for unit, count in known.pairs.items()]
        known_count = len(batch.chunks) - len(work)
        return UnitBatch(work, known_count, batch.notes, batch.documents, pairs)

    def done_with(self, unit: str) -> None:
        """Remove a unit whose outcome is committed."""
        self._active.discard(unit)
        if self._marks is not None:
            self._marks.end(unit)

    @property
    def is_idle(self) -> bool:
        """True if every unit that was read has ended."""
        return not self._active


@dataclass(slots=True)
class _Span:
    """Unfinished units read between two marks; ``mark`` 0: the next one is not known yet."""

    open: int = 0
    mark: int = 0


class FollowMarks:
    """Counts the units between marks, and stores the last mark before which all have ended.

    Units are added by the reading thread and ended by the event loop. A mark that could not be
    written is superseded by the next one; until then, a restart reads more of the input again.
    """

    def __init__(self, path: Path) -> None:
        """Start empty; the mark is stored at ``path`` for the reading process."""
        self._path = path
        self._lock = threading.Lock()
        self._spans: deque[_Span] = deque([_Span()])
        self._span_of: dict[str, _Span] = {}

    def add(self, units: Iterable[str], mark: int = 0) -> None:
        """Add units that were read, and the mark after them, if it is above 0."""
        with self._lock:
            span = self._spans[-1]
            for unit in units:
                self._span_of[unit] = span
                span.open += 1
            if mark > 0:
                span.mark = mark
                self._spans.append(_Span())
            self._settle()

    def end(self, unit: str) -> None:
        """Record that a unit has ended durably."""
        with self._lock:
            span = self._span_of.pop(unit, None)
            if span is not None:
                span.open -= 1
                self._settle()

    def _settle(self) -> None:
        settled = 0
        while self._spans[0].mark and not self._spans[0].open:
            settled = self._spans.popleft().mark
        if settled:
            new = self._path.with_name(f"{self._path.name}.new")
            with suppress(OSError):
                new.write_bytes(b"%d\n" % settled)
                new.replace(self._path)


def tell(note: Note, bus: Bus) -> None:
    """Emit the event of one note."""
    if note.fate is InputFate.NOTICE:
        bus.emit(Notice(text=f"{note.source}: {note.reason} {note.detail}".rstrip()))
    else:
        reason = f"{note.reason}: {note.detail}" if note.detail else note.reason
        bus.emit(
            InputSkipped(
                source=note.source,
                reason=reason,
                fate=note.fate.value,
                chunks=note.chunks,
                chars=note.chars,
            )
        )


class SkippedLog:
    """Lists each piece of input that this start cannot use, as JSON lines.

    Fields are ``source``, ``reason`` (a few stable words), ``detail`` and ``fate`` (``skipped``: it
    gave no document; ``dropped``: its document is unusable or repeats another; ``repeated``: some
    of its chunks do). Each start rewrites the file, except when following an input. A full disk
    loses lines here, but does not end the run.

    Attributes:
        count: Pieces that were listed, except duplicates, whose content is used.
    """

    def __init__(self, path: Path, *, goes_on: bool = False) -> None:
        self._path = path
        self._goes_on = goes_on
        self._file: BinaryIO | None = None
        self.count = 0

    def listen(self, event: InputSkipped) -> None:
        """Write the line of one event."""
        self.count += event.is_lost
        reason, _, detail = event.reason.partition(": ")
        line = {
            "source": event.source,
            "reason": reason,
            "detail": detail,
            "fate": event.fate,
        }
        with suppress(OSError):
            if self._file is None:
                self._file = self._path.open("ab")
            self._file.write(orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE))

    def __enter__(self) -> Self:
        if not self._goes_on:
            with suppress(OSError):
                self._path.unlink(missing_ok=True)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._file is not None:
            with suppress(OSError):
                self._file.close()


class Inbox:
    """Units in order, at most ``most`` at a time.

    The producer sleeps until half of the units are taken: waking it for each one would cost more
    than passing the unit on. At first it yields after each unit, since a thousand workers starting
    at once would delay each other's first calls.
    """

    def __init__(self, most: int) -> None:
        self._units: deque[Work] = deque()
        self._hungry: deque[asyncio.Future[None]] = deque()  # workers that found it empty, in order
        self._is_over = False
        self._most = most
        self._room = asyncio.Event()
        self._room.set()
        self._singly = most  # as many are passed on one by one

    async def put(self, works: Iterable[Work]) -> None:
        """Add units, each as soon as there is room."""
        for work in works:
            if not self._room.is_set():
                await self._room.wait()
            self._units.append(work)
            if len(self._units) >= self._most:
                self._room.clear()
            self._wake_next()
            if self._singly:
                self._singly -= 1
                await asyncio.sleep(0)

    @property
    def is_empty(self) -> bool:
        """True if ``get`` would wait now, or return None."""
        return not self._units

    @property
    def is_over(self) -> bool:
        """True if no more units will be added."""
        return self._is_over

    def put_back(self, work: Work) -> None:
        """Put a unit back, before all others."""
        self._units.appendleft(work)
        self._wake_next()

    def end(self) -> None:
        """Declare that no more units will be added."""
        self._is_over = True
        while self._hungry:
            self._wake_next()

    async def take(self) -> Work | None:
        """Return the next unit; None at the end."""
        while not self._units:
            if self._is_over:
                return None
            await self._wait()
        work = self._units.popleft()
        if len(self._units) <= self._most // 2:
            self._room.set()
        return work

    async def _wait(self) -> None:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._hungry.append(future)
        try:
            await future
        except asyncio.CancelledError:
            if not future.cancelled():  # it was woken, so wake another worker instead
                self._wake_next()
            raise

    def _wake_next(self) -> None:
        while self._hungry:
            future = self._hungry.popleft()
            if not future.done():
                future.set_result(None)
                return
