"""Recognizes streams: columns of teasers of other pages, each a title that links to one.

A stream may hold more text than the article that it stands beside or under, and its elements are
called anything; but no article is made of linked titles. A page that holds nothing but a stream is
an index, and keeps it.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from pairmill.sources.pages.tree import BLOCKS, HEADINGS, Node

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["drop_streams", "is_teaser"]

_ITEMS = frozenset(("li", "div", "article", "section"))
_LEAST_ITEMS = 4
_MOST_OF = 0.75  # of the items must be teasers, and hold so much of what there is
_LONGEST_ITEM = 1200  # characters
_LEAST_TITLE = 12
_LEAST_LINE = 25  # of a title that is no heading: names of authors are shorter


def drop_streams(body: Node, total: int, enough: int) -> None:
    """Take out streams, if so many characters of running text are left without them."""
    for node in [node for node in body.nodes() if node.has_blocks and node.link_chars]:
        if node.parent is None or not _is_within(node, body):
            continue
        if total - node.good >= enough and _is_stream(node):
            total -= node.good
            node.parent.remove(node)


def _is_within(node: Node, body: Node) -> bool:
    """Return whether a node is still there: what it stood in may have been taken out."""
    while node is not body:
        above = node.parent
        if above is None or node not in above.kids:
            return False
        node = above
    return True


def _is_stream(node: Node) -> bool:
    kids = [kid for kid in node.kids if isinstance(kid, Node) and kid.chars]
    if len(kids) < _LEAST_ITEMS:
        return False
    tag, count = Counter(kid.tag for kid in kids).most_common(1)[0]
    if tag not in _ITEMS or count < _LEAST_ITEMS:
        return False
    items = [kid for kid in kids if kid.tag == tag]
    teasers = [item for item in items if is_teaser(item)]
    return (
        len(teasers) >= max(_LEAST_ITEMS, _MOST_OF * len(items))
        and sum(item.chars for item in teasers) >= _MOST_OF * node.chars
    )


def is_teaser(item: Node) -> bool:
    """Return whether an element is short and has a title that links to another page."""
    if not item.has_blocks or item.chars > _LONGEST_ITEM or not item.link_chars:
        return False
    return any(_leads_away(title) for title in _titles(item))


def _titles(item: Node) -> Iterator[Node]:
    """Yield the links that are headings of an item, or lines of it."""
    for node in item.nodes():
        if node.tag == "a" and node.find(*HEADINGS) is not None:
            yield node
        elif node.tag in HEADINGS and _is_all_link(node, _LEAST_TITLE):
            link = node.find("a")
            yield link if link is not None else node
        elif node.tag in BLOCKS and not node.has_blocks and _is_all_link(node, _LEAST_LINE):
            link = node.find("a")
            if link is not None:
                yield link


def _is_all_link(node: Node, least: int) -> bool:
    return node.link_chars >= max(least, 0.9 * node.chars)


def _leads_away(link: Node) -> bool:
    target = link.get("href")
    return bool(target) and not target.startswith(("#", "javascript:"))
