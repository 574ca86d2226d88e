"""Removes from an article what leads readers elsewhere: lists of links, teasers, credits.

A stream is a column of teasers of other pages. It may contain more text than the article beside or
above it, and its elements can have any name; but no article consists of linked titles. A page that
contains only a stream is an index, and keeps it.
"""

from __future__ import annotations

from collections import (
    Counter,
)
from typing import (
    TYPE_CHECKING,
)

from pairmill.sources.pages import (
    noise,
)
from pairmill.sources.pages.tree import (
    BLOCKS,
    HEADINGS,
    Node,
)

if TYPE_CHECKING:
    from collections.abc import (
        Iterator,
    )

__all__ = ["drop_streams", "is_caption", "is_dated", "trim"]

_ITEMS = frozenset(("li", "div", "article", "section"))
_LEAST_ITEMS = 4
_MOST_OF = 0.75  # of the items must be teasers, and hold so much of what there is
_LONGEST_ITEM = 1200  # characters
_LEAST_TITLE = 12
_LEAST_LINE = 25  # of a title that is no heading: names of authors are shorter


def drop_streams(body: Node, total: int, enough: int) -> None:
    """Remove streams, if this many characters of running text are left."""
    for node in [node for node in body.nodes() if node.has_blocks and node.link_chars]:
        if node.parent is None or not _is_within(node, body):
            continue
        if total - node.good >= enough and _is_stream(node):
            total -= node.good
            node.parent.remove(node)


def _is_within(node: Node, body: Node) -> bool:
    """Return whether a node is still in the tree; an ancestor may have been removed."""
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
    teasers = [item for item in items if _is_stream_item(item)]
    return (
        len(teasers) >= max(_LEAST_ITEMS, _MOST_OF * len(items))
        and sum(item.chars for item in teasers) >= _MOST_OF * node.chars
    )


def _is_stream_item(item: Node) -> bool:
    """Return whether an element is short and has a title that links to another page."""
    if not item.has_blocks or item.chars > _LONGEST_ITEM or not item.link_chars:
        return False
    return any(_leads_away(title) for title in _titles(item))


def _titles(item: Node) -> Iterator[Node]:
    """Yield links that are headings or lines of an item."""
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


_ANY = 10**9
# Share of link characters from which on an element is a box of links; and how long, and with how
# much running text, it is none all the same.
_LINK_BOXES = {
    "ul": (0.75, 3000, _ANY),
    "ol": (0.75, 3000, _ANY),
    "p": (0.95, 200, _ANY),
    "div": (0.6, _ANY, 80),
    "section": (0.6, _ANY, 80),
    "aside": (0.6, _ANY, 80),
    "figure": (0.6, _ANY, 80),
    "table": (0.8, _ANY, 80),
}
_NO_BOX = (1.0, 0, 0)
_BOXES = frozenset(("div", "section", "aside", "figure"))
_ALL_LINKS = 0.8
_MANY_LINKS = 0.4
_TEASERS = frozenset(("p", "div", "li", "blockquote", "strong"))
_LONGEST_TEASER = 300
_LONGEST_CREDIT = 80
_LONGEST_LABEL = 60
_LONGEST_HEADING = 80
_LEAST_OPENING = 60
_LONGEST_CAPTION = 500
_LEAST_SENTENCE = 40
_LONGEST_TAG = 40
_MEMBERS = frozenset(("li", "td", "th", "dd", "dt", "blockquote"))
_MOST_LABELS = 5  # in a row: more of them are a text of short lines
_SURELY_HEADING = 60  # characters: longer ones may be sentences
_LEAST_GOOD = 400  # characters: of a shorter article nothing is certain
_MOST_TEASERS = 0.3  # of the running text
_FIRST_RUNS = 6
_LAST_RUNS = 6
_LONGEST_DATE = 120
_CELLS_OF_ROW = 2
_LEAST_ROWS = 2
_NO_LABELS = frozenset(("pre", "table", "ul", "ol", "dl"))


def trim(article: Node, *, is_page: bool) -> None:
    """Remove what is not part of the text: lists of links, teasers, credits, empty sections.

    Args:
        article: The nodes of the article; modified.
        is_page: Whether it comes from a whole page, whose labels it may contain.
    """
    _drop_teaser_boxes(article)
    _drop_boxes(article)
    if is_page:
        _drop_lead_captions(article)
    if is_page and article.good >= _LEAST_GOOD:
        _drop_dates_and_closings(article)
        _drop_labels(article)
        _drop_last_headings(article)
        _drop_labels(article)  # what stood above those headings


def _drop_boxes(container: Node) -> None:
    for kid in [kid for kid in container.kids if isinstance(kid, Node)]:
        if kid.tag in HEADINGS or not (kid.has_blocks or kid.tag in BLOCKS):
            if container.has_blocks and _is_loose_noise(kid):
                container.remove(kid)
            continue
        if _is_link_box(kid):
            if not (_is_announced(kid, container) or _is_term(kid, container)):
                container.remove(kid)
        elif _is_teaser(kid) or _is_credit(kid) or _is_furniture(kid):
            container.remove(kid)
        elif kid.tag not in ("p", "pre", "table", "dl"):
            _drop_boxes(kid)
    _drop_related(container)


def _is_loose_noise(node: Node) -> bool:
    """Return whether an element between blocks is a link to the rest, or credits a picture."""
    if node.tag == "a":
        return bool(noise.CONTINUE.fullmatch(node.text()))
    if 0 < node.chars <= _LONGEST_LABEL and noise.FURNITURE.fullmatch(
        " ".join(node.text().split())
    ):
        return node.tag not in ("code", "tt", "b", "strong", "em", "i")
    return bool(node.names) and is_caption(node) and bool(noise.CREDIT.search(node.text()))


def _is_announced(node: Node, container: Node) -> bool:
    """Return whether a sentence with a colon opens a list of links: it is one of the text."""
    if not node.chars or node.tag not in ("ul", "ol", "div"):
        return False
    before: Node | None = None
    for kid in container.kids:
        if kid is node:
            break
        if isinstance(kid, Node) and kid.chars:
            before = kid
    if before is None or before.tag != "p" or before.good < _LEAST_SENTENCE:
        return False
    text = before.text().rstrip()
    return text.endswith(":") and not noise.TEASER.match(text)


def _is_term(node: Node, row: Node) -> bool:
    """Return whether a link is the term that the text beside it explains: one row of several."""
    if node.tag != "div" or not 0 < node.chars <= _LONGEST_LABEL or row.parent is None:
        return False
    cells = [kid for kid in row.kids if isinstance(kid, Node) and kid.chars]
    if len(cells) != _CELLS_OF_ROW or cells[0] is not node or not cells[1].good:
        return False
    rows = [
        kid
        for kid in row.parent.kids
        if isinstance(kid, Node) and kid.tag == row.tag and kid.names == row.names
    ]
    return bool(row.names) and len(rows) >= _LEAST_ROWS


def _is_teaser(node: Node) -> bool:
    """Return whether a paragraph only refers the reader to another article."""
    if node.tag not in _TEASERS or node.chars > _LONGEST_TEASER:
        return False
    return node.link_chars > _MANY_LINKS * node.chars and bool(noise.TEASER.match(node.text()))


def _is_credit(node: Node) -> bool:
    """Return whether an element only credits a picture."""
    if node.chars > _LONGEST_TEASER:
        return False
    if is_caption(node):
        return bool(noise.CREDIT.search(node.text()))
    is_line = node.tag in ("p", "div") and node.chars < _LONGEST_CREDIT and not node.has_blocks
    return is_line and bool(noise.CREDIT_LINE.match(node.text()))


def _drop_teaser_boxes(article: Node) -> None:
    """Drop boxes that are named teasers and link to what they tease, unless the page is of them."""
    found: list[Node] = []
    is_open = False  # a box above the text may be its lead
    for node in article.nodes():
        if node.has_blocks and noise.TEASER_BOX.search(node.names):
            if is_open and _is_stream_item(node) and not _is_in(node, found):
                found.append(node)
        elif not is_open:
            is_open = _opens_text(node)
    if sum(node.good for node in found) <= _MOST_TEASERS * article.good:
        for node in found:
            _take_out(node)


def _is_furniture(node: Node) -> bool:
    """Return whether a line is one of a page's own: of a player, a gallery, an advertisement."""
    return (
        node.tag in ("p", "div", "section", "li")
        and not node.has_blocks
        and 0 < node.chars <= _LONGEST_CREDIT
        and bool(noise.FURNITURE.fullmatch(" ".join(node.text().split())))
    )


def _drop_dates_and_closings(article: Node) -> None:
    """Drop when a page was published, around its text, and what its last lines ask or reserve."""
    runs = list(_runs(article))
    for node in (*runs[:_FIRST_RUNS], *runs[-_LAST_RUNS:]):
        if _is_line(node, article) and is_dated(node):
            _take_out(node)
    for node in runs[: -_LAST_RUNS - 1 : -1]:
        if not (node.chars <= _LONGEST_TEASER and _is_line(node, article)):
            return
        if not noise.CLOSING.search(" ".join(node.text().split())):
            if node.chars > _LONGEST_TAG:
                return
        else:
            _take_out(node)


def is_dated(node: Node) -> bool:
    """Return whether an element says when the page was published, and is no sentence."""
    if node.chars > _LONGEST_DATE:
        return False
    text = " ".join(node.text().split())
    if len(text) > _LONGEST_TAG and noise.SENTENCE_END.search(text):
        return False
    return bool(noise.DATED.fullmatch(text))


def _take_out(node: Node) -> None:
    if node.parent is not None and node in node.parent.kids:
        node.parent.remove(node)


def _is_line(node: Node, article: Node) -> bool:
    return (
        node is not article
        and node.tag in ("p", "div", "section", "span", "h4", "h5", "h6")
        and not node.has_blocks
        and not _is_member(node)
    )


def is_caption(node: Node) -> bool:
    """Return whether an element is a caption."""
    if node.tag == "figcaption":
        return True
    return _is_in_picture_box(node) or (
        bool(node.names)
        and node.chars < _LONGEST_CAPTION
        and node.tag in ("p", "div", "span", "small", "em", "i")
        and bool(noise.CAPTION.search(node.names))
    )


def _is_in_picture_box(node: Node) -> bool:
    above = node.parent
    return (
        node.tag == "p"
        and above is not None
        and above.chars < _LONGEST_CAPTION
        and bool(noise.PICTURE_BOX.search(above.get("class").lower()))
    )


def _drop_lead_captions(article: Node) -> None:
    """Drop captions above the first paragraph: of the picture that a page opens with."""
    found: list[Node] = []
    for node in article.nodes():
        if is_caption(node) and node.chars and not node.find("pre", "table"):
            found.append(node)
        elif _opens_text(node) and not _is_in(node, found):
            break
    else:
        return  # nothing but captions: those of a gallery, which is its text
    for node in found:
        if node.parent is not None and not noise.NUMBERED.match(node.text()):
            node.parent.remove(node)


def _opens_text(node: Node) -> bool:
    return node.tag in ("pre", "table", "dl") or (node.tag == "p" and node.chars >= _LEAST_OPENING)


def _is_in(node: Node, those: list[Node]) -> bool:
    above = node.parent
    while above is not None:
        if above in those:
            return True
        above = above.parent
    return False


def _drop_labels(article: Node) -> None:
    """Drop dates, sections, buttons: short lines above the first paragraph and below the last."""
    runs = list(_runs(article))
    labels = [_is_label(node) for node in runs]
    if False not in labels:
        return
    first, last = labels.index(False), len(labels) - labels[::-1].index(False)
    if runs[last - 1].tag in HEADINGS and not noise.RELATED.fullmatch(runs[last - 1].text()):
        last += 1  # what a section of the text consists of
    for these in (runs[:first], runs[last:]):
        if len(these) > _MOST_LABELS:
            continue
        for node in these:
            if node.parent is not None and node.tag != "h1" and node is not article:
                node.parent.remove(node)


def _runs(node: Node) -> Iterator[Node]:
    """Yield what has a line of its own, in order: paragraphs, headings, and what holds loose text.

    What holds loose text between its blocks comes once for each of the texts.
    """
    if not node.has_blocks:
        if node.chars and node.tag in BLOCKS:
            yield node
        return
    is_loose = False
    for kid in node.kids:
        if isinstance(kid, Node) and (kid.has_blocks or kid.tag in BLOCKS):
            is_loose = False
            yield from _runs(kid)
        elif not is_loose and (not kid.isspace() if isinstance(kid, str) else kid.chars):
            is_loose = True
            yield node


def _is_label(node: Node) -> bool:
    if node.tag == "h1":
        return True
    return (
        node.tag in ("p", "div")
        and not node.has_blocks
        and node.chars <= _LONGEST_TAG
        and not _is_member(node)
        and not (node.parent and noise.ASIDE.search(node.parent.names))
        and not noise.WIDE.search(node.text())
        and not noise.NUMBERED.match(node.text())
        and not noise.SENTENCE_END.search(node.text())
        and not node.find("code", "math")
    )


def _is_member(node: Node) -> bool:
    """Return whether an element is inside a list, a table or a quotation."""
    above = node.parent
    while above is not None:
        if above.tag in _MEMBERS:
            return True
        above = above.parent
    return False


def _drop_last_headings(article: Node) -> None:
    """Remove headings at the end without text below them."""
    for node in reversed(list(_runs(article))):
        if node.tag not in HEADINGS or node.parent is None or node is article:
            return
        if node.chars > _LONGEST_HEADING:
            return
        if node.chars > _SURELY_HEADING and noise.SENTENCE_END.search(node.text()):
            return
        node.parent.remove(node)


def _is_link_box(node: Node) -> bool:
    """Return whether an element contains little more than links."""
    if node.tag == "pre" or (node.has_blocks and node.find("pre") is not None):
        return False
    if not node.chars:
        return node.tag not in ("br", "hr", "td", "th", "tr")
    most_share, most_chars, most_good = _LINK_BOXES.get(node.tag, _NO_BOX)
    share = node.link_chars / node.chars
    if node.tag == "p" and node.chars >= _LONGEST_LABEL and noise.SAID_LINK.search(node.text()):
        return False
    if node.tag == "p" and node.find("code", "tt", "kbd", "samp"):
        return False  # what the text is about
    if share > _ALL_LINKS and node.tag in _BOXES:
        return True
    return share > most_share and node.chars < most_chars and node.good < most_good


def _drop_related(container: Node) -> None:
    """Remove a heading such as "Related articles" together with its list of links."""
    kids = [kid for kid in container.kids if isinstance(kid, Node)]
    for at, kid in enumerate(kids):
        is_title = kid.tag in HEADINGS or (
            kid.tag in ("p", "div", "strong") and kid.chars < _LONGEST_LABEL
        )
        if not is_title or not kid.chars or kid.chars > _LONGEST_HEADING:
            continue
        if not noise.RELATED.fullmatch(" ".join(kid.text().split())):
            continue
        follower = next((one for one in kids[at + 1 :] if one.chars), None)
        if follower is None or 2 * follower.link_chars > follower.chars:
            if kid in container.kids:
                container.remove(kid)
            if follower is not None and follower in container.kids and follower.tag not in HEADINGS:
                container.remove(follower)
