"""One JSON record into one document: which field is the text, and what stands beside it.

Understood without being told: the article format of the LLM Engineer's Handbook crawler
(``content`` a string, or a mapping with ``Title``, ``Subtitle``, ``Content``, ``language``), the
usual field names, lists of paragraphs, and plain strings. Field names are compared without case.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import orjson

from pairmill.records import Document, digest
from pairmill.sources.characters import plain_line, strip_surrogates
from pairmill.sources.html import looks_like_html, read_page

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pairmill.sources.base import Deferred, Opener

__all__ = ["Decoder", "find_text", "read_record"]

_TEXT_FIELDS = (
    "text", "content", "body", "article", "markdown", "article_text", "page_content",
    "raw_content", "full_text", "maintext", "main_text", "content_text", "document", "passage",
    "html", "raw_html",
)  # fmt: skip
_NOT_TEXT = frozenset(
    ("id", "_id", "url", "link", "source_url", "title", "headline", "author", "date", "hash")
)
_TITLE_FIELDS = ("title", "headline", "name")
_AUTHOR_FIELDS = ("author_full_name", "author", "authors", "byline", "creator")
_URL_FIELDS = ("link", "url", "source_url", "canonical_url", "uri")
_LANGUAGE_FIELDS = ("language", "lang")
_FACTS = (_TITLE_FIELDS, _AUTHOR_FIELDS, _URL_FIELDS, _LANGUAGE_FIELDS)
_ID_FIELDS = ("id", "_id", "doc_id", "document_id", "uuid")
_NESTED = ("content", "metadata", "meta")  # mappings in which the fields above may stand too

_GUESSED_MIN_CHARS = 40  # a field with no telling name is taken for the text only from here on
_ID_MAX_CHARS = 200
_NAMED_FIELDS = 12
_MOST_PLANS = 64  # kinds of records that are remembered; a crawl has a few
_MAX_DEPTH = 2  # mappings within mappings that are searched


class Decoder:
    """Decodes the records of one input, and counts those that it had to mend."""

    def __init__(self, opener: Opener) -> None:
        self.opener = opener
        self.plans: dict[tuple[str, ...], _Plan | None] = {}
        self._mended = 0

    def decode(self, raw: bytes) -> Any:
        """Return the value.

        What the strict parser refuses is tried once more with bad bytes replaced, and with the
        lone surrogates, NaN and raw control characters that other writers let through.

        Raises:
            ValueError: It is no JSON; the text says where, on one line.
        """
        try:
            return orjson.loads(raw)
        except orjson.JSONDecodeError:
            try:
                value = json.loads(raw.decode("utf-8", "replace"), strict=False)
            except json.JSONDecodeError as error:
                raise ValueError(f"{error.msg} at character {error.pos + 1}") from None
            except RecursionError:
                raise ValueError("nested too deeply") from None
            except ValueError:
                raise ValueError("a number is too long") from None
        self._mended += 1
        return value

    def finish(self) -> None:
        """Report how many records were mended."""
        if self._mended:
            detail = f"{self._mended} records with bytes or escapes that are no valid text"
            self.opener.notice("characters replaced", detail)


def read_record(raw: bytes, where: str, decoder: Decoder) -> Document | Deferred | None:
    """Return the record's document, or report why it has none."""
    opener = decoder.opener
    try:
        data = decoder.decode(raw)
    except ValueError as error:
        opener.skip(where, "broken JSON", str(error))
        return None
    if isinstance(data, str):
        data = {"text": data}
    if not isinstance(data, dict):
        opener.skip(where, "not a record", f"a JSON {_kind(data)}, not an object")
        return None
    found = _look_where_planned(data, decoder) or _search(data, opener.text_field)
    if found is None:
        names = ", ".join(plain_line(str(name), 40) for name in list(data)[:_NAMED_FIELDS])
        wanted = f"'{plain_line(opener.text_field, 40)}'" if opener.text_field else "text"
        opener.skip(where, "no text field", f"no {wanted} among: {names or 'no fields at all'}")
        return None
    text, own_id, *facts = found
    document = Document(own_id or digest(text), text, f"{opener.label}{where}", *facts)
    return read_page(document, where, opener) if looks_like_html(text) else document


_Found = tuple[str, str | None, str | None, str | None, str | None, str | None]
"""Text, id, title, author, URL and language of a record."""

_Plan = tuple[str, str | None, tuple[str | None, ...], tuple[str, ...]]
"""In which fields text and id stand; title, author, URL and language; and what might be nested."""


def _search(data: dict[str, Any], text_field: str | None) -> _Found | None:
    """Look everywhere; None: there is no text."""
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
    """Look where a record with the same fields would have everything; None: it must be searched.

    The records of a file mostly look alike. Gives what a search gives, or nothing.
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
    if type(text) is not str or not text or is_nested:
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
    """Say where things stand in records with the fields of this one; None: nowhere certain."""
    given = {name.casefold(): name for name in reversed(data)}

    def first(names: tuple[str, ...]) -> str | None:
        return next((given[name] for name in names if name in given), None)

    text = first((text_field.casefold(),) if text_field else _TEXT_FIELDS)
    if text is None:
        return None
    nested = tuple(given[name] for name in _NESTED if name in given)
    return text, first(_ID_FIELDS), tuple(map(first, _FACTS)), nested


def find_text(fields: Mapping[str, Any], wanted: str | None, depth: int = 0) -> str | None:
    """Return the text of a record whose field names are in lower case; None: it has none.

    ``wanted`` names the field, with dots for a field in a field; then no other is looked at.
    """
    if wanted is not None:
        return _text_of(_look_up(fields, wanted.casefold()))
    for name in _TEXT_FIELDS:
        text = _text_of(fields.get(name), depth)
        if text:
            return text
    others = [
        value
        for name, value in fields.items()
        if isinstance(value, str) and name not in _NOT_TEXT and len(value) >= _GUESSED_MIN_CHARS
    ]
    return max(others, key=len, default=None)


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
    """Return the first of the named fields that holds a name, in the record or one level down."""
    for level in levels:
        for name in names:
            if name not in level:
                continue
            value = level[name]
            if isinstance(value, list):
                value = ", ".join(part for part in value if isinstance(part, str))
            if isinstance(value, str) and value.strip():
                return strip_surrogates(value.strip())
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
    """Return an id as one plain line; a long one by its digest."""
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if isinstance(value, str) and (line := plain_line(value, 2 * _ID_MAX_CHARS)):
        return line if len(line) <= _ID_MAX_CHARS else digest(value)
    return None


def _lower(data: dict[Any, Any]) -> dict[str, Any]:
    return {str.casefold(name): value for name, value in reversed(data.items())}


def _kind(data: Any) -> str:
    return "list" if isinstance(data, list) else "null" if data is None else type(data).__name__
