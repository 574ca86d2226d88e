"""Plain text and Markdown files: one file, one document."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pairmill.records import Document, digest
from pairmill.sources.base import Format
from pairmill.sources.characters import strip_surrogates
from pairmill.sources.encodings import decode

if TYPE_CHECKING:
    from pairmill.sources.base import Documents, Opener

__all__ = ["MARKDOWN", "TEXT", "read_text"]

_FRONT_MATTER = re.compile(r"---[ \t]*\r?\n((?:[^\n]*\n){1,60}?)---[ \t]*(?:\r?\n|\Z)")
_FIELD = re.compile(
    r"(title|author|url|link|source|language|lang)[ \t]*:[ \t]*(.*\S)", re.IGNORECASE
)
_FIRST_HEADING = re.compile(r"\s*#[ \t]+([^\n]+)")
_ALIASES = {"link": "url", "source": "url", "lang": "language"}


def read_text(opener: Opener) -> Documents:
    """Yield the file as one document.

    Title, author, URL and language come from front matter (``name: value`` lines between two lines
    of ``---`` at the top), the title else from a first heading.
    """
    data = opener.read_all()
    if data is None:
        return
    decoded = decode(data)
    if decoded is None:
        opener.skip("", "not text", "text in an encoding that cannot be told")
        return
    text = decoded.text
    if decoded.replaced > 0:
        places = f"{decoded.replaced} places are not {_name_of(decoded.encoding)}"
        opener.notice("characters replaced", places)
    facts, body = _split_front_matter(text)
    heading = _FIRST_HEADING.match(body)
    title = facts.get("title") or (heading[1].rstrip("# \r\t") if heading else None)
    yield Document(
        id=digest(text),
        text=strip_surrogates(body),
        source=opener.label,
        title=title,
        author=facts.get("author"),
        url=facts.get("url"),
        language=facts.get("language"),
    )


TEXT = Format("text", (".txt", ".text"), read_text, is_text=True)
MARKDOWN = Format("Markdown", (".md", ".markdown"), read_text, is_text=True)


def _name_of(encoding: str) -> str:
    return "UTF-8" if encoding == "utf-8" else encoding


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
