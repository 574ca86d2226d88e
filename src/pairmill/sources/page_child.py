"""The process that takes articles out of HTML pages, and dies of a page that takes too long.

`pairmill.sources.pages` is what starts it. Pages come through the first of its two
descriptors, each with the time that it may take; by the second leaves a word that it is ready, then
the articles. It ends when no more pages can come.
"""

from __future__ import annotations

import logging
import os
import re
import signal
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import trafilatura

from pairmill.sources.characters import strip_surrogates
from pairmill.sources.frames import BrokenFrameError, read_frame, write_frame

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Article", "extract", "main"]

Article = tuple[str, str | None, str | None, str | None, str | None]
"""Text, title, author, URL and language."""

_DEADLINES = (signal.SIGPROF, signal.SIGALRM)
_SPACES = re.compile(r"\s+")
_KEPT_SHARE = 0.8
_VERBATIM = frozenset(("pre", "textarea", "script", "style"))
_HEADINGS = ("h1", "h2", "h3", "h4", "h5", "h6")
_PERMALINKS = frozenset(("¶", "#", "§", "🔗", "\uf0c1", ""))


def main() -> int:
    """Serve until there are no more pages."""
    for number in (*_DEADLINES, signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)  # its parent may have left them ignored
    for name in ("trafilatura", "htmldate", "courlan", "justext"):
        logging.getLogger(name).setLevel(logging.CRITICAL)  # they log pieces of pages
    taken, given = map(int, sys.argv[1:])
    with suppress(BrokenFrameError, BrokenPipeError):
        write_frame(given, None)
        _be_silent()
        while True:
            *limits, page = read_frame(taken)
            # The system ends the process then, wherever it is: within a library too.
            _set_timers(*limits)
            article = extract(page)
            _set_timers(0, 0)
            write_frame(given, article)
    return 0


def _set_timers(processor_s: float, wall_s: float) -> None:
    signal.setitimer(signal.ITIMER_PROF, processor_s)
    signal.setitimer(signal.ITIMER_REAL, wall_s)


def _be_silent() -> None:
    """Keep what pages make a library print from filling a disk."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)


def extract(page: bytes) -> Article:
    """Return the page's article as Markdown, with what the page says of it.

    Nothing in here is quick, and what hostile pages make of it is not bounded: it runs in a
    process that `pages` ends.
    """
    tree = trafilatura.load_html(page)
    if tree is None:
        return "", None, None, None, None
    _prune(tree)
    facts = trafilatura.extract_metadata(tree)
    text = strip_surrogates(_markdown(tree, trafilatura.extract))
    return text, facts.title, facts.author, facts.url, tree.get("lang")


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
