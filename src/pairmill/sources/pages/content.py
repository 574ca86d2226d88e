"""Finds the article in a page: removes parts around it, then foreign parts within it.

Steps: drop elements with typical names (navigation, shares, comments ...) unless they contain most
of the page; choose the container by the page's markup or the position of its paragraphs; drop the
remaining lists of links in it.
"""

from __future__ import annotations

import re

from pairmill.sources.pages import noise
from pairmill.sources.pages.tree import BLOCKS, HEADINGS, Node
from pairmill.sources.pages.trim import drop_streams, is_caption, is_dated, trim

__all__ = ["find_article", "measure"]

_NOISE_TAGS = frozenset(("nav", "footer", "form", "aside", "header"))
_NEVER_NOISE = frozenset(
    ("pre", "code", "body", "main", "article", "h1", "td", "tr", "tbody", "html")
)
_BLOGGER = "widget blog"  # its column of posts
_LARGE_FORM = 2000
_PARAGRAPHS = frozenset(("p", "pre", "blockquote", "td", "dd", "li", "dt", "figcaption", "th"))
_MOST_STRONG = 0.6  # of the running text: what holds more is the page, whatever its name
_MOST_WEAK = 0.3
_ENOUGH = 400  # characters of running text that are left: then even the most may be noise
_ENOUGH_BESIDE_COMMENTS = 150
_RIGHT_REST = 0.2  # of what goes
_RIGHT_SHARE = 0.35  # a marked container holds at least so much of the running text
_PARTS = frozenset(("ul", "ol", "dl", "blockquote", "tr", "tbody", "pre", "figure"))
_LAYOUT_CELLS = 12
_COVER_OF_MARKED = 0.95
_COVER = 0.9  # of the running text: the smallest element that holds it is the article
_LEAST_RUN = {"p": 20, "li": 30, "div": 60}  # characters: shorter ones are labels
_LEAST_GOOD = 200
_SHORT_REST = 200  # characters: more are the rest that a button shows
_FEW_LINKS = 0.3
_LEAST_FRAME = 100  # characters around an article: fewer, and it is the article alone
_LEVELS_ABOVE = 5
_LEVELS_OF_LEADS = 5
_LEVELS_OF_PARTS = 2
_LEADS = frozenset(("p", "div", "h2", "h3", "section", "strong"))
_LONGEST_LEAD = 1000
_LEAST_LEAD = 60  # of a heading that is a lead


def find_article(body: Node, *, strict: bool = True) -> list[Node | str]:
    """Return the nodes of the article; the tree below ``body`` is modified.

    Args:
        body: The parsed page.
        strict: Whether names count; otherwise only tags do, for pages with odd names.
    """
    if not body.chars:
        return []
    chars = body.chars
    large: list[Node] = []
    _prune(body, measure(body), large, strict=strict)
    total = measure(body)
    for node in large:
        above = node.parent
        if above is not None and node in above.kids and _is_enough(total - node.good, node):
            above.remove(node)
            total -= node.good
    if strict:
        drop_streams(body, measure(body), _ENOUGH)
    total = measure(body)
    container = _choose(body, total)
    trim(container, is_page=chars - container.chars >= _LEAST_FRAME)
    kids: list[Node | str] = [container] if container.tag in _PARAGRAPHS else container.kids
    return [*_opening(container), *kids]


def _prune(node: Node, total: int, large: list[Node], *, strict: bool) -> None:
    """Drop what its name or tag says is none of the article, unless it is most of the page.

    What is, and is named as surely none of it, is added to ``large``: it may go if there is enough
    text without it when all else has gone.
    """
    for kid in [kid for kid in node.kids if isinstance(kid, Node)]:
        limit = _MOST_STRONG if _is_tab_bar(kid) else _noise(kid, strict=strict)
        if limit and kid.good <= limit * total:
            node.remove(kid)
            continue
        if limit == _MOST_STRONG:
            large.append(kid)
        if kid.has_blocks or kid.names:
            _prune(kid, total, large, strict=strict)


def _is_tab_bar(node: Node) -> bool:
    """Return whether an element contains only labels of tabs."""
    kids = [kid for kid in node.kids if not isinstance(kid, str) or not kid.isspace()]
    return len(kids) > 1 and all(isinstance(kid, Node) and kid.tag == "label" for kid in kids)


def _is_enough(rest: int, node: Node) -> bool:
    """Return whether enough text is left to drop even most of a page because of its name."""
    if noise.COMMENTS.search(node.names):
        return rest > _ENOUGH_BESIDE_COMMENTS
    return rest > max(_ENOUGH, _RIGHT_REST * node.good) and node.find("h1") is None


def _noise(node: Node, *, strict: bool) -> float:
    """Return the largest share of the page's text that may be dropped for this name; 0: none."""
    if node.tag in _NEVER_NOISE:
        return 0
    if node.tag in _NOISE_TAGS:
        return _MOST_WEAK if _is_noisy_tag(node) else 0
    if not strict:
        return 0
    if not node.names:
        return 0
    return _noise_by_name(node)


def _noise_by_name(node: Node) -> float:
    if noise.READ_MORE.search(node.names):
        return _MOST_STRONG if node.good < _SHORT_REST else 0
    if noise.ROLES.fullmatch(node.get("role").strip().lower()):
        return _MOST_STRONG
    # The id of a heading is made of its words.
    names = node.get("class").lower() if node.tag in HEADINGS else node.names
    if not _limit_of(names) or _is_text_all_the_same(node):
        return 0
    return _limit_of(noise.SAYS_OTHER.sub("", names))


def _is_text_all_the_same(node: Node) -> bool:
    """Return whether an element is part of the text despite a name that suggests noise."""
    if noise.KEEP.search(node.names) or node.names.startswith(_BLOGGER):
        return True
    if noise.COMMENTS.search(node.names):
        return False
    return _is_titled(node) or _is_boxed_text(node) or _is_embedded(node) or _is_shell(node)


def _limit_of(names: str) -> float:
    if noise.STRONG.search(names):
        return _MOST_STRONG
    return _MOST_WEAK if noise.WEAK.search(names) else 0


def _is_noisy_tag(node: Node) -> bool:
    if node.tag == "header":
        if node.good >= _LEAST_GOOD and node.link_chars < _FEW_LINKS * node.chars:
            return False
        return node.find("h1", "p") is None or _is_site_header(node)
    if node.tag == "aside":
        is_note = noise.ASIDE.search(node.names) and not noise.STRONG.search(node.names)
        return not is_note and not _holds_listing(node)
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
    if _holds_listing(node):
        return True
    return (
        "sidebar" in node.names.split()
        and node.good > 0.7 * node.chars
        and node.link_chars < 0.2 * node.chars
        and node.parent is not None
        and bool(noise.TEXT_SECTION.search(node.parent.names))
    )


def _is_shell(node: Node) -> bool:
    """Return whether an element contains the article and little else, like a modal window."""
    article = node.find("article")
    return (
        article is not None
        and article.good >= max(_ENOUGH, 0.8 * node.good)
        and node.find("h1") is not None
    )


def _is_embedded(node: Node) -> bool:
    """Return whether an element shows an embedded social network post."""
    quote = node.find("blockquote")
    return quote is not None and 2 * quote.chars > node.chars


def _holds_listing(node: Node) -> bool:
    return any(kid.tag == "pre" and "\n" in kid.text().strip() for kid in node.nodes())


def _is_site_header(header: Node) -> bool:
    above = header.parent
    while above is not None:
        if above.tag in ("article", "main"):
            return False
        above = above.parent
    return header.find("h1") is None or 2 * header.link_chars > header.chars


def measure(node: Node) -> int:
    """Record for each element how much running text it contains; return that of this one."""
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
    """Return the article's element: the marked one, or the smallest that contains the text."""
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
        cells = sum(kid.tag == "td" for kid in node.nodes())
        return cells > _LAYOUT_CELLS or any(
            kid.tag == "table" for kid in node.nodes() if kid is not node
        )
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
    """Return the element that the page marks as its article."""
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
    chosen = max((node for rank, node in right if rank == best), key=lambda node: node.good)
    return _with_other_parts(chosen, [node for rank, node in found if rank == best])


def _with_other_parts(chosen: Node, marked: list[Node]) -> Node:
    """Return what holds all parts of a text that is marked in parts, each by the same names."""
    above = chosen.parent
    for _ in range(_LEVELS_OF_PARTS):
        if above is None or not chosen.names:
            break
        parts = [
            node
            for node in marked
            if node.names == chosen.names and node is not chosen and _is_below(node, above)
        ]
        if parts:
            is_one = not any(node.find("h1", "article") for node in parts)
            return above if is_one and not _has_titles(above, chosen) else chosen
        above = above.parent
    return chosen


def _has_titles(above: Node, chosen: Node) -> bool:
    """Return whether another part of an element has its own title, and so is a separate text."""
    return any(
        isinstance(kid, Node) and not _is_below(chosen, kid) and kid.find("h1", "article")
        for kid in above.kids
    )


def _is_below(node: Node, above: Node) -> bool:
    at: Node | None = node
    while at is not None:
        if at is above:
            return True
        at = at.parent
    return False


def _opening(container: Node) -> list[Node | str]:
    """Return what precedes the container and belongs to it: title and lead.

    That is whatever follows the page's ``h1``, and paragraphs adjacent to the container.
    """
    if container.find("h1") is not None:
        return []
    opening: list[Node | str] = []
    below, above = container, container.parent
    for level in range(_LEVELS_ABOVE):
        if above is None:
            break
        before: list[Node] = []
        for kid in above.kids:
            if kid is below:
                break
            if isinstance(kid, Node):
                before.append(kid)
        found, has_title = _title_and_lead(before)
        if has_title:
            return [*found, *opening]
        if level < _LEVELS_OF_LEADS:
            opening = [*_leads(before, is_beside=level == 0), *opening]
        below, above = above, above.parent
    return opening


def _leads(nodes: list[Node], *, is_beside: bool) -> list[Node | str]:
    """Return the leads among what stands before the container: by their names, or right beside."""
    found: list[Node | str] = []
    for node in nodes:
        named = [one for one in node.nodes() if noise.LEAD.search(one.names)]
        if is_beside and (node.tag == "p" or _holds_one_paragraph(node)):
            named.append(node)
        for one in named:
            found.extend(run for run in one.nodes() if _is_lead(run) and run not in found)
    return found


def _holds_one_paragraph(node: Node) -> bool:
    only = node.find("p")
    return node.tag == "div" and only is not None and only.chars == node.chars


def _title_and_lead(nodes: list[Node]) -> tuple[list[Node | str], bool]:
    found: list[Node | str] = []
    has_title = False
    for node in nodes:
        for one in node.nodes():
            if one.tag == "h1":
                found = []
                has_title = True
            elif has_title and _is_lead(one):
                if one.tag in HEADINGS:
                    one.tag = "p"  # a sentence in large letters
                found.append(one)
    return found, has_title


def _is_lead(node: Node) -> bool:
    return (
        (node.good > 0 or (node.tag in HEADINGS and node.chars >= _LEAST_LEAD))
        and not node.has_blocks
        and node.tag in _LEADS
        and not is_caption(node)
        and not is_dated(node)
        and node.link_chars < _FEW_LINKS * node.chars < _FEW_LINKS * _LONGEST_LEAD
    )
