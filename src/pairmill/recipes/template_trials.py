"""Tries every template of a recipe with values of the right types, before anything is asked.

First every branch of each template: both sides of ``if``, ``and`` and ``or``, and the bodies of
loops whatever their condition. Then the recipe in order, with missing values: nullable fields are
null, choices and booleans vary, and whatever a condition skips is empty. Errors that depend on a
value's size (a division by zero, an index beyond the end of a shorter list) are left to the run,
where they cost only their unit.
"""

from __future__ import annotations

import copy
import re
from typing import TYPE_CHECKING, Any

import jinja2
from jinja2 import nodes
from jinja2.parser import Parser
from jinja2.visitor import NodeTransformer

from pairmill.errors import RejectedError
from pairmill.recipes.sandbox import FencedText

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from pairmill.errors import PairmillError
    from pairmill.recipes.answer_fields import AnswerField
    from pairmill.recipes.recipe_file import ForEach, RecipeFile, RecipeStep, RowRule
    from pairmill.recipes.templating import TextTemplate, ValueTemplate

__all__ = ["sample_of", "try_templates"]

_FILE = "<recipe template>"
_MOST_ITEMS = 30  # length of a sample list: covers any sensible index
_TEXT = "Sample text"
_COUNT = 3
_BEYOND = re.compile(r"has no element -?\d+$|^No (?:first|last) item, sequence was empty")

Values = dict[str, Any]


def try_templates(recipe: RecipeFile) -> None:
    """Try every template and condition of a recipe.

    Raises:
        ConfigError: One does not fit the types of its values; the text has file and line.
    """
    for is_whole in (True, False):
        values = _unit_values(recipe)
        for step in recipe.steps:
            values[step.name] = _try_step(step, values, is_whole=is_whole)
        for rule in recipe.rows:
            for inner in _scopes(rule.loops, values):
                _try_row(rule, inner, is_whole=is_whole)


def sample_of(node: AnswerField | None, *, is_whole: bool = True) -> Any:
    """Make a sample value of a type; unless ``is_whole``, null if allowed, or another choice."""
    if node is None:
        return _TEXT
    if node.optional and not is_whole:
        return None
    if node.kind == "list":
        count = min(int(node.most or 1), _MOST_ITEMS) if is_whole else 1
        return [sample_of(node.of, is_whole=is_whole)] * count
    if node.kind == "object":
        return {name: sample_of(inner, is_whole=is_whole) for name, inner in node.fields.items()}
    scalars = {
        "choice": node.choices[0 if is_whole else -1] if node.choices else "",
        "boolean": is_whole,
        "integer": int(_within(node)),
        "number": _within(node),
    }
    return scalars.get(node.kind, _TEXT)


def _within(node: AnswerField) -> float:
    value = float(_COUNT) if node.least is None else max(float(_COUNT), node.least)
    return value if node.most is None else min(value, node.most)


def _unit_values(recipe: RecipeFile) -> Values:
    draws = {
        name: list(draw.values[: draw.take]) if draw.take is not None else draw.values[0]
        for name, draw in recipe.draws.items()
    }
    texts = dict.fromkeys(("text", "title", "section", "author", "language"), _TEXT)
    return {
        **recipe.constants,
        **draws,
        **texts,
        "passage": FencedText(_TEXT),
        "parts": [_TEXT] * max(2, recipe.unit.size),
        "count": _COUNT,
    }


def _try_step(step: RecipeStep, values: Values, *, is_whole: bool) -> Any:
    """Try a step's templates; return what later templates see of it."""
    answer = {name: sample_of(it, is_whole=is_whole) for name, it in step.answer.fields.items()}
    empty: Values = {
        name: [] if it.kind == "list" else None for name, it in step.answer.fields.items()
    }
    each = step.for_each
    templates = [step.when, step.user, step.distinct]
    if each is None:
        is_asked = _try_all(templates, values, is_whole=is_whole)
        return answer if is_asked else empty
    return [
        {**answer, each.name: item}
        for item in _items(each, values)
        if _try_all(templates, {**values, each.name: item}, is_whole=is_whole)
    ]


def _try_row(rule: RowRule, values: Values, *, is_whole: bool) -> None:
    messages: list[ValueTemplate | None] = []
    if isinstance(rule.messages, tuple):
        messages = [template for _, template in rule.messages]
    elif rule.messages is not None:
        messages = [rule.messages]
    templates = [rule.when, *rule.texts.values(), *rule.fields.values(), *messages]
    _try_all(templates, values, is_whole=is_whole)


def _try_all(
    templates: Sequence[TextTemplate | ValueTemplate | None], values: Values, *, is_whole: bool
) -> bool:
    """Try a condition and its dependents; return whether it holds, or need not hold."""
    when, *others = templates
    if is_whole:
        for template in [one for one in templates if one is not None]:
            for branches in _branches(template):
                _try_branches(template, branches, values)
        return True
    if when is not None and not _run(when, values):
        return False
    for template in [one for one in others if one is not None]:
        _run(template, values)
    return True


def _run(template: TextTemplate | ValueTemplate, values: Values) -> Any:
    try:
        return template(values)
    except RejectedError as error:
        told = error.detail.removeprefix(f"{template.entry.name}: ")
        if _is_of_size(told):
            return None
        raise template.entry.fault(
            f"does not fit where a value is missing ({told}): ask first, as in '{{% if x %}}', or"
            " use the filter default('', true)"
        ) from None


def _is_of_size(told: str) -> bool:
    """Return whether the error was about a value's size, not its type."""
    is_size = told.startswith(("ZeroDivisionError", "ValueError", "Overflow", "longer"))
    return is_size or _BEYOND.search(told) is not None


def _try_branches(
    template: TextTemplate | ValueTemplate, branches: jinja2.Template, values: Values
) -> None:
    try:
        branches.render(values)
    except (ArithmeticError, ValueError):
        return
    except (jinja2.TemplateError, TypeError, LookupError) as error:
        if not _is_of_size(str(error)):
            raise _fault(template, error) from None


def _fault(template: TextTemplate | ValueTemplate, error: Exception) -> PairmillError:
    line = None
    trace = error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == _FILE:
            line = template.entry.text_line + trace.tb_lineno - 1
        trace = trace.tb_next
    told = str(error).replace("\n", " ")
    return template.entry.fault(f"does not fit the types of its values: {told}", line)


def _branches(template: TextTemplate | ValueTemplate) -> Iterator[jinja2.Template]:
    """Yield variants of the template that together run both sides of every inline ``if``."""
    environment, tree = template.environment, _tree(template)
    has_sides = next(tree.find_all((nodes.CondExpr, nodes.Or)), None) is not None
    for side in (0, 1) if has_sides else (0,):
        whole = _EveryBranch(side).visit(copy.deepcopy(tree))
        whole.set_environment(environment)
        code = environment.compile(whole, filename=_FILE)
        yield jinja2.Template.from_code(environment, code, environment.make_globals(None))


def _tree(template: TextTemplate | ValueTemplate) -> nodes.Template:
    expression = template.expression
    if expression is None:
        return template.environment.parse(template.source)
    found = Parser(template.environment, expression, state="variable").parse_expression()
    return nodes.Template([nodes.Output([found], lineno=1)], lineno=1)


class _EveryBranch(NodeTransformer):
    """Rewrites branches so that all of them are run, one after the other."""

    def __init__(self, side: int) -> None:
        self._side = side
        self._number = 0

    def _evaluated(self, node: nodes.Node) -> nodes.Assign:
        self._number += 1
        name = nodes.Name(f"_tried_{self._number}", "store", lineno=node.lineno)
        return nodes.Assign(name, node, lineno=node.lineno)

    def visit_If(self, node: nodes.If) -> list[nodes.Node]:  # noqa: N802 (as Jinja2 calls it)
        self.generic_visit(node)
        # By now the list holds the test and body of each elif.
        return [self._evaluated(node.test), *node.body, *node.elif_, *node.else_]

    def visit_For(self, node: nodes.For) -> list[nodes.Node]:  # noqa: N802
        self.generic_visit(node)
        test = [self._evaluated(node.test)] if node.test is not None else []
        others, node.else_, node.test = node.else_, [], None
        node.body = [*test, *node.body]
        return [node, *others]

    def visit_CondExpr(self, node: nodes.CondExpr) -> nodes.Expr:  # noqa: N802
        self.generic_visit(node)
        other = node.expr2 if node.expr2 is not None else nodes.Const("", lineno=node.lineno)
        return self._one_of([node.expr1, other, node.test], self._side)

    def visit_And(self, node: nodes.And) -> nodes.Expr:  # noqa: N802
        self.generic_visit(node)
        return self._one_of([node.left, node.right], 1)

    def visit_Or(self, node: nodes.Or) -> nodes.Expr:  # noqa: N802
        self.generic_visit(node)
        return self._one_of([node.left, node.right], self._side)

    def _one_of(self, parts: list[nodes.Expr], number: int) -> nodes.Expr:
        line = parts[0].lineno
        listed = nodes.List(parts, lineno=line)
        return nodes.Getitem(listed, nodes.Const(number, lineno=line), "load", lineno=line)


def _items(each: ForEach, values: Mapping[str, Any]) -> list[Any]:
    """Return at most two of the items: the others have the same types."""
    try:
        return list(each.over(values) or ())[:2]
    except RejectedError as error:
        told = error.detail.removeprefix(f"{each.over.entry.name}: ")
        if _is_of_size(told):
            return []
        raise each.over.entry.fault(f"does not fit the types of its values: {told}") from None


def _scopes(loops: Sequence[ForEach], values: Values) -> Iterator[Values]:
    if not loops:
        yield values
        return
    first, *rest = loops
    for item in _items(first, values)[:1]:
        yield from _scopes(rest, {**values, first.name: item})
