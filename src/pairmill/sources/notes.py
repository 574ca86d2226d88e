"""What readers return besides documents: extracted articles, and reports for the watcher.

The watcher is a plain function that counts and logs; it never decides. A note contains file names,
numbers and short words, never the text of an article.
"""

from __future__ import annotations

from collections.abc import (
    Callable,
)
from enum import (
    StrEnum,
)

from msgspec import (
    Struct,
)

__all__ = [
    "Article",
    "InputFate",
    "Note",
    "Watch",
]


class Article(Struct, frozen=True, array_like=True):
    """An article, as sent by the process that extracted it.

    Attributes:
        text: Markdown; empty if nothing was found.
        replaced: Number of places with bytes that are invalid in the encoding.
        part: Which part of a container it is (a member, a message); empty if it is the whole.
        reason: Why it has no text, in a few stable words; empty if it has some.
        license: The licence as stated in the document.
    """

    text: str
    title: str | None = None
    author: str | None = None
    url: str | None = None
    language: str | None = None
    replaced: int = 0
    part: str = ""
    reason: str = ""
    license: str | None = None


class InputFate(StrEnum):
    """What happened to a piece of input."""

    READ = "read"  # a document came out of its source
    SKIPPED = "skipped"  # a file or record that cannot be used: no document
    DROPPED = "dropped"  # a document that was read and has nothing to work on after cleaning
    REPEATED = "repeated"  # a document of which some chunks repeat others
    NOTICE = "notice"  # worth a line, nothing is lost: replaced bytes, an early end


class Note(Struct, frozen=True):
    """One event concerning one piece of input.

    Attributes:
        source: File name, with a line or item number; safe to print.
        reason: A few stable words to count by, such as ``broken JSON``.
        detail: Details on one line; may be empty.
        chunks: For a duplicate, the number of chunks that need not be asked about.
        chars: Total length of these chunks.
    """

    fate: InputFate
    source: str
    reason: str = ""
    detail: str = ""
    chunks: int = 0
    chars: int = 0


Watch = Callable[[Note], None]
