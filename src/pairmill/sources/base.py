"""Interface of readers and of their input: the basis of users' own formats.

A format is a `SourceFormat`: a name, the endings of its files, and ``documents(opener)``, which
yields `Document` values. The opener provides bytes (as a stream, whole, or as a seekable file) and
accepts reports of what cannot be used. See docs/sources.md.
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
    """Documents that another process is still producing; they keep their place in the order."""

    future: Future[list[Article]]
    make: Make
    opener: Opener
    where: str
    size: int

    def resolve(self) -> Iterator[Document]:
        """Wait for the documents; report input without any.

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
        name: Its name in messages: ``CSV``, ``PDF``.
        endings: File name endings with their dots, in lower case: ``(".csv", ".tsv")``.
        documents: Yields the documents of one input.
        is_text: True if the opener's stream is UTF-8 (recoded from UTF-16 and the like).
        extra: The extra that installs the reader's dependencies; empty: none are needed.
        modules: Modules of these dependencies.
        changed_in: Reader version since which its text differs from before; see
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
        """Return whether all of its dependencies are installed."""
        return all(importlib.util.find_spec(module) is not None for module in self.modules)

    def advice(self) -> str:
        """Say what to install."""
        if self.extra:
            return f"{self.name}; to read it: pip install 'pairmill[{self.extra}]'"
        return f"{self.name}; its reader needs {', '.join(self.modules)}"


class FormatTable(Protocol):
    """The formats known to a run: `registry.Formats`."""

    def of_name(self, name: str) -> SourceFormat | None:
        """Return the format of a file name's ending, if it is known."""

    @property
    def installed(self) -> tuple[SourceFormat, ...]:
        """Formats provided by other packages."""

    @property
    def endings(self) -> list[str]:
        """All known endings, sorted."""


@dataclass(slots=True)
class Opener:
    """One input: a file, a member of an archive, or standard input.

    Attributes:
        name: Its own name, which may identify the format; empty for standard input.
        label: Its name for people; printable, unlike ``name``.
        stream: Its uncompressed bytes, which can be read once.
        text_field: The field that holds a record's text; None: find it.
        max_bytes: The longest line, record or text.
        watch: Receives reports of what cannot be used.
        extractors: Extract text from data that should not be parsed in this process.
        depth: Number of archives around it.
        from_folder: Whether it was found in a folder, not named by the user.
        format: The format that reads it, once known.
        formats: The formats of the run, for members of archives.
        is_plain: Whether the stream is the file itself, not its uncompressed content.
        path: Path of the file, if it is in the file system.
        first_line: Number of the first line, for part of a growing file; 0: the whole file.
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
        """Report a piece without a document; ``where`` is added to the label."""
        told = plain_line(detail, _LONGEST_DETAIL)  # some of it is what the input says
        self.watch(Note(InputFate.SKIPPED, f"{self.label}{where}", reason, told))

    def skip_missing(self, where: str = "", problem: str = "") -> None:
        """Report that a dependency of the format's reader is missing or broken."""
        advice = self.format.advice() if self.format else ""
        self.skip(where, "extra not installed", f"{advice} ({problem})" if problem else advice)

    def notice(self, reason: str, detail: str = "") -> None:
        """Report something noteworthy that loses no data."""
        self.watch(Note(InputFate.NOTICE, self.label, reason, plain_line(detail, _LONGEST_DETAIL)))

    def read_all(self, most: int | None = None) -> bytes | None:
        """Return all bytes; if there are more than ``most``, report that and return None."""
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
        """Return the bytes as a seekable file; the caller closes it."""
        if self.path is not None and self.is_plain:
            return open_regular(self.path)
        spooled = tempfile.SpooledTemporaryFile(_SPOOLED_BYTES)  # noqa: SIM115
        while block := self.stream.read(BLOCK_BYTES):
            spooled.write(block)
        spooled.seek(0)
        return spooled

    def later(self, entry: str, data: bytes, make: Make, where: str = "") -> Deferred:
        """Start extracting articles from bytes in another process.

        Args:
            entry: The ``module:function`` that extracts them.
            data: Its input.
            make: Makes a document from each article.
            where: Added to the label in reports.
        """
        return Deferred(self.extractors.submit(entry, data), make, self, where, len(data))

    def extract_whole(self, entry: str, make: Make) -> Documents:
        """Yield the articles of the whole input, extracted in another process."""
        data = self.read_all(_MOST_EXTRACTED_BYTES)
        if data is not None:
            yield self.later(entry, data, make)

    def inner(self, name: str, stream: Stream) -> Opener:
        """Return an opener for something inside this input."""
        from pairmill.sources.characters import plain_line  # noqa: PLC0415

        label = f"{self.label}/{plain_line(name)}"
        return Opener(
            name, label, stream, self.text_field, self.max_bytes, self.watch, self.extractors,
            self.depth + 1, formats=self.formats,
        )  # fmt: skip


def too_long(size: int, max_bytes: int) -> str:
    """Describe by how much a line or record exceeds the limit."""
    return f"{size / 2**20:.1f} MiB; max_line_bytes allows {max_bytes / 2**20:.1f} MiB"
