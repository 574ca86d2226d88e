"""Extracts the article of one page: its text as Markdown, and the page's metadata."""

from __future__ import annotations

from msgspec.structs import replace

from pairmill.sources.characters import strip_surrogates
from pairmill.sources.encodings import declared_in_page, decode
from pairmill.sources.notes import Article
from pairmill.sources.pages.content import find_article
from pairmill.sources.pages.metadata import read_facts, stated_text
from pairmill.sources.pages.to_markdown import render
from pairmill.sources.pages.tree import parse_page

__all__ = ["extract", "extract_fragment", "extract_text"]

_FEW_CHARS = 250  # an article as short as this may be what a careful reader left of a long one
_MORE = 2


def extract(page: bytes) -> list[Article]:
    """Return the article of a page in any encoding; the text is empty if there is none.

    Has no time limit of its own: it runs in a process that `Extractors` may kill.
    """
    decoded = decode(page, declared_in_page(page))
    if decoded is None:
        return [Article("")]
    article = extract_text(decoded.text)
    return [replace(article, replaced=decoded.replaced) if decoded.replaced else article]


def extract_text(text: str) -> Article:
    """Return the article of a decoded page."""
    page = parse_page(text)
    if page is None:
        return Article("")
    facts = read_facts(page)
    found = render(find_article(page.body))
    if len(found) < _FEW_CHARS:
        page = parse_page(text)
        again = render(find_article(page.body, strict=False)) if page else ""
        if len(again) > _MORE * len(found):
            found = again
        stated = stated_text(page) if page else ""
        if len(stated) > max(_FEW_CHARS, _MORE * len(found)):
            found = stated
    title, author, url, language, license = map(_clean, facts)  # noqa: A001 (its name)
    return Article(strip_surrogates(found), title, author, url, language, license=license)


def extract_fragment(text: str) -> str:
    """Return a whole fragment, which contains only an article, as Markdown."""
    is_page = "<body" in text[:20_000].lower()
    page = parse_page(text if is_page else f"<html><body>{text}</body></html>")
    return strip_surrogates(render(page.body.kids)) if page else ""


def _clean(text: str | None) -> str | None:
    return strip_surrogates(text) if text else None
