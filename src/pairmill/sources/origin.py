"""What a reader is told about the input that it reads, and how it reports what it cannot use."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pairmill.records import Document
from pairmill.sources.notes import InputFate, Note, Watch
from pairmill.sources.streams import Stream

if TYPE_CHECKING:
    from pairmill.sources.pages import Pages

__all__ = ["DocumentOrigin", "Reader", "too_long"]


@dataclass(frozen=True, slots=True)
class DocumentOrigin:
    """One file, or standard input.

    Attributes:
        label: Its name for people; printable.
        text_field: The field that holds a record's text; None: find it.
        max_bytes: The longest line, record or text.
        pages: What reads HTML.
    """

    label: str
    text_field: str | None
    max_bytes: int
    watch: Watch
    pages: Pages

    def skip(self, where: str, reason: str, detail: str = "") -> None:
        """Report a piece that gives no document; ``where`` is added to the label."""
        self.watch(Note(InputFate.SKIPPED, f"{self.label}{where}", reason, detail))

    def notice(self, reason: str, detail: str = "") -> None:
        """Report something worth a line, by which nothing is lost."""
        self.watch(Note(InputFate.NOTICE, self.label, reason, detail))


Reader = Callable[[Stream, DocumentOrigin], Iterator[Document]]
"""Yields the documents of one input as a stream; what it cannot use it reports."""


def too_long(size: int, max_bytes: int) -> str:
    """Say for people how far a line or record goes over the limit."""
    return f"{size / 2**20:.1f} MiB; max_line_bytes allows {max_bytes / 2**20:.1f} MiB"
