"""Shapes of articles in crawls and exports: wrappers, maps, lists of blocks.

Scrapy, Firecrawl, Jina, Diffbot, Ghost, Elasticsearch, the Hugging Face datasets server; maps from
ids to records, or from addresses to texts; the blocks of EditorJS, Notion, ProseMirror.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

__all__ = ["blocks_text", "is_by_language", "normalize_shape", "table_rows", "unwrap", "unwrap_any"]

_LISTS = (
    "artifact_data", "data", "documents", "articles", "records", "rows", "items", "posts",
    "results", "pages", "hits", "messages", "objects", "db", "entries", "docs", "stories", "news",
    "nodes", "value", "response", "content",
)  # fmt: skip
_SINGLE = ("data", "row", "_source", "record", "result", "page", "item", "article", "node",
           "attributes", "document", "post", "response")  # fmt: skip
_MAX_DEPTH = 4
_LEAST_COLUMNS = 2
_TEXT_COLUMNS = frozenset(("text", "content", "body", "article", "markdown", "document", "html"))
_ONE_A_RECORD = frozenset(("id", "_id", "url", "link", "source", "title", "headline", "label"))
_LANGUAGE = re.compile(r"[a-z]{2}(?:[-_][A-Za-z]{2,4})?")
_LEAST_TEXT = 80  # characters on average of the values of a map from a name to a text
_BLOCK_LISTS = ("blocks", "content", "sections", "paragraphs", "children", "elements", "body",
                "items", "nodes", "results", "cells", "text", "rich_text", "root", "doc", "data",
                "document")  # fmt: skip
_BLOCK_TEXTS = (
    *("text", "content", "plain_text", "body", "value", "paragraph", "caption", "code", "context"),
)
_BLOCK_TITLES = ("heading", "title", "header")
_CODE_TYPES = frozenset(("code", "code_block", "codeblock", "pre"))
_LIST_TYPES = frozenset(
    ("list_item", "listitem", "bulleted_list_item", "numbered_list_item", "li", "bullet")
)
_INLINE_TYPES = frozenset(
    ("text", "bold", "italic", "link", "mention", "code_inline", "strong", "em", "text_link", "url",
     "hashtag", "underline", "strikethrough", "span", "equation")
)  # fmt: skip
_MAX_BLOCK_DEPTH = 12
_BOXES = frozenset(("*", "s", "m", "l", "stringvalue", "mapvalue", "arrayvalue", "storage", "view"))
_NAMES_OF_TEXT = frozenset(("cooked", "extract", "context", "contents", "story_text"))
_TYPE_SUFFIX = re.compile(r"(?<=[a-z])_(?:txt|text|t|s|ss|html)(?:_[a-z]{2})?")
_HEADING_TYPES = {"heading_1": 1, "heading_2": 2, "heading_3": 3, "h1": 1, "h2": 2, "h3": 3}


def unwrap(
    data: dict[str, Any], has_text: Callable[[dict[str, Any]], bool], depth: int = 0
) -> list[dict[str, Any]]:
    """Return the records that an object wraps, or the object itself if it is one.

    ``has_text`` returns whether an object has text of its own, in a field with a known name.
    """
    if depth > _MAX_DEPTH or has_text(data):
        return [data]
    lower = {str(name).casefold(): value for name, value in reversed(data.items())}
    for name in _LISTS:
        value = lower.get(name)
        if isinstance(value, list) and value and all(isinstance(one, dict) for one in value):
            found = [record for one in value for record in unwrap(one, has_text, depth + 1)]
            if any(map(has_text, found)):
                return found
        elif isinstance(value, dict):
            found = unwrap(value, has_text, depth + 1)
            if any(map(has_text, found)):
                return found
    for name in _SINGLE:
        value = lower.get(name)
        if isinstance(value, dict):
            found = unwrap(value, has_text, depth + 1)
            if any(map(has_text, found)):
                return [{**_beside(data), **one} for one in found] if len(found) == 1 else found
    return _from_map(data, has_text) or [data]


def table_rows(data: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the records of a table stored by column, or as names and rows; else none.

    For example as written by pandas (``split``, ``list``, ``dict``), or batches of `datasets`.
    """
    names, rows = data.get("columns"), data.get("data")
    if isinstance(names, list) and isinstance(rows, list):
        is_table = all(isinstance(row, list) and len(row) == len(names) for row in rows)
        return [dict(zip(map(str, names), row, strict=True)) for row in rows] if is_table else []
    fields = {str(name).casefold() for name in data}
    if len(data) < _LEAST_COLUMNS or not _TEXT_COLUMNS & fields:
        return []
    keys = _row_keys(list(data.values()), is_named=bool(_ONE_A_RECORD & fields))
    return [{name: column[key] for name, column in data.items()} for key in keys]


def _row_keys(columns: list[Any], *, is_named: bool) -> Iterable[Any]:
    """Return the keys of a table's rows within its columns; empty if it is no such table."""
    first = columns[0]
    if isinstance(first, dict) and first and all(map(str.isdecimal, first)):
        is_table = all(isinstance(it, dict) and it.keys() == first.keys() for it in columns)
        return first.keys() if is_table else ()
    if isinstance(first, list) and len(first) > 1 and is_named:
        is_table = all(isinstance(it, list) and len(it) == len(first) for it in columns)
        return range(len(first)) if is_table else ()
    return ()


def unwrap_any(
    data: dict[str, Any], has_text: Callable[[dict[str, Any]], bool], depth: int = 0
) -> list[dict[str, Any]]:
    """Return the longest list of records in an object without text, under whatever name."""
    found = unwrap(data, has_text)
    if any(map(has_text, found)):
        return found
    if depth > _MAX_DEPTH:
        return []
    best: list[dict[str, Any]] = []
    for value in data.values():
        held: list[dict[str, Any]] = []
        if isinstance(value, dict):
            held = unwrap_any(value, has_text, depth + 1)
        elif isinstance(value, list) and all(isinstance(one, dict) for one in value):
            held = [record for one in value for record in unwrap_any(one, has_text, depth + 1)]
        held = [record for record in held if has_text(record)]
        best = held if len(held) > len(best) else best
    return best


def normalize_shape(value: Any, depth: int = 0) -> Any:
    """Return a value as others would write it: out of boxes that name its type, by usual names.

    Such as DynamoDB and Firestore write (``{"S": ...}``, ``{"stringValue": ...}``), Solr
    (``content_txt``, lists of one), MediaWiki (``{"*": ...}``), Confluence (``storage``), feeds
    (``{"type": ..., "value": ...}``), Contentful (``nodeType``), Discourse (``cooked``).
    """
    if depth > _MAX_BLOCK_DEPTH:
        return value
    if isinstance(value, list):
        found = [normalize_shape(one, depth + 1) for one in value]
        return found[0] if len(found) == 1 and isinstance(found[0], str) else found
    if not isinstance(value, dict):
        return value
    lower: dict[str, Any] = {}
    for name, one in value.items():
        lower.setdefault(str(name).casefold(), one)
    text = lower.get("value")
    is_typed = bool(lower.keys() & {"type", "representation"}) and "content" not in lower
    if isinstance(text, str) and is_typed:
        return text
    if len(lower) == 1 and (box := next(iter(lower))) in _BOXES:
        return normalize_shape(lower[box], depth + 1)
    named = {
        "type" if name == "nodetype" else _TYPE_SUFFIX.sub("", name): normalize_shape(
            one, depth + 1
        )
        for name, one in lower.items()
    }
    for name in _NAMES_OF_TEXT & named.keys():
        named.setdefault("text", named.pop(name))
    return named


def is_by_language(value: dict[str, Any]) -> bool:
    """Return whether an object maps language codes to one text in each language."""
    return bool(value) and all(
        _LANGUAGE.fullmatch(str(name)) and isinstance(text, str) for name, text in value.items()
    )


def _beside(data: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in data.items() if isinstance(value, str)}


def _from_map(
    data: dict[str, Any], has_text: Callable[[dict[str, Any]], bool]
) -> list[dict[str, Any]]:
    """Return the records of a map from ids to records, or from addresses to texts."""
    if not data:
        return []
    values = list(data.values())
    if all(isinstance(value, dict) for value in values):
        if not all(map(has_text, values)):
            return []
        return [_named(name, value) for name, value in data.items()]
    if len(data) > 1 and all(isinstance(value, str) for value in values):
        if not all(_is_address(str(name)) for name in data):
            return []
        if sum(map(len, values)) >= _LEAST_TEXT * len(values):
            return [_named(name, {"text": text}) for name, text in data.items()]
    return []


def _named(name: str, record: dict[str, Any]) -> dict[str, Any]:
    lower = {str(field).casefold() for field in record}
    named = dict(record)
    if "://" in name and not lower & {"url", "link", "source_url"}:
        named["url"] = name
    elif not lower & {"id", "_id", "doc_id", "document_id", "uuid"}:
        named["id"] = name
    return named


def _is_address(name: str) -> bool:
    return "://" in name or name.startswith("/") or ("." in name and " " not in name)


def blocks_text(data: Any) -> str:
    """Return the text of lists of blocks, as Markdown; empty if there is none."""
    parts: list[str] = []
    _add_blocks(data, parts, 0)
    return "\n\n".join(part for part in parts if part.strip())


def _add_blocks(value: Any, parts: list[str], depth: int) -> None:
    if depth > _MAX_BLOCK_DEPTH:
        return
    if isinstance(value, str):
        parts.append(value.strip())
    elif isinstance(value, list):
        if value and all(_is_inline(one) for one in value):
            parts.append("".join(map(_inline, value)).strip())
        else:
            for one in value:
                _add_blocks(one, parts, depth + 1)
    elif isinstance(value, dict):
        _add_block(value, parts, depth)


def _add_block(block: dict[str, Any], parts: list[str], depth: int) -> None:
    kind = str(block.get("type") or block.get("_type") or "").casefold()
    inner = block.get(kind) if isinstance(block.get(kind), dict) else block.get("data")
    source: dict[str, Any] = inner if isinstance(inner, dict) and kind else block
    for name in _BLOCK_TITLES:
        title = source.get(name)
        if isinstance(title, str) and title.strip():
            parts.append(f"## {title.strip()}")
    before = len(parts)
    for name in dict.fromkeys((*_BLOCK_TEXTS, *_BLOCK_LISTS)):
        value = source.get(name)
        if isinstance(value, str) and name in _BLOCK_TEXTS and value.strip():
            parts.append(value.strip())
            break
        if isinstance(value, (list, dict)) and value:
            _add_blocks(value, parts, depth + 1)
            break
    if len(parts) == before + 1:
        parts[before] = _shaped(parts[before], kind, source)


def _shaped(text: str, kind: str, block: dict[str, Any]) -> str:
    if kind in _CODE_TYPES:
        return f"```{block.get('language') or ''}\n{text}\n```"
    if kind in _LIST_TYPES:
        return f"- {text}"
    level = _HEADING_TYPES.get(kind) or (block.get("level") if kind in ("header", "heading") else 0)
    if kind in ("header", "heading") and not isinstance(level, int):
        attributes = block.get("attrs")
        level = attributes.get("level", 2) if isinstance(attributes, dict) else 2
    return f"{'#' * min(6, level)} {text}" if isinstance(level, int) and level > 0 else text


def _is_inline(value: Any) -> bool:
    if isinstance(value, str):
        return True
    return isinstance(value, dict) and str(value.get("type") or "").casefold() in _INLINE_TYPES


def _inline(value: Any) -> str:
    if isinstance(value, str):
        return value
    names = ("plain_text", "text", "content", "value")
    text = next((value[name] for name in names if value.get(name)), "")
    if isinstance(text, dict):
        text = text.get("content") or ""
    return text if isinstance(text, str) else ""
