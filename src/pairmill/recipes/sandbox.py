"""Sandbox for templates of recipe files: what they can access, and how values are formatted.

A template can read values, loop over lists, branch, and use the filters below; it cannot call or
import anything, nor access attributes of a Python object. Its values are data: text of a page or a
model is never parsed as a template, and fence marks in it are broken.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from types import GeneratorType
from typing import TYPE_CHECKING, Any

import jinja2
from jinja2.exceptions import SecurityError
from jinja2.runtime import LoopContext
from jinja2.sandbox import ImmutableSandboxedEnvironment

from pairmill.recipes.prompts import as_lines, break_fences
from pairmill.records import digest

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["LOOP_NAMES", "PROMPTS", "ROWS", "FencedText"]

_FILTERS = (
    *("abs", "capitalize", "default", "first", "float", "int", "join", "last", "length", "list"),
    *("lower", "map", "max", "min", "reject", "rejectattr", "replace", "reverse", "round"),
    *("select", "selectattr", "sort", "string", "sum", "title", "tojson", "trim", "truncate"),
    *("unique", "upper", "wordcount"),
)
_TESTS = (
    *("defined", "undefined", "none", "string", "number", "integer", "boolean", "true", "false"),
    *("even", "odd", "divisibleby", "eq", "ne", "lt", "le", "gt", "ge", "in", "equalto"),
    *("sequence", "mapping", "iterable", "sameas", "greaterthan", "lessthan", "float"),
)
LOOP_NAMES = ("index", "index0", "first", "last", "length", "revindex", "revindex0")


class FencedText(str):
    """A text that is already fenced, and is printed unchanged."""

    __slots__ = ()


class _Environment(ImmutableSandboxedEnvironment):
    """Sandbox in which a dot accesses only keys of mappings."""

    intercepted_binops = frozenset({"*", "%"})

    def getattr(self, obj: Any, attribute: str) -> Any:
        """Look up a mapping's value by attribute; of other objects, only loops have attributes."""
        if isinstance(obj, Mapping):
            return obj[attribute] if attribute in obj else self.undefined(obj=obj, name=attribute)
        if isinstance(obj, LoopContext) and attribute in LOOP_NAMES:
            return super().getattr(obj, attribute)
        return self.unsafe_undefined(obj, attribute)

    def getitem(self, obj: Any, argument: Any) -> Any:
        """Look up a mapping's value by key, or a list's item by number."""
        if isinstance(obj, Mapping):
            return obj[argument] if argument in obj else self.undefined(obj=obj, name=argument)
        if isinstance(obj, list | tuple | str) and isinstance(argument, int | slice):
            return super().getitem(obj, argument)
        return self.unsafe_undefined(obj, str(argument))

    def call_binop(
        self, context: jinja2.runtime.Context, operator: str, left: Any, right: Any
    ) -> Any:
        """Restrict ``*`` and ``%`` to numbers: a text times a billion would exhaust memory."""
        for side in (left, right):
            if not isinstance(side, int | float):
                raise SecurityError(f"'{operator}' is only for numbers")
        return super().call_binop(context, operator, left, right)


def _printed(value: Any) -> Any:
    """Format a value for a prompt: text as data, lists and objects as lines of JSON."""
    if isinstance(value, FencedText):
        return value
    if isinstance(value, str):
        return break_fences(value)
    if isinstance(value, Mapping):
        return as_lines([value])
    if isinstance(value, list | tuple):
        return _listed(value)
    if isinstance(value, GeneratorType):  # results of map, select and reject
        return _listed(list(value))
    return "" if value is None else value


def _plain(value: Any) -> Any:
    """Format a value for a row: text unchanged."""
    if isinstance(value, GeneratorType):
        return list(value)
    return "" if value is None else value


def _listed(values: Sequence[Any]) -> str:
    if all(isinstance(item, Mapping) for item in values):
        return as_lines(values)
    return "\n".join(f"- {_printed(item)}" for item in values)


def _shuffled(values: Sequence[Any]) -> list[Any]:
    """Shuffle the items into an order that depends only on their own texts."""
    return sorted(values, key=lambda item: digest(str(item)))


def _without(values: Sequence[Any], numbers: Sequence[int]) -> list[Any]:
    """Leave out the items with these numbers, counted from 1."""
    return [item for number, item in enumerate(values, 1) if number not in (numbers or ())]


def _tojson(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _make_environment(finalize: Callable[[Any], Any] | None) -> _Environment:
    made = _Environment(
        undefined=jinja2.StrictUndefined,
        autoescape=False,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=finalize,
    )
    made.globals.clear()
    made.filters = {name: made.filters[name] for name in _FILTERS}
    made.filters |= {"tojson": _tojson, "shuffled": _shuffled, "without": _without}
    made.tests = {name: test for name, test in made.tests.items() if name in _TESTS}
    return made


PROMPTS = _make_environment(_printed)
"""For prompts: text as data, lists and objects as lines of JSON."""
ROWS = _make_environment(_plain)
"""For conditions and rows: texts unchanged."""
