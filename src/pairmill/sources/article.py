"""Result of reading one page, PDF or other document: its text as Markdown, and its metadata."""

from __future__ import annotations

from msgspec import Struct

__all__ = ["Article"]


class Article(Struct, frozen=True, array_like=True):
    """An article, as sent by the process that read it.

    Attributes:
        text: Markdown; empty if nothing was found.
        replaced: Places whose bytes were not of the encoding.
        part: Which part of a container it is (a member, a message); empty for the whole.
        reason: Why it has no text, in a few stable words; empty: it has.
        license: As the document says it.
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
