"""An HTML page as a tree of plain nodes: the visible contents, with sizes.

lxml parses; its tree is copied once, without scripts, forms and hidden parts. Later passes access
each node many times, and plain objects are ten times faster than proxies of C structures.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from lxml import etree

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["BLOCKS", "HEADINGS", "Node", "Page", "parse_page"]

HEADINGS = {"h1": 1, "h2": 2, "h3": 3, "h4": 4, "h5": 5, "h6": 6}
BLOCKS = frozenset(
    [
        "address",
        "article",
        "aside",
        "blockquote",
        "body",
        "center",
        "dd",
        "details",
        "dir",
        "div",
        "dl",
        "dt",
        "fieldset",
        "figcaption",
        "figure",
        "footer",
        "form",
        "h1",
        "h2",
        "h3",
        "h4",
        "h5",
        "h6",
        "header",
        "hgroup",
        "hr",
        "html",
        "li",
        "main",
        "menu",
        "nav",
        "ol",
        "p",
        "pre",
        "section",
        "summary",
        "table",
        "tbody",
        "td",
        "tfoot",
        "th",
        "thead",
        "tr",
        "ul",
        "caption",
    ]
)
_DROPPED = frozenset(
    [
        "script",
        "style",
        "template",
        "iframe",
        "frame",
        "svg",
        "canvas",
        "object",
        "embed",
        "applet",
        "audio",
        "video",
        "map",
        "input",
        "button",
        "select",
        "textarea",
        "datalist",
        "progress",
        "meter",
        "dialog",
        "head",
        "link",
        "meta",
        "base",
        "source",
        "track",
        "area",
        "param",
        "noframes",
        "noembed",
        "img",
        "picture",
        "colgroup",
        "col",
    ]
)
_HIDDEN_STYLE = re.compile(r"display\s*:\s*none|visibility\s*:\s*hidden", re.IGNORECASE)
_MATH_TYPE = re.compile(r"math/tex(;\s*mode=display)?")
_ODD = re.compile("[\ufffe\uffff\x00-\x08\x0b\x0e-\x1f\ud800-\udfff]")
_MAX_DEPTH = 180  # pages nest 20 to 40 deep; deeper parts keep their text, not their structure
_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z][a-z])")
_LONG_NOSCRIPT = 400  # characters: shorter ones ask for JavaScript or hold an image
_VERBATIM = frozenset(("pre", "listing", "xmp", "plaintext"))
_NAMED = ("class", "id", "role", "itemprop", "data-component", "data-testid")


class Node:
    """An element.

    Attributes:
        tag: Tag name in lower case.
        names: Its class, id, role and so on in lower case, as one string to search in.
        kids: Text and elements, in order.
        chars: Number of characters of its text, without white space.
        link_chars: Number of these within links.
        has_blocks: Whether it contains a block element.
        element: The parsed element, for its attributes.
    """

    __slots__ = (
        "chars",
        "element",
        "good",
        "has_blocks",
        "kids",
        "link_chars",
        "names",
        "parent",
        "tag",
    )

    def __init__(self, tag: str, names: str, element: Any, parent: Node | None) -> None:
        self.tag = tag
        self.names = names
        self.element = element
        self.parent = parent
        self.kids: list[str | Node] = []
        self.chars = 0
        self.link_chars = 0
        self.good = 0
        self.has_blocks = False

    def get(self, name: str) -> str:
        """Return an attribute; empty if it is missing."""
        return self.element.get(name) or ""

    def nodes(self) -> Iterator[Node]:
        """Yield the element and its descendants in document order."""
        yield self
        for kid in self.kids:
            if isinstance(kid, Node):
                yield from kid.nodes()

    def find(self, *tags: str) -> Node | None:
        """Return the first element with one of the tags, among itself and its descendants."""
        return next((node for node in self.nodes() if node.tag in tags), None)

    def text(self) -> str:
        """Return all text inside, as in the page."""
        parts: list[str] = []
        _gather(self, parts)
        return "".join(parts)

    def remove(self, kid: Node) -> None:
        """Remove a child, and update the sizes of all ancestors."""
        self.kids.remove(kid)
        above: Node | None = self
        while above is not None:
            above.chars -= kid.chars
            above.link_chars -= kid.link_chars
            above = above.parent


class Page:
    """A parsed page.

    Attributes:
        root: lxml's ``html`` element, for the head.
        body: The visible content.
    """

    __slots__ = ("body", "root")

    def __init__(self, root: Any, body: Node) -> None:
        self.root = root
        self.body = body


def parse_page(text: str) -> Page | None:
    """Parse a page; return None if it contains no element."""
    if not text.isascii():
        text = _ODD.sub("\ufffd", text)
    elif "\x00" in text:
        text = text.replace("\x00", "")
    parser = etree.HTMLParser(
        encoding="utf-8", remove_comments=True, remove_pis=True, huge_tree=True
    )
    try:
        root = etree.fromstring(text.encode("utf-8", "replace"), parser)
    except (etree.XMLSyntaxError, AssertionError):
        return None
    if root is None or not isinstance(root.tag, str):
        return None
    found = root.find("body")
    body = found if found is not None else root
    node = Node("body", "", body, None)
    _copy(body, node, 0, verbatim=False, linked=False)
    return Page(root, node)


def _copy(  # noqa: C901, PLR0912 (one pass over all kinds of children, on the hot path)
    element: Any, node: Node, depth: int, *, verbatim: bool, linked: bool
) -> None:
    """Copy the content of an element into a node, and measure it."""
    kids = node.kids
    text = element.text
    chars = link_chars = 0
    if text and (verbatim or not text.isspace() or "\xa0" in text):
        kids.append(text)
        chars += len(text.strip())
    elif text:
        kids.append(" ")
    for child in element:
        tag = child.tag
        if isinstance(tag, str):
            if "A" <= tag[:1] <= "Z" or ":" in tag:
                tag = tag.rpartition(":")[2].lower()
            if tag in _DROPPED:
                if tag == "script" and (formula := _formula(child)):
                    kids.append(formula)
                    chars += len(formula)
            elif tag == "noscript" and len("".join(child.itertext())) < _LONG_NOSCRIPT:
                pass
            elif not _is_hidden(child):
                kid = Node(tag, _names(child), child, node)
                is_link = linked or tag == "a"
                if depth >= _MAX_DEPTH:
                    kid.kids.append("".join(child.itertext()))
                    kid.chars = len("".join(child.itertext()))
                else:
                    _copy(
                        child,
                        kid,
                        depth + 1,
                        verbatim=verbatim or tag in _VERBATIM,
                        linked=is_link,
                    )
                kids.append(kid)
                if kid.has_blocks or tag in BLOCKS:
                    node.has_blocks = True
                chars += kid.chars
                link_chars += kid.chars if is_link else kid.link_chars
        tail = child.tail
        if tail:
            if verbatim or not tail.isspace():
                kids.append(tail)
                chars += len(tail.strip())
            elif kids and kids[-1] != " ":
                kids.append(" ")
    node.chars = chars
    node.link_chars = chars if linked else link_chars


def _names(element: Any) -> str:
    found = [value for name, value in element.attrib.items() if name in _NAMED]
    if not found:
        return ""
    names = " ".join(found)
    return names if names.islower() else _CAMEL.sub("-", names).lower()


def _is_hidden(element: Any) -> bool:
    attributes = element.attrib
    if not attributes:
        return False
    if "hidden" in attributes and attributes["hidden"] != "until-found":
        return bool(attributes.get("role") != "tabpanel")
    style = attributes.get("style")
    if style and _HIDDEN_STYLE.search(style):
        return bool(attributes.get("role") != "tabpanel")
    return attributes.get("aria-hidden") == "true" and len("".join(element.itertext())) < 400  # noqa: PLR2004 (whole pages carry it while a dialog is open)


def _formula(script: Any) -> str:
    """Return the TeX that MathJax stores in a script, between dollar signs."""
    kind = _MATH_TYPE.match(script.get("type") or "")
    if not kind or not (script.text or "").strip():
        return ""
    mark = "$$" if kind[1] else "$"
    return f"{mark}{script.text.strip()}{mark}"


def _gather(node: Node, parts: list[str]) -> None:
    for kid in node.kids:
        if isinstance(kid, str):
            parts.append(kid)
        else:
            _gather(kid, parts)
