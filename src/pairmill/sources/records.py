"""Converts a JSON record to a document: finds its text and its metadata.

Recognized automatically: the article format of the LLM Engineer's Handbook crawler
(``content`` a string, or a mapping with ``Title``, ``Subtitle``, ``Content``, ``language``), the
usual field names, lists of paragraphs, and plain strings. Field names are compared without case.
"""

from __future__ import annotations

import html
import json
import re
from typing import TYPE_CHECKING, Any

import orjson
from msgspec.structs import replace

from pairmill.records import Document, digest
from pairmill.sources.characters import plain_line, strip_surrogates
from pairmill.sources.encodings import decode
from pairmill.sources.html import has_entities, looks_like_html, read_page
from pairmill.sources.json_shapes import (
    blocks_text,
    is_by_language,
    normalize_shape,
    table_rows,
    unwrap,
    unwrap_any,
)
from pairmill.sources.markdown import split_front_matter

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pairmill.sources.base import Deferred, Opener

__all__ = ["Decoder", "document_of", "find_text", "read_record", "read_records"]

_TEXT_FIELDS = (
    "text", "content", "body", "article", "markdown", "markdown_v2", "article_text", "page_content",
    "raw_content", "full_text", "maintext", "main_text", "content_text", "document", "passage",
    "html", "raw_html", "fit_markdown", "raw_markdown", "maincontent", "articlebody",
    "selftext", "plain_text", "rendered",
)  # fmt: skip
_NOT_TEXT = frozenset(
    ("id", "_id", "url", "link", "source_url", "title", "headline", "author", "date", "hash")
)
_TITLE_FIELDS = ("title", "headline", "name")
_DATE_FIELDS = (
    *("date", "published", "published_at", "date_published", "datePublished", "publication_date"),
    *("pubDate", "pubdate", "published_date"),
)
_LONGEST_DATE = 40
_LICENSE_FIELDS = ("license", "licence", "license_url", "rights", "dc.rights", "dc:rights")
_LONGEST_LICENSE = 300
_YEAR = re.compile(r"(?<!\d)\d{4}(?!\d)")
_AUTHOR_FIELDS = ("author_full_name", "author", "authors", "byline", "creator")
_URL_FIELDS = ("link", "url", "source_url", "canonical_url", "uri")
_ADDRESSES = ("sourceurl", "source", "permalink", "href", "page_url", "id", "@id", "loc")
_LANGUAGE_FIELDS = ("language", "lang", "inlanguage")
_FACTS = (_TITLE_FIELDS, _AUTHOR_FIELDS, _URL_FIELDS, _LANGUAGE_FIELDS)
_ID_FIELDS = ("id", "_id", "doc_id", "document_id", "uuid")
_NESTED = ("content", "metadata", "meta")  # mappings in which the fields above may stand too

_GUESSED_MIN_CHARS = 40  # a field with no telling name is taken for the text only from here on
_TAG = re.compile(r"<[^<>]*>")
_ID_MAX_CHARS = 200
_NAMED_FIELDS = 12
_MOST_PLANS = 64  # kinds of records that are remembered; a crawl has a few
_SHORT_CHARS = 300  # a text so short may be a teaser, where a longer one is in another field
_BLOCK_FIELDS = (
    "blocks", "content", "sections", "paragraphs", "body", "text", "children", "elements", "doc",
    "document", "root", "results", "articlebody",
)  # fmt: skip
_ANY_WRAPPER_SINCE = 4  # version of reading, see `chunking.clean`
_MAX_DEPTH = 2  # mappings within mappings that are searched


class Decoder:
    """Decodes the records of one input, and counts the repaired ones."""

    def __init__(self, opener: Opener) -> None:
        self.opener = opener
        self.plans: dict[tuple[str, ...], _Plan | None] = {}
        self._mended = 0

    def decode(self, raw: bytes) -> Any:
        """Return the value.

        What the strict parser rejects is tried again with bad bytes replaced, and allowing the lone
        surrogates, NaN and raw control characters that other writers emit.

        Raises:
            ValueError: It is not JSON; the message says where, on one line.
        """
        try:
            return orjson.loads(raw)
        except orjson.JSONDecodeError:
            try:
                value = json.loads(self._text_of(raw), strict=False)
            except json.JSONDecodeError as error:
                raise ValueError(f"{error.msg} at character {error.pos + 1}") from None
            except RecursionError:
                raise ValueError("nested too deeply") from None
            except ValueError:
                raise ValueError("a number is too long") from None
        self._mended += 1
        return value

    def _text_of(self, raw: bytes) -> str:
        """Decode a record in any encoding, without a byte order mark or a trailing comma."""
        raw = raw.strip().removeprefix(b"\xef\xbb\xbf").removesuffix(b",")
        decoded = None if raw.isascii() else decode(raw)
        return decoded.text if decoded else raw.decode("utf-8", "replace")

    def finish(self) -> None:
        """Report the number of repaired records."""
        if self._mended:
            detail = f"{self._mended} records with bytes or escapes that are no valid text"
            self.opener.notice("characters replaced", detail)


def read_record(raw: bytes, where: str, decoder: Decoder) -> Document | Deferred | None:
    """Return the document of a record that does not wrap others, or report why there is none."""
    try:
        data = decoder.decode(raw)
    except ValueError as error:
        decoder.opener.skip(where, "broken JSON", str(error))
        return None
    return document_of(data, where, decoder)


def read_records(
    raw: bytes, mark: str, number: int, decoder: Decoder
) -> Iterator[tuple[int, Document | Deferred | None]]:
    """Yield the documents of an item, which may wrap several numbered records."""
    where = f"{mark}{number}"
    try:
        data = decoder.decode(raw)
    except ValueError as error:
        decoder.opener.skip(where, "broken JSON", str(error))
        return
    field = decoder.opener.text_field
    if not isinstance(data, dict):
        yield number, document_of(data, where, decoder)
        return

    def has_text(record: dict[str, Any]) -> bool:
        return _has_text(record, field)

    since = 1
    found = table_rows(data) or unwrap(data, has_text)
    if found == [data] and not has_text(data) and find_text(_lower(data), field) is None:
        found = unwrap_any(data, has_text) or _recast_records(data, field) or [data]
    if found != [data] and found != unwrap(data, has_text):
        since = _ANY_WRAPPER_SINCE
    for count, record in enumerate(found, number):
        document = document_of(record, f"{mark}{count}", decoder)
        if isinstance(document, Document) and since > document.since:
            document = replace(document, since=since)
        yield count, document


def _recast_records(data: dict[str, Any], field: str | None) -> list[dict[str, Any]]:
    """Return the records of an object that are written in a database's or a service's own way."""

    def has_text(record: dict[str, Any]) -> bool:
        return _has_text(record, field)

    def has_blocks(record: dict[str, Any]) -> bool:
        return bool(_text_of_blocks(record))

    cast = normalize_shape(data)
    if not isinstance(cast, dict):
        return []
    return unwrap_any(cast, has_text) or ([] if field else unwrap_any(cast, has_blocks))


def _has_text(data: dict[str, Any], field: str | None) -> bool:
    """Return whether a record has text in a field with a known name."""
    fields = _lower(data)
    if field is not None:
        return bool(_text_of(_look_up(fields, field.casefold())))
    for name in _TEXT_FIELDS:
        value = fields.get(name)
        if isinstance(value, str) and value.strip():
            return True
        if isinstance(value, dict) and (_has_text(value, None) or is_by_language(value)):
            return True
        if isinstance(value, list) and value and all(isinstance(part, str) for part in value):
            return True
    return False


def document_of(data: Any, where: str, decoder: Decoder) -> Document | Deferred | None:
    """Return the document of a decoded record, or report why there is none."""
    opener = decoder.opener
    if isinstance(data, str):
        data = {"text": data}
    if not isinstance(data, dict):
        opener.skip(where, "not a record", f"a JSON {_kind(data)}, not an object")
        return None
    found = _look_where_planned(data, decoder) or _search(data, opener.text_field)
    since = 1
    if (
        found is None
        and opener.text_field is None
        and len(cast := _recast_records(data, None)) == 1
    ):
        data, since = cast[0], _ANY_WRAPPER_SINCE
        found = _search(data, None)
    if found is None:
        names = ", ".join(plain_line(str(name), 40) for name in list(data)[:_NAMED_FIELDS])
        wanted = f"'{plain_line(opener.text_field, 40)}'" if opener.text_field else "text"
        opener.skip(where, "no text field", f"no {wanted} among: {names or 'no fields at all'}")
        return None
    text, own_id, title, author, url, language = found
    own_id = own_id or digest(text)
    date, license = _date(data), _license(data)  # noqa: A001 (its name)
    whole = text
    if text.startswith(("---", "+++")):
        known, text = split_front_matter(text)
        title, author = title or known.title, author or known.author
        url, language = url or known.url, language or known.language
        date, license = date or known.date, license or known.license  # noqa: A001
    if has_entities(text) and not looks_like_html(text):
        text = html.unescape(html.unescape(text))
    document = Document(
        own_id,
        text,
        f"{opener.label}{where}",
        title,
        author,
        url,
        language,
        date=date,
        license=license,
    )
    if text != whole or since > 1:
        document = replace(document, since=max(2, since))
    return read_page(document, where, opener) if looks_like_html(text) else document


def _date(data: dict[str, Any]) -> str | None:
    """Return a record's publication date, if it has one."""
    if data.keys().isdisjoint(_DATE_FIELDS):
        return None
    for name in _DATE_FIELDS:
        value = data.get(name)
        if isinstance(value, str) and 4 <= len(value) <= _LONGEST_DATE and _YEAR.search(value):  # noqa: PLR2004 (a year)
            return strip_surrogates(value)
    return None


def _license(data: dict[str, Any]) -> str | None:
    """Find the licence of a record, in its fields or its metadata."""
    for level in (data, data.get("metadata"), data.get("meta")):
        if not isinstance(level, dict):
            continue
        for name in _LICENSE_FIELDS:
            value = level.get(name)
            if isinstance(value, dict):
                value = value.get("url") or value.get("name") or value.get("id")
            if isinstance(value, str) and value.strip():
                return strip_surrogates(value.strip()[:_LONGEST_LICENSE])
    return None


_Found = tuple[str, str | None, str | None, str | None, str | None, str | None]
"""Text, id, title, author, URL and language of a record."""

_Plan = tuple[str, str | None, tuple[str | None, ...], tuple[str, ...]]
"""In which fields text and id are; title, author, URL and language; and what might be nested."""


def _search(data: dict[str, Any], text_field: str | None) -> _Found | None:
    """Search everywhere; None if there is no text."""
    fields = _lower(data)
    text = find_text(fields, text_field)
    if text is None:
        return None
    levels = [fields]
    for name in _NESTED:
        inner = fields.get(name)
        if isinstance(inner, dict):
            levels.append(_lower(inner))
    title, author, url, language = (_find(levels, names) for names in _FACTS)
    return strip_surrogates(text), _source_id(fields), title, author, url, language


def _look_where_planned(data: dict[str, Any], decoder: Decoder) -> _Found | None:
    """Look where an earlier record with the same fields had everything; None: search instead.

    The records of a file mostly look alike. The result is that of a search, or none.
    """
    names = tuple(data)
    try:
        plan = decoder.plans[names]
    except KeyError:
        if len(decoder.plans) >= _MOST_PLANS:
            decoder.plans.clear()
        plan = decoder.plans[names] = _make_plan(data, decoder.opener.text_field)
    if plan is None:
        return None
    text_name, id_name, fact_names, nested = plan
    text = data[text_name]
    is_nested = nested and any(type(data[name]) is dict for name in nested)
    if type(text) is not str or len(text) < _SHORT_CHARS or is_nested:
        return None
    own_id = None
    if id_name is not None:
        own_id = _name_of(data[id_name])
        if own_id is None:
            return None
    facts: list[str | None] = []
    for name in fact_names:
        fact = None
        if name is not None:
            fact = data[name]
            if type(fact) is not str or not (fact := strip_surrogates(fact.strip())):
                return None
        facts.append(fact)
    return strip_surrogates(text), own_id, *facts  # type: ignore[return-value]


def _make_plan(data: dict[str, Any], text_field: str | None) -> _Plan | None:
    """Return where things are in records with these fields; None if that is not certain."""
    given = {name.casefold(): name for name in reversed(data)}

    def first(names: tuple[str, ...]) -> str | None:
        return next((given[name] for name in names if name in given), None)

    text = first((text_field.casefold(),) if text_field else _TEXT_FIELDS)
    has_address = any(name in given for name in _ADDRESSES if name != "id")
    if text is None or (has_address and first(_URL_FIELDS) is None):
        return None
    nested = tuple(given[name] for name in _NESTED if name in given)
    return text, first(_ID_FIELDS), tuple(map(first, _FACTS)), nested


def find_text(fields: Mapping[str, Any], wanted: str | None, depth: int = 0) -> str | None:
    """Return the text of a record whose field names are in lower case; None if it has none.

    ``wanted`` names the field, with dots for nested fields; then no other field is considered.
    """
    if wanted is not None:
        return _text_of(_look_up(fields, wanted.casefold()))
    first = ""
    for name in _TEXT_FIELDS:
        text = _text_of(fields.get(name), depth)
        if text and (not first or (len(first) < _SHORT_CHARS and len(text) > 3 * len(first))):
            first = text
        if len(first) >= _SHORT_CHARS:
            break
    if first:
        return first
    if depth == 0 and (text := _text_of_blocks(fields)):
        return text
    others = [
        value
        for name, value in fields.items()
        if isinstance(value, str)
        and name not in _NOT_TEXT
        and len(value) >= _GUESSED_MIN_CHARS
        and not value.startswith(("http://", "https://", "HTTP/"))
    ]
    return max(others, key=len, default=None)


def _text_of_blocks(fields: Mapping[str, Any]) -> str:
    """Return the text of a list of blocks, as editors and exports store it."""
    for name in _BLOCK_FIELDS:
        value = fields.get(name)
        if isinstance(value, (list, dict)) and value:
            text = blocks_text(value)
            if len(text) >= _GUESSED_MIN_CHARS:
                return text
    return ""


def _look_up(fields: Mapping[str, Any], path: str) -> Any:
    if path in fields:
        return fields[path]
    name, _, rest = path.partition(".")
    inner = fields.get(name)
    return _look_up(_lower(inner), rest) if rest and isinstance(inner, dict) else None


def _text_of(value: Any, depth: int = 0) -> str | None:
    if isinstance(value, str):
        return value
    if isinstance(value, dict) and depth < _MAX_DEPTH:
        inner = _lower(value)
        text = find_text(inner, None, depth + 1)
        lead = inner.get("subtitle")
        if text and isinstance(lead, str) and lead.strip() and lead.strip() not in text:
            return f"{lead.strip()}\n\n{text}"
        return text
    if isinstance(value, list) and value and all(isinstance(part, str) for part in value):
        return "\n\n".join(value)
    return None


def _find(levels: list[dict[str, Any]], names: tuple[str, ...]) -> str | None:
    """Return the first of the fields that holds a name, in the record or one level below."""
    for level in levels:
        for name in names:
            if name in level and (found := _name_in(level[name])):
                return strip_surrogates(found)
    if names is _URL_FIELDS:
        for level in levels:
            for name in _ADDRESSES:
                value = level.get(name)
                if isinstance(value, str) and value.startswith(("http://", "https://")):
                    return strip_surrogates(value.strip())
    return None


def _name_in(value: Any) -> str | None:
    """Return a name, the names in a list, or the name of an object (a person, rendered HTML)."""
    if isinstance(value, str):
        return value.strip() or None
    if isinstance(value, list):
        names = [name for part in value[:_NAMED_FIELDS] if (name := _name_in(part))]
        return ", ".join(names) or None
    if isinstance(value, dict):
        rendered = value.get("rendered")
        if isinstance(rendered, str):
            return html.unescape(_TAG.sub("", rendered)).strip() or None
        if is_by_language(value):
            return next(iter(value.values())).strip() or None
        return _name_in(value.get("name"))
    return None


def _source_id(fields: Mapping[str, Any]) -> str | None:
    for name in _ID_FIELDS:
        if name not in fields:
            continue
        value = fields[name]
        if isinstance(value, dict):
            value = value.get("$oid")  # MongoDB's extended JSON
        if own := _name_of(value):
            return own
    return None


def _name_of(value: Any) -> str | None:
    """Return an id as one plain line; a long one is replaced by its digest."""
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if isinstance(value, str) and (line := plain_line(value, 2 * _ID_MAX_CHARS)):
        return line if len(line) <= _ID_MAX_CHARS else digest(value)
    return None


def _lower(data: dict[Any, Any]) -> dict[str, Any]:
    return {str.casefold(name): value for name, value in reversed(data.items())}


def _kind(data: Any) -> str:
    return "list" if isinstance(data, list) else "null" if data is None else type(data).__name__
