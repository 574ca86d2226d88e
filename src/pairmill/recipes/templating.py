"""Templates of recipe files: Jinja2, sandboxed, strict about names, and checked before use.

A template can read values, loop over lists, decide, and use the filters below; it can call nothing,
import nothing, and see no attribute of a Python object. What it prints is data: text of a page or
of a model is never looked at for template marks, and marks of the passage's fence are broken in it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import jinja2
from jinja2 import nodes
from jinja2.exceptions import SecurityError
from jinja2.parser import Parser
from jinja2.runtime import LoopContext
from jinja2.sandbox import ImmutableSandboxedEnvironment

from pairmill.errors import RejectedError
from pairmill.recipes.answer_fields import AnswerField
from pairmill.recipes.located import nearest
from pairmill.recipes.prompts import as_lines, defuse
from pairmill.records import digest

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pairmill.recipes.located import Entry

__all__ = [
    "FencedText",
    "Scope",
    "TextTemplate",
    "ValueTemplate",
    "compile_text",
    "compile_value",
    "prompt_environment",
]

_MOST_CHARS = 400_000  # of a rendered text; a longer one is no prompt
_MOST_TURNS = 100_000  # of loops within loops, by the bounds of their lists

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
_UNKNOWN_TURNS = 100  # of a loop over a list that has no known bound: the most that one may have
_LISTS = frozenset(
    {"list", "sort", "reverse", "unique", "select", "reject", "selectattr", "rejectattr",
     "shuffled", "without"}
)  # fmt: skip
"""Filters that give a list of the same kind as they are given."""
_LOOP = ("index", "index0", "first", "last", "length", "revindex", "revindex0")
_FORBIDDEN: dict[type[nodes.Node], str] = {
    nodes.Import: "{% import %}",
    nodes.FromImport: "{% from ... import %}",
    nodes.Include: "{% include %}",
    nodes.Extends: "{% extends %}",
    nodes.Block: "{% block %}",
    nodes.Macro: "{% macro %}",
    nodes.CallBlock: "{% call %}",
    nodes.FilterBlock: "{% filter %}",
    nodes.Call: "calling a function",
    nodes.Pow: "the operator **",
}


class FencedText(str):
    """A text that stands between the fence's marks already, and is printed as it is."""

    __slots__ = ()


class _Environment(ImmutableSandboxedEnvironment):
    """A sandbox in which a dot leads into mappings alone."""

    intercepted_binops = frozenset({"*", "%"})

    def getattr(self, obj: Any, attribute: str) -> Any:
        """The value of a mapping under a name; nothing of any other object but a loop."""
        if isinstance(obj, Mapping):
            return obj[attribute] if attribute in obj else self.undefined(obj=obj, name=attribute)
        if isinstance(obj, LoopContext) and attribute in _LOOP:
            return super().getattr(obj, attribute)
        return self.unsafe_undefined(obj, attribute)

    def getitem(self, obj: Any, argument: Any) -> Any:
        """The same with brackets, and items of lists by number."""
        if isinstance(obj, Mapping):
            return obj[argument] if argument in obj else self.undefined(obj=obj, name=argument)
        if isinstance(obj, list | tuple | str) and isinstance(argument, int | slice):
            return super().getitem(obj, argument)
        return self.unsafe_undefined(obj, str(argument))

    def call_binop(
        self, context: jinja2.runtime.Context, operator: str, left: Any, right: Any
    ) -> Any:
        """Multiply and divide numbers alone: a text times a billion is no text."""
        for side in (left, right):
            if not isinstance(side, int | float):
                raise SecurityError(f"'{operator}' is for numbers alone")
        return super().call_binop(context, operator, left, right)


def _printed(value: Any) -> Any:
    """What a value looks like in a prompt: text as data, lists and objects as lines of JSON."""
    if isinstance(value, FencedText):
        return value
    if isinstance(value, str):
        return defuse(value)
    if isinstance(value, Mapping):
        return as_lines([value])
    if isinstance(value, list | tuple):
        return _listed(value)
    return "" if value is None else value


def _listed(values: Sequence[Any]) -> str:
    if all(isinstance(item, Mapping) for item in values):
        return as_lines(values)
    return "\n".join(f"- {_printed(item)}" for item in values)


def _shuffled(values: Sequence[Any]) -> list[Any]:
    """The items in an order that depends on their own texts alone."""
    return sorted(values, key=lambda item: digest(str(item)))


def _without(values: Sequence[Any], numbers: Sequence[int]) -> list[Any]:
    """The items but those of some numbers, counted from 1."""
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


def prompt_environment() -> jinja2.Environment:
    """The sandbox for prompts, for templates that are made in Python."""
    return _PROMPTS


_PROMPTS = _make_environment(_printed)
_ROWS = _make_environment(lambda value: "" if value is None else value)


@dataclass(frozen=True, slots=True)
class Scope:
    """The names that a template may use.

    Attributes:
        shapes: Name to what is known of its value: the tree of an answer, or None: a plain value.
        fenced: Those of ``shapes`` that must be printed as they are, and bare.
    """

    shapes: Mapping[str, AnswerField | None]
    fenced: frozenset[str] = frozenset()

    def with_name(self, name: str, shape: AnswerField | None) -> Scope:
        """The scope with one more name."""
        return Scope({**self.shapes, name: shape}, self.fenced)


@dataclass(frozen=True, slots=True)
class TextTemplate:
    """A template that gives a text.

    Attributes:
        names: The names that it uses.
        place: Of its place in the file, for errors.
    """

    source: str
    names: frozenset[str]
    place: str
    _template: jinja2.Template = field(repr=False, compare=False)

    def render(self, values: Mapping[str, Any]) -> str:
        """The text for these values.

        Raises:
            RejectedError: ``template_error``: the values do not fit the template.
        """
        try:
            text = self._template.render(values)
        except (jinja2.TemplateError, ArithmeticError, TypeError, ValueError, LookupError) as error:
            raise _rejection(self.place, error) from None
        if len(text) > _MOST_CHARS:
            raise RejectedError("template_error", f"{self.place}: longer than {_MOST_CHARS:,}")
        return text


@dataclass(frozen=True, slots=True)
class ValueTemplate:
    """An expression that gives a value of its own type, or a template that gives a text.

    Attributes:
        shape: What is known of the value beforehand; None: nothing, or a text.
    """

    source: str
    names: frozenset[str]
    place: str
    shape: AnswerField | None
    _text: TextTemplate | None = field(repr=False, compare=False)
    _expression: Callable[..., Any] | None = field(repr=False, compare=False)

    def __call__(self, values: Mapping[str, Any]) -> Any:
        """The value.

        Raises:
            RejectedError: ``template_error``: the values do not fit the expression.
        """
        if self._text is not None:
            return self._text.render(values)
        assert self._expression is not None  # noqa: S101 (one of both is there)
        try:
            found = self._expression(**values)
        except (jinja2.TemplateError, ArithmeticError, TypeError, ValueError, LookupError) as error:
            raise _rejection(self.place, error) from None
        if isinstance(found, jinja2.Undefined):
            raise RejectedError("template_error", f"{self.place}: undefined")
        return found


def _rejection(place: str, error: Exception) -> RejectedError:
    return RejectedError("template_error", f"{place}: {type(error).__name__}: {error}")


def compile_text(entry: Entry, scope: Scope, *, for_rows: bool = False) -> TextTemplate:
    """Check and compile a template.

    Args:
        entry: Where it stands.
        scope: The names that it may use.
        for_rows: Its text goes into a row, as it is; else into a prompt, as data.

    Raises:
        ConfigError: It is no template, uses an unknown name, or what is not allowed.
    """
    environment = _ROWS if for_rows else _PROMPTS
    source = entry.text(empty=True)
    try:
        tree = environment.parse(source)
        checker = _Checker(entry, scope)
        checker.check(tree, dict(scope.shapes))
        template = environment.from_string(source)
    except jinja2.TemplateSyntaxError as error:
        raise entry.fault(str(error.message), entry.text_line + error.lineno - 1) from None
    return TextTemplate(source, frozenset(checker.names), entry.name, template)


def compile_value(entry: Entry, scope: Scope, *, bare: bool = False) -> ValueTemplate:
    """Check and compile what becomes a value: ``{{ expression }}`` keeps its type.

    Args:
        entry: Where it stands.
        scope: The names that it may use.
        bare: The whole text is the expression, without marks around it.

    Raises:
        ConfigError: As of ``compile_text``.
    """
    source = entry.text()
    inner = source.strip() if bare else _single_expression(source)
    if inner is None:
        text = compile_text(entry, scope, for_rows=True)
        return ValueTemplate(source, text.names, entry.name, None, text, None)
    try:
        parser = Parser(_ROWS, inner, state="variable")
        tree = parser.parse_expression()
        if not parser.stream.eos:
            raise jinja2.TemplateSyntaxError("unexpected words behind the expression", 1)  # noqa: TRY301
        tree.set_environment(_ROWS)
        checker = _Checker(entry, scope)
        shape = checker.check(tree, dict(scope.shapes))
        expression = _ROWS.compile_expression(inner, undefined_to_none=False)
    except jinja2.TemplateSyntaxError as error:
        raise entry.fault(str(error.message), entry.text_line + error.lineno - 1) from None
    return ValueTemplate(source, frozenset(checker.names), entry.name, shape, None, expression)


def _single_expression(source: str) -> str | None:
    text = source.strip()
    if not (text.startswith("{{") and text.endswith("}}")):
        return None
    inner = text[2:-2]
    if "{{" in inner or "}}" in inner or "{%" in inner:
        return None
    return inner.strip().strip("-+").strip() or None


class _Checker:
    """Walks through a template's tree; tells the first thing that cannot be."""

    def __init__(self, entry: Entry, scope: Scope) -> None:
        self._entry = entry
        self._scope = scope
        self.names: set[str] = set()
        self._turns = 1.0  # of the loops around what is looked at, at most

    def check(self, node: nodes.Node, shapes: dict[str, AnswerField | None]) -> AnswerField | None:
        """Check a node and all below it; returns what is known of its value."""
        for kind, told in _FORBIDDEN.items():
            if isinstance(node, kind):
                raise self._fault(node, f"{told} is not allowed in a recipe")
        special = {
            nodes.Output: self._output,
            nodes.For: self._loop,
            nodes.Assign: self._assign,
            nodes.Name: self._name,
            nodes.Getattr: self._part,
            nodes.Getitem: self._part,
            nodes.Filter: self._filter,
            nodes.Test: self._test,
        }.get(type(node))
        if special is not None:
            return special(node, shapes)  # type: ignore[operator,no-any-return]
        found = [self.check(child, shapes) for child in node.iter_child_nodes()]
        return _shape_of(node, found)

    def _fault(self, node: nodes.Node, message: str) -> Exception:
        return self._entry.fault(message, self._entry.text_line + node.lineno - 1)

    def _output(self, node: nodes.Output, shapes: dict[str, AnswerField | None]) -> None:
        for child in node.nodes:
            if isinstance(child, nodes.Name) and child.name in self._scope.fenced:
                self.names.add(child.name)
            else:
                self.check(child, shapes)

    def _loop(self, node: nodes.For, shapes: dict[str, AnswerField | None]) -> None:
        found = self.check(node.iter, shapes)
        if found is not None and found.kind != "list":
            raise self._fault(node, f"no list to loop over, but {_words(found)}")
        if not isinstance(node.target, nodes.Name):
            raise self._fault(node, "a loop takes one name, as in 'for item in list'")
        inner = {**shapes, node.target.name: found.of if found else None, "loop": _LOOP_SHAPE}
        around = self._turns
        self._turns *= (found.most if found else None) or _UNKNOWN_TURNS
        if self._turns > _MOST_TURNS:
            raise self._fault(
                node,
                f"loops within loops could take {self._turns:,.0f} turns, more than"
                f" {_MOST_TURNS:,}: nest fewer, or lower the 'max' of their lists",
            )
        for child in [*node.body, *node.else_, *([node.test] if node.test else [])]:
            self.check(child, inner)
        self._turns = around

    def _assign(self, node: nodes.Assign, shapes: dict[str, AnswerField | None]) -> None:
        found = self.check(node.node, shapes)
        if not isinstance(node.target, nodes.Name):
            raise self._fault(node, "{% set %} takes one name")
        shapes[node.target.name] = found

    def _name(self, node: nodes.Name, shapes: dict[str, AnswerField | None]) -> AnswerField | None:
        if node.name not in shapes:
            raise self._fault(node, f"undefined name '{node.name}'; {nearest(node.name, shapes)}")
        if node.name in self._scope.fenced:
            raise self._fault(
                node, f"'{node.name}' must stand alone, as {{{{ {node.name} }}}}: it is fenced"
            )
        self.names.add(node.name)
        return shapes[node.name]

    def _part(
        self, node: nodes.Getattr | nodes.Getitem, shapes: dict[str, AnswerField | None]
    ) -> AnswerField | None:
        whole = self.check(node.node, shapes)
        if isinstance(node, nodes.Getitem):
            self.check(node.arg, shapes)
            if whole is not None and whole.kind == "list":
                return whole.of
            if not (isinstance(node.arg, nodes.Const) and isinstance(node.arg.value, str)):
                return None
            name = node.arg.value
        else:
            name = node.attr
        if name.startswith("_"):
            raise self._fault(node, f"the attribute '{name}' is not allowed in a recipe")
        if whole is None:
            raise self._fault(node, f"'.{name}' leads nowhere: that value has no parts")
        if whole.kind != "object":
            raise self._fault(node, f"'.{name}' leads nowhere: that is {_words(whole)}")
        if name not in whole.fields:
            raise self._fault(node, f"there is no '{name}'; {nearest(name, whole.fields)}")
        return whole.fields[name]

    def _filter(
        self, node: nodes.Filter, shapes: dict[str, AnswerField | None]
    ) -> AnswerField | None:
        if node.name not in _PROMPTS.filters:
            hint = nearest(node.name, _PROMPTS.filters)
            raise self._fault(node, f"unknown filter '{node.name}'; {hint}")
        found = self.check(node.node, shapes) if node.node is not None else None
        for child in [*node.args, *node.kwargs]:
            self.check(child, shapes)
        if found is not None and found.kind == "list":
            if node.name in {"first", "last"}:
                return found.of
            if node.name in _LISTS:
                return found
        return AnswerField("integer") if node.name in {"length", "wordcount", "int"} else None

    def _test(self, node: nodes.Test, shapes: dict[str, AnswerField | None]) -> None:
        if node.name not in _PROMPTS.tests:
            hint = nearest(node.name, _PROMPTS.tests)
            raise self._fault(node, f"unknown test '{node.name}'; {hint}")
        for child in node.iter_child_nodes():
            self.check(child, shapes)


def _shape_of(node: nodes.Node, inner: Sequence[AnswerField | None]) -> AnswerField | None:
    """What is known of the value of an expression, by what is known of its parts."""
    if isinstance(node, nodes.Compare | nodes.Not):
        return AnswerField("boolean")
    if isinstance(node, nodes.Const):
        kinds = {bool: "boolean", int: "integer", float: "number", str: "text"}
        kind = kinds.get(type(node.value))
        return AnswerField(kind) if kind else None  # type: ignore[arg-type]
    if isinstance(node, nodes.List) and inner:
        return AnswerField("list", of=inner[0] or AnswerField("text"), most=len(inner))
    if isinstance(node, nodes.Add) and all(part and part.kind == "list" for part in inner):
        left, right = inner
        assert left is not None  # noqa: S101 (both are lists)
        assert right is not None  # noqa: S101
        return replace(left, most=(left.most or 0) + (right.most or 0))
    if isinstance(node, nodes.CondExpr) and len(inner) > 1:
        return inner[1]
    return None


_LOOP_SHAPE = AnswerField("object", fields=dict.fromkeys(_LOOP, AnswerField("integer")))


def _words(node: AnswerField) -> str:
    return {"integer": "a number", "object": "an object", "boolean": "true or false"}.get(
        node.kind, f"a {node.kind}"
    )
