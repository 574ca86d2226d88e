"""Adapts a JSON schema to a server. Keywords that are left out are still checked on our side."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Collection

__all__ = ["fit_schema", "is_strict", "named_keywords"]

_LENGTHS = frozenset({"minLength", "maxLength"})
# Keywords that only narrow what is allowed; a schema is still useful without them.
_OPTIONAL = frozenset(
    {
        *("additionalProperties", "minItems", "maxItems", "uniqueItems", "minLength", "maxLength"),
        *("pattern", "format", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"),
        *("multipleOf", "enum", "const", "anyOf", "oneOf", "allOf", "title", "description"),
        *("default", "minProperties", "maxProperties"),
    }
)
_PLAIN = frozenset({"format", "pattern", "minimum", "maximum", "title", "description", "default"})


def is_strict(node: Any) -> bool:
    """Return whether each object requires all its properties and allows no others."""
    if isinstance(node, list):
        return all(is_strict(item) for item in node)
    if not isinstance(node, dict):
        return True
    properties = node.get("properties")
    if isinstance(properties, dict) and (
        node.get("additionalProperties") is not False
        or set(node.get("required", ())) != set(properties)
    ):
        return False
    return all(is_strict(item) for item in node.values())


def fit_schema(
    node: Any, *, without: Collection[str] = (), is_trimmed: bool = False, number_enums: bool = True
) -> Any:
    """Return the schema without some keywords.

    Args:
        node: A schema.
        without: Keywords to leave out.
        is_trimmed: True to leave out bounds on the lengths of strings too.
        number_enums: True to keep enums of numbers; else they become ranges.
    """
    dropped = {*without, *(_LENGTHS if is_trimmed else ())}
    if not dropped and number_enums:
        return node
    return _fit(node, dropped, number_enums=number_enums, are_names=False)


def _fit(node: Any, dropped: set[str], *, number_enums: bool, are_names: bool) -> Any:
    if isinstance(node, list):
        return [_fit(it, dropped, number_enums=number_enums, are_names=False) for it in node]
    if not isinstance(node, dict):
        return node
    kept = {
        key: _fit(
            value,
            dropped,
            number_enums=number_enums,
            are_names=not are_names and key in {"properties", "$defs"},
        )
        for key, value in node.items()
        if are_names or key not in dropped
    }
    values = node.get("enum")
    if are_names or number_enums or not isinstance(values, list) or "enum" not in kept:
        return kept
    numbers = [it for it in values if isinstance(it, int | float) and not isinstance(it, bool)]
    if numbers and len(numbers) == len(values):
        del kept["enum"]
        bounds = {"minimum": min(numbers), "maximum": max(numbers)}
        whole = all(isinstance(it, int) for it in numbers)
        kept = {"type": "integer" if whole else "number", **kept}
        kept |= {key: bound for key, bound in bounds.items() if key not in dropped}
    return kept


def named_keywords(schema: Any, text: str, *, surely: bool) -> frozenset[str]:
    """Return the optional keywords of a schema that a refusal names, in either spelling.

    Args:
        schema: The schema that was sent.
        text: The refusal's text.
        surely: True if it is about the schema; else only words that are unlikely by chance count.
    """
    said = {word.replace("_", "").lower() for word in re.findall(r"[A-Za-z_]+", text)}
    used = _keywords(schema, are_names=False)
    found = {word for word in used & _OPTIONAL if word.lower() in said}
    quoted = {it for it in found if re.search(rf"['\"`.]{it}\b", text)}
    camel = {it for it in found if not it.islower()}
    return frozenset((found - _PLAIN) | quoted if surely else camel)


def _keywords(node: Any, *, are_names: bool) -> set[str]:
    if isinstance(node, list):
        return {word for item in node for word in _keywords(item, are_names=False)}
    if not isinstance(node, dict):
        return set()
    own = set() if are_names else set(node)
    for key, value in node.items():
        own |= _keywords(value, are_names=not are_names and key in {"properties", "$defs"})
    return own
