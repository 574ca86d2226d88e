"""Interface of readers, and what they are given: the basis of a user's own formats.

A format is a `SourceFormat`: a name, the endings of its files, and ``documents(opener)``, which
yields `Document` values. The opener gives bytes (as a stream, whole, or in a file that can seek),
and takes reports of what cannot be used. See docs/sources.md.
"""

from __future__ import annotations

import importlib.util
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Protocol

from pairmill.records import Document
from pairmill.sources.characters import plain_line
from pairmill.sources.extractors import ExtractionError
from pairmill.sources.notes import InputFate, Note, Watch
from pairmill.sources.streams import BLOCK_BYTES, Stream, open_regular

if TYPE_CHECKING:
    from concurrent.futures import Future
    from pathlib import Path

    from pairmill.sources.extractors import Extractors
    from pairmill.sources.notes import Article

__all__ = ["Deferred", "Documents", "FormatTable", "Opener", "SourceFormat", "too_long"]

_LONGEST_DETAIL = 600  # characters
_SPOOLED_BYTES = 2**24  # a seekable file is kept in memory up to this size, then on disk
_MOST_EXTRACTED_BYTES = 2**28  # limit of one PDF, book or page, which are held in memory completely

Make = Callable[["Article"], Document]


@dataclass(frozen=True, slots=True)
class Deferred:
    """Documents that another process is working on; they keep their place in the order."""

    future: Future[list[Article]]
    make: Make
    opener: Opener
    where: str
    size: int

    def resolve(self) -> Iterator[Document]:
        """Wait for them; input without a document is reported.

        Raises:
            StoppedError: No process can be started now.
        """
        try:
            articles = self.future.result()
        except ExtractionError as error:
            if error.missing:
                self.opener.skip_missing(self.where, error.missing)
            else:
                self.opener.skip(self.where, error.reason, str(error))
            return
        for article in articles:
            where = f"{self.where}{article.part}"
            if article.replaced:
                places = f"{article.replaced} places are not of the encoding"
                self.opener.notice("characters replaced", places)
            if article.reason:
                self.opener.skip(where, article.reason)
            else:
                yield self.make(article)


Documents = Iterator[Document | Deferred]


@dataclass(frozen=True, slots=True)
class SourceFormat:
    """One kind of input.

    Attributes:
        name: What to call it in messages: ``CSV``, ``PDF``.
        endings: Of file names, with their dots, in lower case: ``(".csv", ".tsv")``.
        documents: Yields the documents of one input.
        is_text: True if the opener's stream is UTF-8 (recoded from UTF-16 and the like).
        extra: The extra that installs the reader's dependencies; empty: none are needed.
        modules: Modules of these dependencies.
        changed_in: Reader version since which it yields other text than before; see
            `pairmill.chunking.clean.READING_VERSION`.
    """

    name: str
    endings: tuple[str, ...]
    documents: Callable[[Opener], Documents]
    is_text: bool = False
    extra: str = ""
    modules: tuple[str, ...] = ()
    changed_in: int = 1

    def is_usable(self) -> bool:
        """Return whether everything that it needs is installed."""
        return all(importlib.util.find_spec(module) is not None for module in self.modules)

    def advice(self) -> str:
        """Say what to install."""
        if self.extra:
            return f"{self.name}; to read it: pip install 'pairmill[{self.extra}]'"
        return f"{self.name}; its reader needs {', '.join(self.modules)}"


class FormatTable(Protocol):
    """The formats that a run knows: `registry.Formats`."""

    def of_name(self, name: str) -> SourceFormat | None:
        """Return the format that a file's ending tells, if it is known."""

    @property
    def installed(self) -> tuple[SourceFormat, ...]:
        """Formats that other packages bring."""

    @property
    def endings(self) -> list[str]:
        """All endings that are known, sorted."""


@dataclass(slots=True)
class Opener:
    """One input: a file, a member of an archive, or standard input.

    Attributes:
        name: Its own name, which may tell the format; empty for standard input.
        label: Its name for people; printable, unlike ``name``.
        stream: Its bytes, unpacked; they can be read once.
        text_field: The field that holds a record's text; None: find it.
        max_bytes: The longest line, record or text.
        watch: Is told what cannot be used.
        extractors: Takes text out of what should not be read in this process.
        depth: In how many archives it lies.
        from_folder: Whether it was found in a folder, not named by the user.
        format: The format that reads it, once that is known.
        formats: The formats of the run, for what lies in an archive.
        is_plain: Whether the stream is the file as it is, not unpacked.
        path: Where the file is, if it is one of the file system.
        first_line: Of a stretch of a growing file, the number of its first line; 0: it is whole.
    """

    name: str
    label: str
    stream: Stream
    text_field: str | None
    max_bytes: int
    watch: Watch
    extractors: Extractors
    depth: int = 0
    from_folder: bool = False
    format: SourceFormat | None = None
    formats: FormatTable | None = None
    is_plain: bool = True
    path: Path | None = None
    first_line: int = 0

    def skip(self, where: str, reason: str, detail: str = "") -> None:
        """Report a piece that gives no document; ``where`` is added to the label."""
        told = plain_line(detail, _LONGEST_DETAIL)  # some of it is what the input says
        self.watch(Note(InputFate.SKIPPED, f"{self.label}{where}", reason, told))

    def skip_missing(self, where: str = "", problem: str = "") -> None:
        """Report that what the format's reader needs is not installed, or is broken."""
        advice = self.format.advice() if self.format else ""
        self.skip(where, "extra not installed", f"{advice} ({problem})" if problem else advice)

    def notice(self, reason: str, detail: str = "") -> None:
        """Report something worth a line, by which nothing is lost."""
        self.watch(Note(InputFate.NOTICE, self.label, reason, plain_line(detail, _LONGEST_DETAIL)))

    def read_all(self, most: int | None = None) -> bytes | None:
        """Return all bytes; or report that they are more than ``most``, and return None."""
        limit = self.max_bytes if most is None else most
        blocks: list[bytes] = []
        size = 0
        while block := self.stream.read(BLOCK_BYTES):
            size += len(block)
            if size <= limit:
                blocks.append(block)
            else:
                blocks.clear()
        if size > limit:
            self.skip("", "file too long", too_long(size, limit))
            return None
        return b"".join(blocks)

    def seekable(self) -> IO[bytes]:
        """Return the bytes as a file that can seek; the caller closes it."""
        if self.path is not None and self.is_plain:
            return open_regular(self.path)
        spooled = tempfile.SpooledTemporaryFile(_SPOOLED_BYTES)  # noqa: SIM115
        while block := self.stream.read(BLOCK_BYTES):
            spooled.write(block)
        spooled.seek(0)
        return spooled

    def later(self, entry: str, data: bytes, make: Make, where: str = "") -> Deferred:
        """Begin to take articles out of bytes, in another process.

        Args:
            entry: The ``module:function`` that takes them out.
            data: What it is given.
            make: Makes a document of each article.
            where: Is added to the label in reports.
        """
        return Deferred(self.extractors.submit(entry, data), make, self, where, len(data))

    def extract_whole(self, entry: str, make: Make) -> Documents:
        """Yield the articles of the whole input, taken out in another process."""
        data = self.read_all(_MOST_EXTRACTED_BYTES)
        if data is not None:
            yield self.later(entry, data, make)

    def inner(self, name: str, stream: Stream) -> Opener:
        """Return the opener of something that lies in this input."""
        from pairmill.sources.characters import plain_line  # noqa: PLC0415

        label = f"{self.label}/{plain_line(name)}"
        return Opener(
            name, label, stream, self.text_field, self.max_bytes, self.watch, self.extractors,
            self.depth + 1, formats=self.formats,
        )  # fmt: skip


def too_long(size: int, max_bytes: int) -> str:
    """Say for people how far a line or record goes over the limit."""
    return f"{size / 2**20:.1f} MiB; max_line_bytes allows {max_bytes / 2**20:.1f} MiB"
