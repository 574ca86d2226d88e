"""Templates of recipe files: Jinja2, sandboxed, strict about names, and checked before use."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from types import GeneratorType
from typing import TYPE_CHECKING, Any, ClassVar

import jinja2
from jinja2 import nodes
from jinja2.parser import Parser

from pairmill.errors import RejectedError
from pairmill.recipes.answer_fields import AnswerField
from pairmill.recipes.located_yaml import nearest
from pairmill.recipes.sandbox import LOOP_NAMES, PROMPTS, ROWS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from pairmill.recipes.located_yaml import Entry

__all__ = [
    "Scope",
    "TemplateChecker",
    "TextTemplate",
    "ValueTemplate",
    "always_printed",
    "compile_text",
    "compile_value",
]

_MOST_TURNS = 100_000  # iterations of nested loops, by the bounds of their lists
_UNKNOWN_TURNS = 100  # assumed for a list without a known bound: the largest that is allowed
_LISTS = frozenset(
    {"list", "sort", "reverse", "unique", "select", "reject", "selectattr", "rejectattr",
     "shuffled", "without"}
)  # fmt: skip
"""Filters that return a list of the same type as their input."""
_FORBIDDEN: dict[type[nodes.Node], str] = {
    nodes.Import: "{% import %}",
    nodes.FromImport: "{% from ... import %}",
    nodes.Include: "{% include %}",
    nodes.Extends: "{% extends %}",
    nodes.Block: "{% block %}",
    nodes.Macro: "{% macro %}",
    nodes.CallBlock: "{% call %}",
    nodes.FilterBlock: "{% filter %}",
    nodes.AssignBlock: "{% set %} around a block",
    nodes.With: "{% with %}",
    nodes.ScopedEvalContextModifier: "{% autoescape %}",
    nodes.Call: "calling a function",
    nodes.Pow: "the operator **",
}


@dataclass(frozen=True, slots=True)
class Scope:
    """The names that a template may use.

    Attributes:
        shapes: Map of name to the type of its value: an answer's tree, or None for a plain value.
        fenced: Names of ``shapes`` that must be printed unchanged and by themselves.
    """

    shapes: Mapping[str, AnswerField | None]
    fenced: frozenset[str] = frozenset()

    def with_name(self, name: str, shape: AnswerField | None) -> Scope:
        """Return the scope with one more name."""
        return Scope({**self.shapes, name: shape}, self.fenced)


class TemplateChecker:
    """Walks a template's syntax tree and reports the first mistake."""

    def __init__(self, entry: Entry, scope: Scope) -> None:
        self._entry = entry
        self._scope = scope
        self.names: set[str] = set()
        self._turns = 1.0  # upper bound of the iterations of the enclosing loops

    def check(self, node: nodes.Node, shapes: dict[str, AnswerField | None]) -> AnswerField | None:
        """Check a node and all below it; return what is known of its value."""
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
            nodes.Div: self._quotient,
            nodes.FloorDiv: self._quotient,
            nodes.Mod: self._quotient,
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
            raise self._fault(node, f"cannot loop over it: that is {_words(found)}")
        if not isinstance(node.target, nodes.Name):
            raise self._fault(node, "a loop takes one name, as in 'for item in list'")
        self._check_target(node.target)
        inner = {**shapes, node.target.name: found.of if found else None, "loop": _LOOP_SHAPE}
        around = self._turns
        self._turns *= (found.most if found else None) or _UNKNOWN_TURNS
        if self._turns > _MOST_TURNS:
            raise self._fault(
                node,
                f"nested loops could take {self._turns:,.0f} iterations, more than"
                f" {_MOST_TURNS:,}: nest fewer, or lower the 'max' of their lists",
            )
        for child in [*node.body, *node.else_, *([node.test] if node.test else [])]:
            self.check(child, inner)
        self._turns = around

    def _assign(self, node: nodes.Assign, shapes: dict[str, AnswerField | None]) -> None:
        found = self.check(node.node, shapes)
        if not isinstance(node.target, nodes.Name):
            raise self._fault(node, "{% set %} takes one name")
        self._check_target(node.target)
        shapes[node.target.name] = found

    def _check_target(self, target: nodes.Name) -> None:
        """Refuse another value under the name of the text, which would then be placed nowhere."""
        if target.name in self._scope.fenced:
            raise self._fault(target, f"the name '{target.name}' is taken")

    def _quotient(
        self, node: nodes.Div | nodes.FloorDiv | nodes.Mod, shapes: dict[str, AnswerField | None]
    ) -> None:
        """Check a division; one by the constant 0 would only fail once its answer is paid for."""
        for child in (node.left, node.right):
            self.check(child, shapes)
        try:
            divisor = node.right.as_const()
        except nodes.Impossible:
            return
        if divisor == 0 and not isinstance(divisor, str):
            raise self._fault(node, "divides by 0")

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
            raise self._fault(node, f"'.{name}' does not exist: that value has no parts")
        if whole.kind != "object":
            raise self._fault(node, f"'.{name}' does not exist: that is {_words(whole)}")
        if name not in whole.fields:
            raise self._fault(node, f"there is no '{name}'; {nearest(name, whole.fields)}")
        return whole.fields[name]

    def _filter(
        self, node: nodes.Filter, shapes: dict[str, AnswerField | None]
    ) -> AnswerField | None:
        if node.name not in PROMPTS.filters:
            hint = nearest(node.name, PROMPTS.filters)
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
        if node.name not in PROMPTS.tests:
            hint = nearest(node.name, PROMPTS.tests)
            raise self._fault(node, f"unknown test '{node.name}'; {hint}")
        for child in node.iter_child_nodes():
            self.check(child, shapes)


def _shape_of(node: nodes.Node, inner: Sequence[AnswerField | None]) -> AnswerField | None:
    """Infer what is known of an expression's value from its parts."""
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


_LOOP_SHAPE = AnswerField("object", fields=dict.fromkeys(LOOP_NAMES, AnswerField("integer")))


def _words(node: AnswerField) -> str:
    return {"integer": "a number", "object": "an object", "boolean": "true or false"}.get(
        node.kind, f"a {node.kind}"
    )


def always_printed(body: Sequence[nodes.Node]) -> frozenset[str]:
    """Return the names that a template prints by themselves, whatever its conditions."""
    found: frozenset[str] = frozenset()
    for node in body:
        if isinstance(node, nodes.Output):
            found |= {child.name for child in node.nodes if isinstance(child, nodes.Name)}
        elif isinstance(node, nodes.If):
            found |= _always_printed_if(node)
    return found


def _always_printed_if(node: nodes.If) -> frozenset[str]:
    branches = []
    for case in (node, *node.elif_):
        if isinstance(case.test, nodes.Const):
            if not case.test.value:
                continue
            branches.append(always_printed(case.body))
            break
        branches.append(always_printed(case.body))
    else:
        branches.append(always_printed(node.else_))
    return frozenset.intersection(*branches)


_MOST_CHARS = 400_000  # limit of a rendered text


@dataclass(frozen=True, slots=True)
class TextTemplate:
    """A template that renders a text.

    Attributes:
        names: The names that it uses.
        entry: Its place in the file, for errors.
        places: Names that it always prints, whatever the values.
    """

    source: str
    names: frozenset[str]
    entry: Entry = field(repr=False, compare=False)
    places: frozenset[str]
    _template: jinja2.Template = field(repr=False, compare=False)

    expression: ClassVar[None] = None

    @property
    def environment(self) -> jinja2.Environment:
        """Sandbox that it runs in."""
        return self._template.environment

    def __call__(self, values: Mapping[str, Any]) -> str:
        """Render the text for these values.

        Raises:
            RejectedError: ``template_error``: the values do not fit the template.
        """
        try:
            text = self._template.render(values)
        except (jinja2.TemplateError, ArithmeticError, TypeError, ValueError, LookupError) as error:
            raise _rejection(self.entry.name, error) from None
        if len(text) > _MOST_CHARS:
            raise RejectedError("template_error", f"{self.entry.name}: longer than {_MOST_CHARS:,}")
        return text


@dataclass(frozen=True, slots=True)
class ValueTemplate:
    """An expression that evaluates to any type, or a template that renders a text.

    Attributes:
        shape: What is known of the value in advance; None: nothing, or a text.
        expression: Without the enclosing marks; None for a template that renders a text.
    """

    source: str
    names: frozenset[str]
    entry: Entry = field(repr=False, compare=False)
    shape: AnswerField | None
    expression: str | None
    _text: TextTemplate | None = field(repr=False, compare=False)
    _expression: Callable[..., Any] | None = field(repr=False, compare=False)

    @property
    def environment(self) -> jinja2.Environment:
        """Sandbox that it runs in."""
        return ROWS

    def __call__(self, values: Mapping[str, Any]) -> Any:
        """Evaluate the expression for these values.

        Raises:
            RejectedError: ``template_error``: the values do not fit the expression.
        """
        if self._text is not None:
            return self._text(values)
        assert self._expression is not None  # noqa: S101 (one of both is there)
        try:
            found = self._expression(**values)
        except (jinja2.TemplateError, ArithmeticError, TypeError, ValueError, LookupError) as error:
            raise _rejection(self.entry.name, error) from None
        if isinstance(found, jinja2.Undefined):
            raise RejectedError("template_error", f"{self.entry.name}: undefined")
        return list(found) if isinstance(found, GeneratorType) else found


def _rejection(place: str, error: Exception) -> RejectedError:
    return RejectedError("template_error", f"{place}: {type(error).__name__}: {error}")


def compile_text(entry: Entry, scope: Scope, *, for_rows: bool = False) -> TextTemplate:
    """Check and compile a template.

    Args:
        entry: Its place in the file.
        scope: The names that it may use.
        for_rows: True if its text goes into a row, unchanged; else into a prompt, as data.

    Raises:
        ConfigError: It is not a template, or uses an unknown name or a forbidden construct.
    """
    environment = ROWS if for_rows else PROMPTS
    source = entry.text(empty=True)
    try:
        tree = environment.parse(source)
        checker = TemplateChecker(entry, scope)
        checker.check(tree, dict(scope.shapes))
        template = environment.from_string(source)
    except jinja2.TemplateSyntaxError as error:
        raise entry.fault(str(error.message), entry.text_line + error.lineno - 1) from None
    places = always_printed(tree.body)
    return TextTemplate(source, frozenset(checker.names), entry, places, template)


def compile_value(entry: Entry, scope: Scope, *, bare: bool = False) -> ValueTemplate:
    """Check and compile a value: ``{{ expression }}`` keeps its type.

    Args:
        entry: Its place in the file.
        scope: The names that it may use.
        bare: True if the whole text is the expression, without enclosing marks.

    Raises:
        ConfigError: As of ``compile_text``.
    """
    source = entry.text()
    if bare and source.strip().startswith(("{{", "{%")):
        raise entry.fault("needs an expression without {{ }} or {% %}, as in: count > 2")
    inner = source.strip() if bare else _single_expression(source)
    if inner is None:
        text = compile_text(entry, scope, for_rows=True)
        return ValueTemplate(source, text.names, entry, None, None, text, None)
    try:
        parser = Parser(ROWS, inner, state="variable")
        tree = parser.parse_expression()
        if not parser.stream.eos:
            raise jinja2.TemplateSyntaxError("unexpected words after the expression", 1)  # noqa: TRY301
        tree.set_environment(ROWS)
        checker = TemplateChecker(entry, scope)
        shape = checker.check(tree, dict(scope.shapes))
        expression = ROWS.compile_expression(inner, undefined_to_none=False)
    except jinja2.TemplateSyntaxError as error:
        raise entry.fault(str(error.message), entry.text_line + error.lineno - 1) from None
    return ValueTemplate(source, frozenset(checker.names), entry, shape, inner, None, expression)


def _single_expression(source: str) -> str | None:
    text = source.strip()
    if not (text.startswith("{{") and text.endswith("}}")):
        return None
    inner = text[2:-2]
    if "{{" in inner or "}}" in inner or "{%" in inner:
        return None
    return inner.strip().strip("-+").strip() or None
