"""Templates of recipe files: Jinja2, sandboxed, strict about names, and checked before use."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import GeneratorType
from typing import TYPE_CHECKING, Any, ClassVar

import jinja2
from jinja2.parser import Parser

from pairmill.errors import RejectedError
from pairmill.recipes.sandbox import PROMPTS, ROWS
from pairmill.recipes.template_checks import TemplateChecker, always_printed

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pairmill.recipes.answer_fields import AnswerField
    from pairmill.recipes.located_yaml import Entry
    from pairmill.recipes.template_checks import Scope

__all__ = ["TextTemplate", "ValueTemplate", "compile_text", "compile_value"]

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
