"""HTML pages through trafilatura: the article as Markdown, without what stands around it."""

from __future__ import annotations

import importlib.util
import logging
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from pairmill.errors import InputError
from pairmill.intake.characters import strip_surrogates
from pairmill.intake.sources.text import read_bounded
from pairmill.records import Document, digest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pairmill.intake.sources.origin import Origin
    from pairmill.intake.sources.streams import Stream

__all__ = ["has_extra", "looks_like_html", "read_html", "read_page", "require_extra"]

_OPENING = re.compile(r"\s*(?:<\?xml[^>]*>\s*)?(?:<!--.{0,2000}?-->\s*)*<(?:!doctype html|html)\b",
                      re.IGNORECASE | re.DOTALL)  # fmt: skip
_FRAGMENT_MIN_PARAGRAPHS = 3
_SPACES = re.compile(r"\s+")
_KEPT_SHARE = 0.8
_VERBATIM = frozenset(("pre", "textarea", "script", "style"))
_HEADINGS = ("h1", "h2", "h3", "h4", "h5", "h6")
_PERMALINKS = frozenset(("¶", "#", "§", "🔗", "\uf0c1", ""))


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


def read_html(stream: Stream, origin: Origin) -> Iterator[Document]:
    """Yield the page's article, with the title, author, URL and language that the page names."""
    data = read_bounded(stream, origin)
    if data is None:
        return
    require_extra(origin.label)
    page = Document(id="", text="", source=origin.label)
    article = _extract(page, data)
    yield replace(article, id=digest(article.text))


def read_page(document: Document) -> Document:
    """Return a record whose text is HTML with the text as Markdown; its own title and so on win.

    Raises:
        InputError: trafilatura is not installed.
    """
    require_extra(document.source)
    text = document.text
    if not _OPENING.match(text[:8192]):
        text = f"<!DOCTYPE html><html><body><article>{text}</article></body></html>"
    return _extract(document, text.encode("utf-8", "replace"))


def _extract(document: Document, page: bytes) -> Document:
    import trafilatura  # noqa: PLC0415 (an extra, and slow to import)

    for name in ("trafilatura", "htmldate", "courlan", "justext"):
        logging.getLogger(name).setLevel(logging.CRITICAL)  # they log pieces of pages
    tree = trafilatura.load_html(page)
    if tree is None:
        return replace(document, text="")
    _prune(tree)
    facts = trafilatura.extract_metadata(tree)
    return replace(
        document,
        text=strip_surrogates(_markdown(tree, trafilatura.extract)),
        title=document.title or facts.title,
        author=document.author or facts.author,
        url=document.url or facts.url,
        language=document.language or tree.get("lang"),
    )


def _markdown(tree: Any, extract: Callable[..., str | None]) -> str:
    """Extract the article; once more, with its container marked, if the headings got lost.

    Where a page marks no article, only paragraphs are gathered from all over it.
    """
    text = _extract_once(tree, extract)
    if "\n#" in f"\n{text}" or next(tree.iter("h2", "h3"), None) is None:
        return text
    container = _container(tree)
    if container is None:
        return text
    container.tag = "article"
    again = _extract_once(tree, extract)
    keeps_all = len(again) >= _KEPT_SHARE * len(text)
    return again if keeps_all and "\n#" in f"\n{again}" else text


def _extract_once(tree: Any, extract: Callable[..., str | None]) -> str:
    options = {"include_formatting": True, "include_comments": False}
    return extract(tree, output_format="markdown", **options) or ""


def _container(tree: Any) -> Any:
    """Return the innermost ``div``, ``section`` or ``td`` with most of the paragraphs' text."""
    sizes: dict[Any, int] = {}
    total = 0
    for paragraph in tree.iter("p"):
        size = len(paragraph.text_content())
        total += size
        for ancestor in paragraph.iterancestors("div", "section", "td"):
            sizes[ancestor] = sizes.get(ancestor, 0) + size
    large = [node for node, size in sizes.items() if size >= _KEPT_SHARE * total]
    return min(large, key=lambda node: sum(1 for _ in node.iter()), default=None)


def _prune(tree: Any) -> None:
    """Undo what only a browser needs: wrapped lines, links within headings, permalink signs.

    Left in, line breaks and indentation would read as Markdown code, and headings that are mostly
    links would be taken for navigation.
    """
    for heading in tree.iter(*_HEADINGS):
        for link in list(heading.iter("a")):
            if (link.text_content() or "").strip() in _PERMALINKS:
                link.drop_tree()
            else:
                link.drop_tag()
    verbatim = {node for pre in tree.iter(*_VERBATIM) for node in pre.iter()}
    for node in tree.iter():
        if node.text and node not in verbatim and isinstance(node.tag, str):
            node.text = _SPACES.sub(" ", node.text)
        if node.tail and (node not in verbatim or node.tag in _VERBATIM):
            node.tail = _SPACES.sub(" ", node.tail)
