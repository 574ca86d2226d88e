"""Generates text that matches a regular expression, for the ``pattern`` of a JSON schema."""

from __future__ import annotations

import importlib
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pairmill.simulator.rng import Rng

__all__ = ["write_match"]

_MOST_REPEATS = 8
_CLASSES = {"CATEGORY_DIGIT": "0123456789", "CATEGORY_WORD": "abcdefgh", "CATEGORY_SPACE": " "}
_PRINTABLE = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 -.,"


def write_match(pattern: str, rng: Rng) -> str | None:
    """Return a text that matches, or None if the pattern is too complex (look-around, references).

    The pattern is parsed by the standard library's parser of regular expressions.
    """
    try:
        parsed = importlib.import_module("re._parser").parse(pattern)
        text = "".join(_write(str(code), value, rng) for code, value in parsed)
        return text if re.search(pattern, text) else None
    except (re.error, RecursionError, KeyError, ValueError, OverflowError):
        return None


def _write(code: str, value: Any, rng: Rng) -> str:  # noqa: PLR0911 (one for each code)
    if code == "LITERAL":
        return chr(value)
    if code == "AT":
        return ""
    if code == "ANY":
        return "a"
    if code == "NOT_LITERAL":
        return next(char for char in _PRINTABLE if ord(char) != value)
    if code == "IN":
        return rng.pick(_members(value))
    if code == "BRANCH":
        return _write_all(rng.pick(value[1]), rng)
    if code == "SUBPATTERN":
        return _write_all(value[-1], rng)
    if code in {"MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT"}:
        least, most, inner = value
        count = least + rng.below(min(int(most) - least, _MOST_REPEATS) + 1)
        return "".join(_write_all(inner, rng) for _ in range(count))
    raise ValueError(code)


def _write_all(items: Any, rng: Rng) -> str:
    return "".join(_write(str(code), value, rng) for code, value in items)


def _members(items: Any) -> str:
    """Return the characters that a class matches."""
    negated = str(items[0][0]) == "NEGATE"
    found = ""
    for code, value in items[negated:]:
        kind = str(code)
        if kind == "LITERAL":
            found += chr(value)
        elif kind == "RANGE":
            found += "".join(map(chr, range(value[0], min(value[1], value[0] + 255) + 1)))
        else:
            found += _CLASSES[str(value)]
    if negated:
        return "".join(char for char in _PRINTABLE if char not in found)
    return found
