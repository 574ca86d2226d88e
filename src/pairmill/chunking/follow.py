"""Input that keeps growing: polls folders, growing JSON Lines files and standard input.

Each poll covers all inputs. Files with a JSON Lines ending are read from the last position, line by
line; any other file is read as a whole once it is new or changed and has not been written to for a
second. Standard input, one record a line, is kept in the run folder first
(``.run/stdin/``), so that nothing read from a pipe is lost with this process.

Between two polls, and periodically during one, a `Pause` releases everything that was read so far,
and names the mark that covers it; see `pairmill.chunking.follow_state`.
"""

from __future__ import annotations

import os
import threading
import time
from contextlib import suppress
from dataclasses import replace as change
from typing import TYPE_CHECKING, NamedTuple

import orjson
from msgspec.structs import replace

from pairmill.chunking.follow_state import FilePosition, article_name
from pairmill.errors import StoppedError, UsageError
from pairmill.records import ArticleVersion, Document, digest
from pairmill.sources.base import Deferred
from pairmill.sources.characters import plain_line
from pairmill.sources.files import STANDARD_INPUT, FoundFile, find_files
from pairmill.sources.json_files import JSON_LINES, is_one_value
from pairmill.sources.notes import Note
from pairmill.sources.remote import is_remote
from pairmill.sources.streams import BLOCK_BYTES, PACKED_ENDINGS, Piped, open_regular

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from typing import BinaryIO

    from pairmill.chunking.follow_state import FollowState
    from pairmill.chunking.reader_job import ReaderJob
    from pairmill.config import Settings
    from pairmill.sources.base import Documents
    from pairmill.sources.notes import Watch
    from pairmill.sources.registry import Formats
    from pairmill.sources.streams import Stream

__all__ = ["BEAT", "Follower", "Pause", "check_follow"]

BEAT = -1
"""Mark of a pause without anything new: it only shows that reading continues."""

_QUIET_S = 1.0  # without changes, before a file is read as a whole
_TAIL_S = 5.0  # then a last line without a line end is used, if it is a record
_PIPE_S = 2.0  # minimum silence of an open pipe
_STRETCH_BYTES = 2**22  # bytes of a growing file between two opportunities to pause
_PAUSE_DOCUMENTS = 512
_PAUSE_S = 1.0
_SEAL_BYTES = 4096  # at the beginning of what was read, and at its end
_SCAN_SHARE = 5.0  # a slow poll is not followed by the next one at once
_SPOOL_BYTES = 2**24  # bytes per file of stored standard input
_MOST_SPOOLED_BYTES = 2**28  # unread bytes, from which the writer waits


class Pause(NamedTuple):
    """A place among documents at which everything read so far is passed on.

    Attributes:
        mark: The mark that covers it; 0: none, `BEAT`: nothing was read.
    """

    mark: int = 0


def check_follow(settings: Settings) -> None:
    """Refuse settings that cannot be combined with a followed input.

    Raises:
        UsageError: A setting needs the whole input, or a source cannot be polled.
    """
    if not settings.follow:
        return
    if settings.duplicates == "near":
        raise UsageError(
            "--follow cannot be combined with duplicates: near, which would take a changed"
            " article for a copy of its former self; use exact"
        )
    if settings.chunks_by == "subject":
        raise UsageError(
            "--follow cannot be combined with units of one subject: those are chosen among all"
            " chunks of an input, and this input has no end"
        )
    if settings.limit is not None:
        raise UsageError(
            "--follow cannot be combined with limit, which counts from the beginning of the input"
            " at each"
            " start; use --target-pairs, --max-usd or --max-total-tokens"
        )
    if settings.partition and settings.shared_lines == "remove":
        raise UsageError(
            "--follow with --partition needs shared_lines: keep (--set shared_lines=keep): parts"
            " read at different times, and would remove different shared lines"
        )
    remote = [given for given in settings.inputs if is_remote(given)]
    if remote:
        raise UsageError(
            f"--follow does not go with {plain_line(remote[0])}: only folders, files and standard"
            f" input can be followed"
        )


class Follower:
    """Reads new data in the inputs of a job, until none has come for long enough."""

    def __init__(
        self,
        job: ReaderJob,
        formats: Formats,
        state: FollowState,
        read_whole: Callable[[FoundFile, Watch], Documents],
        read_stretch: Callable[[FoundFile, Stream, int, Watch], Documents],
        stdin: Stream | None = None,
        *,
        now: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        """Continue from what a run folder remembers.

        Args:
            job: What to read; ends after its ``follow_idle_s`` without anything new, if set.
            formats: The run's formats.
            state: The run folder's memory of the input.
            read_whole: Reads one file as a whole.
            read_stretch: Reads lines from a stream, given the number of the first.
            stdin: Standard input, if it is among the inputs.
            now: Monotonic clock, in seconds.
            wall: Seconds since the epoch, to compare with times of files.
        """
        self._job = job
        self._formats = formats
        self._state = state
        self._read_whole = read_whole
        self._read_stretch = read_stretch
        self._now = now
        self._wall = wall
        self._wake = threading.Event()
        self._spool = None
        if STANDARD_INPUT in job.inputs:
            place = job.output / ".run" / "stdin"
            self._spool = _Spool(place, stdin, self._wake)
        self._positions: dict[bytes, FilePosition] = {}
        self._since = 0  # documents since the last pause
        self._paused_at = now()
        self._has_new = False

    def items(self) -> Iterator[Document | Deferred | Note | Pause]:
        """Yield documents and pauses; end after ``follow_idle_s`` without anything new.

        Raises:
            StoppedError: Data from standard input cannot be stored.
        """
        idle_since = self._now()
        while True:
            began = self._now()
            self._has_new = False
            was_over = self._spool is not None and self._spool.is_over
            for found in self._find():
                yield from self._look_at(found)
            if self._has_new:
                yield from self._pause()
                idle_since = self._now()
                continue
            if self._spool is not None:
                self._spool.drop_read(self._state)
                if was_over and self._job.paths == (b"-",):
                    return
            idle_s = self._job.follow_idle_s
            if self._spool is not None and not was_over and idle_s is not None:
                idle_s = max(idle_s, _PIPE_S)
            if idle_s is not None and self._now() - idle_since >= idle_s:
                return
            yield Pause(BEAT)
            self._state.commit(0, {})
            took = self._now() - began
            self._wake.wait(max(self._job.follow_poll_s, _SCAN_SHARE * took))
            self._wake.clear()

    def _find(self) -> Iterator[FoundFile | Note]:
        """Yield the present files, and notes on inputs that are not files."""
        notes: list[Note] = []
        paths = tuple(given for given in self._job.inputs if given != STANDARD_INPUT)
        if self._spool is not None:
            yield from self._spool.files()
        for found in find_files(paths, self._job.output, notes.append):
            yield from notes
            notes.clear()
            yield found
        yield from notes

    def _look_at(self, found: FoundFile | Note) -> Iterator[Document | Deferred | Note | Pause]:
        if isinstance(found, Note):
            yield from self._once(found)
            return
        path = found.path
        if path is None:
            return
        try:
            about = path.stat()
        except OSError:
            return  # it is gone, or will come back
        key = os.fsencode(path)
        known = self._positions.get(key) or self._state.position(key)
        if self._grows(path) and (known is None or not known.stamp):
            if known is None and not self._is_by_lines(path):
                yield from self._whole(found, key, known, about)
            elif known is None or about.st_size != known.offset:
                yield from self._on(found, key, known or FilePosition())
            return
        yield from self._whole(found, key, known, about)

    def _once(self, note: Note) -> Iterator[Note]:
        """Report what cannot be read, once."""
        key = b"\0" + os.fsencode(note.source)
        if self._positions.get(key) or self._state.position(key):
            return
        self._positions[key] = FilePosition(stamp=note.reason)
        self._has_new = True
        yield note

    def _grows(self, path: Path) -> bool:
        is_packed = path.name.casefold().endswith(PACKED_ENDINGS)
        return self._formats.of_name(path.name) is JSON_LINES and not is_packed

    def _is_by_lines(self, path: Path) -> bool:
        """Return whether a file has one record per line, by its ending, in UTF-8."""
        try:
            with open_regular(path) as file:
                head = file.read(2**16)
        except OSError:
            return False
        return not is_one_value(head) and b"\0" not in head and not head.startswith(b"\x1f\x8b")

    # Files that are read as a whole

    def _whole(
        self, found: FoundFile, key: bytes, known: FilePosition | None, about: os.stat_result
    ) -> Iterator[Document | Deferred | Note | Pause]:
        stamp = f"{about.st_size}:{about.st_mtime_ns}:{about.st_ino}"
        age_s = self._wall() - about.st_mtime
        if (known is not None and known.stamp == stamp) or -_QUIET_S < age_s < _QUIET_S:
            return
        self._has_new = True
        is_again = self._state.is_again(key, stamp)
        reading = self._state.next_reading()
        of_file = article_name("file", os.fsdecode(key))
        notes: list[Note] = []
        for number, item in enumerate(self._read_whole(found, notes.append), 1):
            yield from notes
            notes.clear()
            yield item if is_again else self._versioned(item, reading, of_file)
            self._since += 1
            if not number % _PAUSE_DOCUMENTS:
                yield from self._pause(is_within=True)
        yield from notes
        if not is_again:
            self._state.sweep(ArticleVersion(of_file, reading))
        self._positions[key] = FilePosition(stamp=stamp)
        if self._is_time():
            yield from self._pause()

    def _versioned(
        self, item: Document | Deferred, reading: int, of_file: str
    ) -> Document | Deferred:
        """Return a document with the identity of the article that it is a version of."""
        if isinstance(item, Deferred):
            make = item.make

            def named(article: object) -> Document:
                found = self._versioned(make(article), reading, of_file)  # type: ignore[arg-type]
                assert isinstance(found, Document)  # noqa: S101
                return found

            return change(item, make=named)
        version = _version_of(item, reading) or ArticleVersion(of_file, reading, is_whole=False)
        return replace(item, version=version)

    # Files that grow by lines

    def _on(
        self, found: FoundFile, key: bytes, known: FilePosition
    ) -> Iterator[Document | Deferred | Note | Pause]:
        """Read a growing file from the last position up to its last line end."""
        assert found.path is not None  # noqa: S101
        try:
            file = open_regular(found.path)
        except OSError:
            return
        with file:
            about = os.fstat(file.fileno())
            offset, lines = known.offset, known.lines
            if about.st_size < offset or (offset and _seal(file, offset) != known.seal):
                offset = lines = 0  # another file has its name
            is_left_alone = self._wall() - about.st_mtime > _TAIL_S
            while (end := self._end_of_lines(file, offset, is_left_alone=is_left_alone)) > offset:
                self._has_new = True
                until = self._state.again_until(key)
                is_again = offset < until
                end = min(end, until) if is_again else end
                stretch = _Stretch(file, offset, end)
                notes: list[Note] = []
                for item in self._read_stretch(found, stretch, lines + 1, notes.append):
                    yield from notes
                    notes.clear()
                    yield item if is_again else self._of_line(item, self._state.next_reading())
                    self._since += 1
                yield from notes
                lines += _count_lines(file, offset, end)
                offset = end
                self._positions[key] = FilePosition("", offset, lines, _seal(file, offset))
                if self._is_time():
                    yield from self._pause()

    def _of_line(self, item: Document | Deferred, reading: int) -> Document | Deferred:
        if isinstance(item, Deferred):
            make = item.make
            return change(item, make=lambda article: _named_by_itself(make(article), reading))
        return _named_by_itself(item, reading)

    def _end_of_lines(self, file: BinaryIO, start: int, *, is_left_alone: bool) -> int:
        """Return the end of the next stretch of whole lines; ``start`` if there is none yet."""
        at = start
        while True:
            file.seek(at)
            block = file.read(_STRETCH_BYTES)
            cut = block.rfind(b"\n") if at == start else block.find(b"\n")
            if cut >= 0:
                return at + cut + 1
            at += len(block)
            if len(block) < _STRETCH_BYTES:
                is_record = is_left_alone and self._is_record(file, start, at)
                return at if is_record else start

    def _is_record(self, file: BinaryIO, start: int, end: int) -> bool:
        """Return whether a last line without a line end is complete."""
        if not 0 < end - start <= self._job.max_line_bytes:
            return False
        file.seek(start)
        try:
            orjson.loads(file.read(end - start))
        except orjson.JSONDecodeError:
            return False
        return True

    # Pauses

    def _is_time(self) -> bool:
        return self._since >= _PAUSE_DOCUMENTS or self._now() - self._paused_at >= _PAUSE_S

    def _pause(self, *, is_within: bool = False) -> Iterator[Pause]:
        """Pass on everything that was read, then record that durably.

        Within a file that is read as a whole there is no mark: it is read again from the beginning.
        """
        mark = 0
        if not is_within:
            self._state.mark += 1
            mark = self._state.mark
        yield Pause(mark)
        self._state.commit(mark, self._positions if mark else {})
        if mark:
            self._positions.clear()
        self._since = 0
        self._paused_at = self._now()


class _Stretch:
    """A stream of some bytes in the middle of a file."""

    def __init__(self, file: BinaryIO, start: int, end: int) -> None:
        self._file = file
        self._at = start
        self._end = end

    def read(self, size: int, /) -> bytes:
        self._file.seek(self._at)
        block = self._file.read(min(size, self._end - self._at))
        self._at += len(block)
        return block


class _Spool:
    """Data from standard input, in files of whole lines that are read like growing files."""

    def __init__(self, place: Path, stdin: Stream | None, wake: threading.Event) -> None:
        self._place = place
        self._wake = wake
        self._fault: OSError | None = None
        self._has_ended = stdin is None
        try:
            place.mkdir(exist_ok=True)
        except OSError as error:
            raise StoppedError(f"{place}: {error.strerror}") from None
        names = self._names()
        self._first_own = int(names[-1].partition(".")[0]) + 1 if names else 0
        if names:
            _end_line(place / names[-1])
        if stdin is not None:
            threading.Thread(target=self._fill, args=(stdin,), daemon=True, name="stdin").start()

    @property
    def is_over(self) -> bool:
        """True if standard input has ended, or its data could not be stored."""
        if self._fault is not None:
            raise StoppedError(f"{self._place}: {self._fault.strerror}")
        return self._has_ended

    def files(self) -> Iterator[FoundFile]:
        """Yield the files, the oldest first."""
        _ = self.is_over
        for name in self._names():
            yield FoundFile(self._place / name, "standard input")

    def drop_read(self, state: FollowState) -> None:
        """Remove files of which all units have ended."""
        names = self._names()
        done = names if self._has_ended else names[:-1]
        for name in done:
            path = self._place / name
            with suppress(OSError):
                if state.is_settled(os.fsencode(path), path.stat().st_size):
                    path.unlink()
                    state.forget(os.fsencode(path))

    def _names(self) -> list[str]:
        return sorted(path.name for path in self._place.glob("*.jsonl"))

    def _fill(self, stdin: Stream) -> None:
        piped = Piped(stdin)
        number, size, fd = self._first_own, 0, -1
        try:
            while block := piped.read(BLOCK_BYTES):
                while block:
                    if fd < 0:
                        fd, size = self._begin(number), 0
                    cut = block.find(b"\n") + 1 if size >= _SPOOL_BYTES else 0
                    part, block = (block[:cut], block[cut:]) if cut else (block, b"")
                    _write(fd, part)
                    size += len(part)
                    if cut:
                        os.close(fd)
                        fd, number = -1, number + 1
                self._wake.set()
                self._wait_for_room()
            if fd >= 0:
                _write(fd, b"\n")
        except OSError as error:
            self._fault = error
        self._has_ended = True
        self._wake.set()

    def _begin(self, number: int) -> int:
        path = self._place / f"{number:08d}.jsonl"
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)

    def _wait_for_room(self) -> None:
        while sum(_size(self._place / name) for name in self._names()) > _MOST_SPOOLED_BYTES:
            time.sleep(0.2)


def _version_of(document: Document, reading: int) -> ArticleVersion | None:
    """Identify a document's article by its address or its own id; None if it has neither."""
    if document.url:
        return ArticleVersion(article_name("url", document.url), reading)
    if document.id != digest(document.text):
        return ArticleVersion(article_name("id", document.id), reading)
    return None


def _named_by_itself(document: Document, reading: int) -> Document:
    version = _version_of(document, reading)
    return document if version is None else replace(document, version=version)


def _seal(file: BinaryIO, offset: int) -> str:
    """Digest of the first bytes before an offset and of the last ones."""
    file.seek(0)
    first = file.read(min(offset, _SEAL_BYTES))
    file.seek(max(0, offset - _SEAL_BYTES))
    last = file.read(min(offset, _SEAL_BYTES))
    return digest(first.decode("latin-1"), last.decode("latin-1"))


def _count_lines(file: BinaryIO, start: int, end: int) -> int:
    file.seek(start)
    count = 0
    while start < end and (block := file.read(min(BLOCK_BYTES, end - start))):
        count += block.count(b"\n")
        start += len(block)
    return count


def _end_line(path: Path) -> None:
    """End a last line that was cut off when its writer died; it is then reported as broken."""
    with suppress(OSError), path.open("r+b") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - 1))
        if size and file.read(1) != b"\n":
            file.write(b"\n")


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _write(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]
