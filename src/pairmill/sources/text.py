"""Plain text and Markdown files: one file, one document.

Markdown loses what a site generator would have resolved: front matter (its metadata is used),
Liquid, shortcodes, imports, components and HTML tags. Code is never changed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pairmill.records import Document, digest
from pairmill.sources.base import SourceFormat
from pairmill.sources.characters import strip_surrogates
from pairmill.sources.encodings import decode
from pairmill.sources.markdown import (
    convert_admonitions,
    first_heading,
    imports_components,
    resolve_templates,
    split_front_matter,
    was_cut_alike,
)

if TYPE_CHECKING:
    from pairmill.sources.base import Documents, Opener

_BOXES_SINCE = 4  # version of reading, see `chunking.clean`

__all__ = ["MARKDOWN", "MDX", "TEXT", "decode_whole", "read_markdown", "read_text"]


def read_text(opener: Opener) -> Documents:
    """Yield the file as one document, with the metadata from its front matter."""
    yield from _read(opener, is_markdown=False)


def read_markdown(opener: Opener) -> Documents:
    """Yield the file as one document, without the markup of site generators."""
    yield from _read(opener, is_markdown=True)


def decode_whole(opener: Opener) -> str | None:
    """Return the input as text, or report why it is not text and return None."""
    data = opener.read_all()
    if data is None:
        return None
    decoded = decode(data)
    if decoded is None:
        opener.skip("", "not text", "text in an unknown encoding")
        return None
    if decoded.replaced > 0:
        name = "UTF-8" if decoded.encoding == "utf-8" else decoded.encoding
        opener.notice("characters replaced", f"{decoded.replaced} places are not {name}")
    return decoded.text


def _read(opener: Opener, *, is_markdown: bool) -> Documents:
    text = decode_whole(opener)
    if text is None:
        return
    facts, rest = split_front_matter(text, json_too=is_markdown)
    plain = body = rest
    is_mdx = is_named = False
    if is_markdown:
        plain = body = convert_admonitions(rest)
        is_named = opener.name.casefold().endswith((".mdx", ".astro"))
        is_mdx = is_named or imports_components(rest)
        body = resolve_templates(body, facts, is_mdx=is_mdx)
    yield Document(
        id=facts.id or digest(text),
        text=strip_surrogates(body),
        source=opener.label,
        title=facts.title or first_heading(body),
        author=facts.author,
        url=facts.url,
        language=facts.language,
        since=_BOXES_SINCE if is_mdx and not is_named else _since(text, rest, plain, body),
        date=facts.date,
        license=facts.license,
    )


def _since(text: str, rest: str, plain: str, body: str) -> int:
    """Return the reader version since which a text comes out this way."""
    head = text[: len(text) - len(rest)].strip()
    if (
        plain != rest
        or "endraw" in rest
        or head.endswith("\n...")
        or head.startswith(("%", "\ufeff%"))
    ):
        return _BOXES_SINCE
    return 1 if body == rest and was_cut_alike(text, rest) else 2


TEXT = SourceFormat("text", (".txt", ".text"), read_text, is_text=True)
MARKDOWN = SourceFormat(
    "Markdown", (".md", ".markdown", ".mkd", ".qmd"), read_markdown, is_text=True
)
MDX = SourceFormat("MDX", (".mdx", ".astro"), read_markdown, is_text=True)
