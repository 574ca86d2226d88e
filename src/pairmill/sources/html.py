"""HTML pages: the article as Markdown, without its surroundings; see `pages`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from msgspec.structs import replace

from pairmill.records import Document, digest
from pairmill.sources.base import SourceFormat

if TYPE_CHECKING:
    from pairmill.sources.base import Deferred, Documents, Opener
    from pairmill.sources.notes import Article

__all__ = ["HTML", "has_entities", "looks_like_html", "read_html", "read_page", "read_page_bytes"]

_ENTRY = "pairmill.sources.pages.article:extract"
_OPENING = re.compile(
    r"\s*(?:<\?xml[^>]*>\s*)?(?:<!--.{0,2000}?-->\s*)*<(?:!doctype html|html|head|body)\b",
    re.IGNORECASE | re.DOTALL,
)
_FRAGMENT_TAG = re.compile(
    r"</(?:p|div|h[1-6]|li|ul|ol|table|section|article|blockquote|pre|span|strong|em|a)>|<br\s*/?>"
    r"|<p(?:\s[^>]*)?>|<!-- /?wp:",
    re.IGNORECASE,
)
_CODE = re.compile(r"```.*?```|~~~.*?~~~|`[^`\n]+`", re.DOTALL)
_ENTITY = re.compile(
    r"&(?:#\d{2,6}|#x[0-9a-f]{2,6}|nbsp|amp|lt|gt|quot|apos|[rl][sd]quo|[mn]dash|hellip|eacute|[aou]uml);",
    re.IGNORECASE,
)
_CHARS_A_TAG = (
    400  # a fragment has a tag at least so often; Markdown with a tag here and there has not
)
_LEAST_TAGS = 2
_START = 8192  # characters
_CHANGED_IN = 4  # version of reading, see `chunking.clean`


def looks_like_html(text: str) -> bool:
    """Return whether a text is an HTML page or fragment, and not Markdown with some HTML."""
    if text.find("<", 0, _START) < 0:
        return False
    start = text[:_START]
    if start.lstrip().startswith("<") and _OPENING.match(start):
        return True
    sample = text[:50_000]
    tags = len(_FRAGMENT_TAG.findall(sample))
    if tags < _LEAST_TAGS or tags * _CHARS_A_TAG < len(sample):
        return False
    begins = start.lstrip().startswith("<")
    if begins and text.rstrip().endswith(">") and tags > _LEAST_TAGS:
        return True
    bare = _CODE.sub("", sample)
    has_marks = bool(re.search(r"^#{1,6} |^```|^[-*] |^\d+\. |\]\(", bare, re.MULTILINE))
    return not has_marks and len(_FRAGMENT_TAG.findall(bare)) >= _LEAST_TAGS


def has_entities(text: str) -> bool:
    """Return whether a text that is not HTML still contains HTML entities."""
    return "&" in text and len(_ENTITY.findall(text)) > 0


def read_html(opener: Opener) -> Documents:
    """Yield the page's article, with the title, author, URL and language that the page names."""
    label = opener.label

    def make(article: Article) -> Document:
        return _filled(Document(digest(article.text), "", label), article)

    yield from opener.extract_whole(_ENTRY, make)


HTML = SourceFormat(
    "HTML",
    (".html", ".htm", ".xhtml", ".xht", ".shtml", ".mhtml", ".php", ".aspx", ".asp", ".jsp"),
    read_html,
    extra="html",
    modules=("lxml",),
    changed_in=_CHANGED_IN,
)


def read_page(document: Document, where: str, opener: Opener) -> Deferred | None:
    """Convert a record whose text is HTML to Markdown; the record's own title, author etc. win."""
    if not HTML.is_usable():
        opener.skip(where, "extra not installed", HTML.advice())
        return None
    text = document.text
    if not _OPENING.match(text[:8192]):
        text = f"<!DOCTYPE html><html><body><article>{text}</article></body></html>"
    data = text.encode("utf-8", "replace")
    return opener.later(_ENTRY, data, lambda article: _filled(document, article), where)


def read_page_bytes(document: Document, data: bytes, where: str, opener: Opener) -> Deferred:
    """Convert a page as it was sent, with known metadata; its id is the text's digest."""

    def make(article: Article) -> Document:
        return _filled(replace(document, id=digest(article.text)), article)

    return opener.later(_ENTRY, data, make, where)


def _filled(document: Document, article: Article) -> Document:
    return replace(
        document,
        text=article.text,
        title=document.title or article.title,
        author=document.author or article.author,
        url=document.url or article.url,
        language=document.language or article.language,
        license=document.license or article.license,
        since=_CHANGED_IN,
    )
