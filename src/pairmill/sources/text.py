"""Plain text and Markdown files: one file, one document."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pairmill.records import Document, digest
from pairmill.sources.characters import strip_surrogates
from pairmill.sources.origin import too_long
from pairmill.sources.streams import BLOCK_BYTES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pairmill.sources.origin import DocumentOrigin
    from pairmill.sources.streams import Stream

__all__ = ["read_bounded", "read_text"]

_FRONT_MATTER = re.compile(r"---[ \t]*\r?\n((?:[^\n]*\n){1,60}?)---[ \t]*(?:\r?\n|\Z)")
_FIELD = re.compile(
    r"(title|author|url|link|source|language|lang)[ \t]*:[ \t]*(.*\S)", re.IGNORECASE
)
_FIRST_HEADING = re.compile(r"\s*#[ \t]+([^\n]+)")
_ALIASES = {"link": "url", "source": "url", "lang": "language"}


def read_text(stream: Stream, origin: DocumentOrigin) -> Iterator[Document]:
    """Yield the file as one document.

    Title, author, URL and language come from front matter (``name: value`` lines between two lines
    of ``---`` at the top), the title else from a first heading.
    """
    data = read_bounded(stream, origin)
    if data is None:
        return
    text = data.decode("utf-8", "replace")
    replaced = text.count("\ufffd") - data.count(b"\xef\xbf\xbd")
    if replaced > 0:
        origin.notice("characters replaced", f"{replaced} places are not UTF-8")
    facts, body = _split_front_matter(text)
    heading = _FIRST_HEADING.match(body)
    title = facts.get("title") or (heading[1].rstrip("# \r\t") if heading else None)
    yield Document(
        id=digest(text),
        text=strip_surrogates(body),
        source=origin.label,
        title=title,
        author=facts.get("author"),
        url=facts.get("url"),
        language=facts.get("language"),
    )


def read_bounded(stream: Stream, origin: DocumentOrigin) -> bytes | None:
    """Return all bytes; or report that they are more than a record may have, and return None."""
    blocks: list[bytes] = []
    size = 0
    while block := stream.read(BLOCK_BYTES):
        size += len(block)
        if size <= origin.max_bytes:
            blocks.append(block)
        else:
            blocks.clear()
    if size > origin.max_bytes:
        origin.skip("", "file too long", too_long(size, origin.max_bytes))
        return None
    return b"".join(blocks)


def _split_front_matter(text: str) -> tuple[dict[str, str], str]:
    match = _FRONT_MATTER.match(text)
    if not match:
        return {}, text
    facts: dict[str, str] = {}
    for line in match[1].split("\n"):
        if field := _FIELD.match(line):
            name = field[1].casefold()
            facts.setdefault(_ALIASES.get(name, name), field[2].strip("\"'"))
    return (facts, text[match.end() :]) if facts else ({}, text)
