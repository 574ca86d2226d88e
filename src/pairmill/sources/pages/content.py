"""Finds the article in a page: removes what is around it, then what is within it.

Steps: drop elements with telling names (navigation, shares, comments ...), unless they contain most
of the page; choose the container, by the page's markup or by where its paragraphs are; drop the
remaining lists of links in it.
"""

from __future__ import annotations

import re

from pairmill.sources.pages import noise
from pairmill.sources.pages.tree import BLOCKS, HEADINGS, Node

__all__ = ["find_article", "measure"]

_NOISE_TAGS = frozenset(("nav", "footer", "form", "aside", "header"))
_NEVER_NOISE = frozenset(
    ("pre", "code", "body", "main", "article", "h1", "td", "tr", "tbody", "html")
)
_BLOGGER = "widget blog"  # its column of posts
_LARGE_FORM = 2000
_PARAGRAPHS = frozenset(("p", "pre", "blockquote", "td", "dd", "li", "dt", "figcaption", "th"))
_LONGEST_TEASER = 300
_MOST_STRONG = 0.6  # of the running text: what holds more is the page, whatever its name
_MOST_WEAK = 0.3
_ENOUGH = 400  # characters of running text that are left: then even the most may be noise
_ENOUGH_BESIDE_COMMENTS = 150
_RIGHT_SHARE = 0.35  # a marked container holds at least so much of the running text
_PARTS = frozenset(("ul", "ol", "dl", "blockquote", "tr", "tbody", "pre", "figure"))
_LAYOUT_CELLS = 12
_COVER_OF_MARKED = 0.95
_COVER = 0.9  # of the running text: the smallest element that holds it is the article
_LEAST_RUN = {"p": 20, "li": 30, "div": 60}  # characters: shorter ones are labels
_LEAST_GOOD = 200
_ANY = 10**9
# Share of link characters from which on an element is a box of links; and how long, and with how
# much running text, it is none all the same.
_LINK_BOXES = {
    "ul": (0.75, 3000, _ANY),
    "ol": (0.75, 3000, _ANY),
    "p": (0.95, 60, _ANY),
    "div": (0.6, _ANY, 80),
    "section": (0.6, _ANY, 80),
    "aside": (0.6, _ANY, 80),
    "figure": (0.6, _ANY, 80),
    "table": (0.8, _ANY, 80),
}
_NO_BOX = (1.0, 0, 0)
_BOXES = frozenset(("div", "section", "aside", "figure"))
_ALL_LINKS = 0.8
_FEW_LINKS = 0.3
_MANY_LINKS = 0.4
_TEASERS = frozenset(("p", "div", "li", "blockquote", "strong"))
_LONGEST_CREDIT = 80
_LONGEST_LABEL = 60
_LONGEST_HEADING = 80
_LEVELS_ABOVE = 5
_LEADS = frozenset(("p", "div", "h2", "section", "strong"))
_LONGEST_LEAD = 1000


def find_article(body: Node, *, strict: bool = True) -> list[Node | str]:
    """Return the nodes that are the article; the tree below ``body`` is changed by it.

    Args:
        body: A page as it was parsed.
        strict: Whether names decide; else only tags do, for pages that name things oddly.
    """
    if not body.chars:
        return []
    total = measure(body)
    _prune(body, total, strict=strict)
    total = measure(body)
    container = _choose(body, total)
    _trim(container)
    kids: list[Node | str] = [container] if container.tag in _PARAGRAPHS else container.kids
    return [*_opening(container), *kids]


def _prune(node: Node, total: int, *, strict: bool) -> None:
    """Drop what its name or tag says is none of the article, unless it is most of the page."""
    for kid in [kid for kid in node.kids if isinstance(kid, Node)]:
        limit = _noise(kid, strict=strict)
        if limit and (
            kid.good <= limit * total
            or (limit == _MOST_STRONG and total - kid.good > _enough(kid.names))
        ):
            node.remove(kid)
        elif kid.has_blocks or kid.names:
            _prune(kid, total, strict=strict)


def _enough(names: str) -> int:
    return _ENOUGH_BESIDE_COMMENTS if noise.COMMENTS.search(names) else _ENOUGH


def _noise(node: Node, *, strict: bool) -> float:
    """Return up to which share of the page's text an element may go for its name; 0: it stays."""
    if node.tag in _NEVER_NOISE:
        return 0
    if node.tag in _NOISE_TAGS:
        return _MOST_WEAK if _is_noisy_tag(node) else 0
    if not strict:
        return 0
    if node.names and noise.ROLES.fullmatch(node.get("role").strip().lower()):
        return _MOST_STRONG
    if not _limit_of(node.names) or _is_text_all_the_same(node):
        return 0
    return _limit_of(noise.SAYS_OTHER.sub("", node.names))


def _is_text_all_the_same(node: Node) -> bool:
    """Return whether an element is part of the text in spite of a noisy name."""
    if noise.KEEP.search(node.names) or node.names.startswith(_BLOGGER):
        return True
    if noise.COMMENTS.search(node.names):
        return False
    return _is_titled(node) or _is_boxed_text(node)


def _limit_of(names: str) -> float:
    if noise.STRONG.search(names):
        return _MOST_STRONG
    return _MOST_WEAK if noise.WEAK.search(names) else 0


def _is_noisy_tag(node: Node) -> bool:
    if node.tag == "header":
        return node.find("h1", "p") is None or _is_site_header(node)
    if node.tag == "aside":
        return not noise.ASIDE.search(node.names) or bool(noise.STRONG.search(node.names))
    if node.tag == "form":  # some pages are in one as a whole
        return node.chars < _LARGE_FORM or node.find("p") is None
    if node.tag == "footer":
        return node.parent is None or node.parent.tag != "blockquote"
    return True


def _is_titled(node: Node) -> bool:
    """Return whether an element is a section of the text, with an id from its heading's words."""
    name = node.get("id").lower()
    if not name:
        return False
    first = next((kid for kid in node.nodes() if kid.tag in HEADINGS), None)
    if first is None:
        return False
    title = first.text().lower()
    words = [word for word in re.split(r"[^\w]+|_", name) if len(word) > 2]  # noqa: PLR2004
    return bool(words) and all(word in title for word in words)


def _is_boxed_text(node: Node) -> bool:
    """Return whether an element holds code, or is a box of running text within a text."""
    if node.tag in _NOISE_TAGS:
        return False
    if any(kid.tag == "pre" and "\n" in kid.text().strip() for kid in node.nodes()):
        return True
    return (
        "sidebar" in node.names.split()
        and node.good > 0.7 * node.chars
        and node.link_chars < 0.2 * node.chars
        and node.parent is not None
        and bool(noise.TEXT_SECTION.search(node.parent.names))
    )


def _is_site_header(header: Node) -> bool:
    above = header.parent
    while above is not None:
        if above.tag in ("article", "main"):
            return False
        above = above.parent
    return header.find("h1") is None or 2 * header.link_chars > header.chars


def measure(node: Node) -> int:
    """Note for each element how much running text it holds; return that of this one."""
    good = 0
    run = run_links = 0
    for kid in node.kids:
        if isinstance(kid, str):
            run += len(kid.strip())
        elif kid.has_blocks or kid.tag in BLOCKS:
            good += _good_run(run, run_links, node.tag)
            run = run_links = 0
            good += measure(kid)
        else:
            run += kid.chars
            run_links += kid.link_chars
    good += _good_run(run, run_links, node.tag)
    node.good = good
    return good


def _good_run(chars: int, link_chars: int, tag: str) -> int:
    """Return the characters of a run of text, if it is long enough and not mostly links."""
    if tag in HEADINGS or 2 * link_chars > chars:
        return 0
    least = _LEAST_RUN["p"] if tag == "p" else _LEAST_RUN["li" if tag in _PARAGRAPHS else "div"]
    return chars if chars >= least else 0


def _choose(body: Node, total: int) -> Node:
    """Return the element that is the article: what is marked, or the least that holds the text."""
    marked = _marked(body, total)
    node = marked or body
    total = node.good
    cover = _COVER if marked is None else _COVER_OF_MARKED
    while True:
        best = max(
            (kid for kid in node.kids if isinstance(kid, Node) and kid.has_blocks),
            key=lambda kid: kid.good,
            default=None,
        )
        if best is None or best.good < max(1, cover * total) or not _is_container(best):
            return node
        if best.good < total and _holds_code(node, best):
            return node
        node = best


def _is_container(node: Node) -> bool:
    """Return whether an article may be all that an element holds: no list, no data table."""
    if node.tag == "table":
        return sum(kid.tag == "td" for kid in node.nodes()) > _LAYOUT_CELLS
    return node.tag not in _PARTS


def _holds_code(node: Node, but: Node) -> bool:
    return any(
        isinstance(kid, Node)
        and kid is not but
        and kid.has_blocks | (kid.tag == "pre")
        and kid.find("pre") is not None
        for kid in node.kids
    )


def _marked(body: Node, total: int) -> Node | None:
    """Return the element that the page itself marks as the article."""
    found: list[tuple[int, Node]] = []
    articles: list[Node] = []
    for node in body.nodes():
        names = node.names
        if node.tag == "article":
            articles.append(node)
        if node.good < _LEAST_GOOD or not (names or node.tag in ("main", "article")):
            continue
        if "article-body" in names and "articlebody" in node.get("itemprop").lower():
            found.append((5, node))
        elif noise.CONTENT.search(names) and node.tag not in ("p", "span", "li", "body"):
            found.append((4, node))
        elif node.tag == "main" or "main" in names.split():
            found.append((2, node))
        elif "content" in names.split() and node.tag in ("div", "section", "td"):
            found.append((1, node))
    large = [node for node in articles if node.good >= _LEAST_GOOD and node.good >= 0.5 * total]
    found.extend((3, node) for node in large)
    right = [(rank, node) for rank, node in found if node.good >= _RIGHT_SHARE * total]
    if not right:
        return None
    most = max(node.good for _, node in right)
    right = [(rank, node) for rank, node in right if node.good >= 0.5 * most]
    best = max(rank for rank, _ in right)
    return max((node for rank, node in right if rank == best), key=lambda node: node.good)


def _opening(container: Node) -> list[Node | str]:
    """Return the lead that is between the page's ``h1`` and the container, outside of it."""
    if container.find("h1") is not None:
        return []
    below, above = container, container.parent
    for _ in range(_LEVELS_ABOVE):
        if above is None:
            break
        before: list[Node | str] = []
        for kid in above.kids:
            if kid is below:
                break
            if isinstance(kid, Node):
                before.append(kid)
        opening = _title_and_lead(before)
        if opening:
            return opening
        below, above = above, above.parent
    return []


def _title_and_lead(nodes: list[Node | str]) -> list[Node | str]:
    found: list[Node | str] = []
    has_title = False
    for node in nodes:
        for one in node.nodes() if isinstance(node, Node) else ():
            if one.tag == "h1":
                found = []
                has_title = True
            elif has_title and _is_lead(one):
                found.append(one)
    return found


def _is_lead(node: Node) -> bool:
    return (
        node.good > 0
        and not node.has_blocks
        and node.tag in _LEADS
        and node.link_chars < _FEW_LINKS * node.chars < _FEW_LINKS * _LONGEST_LEAD
    )


def _trim(container: Node) -> None:
    """Drop boxes and lists of links within the article."""
    for kid in [kid for kid in container.kids if isinstance(kid, Node)]:
        if kid.tag in HEADINGS or not (kid.has_blocks or kid.tag in BLOCKS):
            continue
        if _is_link_box(kid) or _is_teaser(kid) or _is_credit(kid):
            container.remove(kid)
        elif kid.tag not in ("p", "pre", "table", "dl"):
            _trim(kid)
    _drop_related(container)


def _is_teaser(node: Node) -> bool:
    """Return whether a paragraph only sends the reader to another article."""
    if node.tag not in _TEASERS or node.chars > _LONGEST_TEASER:
        return False
    return node.link_chars > _MANY_LINKS * node.chars and bool(noise.TEASER.match(node.text()))


def _is_credit(node: Node) -> bool:
    """Return whether an element only credits a picture."""
    if node.chars > _LONGEST_TEASER:
        return False
    if node.tag == "figcaption":
        return bool(noise.CREDIT.search(node.text()))
    is_line = node.tag in ("p", "div") and node.chars < _LONGEST_CREDIT and not node.has_blocks
    return is_line and bool(noise.CREDIT_LINE.match(node.text()))


def _is_link_box(node: Node) -> bool:
    """Return whether an element holds nothing, or little more than links."""
    if node.tag == "pre" or (node.has_blocks and node.find("pre") is not None):
        return False
    if not node.chars:
        return node.tag not in ("br", "hr", "td", "th", "tr")
    most_share, most_chars, most_good = _LINK_BOXES.get(node.tag, _NO_BOX)
    share = node.link_chars / node.chars
    if share > _ALL_LINKS and node.tag in _BOXES:
        return True
    return share > most_share and node.chars < most_chars and node.good < most_good


def _drop_related(container: Node) -> None:
    """Drop a heading such as "Related articles" with the list of links that it opens."""
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
