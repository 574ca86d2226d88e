"""HTML pages through trafilatura: the article as Markdown, without what stands around it."""

from __future__ import annotations

import importlib.util
import re
from typing import TYPE_CHECKING

from msgspec.structs import replace

from pairmill.errors import InputError
from pairmill.records import Document, digest
from pairmill.sources.pages import PageError
from pairmill.sources.text import read_bounded

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pairmill.sources.origin import DocumentOrigin
    from pairmill.sources.streams import Stream

__all__ = ["has_extra", "looks_like_html", "read_html", "read_page", "require_extra"]

_OPENING = re.compile(r"\s*(?:<\?xml[^>]*>\s*)?(?:<!--.{0,2000}?-->\s*)*<(?:!doctype html|html)\b",
                      re.IGNORECASE | re.DOTALL)  # fmt: skip
_FRAGMENT_MIN_PARAGRAPHS = 3


def has_extra() -> bool:
    """Whether HTML can be read here."""
    return importlib.util.find_spec("trafilatura") is not None


def require_extra(source: str) -> None:
    """Stop where HTML cannot be read.

    Raises:
        InputError: trafilatura is not installed.
    """
    if not has_extra():
        raise InputError(f"{source} is HTML; to read it: pip install 'pairmill[html]'")


def looks_like_html(text: str) -> bool:
    """Whether a text is a page, or a fragment of some paragraphs: Markdown may hold HTML too."""
    if not text[:200].lstrip().startswith("<"):
        return False
    return bool(_OPENING.match(text[:8192])) or (
        text.rstrip().endswith(">") and text.count("</p>") >= _FRAGMENT_MIN_PARAGRAPHS
    )


def read_html(stream: Stream, origin: DocumentOrigin) -> Iterator[Document]:
    """Yield the page's article, with the title, author, URL and language that the page names."""
    data = read_bounded(stream, origin)
    if data is None:
        return
    page = Document(id="", text="", source=origin.label)
    article = _extract(page, data, "", origin)
    if article:
        yield replace(article, id=digest(article.text))


def read_page(document: Document, where: str, origin: DocumentOrigin) -> Document | None:
    """Return a record whose text is HTML with the text as Markdown; its own title and so on win.

    A page that cannot be read, or not in time, is reported.

    Raises:
        InputError: trafilatura is not installed.
    """
    text = document.text
    if not _OPENING.match(text[:8192]):
        text = f"<!DOCTYPE html><html><body><article>{text}</article></body></html>"
    return _extract(document, text.encode("utf-8", "replace"), where, origin)


def _extract(
    document: Document, page: bytes, where: str, origin: DocumentOrigin
) -> Document | None:
    require_extra(document.source)
    try:
        text, title, author, url, language = origin.pages.extract(page)
    except PageError as error:
        origin.skip(where, error.reason, str(error))
        return None
    return replace(
        document,
        text=text,
        title=document.title or title,
        author=document.author or author,
        url=document.url or url,
        language=document.language or language,
    )
