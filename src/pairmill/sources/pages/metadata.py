"""Metadata of a page: title, author, address and language, each only if plausible."""

from __future__ import annotations

import html
import re
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson

if TYPE_CHECKING:
    from pairmill.sources.pages.tree import Node, Page

__all__ = ["PageFacts", "plausible_author", "read_facts", "stated_text"]

_SPACES = re.compile(r"\s+")
_PARTING = re.compile(r"\s+[|\u2013\u2014·•»:-]{1,2}\s+|\s*[|»]\s*")
_LANGUAGE = re.compile(r"[A-Za-z]{2,3}(?:[-_][A-Za-z0-9]{2,8})*")
_BY = re.compile(
    r"(?:by|von|par|por|di|door|av|af|autor(?:in)?:?|author:?|written by|posted by|text:)\s+",
    re.IGNORECASE,
)
_NO_NAME = re.compile(
    r"https?:|www\.|@\w+\.\w|[{}<>\[\]|=_#]|\d{2}|\.(?:com|org|net|de)\b"
    r"|\b(?:authority control|databases?|subscribe|follow|published|updated|comments?"
    r"|admin(?:istrator)?|webmaster|unknown|anonymous|guest|null|none|undefined|read more"
    r"|view all|posts?|staff writer)\b",
    re.IGNORECASE,
)
_AUTHOR_CLASS = re.compile(
    r"(?:^|\s)(?:author|author-name|byline-name|p-author|fn|post-author-name)(?:\s|$)"
)
_MAX_TITLE = 300
_MAX_AUTHOR = 80
_MAX_WORDS = 6  # of one name
_MAX_LD_CHARS = 400_000
_MAX_LICENSE = 300
_LICENSE_METAS = (
    *("dcterms.license", "dc.rights.license", "license", "dc.rights", "dcterms.rights"),
    *("rights", "copyright"),
)
_ARTICLES = ("article", "posting", "report", "webpage", "newsarticle", "howto", "recipe")


class PageFacts(NamedTuple):
    """Metadata of a page; None where the page states nothing credible."""

    title: str | None
    author: str | None
    url: str | None
    language: str | None
    license: str | None


def read_facts(page: Page) -> PageFacts:
    """Return the metadata from a page's head, its linked data and its markup."""
    metas, links = _head(page.root)
    linked = _linked_data(page.root)
    site = metas.get("og:site_name", "")
    return PageFacts(
        _title(page, metas, linked, site),
        _author(page.body, metas, linked, site),
        _url(metas, links),
        _language(page.root, metas),
        _license(page.root, metas, links, linked),
    )


def stated_text(page: Page) -> str:
    """Return the article that the page's linked data holds as a whole; empty if it holds none.

    Pages that scripts build may have no other.
    """
    text = _linked_data(page.root).get("articleBody")
    return html.unescape(text).strip() if isinstance(text, str) else ""


def plausible_author(text: str, site: str = "") -> str | None:
    """Return an author's name without "by"; None if it cannot be a name."""
    name = _BY.sub("", _SPACES.sub(" ", text).strip(), count=1).strip(" ,;·|-")
    if not 2 <= len(name) <= _MAX_AUTHOR or _NO_NAME.search(name):  # noqa: PLR2004
        return None
    if site and name.casefold() == site.casefold():
        return None
    names = re.split(r",| and | und | & |;", name)
    if any(len(one.split()) > _MAX_WORDS for one in names):
        return None
    return name if any(mark.isalpha() for mark in name) else None


def _head(root: Any) -> tuple[dict[str, str], dict[str, str]]:
    metas: dict[str, str] = {}
    links: dict[str, str] = {}
    for element in root.iter("meta", "link"):
        if element.tag == "meta":
            name = element.get("property") or element.get("name") or element.get("http-equiv") or ""
            content = element.get("content") or ""
            if name and content.strip():
                metas.setdefault(name.strip().lower(), _SPACES.sub(" ", content).strip())
        elif element.get("href"):
            links.setdefault((element.get("rel") or "").lower(), element.get("href").strip())
    return metas, links


def _linked_data(root: Any) -> dict[str, Any]:
    """Return the article's schema.org object, if the page contains one."""
    for script in root.iter("script"):
        if (script.get("type") or "").lower() != "application/ld+json" or not script.text:
            continue
        if len(script.text) > _MAX_LD_CHARS:
            continue
        try:
            data = orjson.loads(script.text)
        except orjson.JSONDecodeError:
            continue
        for item in _items(data):
            kind = item.get("@type")
            kinds = kind if isinstance(kind, list) else [kind]
            if any(isinstance(one, str) and one.lower().endswith(_ARTICLES) for one in kinds):
                return item
    return {}


def _items(data: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for item in data if isinstance(data, list) else [data]:
        if isinstance(item, dict):
            found.append(item)
            graph = item.get("@graph")
            if isinstance(graph, list):
                found.extend(one for one in graph if isinstance(one, dict))
    return found


def _title(page: Page, metas: dict[str, str], linked: dict[str, Any], site: str) -> str | None:
    element = page.root.find(".//title")
    named = _SPACES.sub(" ", "".join(element.itertext())).strip() if element is not None else ""
    heading = ""
    for node in page.body.nodes():
        if node.tag == "h1" and node.chars:
            heading = _SPACES.sub(" ", node.text()).strip().rstrip("¶#§🔗\uf0c1 ")
            break
    if heading and heading.casefold() in named.casefold():
        return heading[:_MAX_TITLE]
    headline = linked.get("headline") or linked.get("name")
    told = metas.get("og:title") or (headline if isinstance(headline, str) else "") or ""
    told = _SPACES.sub(" ", told).strip() or metas.get("twitter:title", "") or named
    return (_without_site(told, site) or heading)[:_MAX_TITLE] or None


def _without_site(title: str, site: str) -> str:
    parts = _PARTING.split(title)
    if len(parts) > 1 and site and parts[-1].strip().casefold() == site.casefold():
        return title[: title.rfind(parts[-1])].rstrip(" |\u2013\u2014·•»:-")
    return title


def _author(body: Node, metas: dict[str, str], linked: dict[str, Any], site: str) -> str | None:
    told = [*_names(linked.get("author")), metas.get("author", ""), metas.get("dc.creator", "")]
    told.append(metas.get("parsely-author", "") or metas.get("sailthru.author", ""))
    for text in told:
        if text and (name := plausible_author(text, site)):
            return name
    for node in body.nodes():
        marked = "author" in node.get("itemprop") or node.get("rel") == "author"
        if (
            marked or (node.names and _AUTHOR_CLASS.search(node.names))
        ) and 0 < node.chars <= _MAX_AUTHOR:
            name = plausible_author(node.text(), site)
            if name:
                return name
    return None


def _names(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    if isinstance(value, dict):
        return _names(value.get("name"))
    if isinstance(value, list):
        names = [name for one in value[:5] for name in _names(one)]
        return [", ".join(names)] if names else []
    return []


def _url(metas: dict[str, str], links: dict[str, str]) -> str | None:
    for url in (links.get("canonical"), metas.get("og:url")):
        if url and url.startswith(("http://", "https://")) and " " not in url:
            return url
    return None


def _language(root: Any, metas: dict[str, str]) -> str | None:
    xml = root.get("{http://www.w3.org/XML/1998/namespace}lang") or root.get("xml:lang")
    for told in (root.get("lang"), xml, metas.get("content-language"), metas.get("og:locale")):
        if told and _LANGUAGE.fullmatch(told.strip()):
            return str(told.strip().replace("_", "-"))
    return None


def _license(
    root: Any, metas: dict[str, str], links: dict[str, str], linked: dict[str, Any]
) -> str | None:
    """Find the licence in the page's head, its linked data or a link."""
    told: Any = linked.get("license")
    if isinstance(told, dict):
        told = told.get("url") or told.get("@id") or told.get("name")
    named = [links.get("license"), links.get("copyright license"), told]
    named += [metas.get(name) for name in _LICENSE_METAS]
    for text in named:
        if isinstance(text, str) and 2 <= len(text.strip()) <= _MAX_LICENSE:  # noqa: PLR2004
            return _SPACES.sub(" ", text).strip()
    for link in root.iter("a"):
        target = (link.get("href") or "").strip()
        if "license" in (link.get("rel") or "").lower().split() and target[:4] == "http":
            return str(target)[:_MAX_LICENSE]
    return None
