"""XML with articles: WordPress exports (WXR), RSS, Atom, and dumps of MediaWiki.

The file is parsed while it is read, element by element, and parsed elements are discarded. Declared
entities are not resolved.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from xml.etree.ElementTree import Element, ParseError, XMLPullParser

from pairmill.records import Document, digest
from pairmill.sources.base import too_long
from pairmill.sources.characters import plain_line, strip_surrogates
from pairmill.sources.html import looks_like_html, read_page
from pairmill.sources.markup import wikitext
from pairmill.sources.streams import BLOCK_BYTES, take_head

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pairmill.sources.base import Deferred, Documents, Opener

__all__ = ["read_feed"]

_ROOTS = (b"<rss", b"<feed", b"<rdf:rdf", b"<mediawiki")
_ENTRIES = frozenset(("item", "entry", "page"))
_BODIES = ("encoded", "content", "description", "summary")
_WANTED_TYPES = frozenset(("post", "page", ""))
_WANTED_STATES = frozenset(("publish", ""))
_MOST_DEPTH = 200


def _looks_like_feed(head: bytes) -> bool:
    """Return whether the first bytes look like a feed."""
    start = head[:4096].lower()
    return start.lstrip().startswith(b"<") and any(root in start for root in _ROOTS)


def read_feed(opener: Opener) -> Documents:
    """Yield a document for each article."""
    head, opener.stream = take_head(opener.stream)
    if not _looks_like_feed(head):
        opener.skip("", "unknown XML", "neither RSS, Atom, a WordPress export nor a MediaWiki dump")
        return
    if b"<!entity" in head.lower():
        opener.skip("", "unsafe XML", "it declares its own entities")
        return
    number = 0
    try:
        for entry in _entries(opener):
            number += 1
            found = _article(entry, f"#{number}", opener)
            if found is not None:
                yield found
    except ParseError as error:
        opener.skip("", "broken XML", f"{error}; what came before it is kept")
        return
    if not number:
        opener.skip("", "no records")


def _entries(opener: Opener) -> Iterator[Element]:
    parser: XMLPullParser[Any] = XMLPullParser(("start", "end"))
    above: list[Element] = []
    since_entry = 0
    while block := opener.stream.read(BLOCK_BYTES):
        since_entry += len(block)
        if since_entry > opener.max_bytes + 2 * BLOCK_BYTES:
            opener.skip("", "record too long", too_long(since_entry, opener.max_bytes))
            return
        parser.feed(block)
        events: Iterator[Any] = parser.read_events()
        for kind, element in events:
            if kind == "start":
                above.append(element)
                if len(above) > _MOST_DEPTH:
                    opener.skip("", "broken XML", f"nested more than {_MOST_DEPTH} deep")
                    return
                continue
            above.pop()
            if _local(element) in _ENTRIES:
                since_entry = 0
                yield element
                element.clear()
                if above:
                    above[-1].clear()
    parser.close()


def _local(element: Element) -> str:
    return element.tag.rpartition("}")[2].lower()


def _article(entry: Element, where: str, opener: Opener) -> Document | Deferred | None:
    if _local(entry) == "page":
        return _wiki_page(entry, where, opener)
    fields: dict[str, str] = {}
    for element in entry:
        name = _local(element)
        text = "".join(element.itertext()).strip()
        if name == "link" and not text and element.get("rel", "alternate") == "alternate":
            text = element.get("href", "")
        if text and (name not in fields or (name == "encoded" and "content" in element.tag)):
            fields[name] = text
    kind, state = fields.get("post_type", ""), fields.get("status", "")
    if kind not in _WANTED_TYPES or state not in _WANTED_STATES:
        opener.skip(where, "not an article", f"{plain_line(kind)} {plain_line(state)}".strip())
        return None
    body = max((fields.get(name, "") for name in _BODIES), key=len)
    if not body:
        opener.skip(where, "no text")
        return None
    body = strip_surrogates(body)
    document = Document(
        digest(body),
        body,
        f"{opener.label}{where}",
        fields.get("title"),
        fields.get("creator") or fields.get("author"),
        fields.get("link"),
        fields.get("language"),
        date=fields.get("pubdate") or fields.get("published") or fields.get("date"),
        license=fields.get("license") or fields.get("rights"),
    )
    if looks_like_html(body) or "<" in body:
        paragraphs = body if "<p" in body.lower() else body.replace("\n\n", "<br><br>")
        return read_page(_with_text(document, paragraphs), where, opener)
    return document


def _with_text(document: Document, text: str) -> Document:
    return Document(
        document.id, text, document.source, document.title, document.author, document.url,
        document.language, date=document.date, license=document.license,
    )  # fmt: skip


def _wiki_page(page: Element, where: str, opener: Opener) -> Document | None:
    fields = {_local(element): element for element in page.iter()}
    space = fields["ns"].text if "ns" in fields else "0"
    if "redirect" in fields or space != "0":
        reason = "redirect" if "redirect" in fields else f"name space {plain_line(space or '')}"
        opener.skip(where, "not an article", reason)
        return None
    raw = (fields["text"].text or "") if "text" in fields else ""
    text = strip_surrogates(wikitext(raw))
    if not text:
        opener.skip(where, "no text")
        return None
    title = fields["title"].text if "title" in fields else None
    return Document(digest(raw), text, f"{opener.label}{where}", title)
