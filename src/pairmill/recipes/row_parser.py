"""Parses ``rows:`` of a recipe file (how fields become rows), and what it shares with steps."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, get_args

import yaml

from pairmill.recipes.answer_fields import AnswerField, feature_of
from pairmill.recipes.recipe_file import FENCED, ForEach, RowRule
from pairmill.recipes.templating import Scope, compile_value
from pairmill.records import Task

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from pairmill.recipes.located_yaml import Entry
    from pairmill.recipes.templating import ValueTemplate
    from pairmill.store.columns import Feature

__all__ = [
    "MOST_CALLS",
    "SMALL_NAME",
    "RowParser",
    "check_spelling",
    "parse_for_each",
    "values_scope",
]

MOST_CALLS = 200
"""Of one unit."""
SMALL_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")
"""Of a step, a field, a variable."""

_ROW_KEYS = (
    *("for_each", "when", "task", "instruction", "answer", "messages", "system", "reasoning"),
    *("kind", "evidence", "fields"),
)
_FOR_EACH = re.compile(r"\s*([a-z][a-z0-9_]*)\s+in\s+(.+?)\s*", re.DOTALL)


class RowParser:
    """Reads the kinds of rows.

    Attributes:
        fields: Types of the rows' own fields, as they are met.
    """

    def __init__(self, note: Callable[[str, object], None], reserved: Collection[str]) -> None:
        """Take ``note``, which records what determines the rows, and the names already in use."""
        self._note = note
        self._reserved = reserved
        self.fields: dict[str, Feature] = {}

    def parse(self, entry: Entry, scope: Scope) -> tuple[RowRule, ...]:
        """Read ``rows:``, one kind of row or several.

        Raises:
            ConfigError: There is a mistake in it; the text has file and line.
        """
        entries = entry.items() if entry.is_list else [entry]
        if not entries:
            raise entry.fault("needs at least one kind of row")
        return tuple(self._row(place, number, scope) for number, place in enumerate(entries))

    def _row(self, entry: Entry, number: int, scope: Scope) -> RowRule:
        given = entry.mapping(_ROW_KEYS)
        task: Task = (
            given["task"].one_of(get_args(Task)) if "task" in given else "pair"  # type: ignore[assignment]
        )
        scope = values_scope(scope)
        each = given.get("for_each")
        loops: list[ForEach] = []
        for place in each.items() if each and each.is_list else [each]:
            loop = parse_for_each(place, scope)
            if loop is not None:
                loops.append(loop)
                scope = scope.with_name(loop.name, loop.item)
        _check_parts(entry, given, task)
        texts: dict[str, ValueTemplate] = {
            name: compile_value(given[name], scope)
            for name in ("instruction", "answer", "system", "reasoning", "kind", "evidence")
            if name in given
        }
        rule = RowRule(
            task=task,
            texts=texts,
            fields=self._row_fields(given.get("fields"), scope, loops),
            messages=_messages(given.get("messages"), scope),
            loops=tuple(loops),
            when=compile_value(given["when"], scope, bare=True) if "when" in given else None,
        )
        name_of_rule = f"rows[{number}]"
        self._note(f"{name_of_rule}.task", task)
        for name, value in given.items():
            if name not in {"task", "fields"}:
                self._note(f"{name_of_rule}.{name}", _source(value))
        for name, template in rule.fields.items():
            self._note(f"{name_of_rule}.fields.{name}", template.source)
        return rule

    def _row_fields(
        self, entry: Entry | None, scope: Scope, loops: Sequence[ForEach]
    ) -> dict[str, ValueTemplate]:
        """Parse ``name: value`` lines, or a list of names of the item's own fields."""
        found: dict[str, ValueTemplate] = {}
        if entry is None:
            return found
        if entry.is_list:
            if not loops:
                raise entry.fault("a list of names needs a 'for_each'; else 'name: value' lines")
            listed = {
                item.text(): renamed(item, f"{{{{ {loops[-1].name}.{item.text()} }}}}")
                for item in entry.items()
            }
        else:
            listed = entry.mapping()
        for name, value in listed.items():
            check_spelling(name, value)
            if name in self._reserved:
                raise value.fault(f"the field '{name}' is written by pairmill: choose another name")
            found[name] = compile_value(value, scope)
            kind = feature_of(found[name].shape)
            if self.fields.setdefault(name, kind) != kind:
                raise value.fault(f"the field '{name}' is of another type in another kind of row")
        return found


def parse_for_each(entry: Entry | None, scope: Scope) -> ForEach | None:
    """Read ``item in step.list``.

    Raises:
        ConfigError: It has another form, or does not run over a bounded list.
    """
    if entry is None:
        return None
    match = _FOR_EACH.fullmatch(entry.text())
    if match is None:
        raise entry.fault("needs the form 'item in step.list'")
    name = match[1]
    if name in scope.shapes or name in {"loop", *FENCED}:
        raise entry.fault(f"the name '{name}' is taken")
    over = compile_value(renamed(entry, match[2]), scope, bare=True)
    shape = over.shape
    if shape is None or shape.kind != "list":
        raise entry.fault("must run over a list of an earlier step, which has a 'max'")
    return ForEach(name, over, shape.of, int(shape.most or MOST_CALLS))


def check_spelling(name: str, entry: Entry) -> None:
    """Raise ConfigError unless a name is valid."""
    if not SMALL_NAME.fullmatch(name):
        raise entry.fault(f"'{name}' is not a valid name: use small letters, digits and _")


def _check_parts(entry: Entry, given: Mapping[str, Entry], task: Task) -> None:
    needed = {
        "pair": ("instruction", "answer"),
        "question": ("instruction", "answer"),
        "conversation": ("messages",),
        "text": ("answer",),
    }[task]
    for name in needed:
        if name not in given:
            raise entry.fault(f"a row of task '{task}' needs '{name}'")
    for name in ("instruction", "answer", "messages"):
        if name in given and name not in needed:
            raise given[name].fault(f"a row of task '{task}' takes no '{name}'")


def _messages(
    entry: Entry | None, scope: Scope
) -> ValueTemplate | tuple[tuple[str, ValueTemplate], ...] | None:
    if entry is None:
        return None
    if not entry.is_list:
        found = compile_value(entry, scope)
        shape = found.shape
        of = shape.of if shape is not None and shape.kind == "list" else None
        named = ({"role", "content"}, {"user", "assistant"})
        if of is None or not any(names <= of.fields.keys() for names in named):
            raise entry.fault(
                "needs a list of turns, or {{ a list }} whose items have 'user' and 'assistant', or"
                " 'role' and 'content'"
            )
        return found
    turns = []
    for item in entry.items():
        given = item.mapping(("role", "content"), required=("role", "content"))
        turns.append(
            (given["role"].one_of(("user", "assistant")), compile_value(given["content"], scope))
        )
    wanted = ["user", "assistant"] * (len(turns) // 2)
    if not turns or [role for role, _ in turns] != wanted:
        raise entry.fault("turns must alternate, user first and assistant last")
    return tuple(turns)


def values_scope(scope: Scope) -> Scope:
    """Make the scope of conditions and rows: they see the text itself, not the fenced passage."""
    shapes = {name: shape for name, shape in scope.shapes.items() if name not in FENCED}
    parts = AnswerField("list", of=AnswerField("text"), most=20)
    return Scope({**shapes, "text": None, "parts": parts})


def renamed(entry: Entry, text: str) -> Entry:
    """Return the entry with its text replaced."""
    node = yaml.ScalarNode(
        "tag:yaml.org,2002:str", text, entry.node.start_mark, entry.node.end_mark, style='"'
    )
    return replace(entry, node=node)


def _source(entry: Entry) -> object:
    if entry.is_list:
        return [_source(item) for item in entry.items()]
    if entry.is_mapping:
        return {name: _source(item) for name, item in entry.mapping().items()}
    return entry.text(empty=True)
