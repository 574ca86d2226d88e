"""What a recipe file says, read and checked as a whole before anything is asked.

The form is documented in ``docs/recipes.md``. Every mistake is a ``ConfigError`` of one line with
file and line number. What was read is frozen; ``engine.py`` makes a generator of it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, get_args

import orjson

from pairmill.errors import ConfigError
from pairmill.quality.thresholds import override
from pairmill.recipes.answer_fields import AnswerField, feature_of, object_of, parse_answer
from pairmill.recipes.draws import Draw, parse_draws
from pairmill.recipes.located import Entry, nearest, parse_yaml
from pairmill.recipes.templating import (
    Scope,
    TextTemplate,
    ValueTemplate,
    compile_text,
    compile_value,
)
from pairmill.records import Task, digest

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from pairmill.store.rows import Feature

__all__ = ["ForEach", "RecipeFile", "RecipeStep", "RowRule", "UnitKind", "Votes", "parse_recipe"]

FORMAT = "1"  # of what a file means; raised when the same text comes to mean something else

_KEYS = (
    *("name", "version", "about", "source", "license", "unit", "constants", "draw", "steps"),
    *("rows", "checks"),
)
_STEP_KEYS = (
    *("name", "system", "user", "answer", "schema", "model", "temperature", "max_tokens"),
    *("for_each", "when", "distinct", "votes"),
)
_ROW_KEYS = (
    *("for_each", "when", "task", "instruction", "answer", "messages", "system", "reasoning"),
    *("kind", "evidence", "fields"),
)
_NAME = re.compile(r"[a-z][a-z0-9_-]{0,59}")
_STEP_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")
_VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,39}")
_FOR_EACH = re.compile(r"\s*([a-z][a-z0-9_]*)\s+in\s+(.+?)\s*", re.DOTALL)
_MOST_STEPS = 20
_MOST_CALLS = 200  # of one unit
_MOST_VOTES = 15
_DEFAULT_TOKENS = 1_500
_MOST_TOKENS = 32_000
_MOST_UNIT_CHARS = 200_000

PROMPT_NAMES = ("title", "section", "author", "language", "count")
"""What a prompt may say of its unit beside the passage: plain texts, and how many pairs its length
allows."""
FENCED = frozenset({"passage"})
_ORIGINS = ("document_ids", "sources")  # of rows of several documents; see ``engine.py``
VALUE_NAMES = ("text", "parts")
"""What conditions and rows may use beside: the unit's text as it is, and that of each chunk."""


@dataclass(frozen=True, slots=True)
class UnitKind:
    """What one unit is.

    Attributes:
        of: ``chunk``; ``document``: all of it, up to ``max_chars``, where a longer one is several
            units; ``chunks``: ``size`` of them together.
        by: Which chunks: ``neighbours``, each window ``step`` chunks further; or ``subject``: of
            one subject, each of another document, ``size`` at most.
    """

    of: str = "chunk"
    max_chars: int | None = None
    size: int = 1
    step: int = 1
    by: str = "neighbours"


@dataclass(frozen=True, slots=True)
class ForEach:
    """``question in ask.questions``: the name, and the list it runs over.

    Attributes:
        most: Items that there can be.
    """

    name: str
    over: ValueTemplate
    item: AnswerField | None
    most: int


@dataclass(frozen=True, slots=True)
class Votes:
    """Ask several times, and keep what most answers agree on.

    Attributes:
        times: How often to ask.
        least: How many must agree.
        agree_on: The field that is compared, case and punctuation aside.
    """

    times: int
    least: int
    agree_on: str


@dataclass(frozen=True, slots=True)
class RecipeStep:
    """One question.

    Attributes:
        system: Constant for a whole run; without what pairmill adds by itself.
        answer: The fields of what comes back.
        model: A role: ``writer``, ``judge``, or a name under the setting ``models``.
        temperature: None: the setting's.
        distinct: Of an item, the text that the corpus must not have brought before.
        line: In the file, for errors that come up later.
    """

    name: str
    system: str
    user: TextTemplate
    answer: AnswerField
    model: str
    temperature: float | None
    max_tokens: int
    for_each: ForEach | None
    when: ValueTemplate | None
    distinct: ValueTemplate | None
    votes: Votes | None
    line: int
    places_passage: bool

    @property
    def calls(self) -> int:
        """The most calls that it makes for one unit."""
        each = self.for_each.most if self.for_each else 1
        return each * (self.votes.times if self.votes else 1)


@dataclass(frozen=True, slots=True)
class RowRule:
    """How values become rows.

    Attributes:
        texts: Template of each text of the row, by name.
        fields: Likewise of the recipe's own fields.
        messages: Of a conversation: a list of turns, or of exchanges, or role and content of each.
        loops: One row for each item of the list; of several, one inside the other.
        when: Whether there is a row.
    """

    task: Task
    texts: Mapping[str, ValueTemplate]
    fields: Mapping[str, ValueTemplate]
    messages: ValueTemplate | tuple[tuple[str, ValueTemplate], ...] | None
    loops: tuple[ForEach, ...]
    when: ValueTemplate | None


@dataclass(frozen=True, slots=True)
class RecipeFile:
    """A recipe file, as read.

    Attributes:
        checks: Policies and thresholds that differ from the table; None: ``off``.
        files: The texts it is made of: its own under its file name, then those it draws from.
        spec: What decides what is asked and written, by dotted name; comments do not.
        fields: Types of the rows' own fields.
    """

    file: str
    name: str
    version: str
    about: str
    source: str
    license: str
    unit: UnitKind
    constants: Mapping[str, str]
    draws: Mapping[str, Draw]
    steps: tuple[RecipeStep, ...]
    rows: tuple[RowRule, ...]
    checks: Mapping[str, Any] | None
    files: Mapping[str, bytes]
    spec: Mapping[str, str]
    fields: Mapping[str, Feature] = field(default_factory=dict)

    @property
    def digest(self) -> str:
        """Changes with whatever changes what is asked or written."""
        parts = [part for item in sorted(self.spec.items()) for part in item]
        return digest("recipe file", FORMAT, *parts)

    @property
    def calls(self) -> int:
        """The most calls of one unit, repairs aside."""
        return sum(step.calls for step in self.steps)

    @property
    def uses(self) -> frozenset[str]:
        """Every name that a template of it uses."""
        found: set[str] = set()
        for step in self.steps:
            found |= step.user.names
        return frozenset(found)


def parse_recipe(text: str, file: str, read_file: Callable[[str], bytes]) -> RecipeFile:
    """Read a recipe file.

    Args:
        text: What stands in it.
        file: Its name, for errors.
        read_file: Gives what stands in a file that it names, relative to its own place.

    Raises:
        ConfigError: A mistake in it; with file and line.
    """
    return _Parser(parse_yaml(text, file), text, file, read_file).parse()


class _Parser:
    def __init__(
        self, root: Entry, text: str, file: str, read_file: Callable[[str], bytes]
    ) -> None:
        self._root = root
        self._file = file
        self._given = root.mapping(_KEYS, required=("name", "version", "steps", "rows"))
        self._files: dict[str, bytes] = {"recipe.yaml": text.encode()}
        self._read = read_file
        self._spec: dict[str, str] = {}
        self._fields: dict[str, Feature] = {}
        self._unit_kind = UnitKind()

    def parse(self) -> RecipeFile:
        given = self._given
        name = given["name"].text()
        if not _NAME.fullmatch(name):
            raise given["name"].fault("needs small letters, digits, - and _, a letter first")
        version = given["version"].text()
        if not _VERSION.fullmatch(version):
            raise given["version"].fault("needs a short word or number, such as 1 or 2.1")
        about = self._line("about")
        unit = self._unit_kind = self._unit()
        constants = self._constants()
        draws, files = parse_draws(given.get("draw"), self._read)
        self._files |= files
        for key, draw in draws.items():
            self._note(f"draw.{key}", draw.described())
        scope = self._scope(constants, draws)
        steps, scope = self._steps(scope, constants)
        rows = self._rows(scope)
        return RecipeFile(
            file=self._file,
            name=name,
            version=version,
            about=about,
            source=self._line("source"),
            license=self._line("license"),
            unit=unit,
            constants=constants,
            draws=draws,
            steps=steps,
            rows=rows,
            checks=self._checks(),
            files=self._files,
            spec={**self._spec, "name": name, "version": version},
            fields=self._fields,
        )

    def _note(self, name: str, value: object) -> None:
        """Add to what decides what is asked; two texts that mean the same leave the same note."""
        self._spec[name] = (
            value
            if isinstance(value, str)
            else orjson.dumps(value, option=orjson.OPT_SORT_KEYS, default=_plain).decode()
        )

    def _line(self, name: str) -> str:
        entry = self._given.get(name)
        return " ".join(entry.text(empty=True).split()) if entry else ""

    def _unit(self) -> UnitKind:
        entry = self._given.get("unit")
        if entry is None:
            return UnitKind()
        kinds = ("chunk", "document", "chunks")
        if entry.is_mapping:
            given = entry.mapping(("of", "max_chars", "size", "step", "by"), required=("of",))
            kind = given["of"].one_of(kinds)
        else:
            given, kind = {}, entry.one_of(kinds)
        owners = {"max_chars": "document", **dict.fromkeys(("size", "step", "by"), "chunks")}
        for name, owner in owners.items():
            if name in given and kind != owner:
                raise given[name].fault(f"is for units of '{owner}' alone")
        by = given["by"].one_of(("neighbours", "subject")) if "by" in given else "neighbours"
        if by == "subject" and "step" in given:
            raise given["step"].fault("is for neighbours alone")
        size = given["size"].integer(2, 20) if "size" in given else 2
        unit = UnitKind(
            kind,
            given["max_chars"].integer(1_000, _MOST_UNIT_CHARS) if "max_chars" in given else None,
            size if kind == "chunks" else 1,
            (given["step"].integer(1, size) if "step" in given else size)
            if kind == "chunks"
            else 1,
            by,
        )
        if unit != UnitKind():
            by_subject = ["subject"] if by == "subject" else []
            self._note("unit", [unit.of, unit.max_chars, unit.size, unit.step, *by_subject])
        return unit

    def _constants(self) -> dict[str, str]:
        entry = self._given.get("constants")
        found: dict[str, str] = {}
        for name, value in (entry.mapping() if entry else {}).items():
            _check_name(name, value)
            found[name] = value.text(empty=True)
            self._note(f"constants.{name}", found[name])
        return found

    def _scope(self, constants: Mapping[str, str], draws: Mapping[str, Draw]) -> Scope:
        shapes: dict[str, AnswerField | None] = dict.fromkeys(PROMPT_NAMES)
        shapes |= dict.fromkeys(FENCED)
        shapes |= dict.fromkeys(constants)
        draw = self._given.get("draw")
        for name, drawn in draws.items():
            if name in shapes:
                place = draw.mapping()[name] if draw else self._root
                raise place.fault(f"the name '{name}' is taken")
            is_list = drawn.take is not None
            one = AnswerField("text")
            shapes[name] = AnswerField("list", of=one, most=drawn.take) if is_list else None
        return Scope(shapes, FENCED)

    def _steps(
        self, scope: Scope, constants: Mapping[str, str]
    ) -> tuple[tuple[RecipeStep, ...], Scope]:
        entries = self._given["steps"].items()
        if not 1 <= len(entries) <= _MOST_STEPS:
            raise self._given["steps"].fault(f"needs 1 to {_MOST_STEPS} steps")
        steps: list[RecipeStep] = []
        for entry in entries:
            step = self._step(entry, scope, constants)
            steps.append(step)
            scope = scope.with_name(step.name, _result_shape(step))
        claiming = [entry for entry, step in zip(entries, steps, strict=True) if step.distinct]
        if len(claiming) > 1:  # a unit waits once for those before it
            raise claiming[1].fault(
                "'distinct' stands in another step already; one step may have it"
            )
        if not any(step.places_passage for step in steps):
            raise self._given["steps"].fault(
                "no step places the text: put {{ passage }} into its 'user' template"
            )
        calls = sum(step.calls for step in steps)
        if calls > _MOST_CALLS:
            raise self._given["steps"].fault(
                f"one unit could take {calls:,} calls, more than {_MOST_CALLS}: lower the 'max' of"
                " the lists that 'for_each' runs over, or 'votes'"
            )
        return tuple(steps), scope

    def _step(self, entry: Entry, scope: Scope, constants: Mapping[str, str]) -> RecipeStep:
        given = entry.mapping(_STEP_KEYS, required=("name", "user"))
        name = given["name"].text()
        if not _STEP_NAME.fullmatch(name):
            raise given["name"].fault(f"'{name}': needs small letters, digits and _")
        if name in scope.shapes or name in VALUE_NAMES or name == "loop":
            raise given["name"].fault(f"the name '{name}' is taken")
        if ("answer" in given) == ("schema" in given):
            raise entry.fault("needs either 'answer' (fields) or 'schema' (a JSON schema)")
        answer = parse_answer(given.get("answer"), given.get("schema"))
        for_each = self._for_each(given.get("for_each"), _values_scope(scope))
        inner = scope if for_each is None else scope.with_name(for_each.name, for_each.item)
        if for_each is not None and for_each.name in answer.fields:
            raise given["for_each"].fault(
                f"'{for_each.name}' is also a field of the answer; take another name"
            )
        when = given.get("when")
        user = compile_text(given["user"], inner)
        step = RecipeStep(
            name=name,
            system=self._system(given.get("system"), constants),
            user=user,
            answer=answer,
            model=given["model"].text() if "model" in given else "writer",
            temperature=given["temperature"].number(0, 2) if "temperature" in given else None,
            max_tokens=given["max_tokens"].integer(1, _MOST_TOKENS)
            if "max_tokens" in given
            else _DEFAULT_TOKENS,
            for_each=for_each,
            when=compile_value(when, _values_scope(inner), bare=True) if when else None,
            distinct=self._distinct(given.get("distinct"), for_each, _values_scope(inner)),
            votes=self._votes(given.get("votes"), answer),
            line=entry.line,
            places_passage="passage" in user.names,
        )
        self._note_step(step)
        return step

    def _note_step(self, step: RecipeStep) -> None:
        place = f"steps.{step.name}"
        self._note(f"{place}.system", step.system)
        self._note(f"{place}.user", step.user.source)
        self._note(f"{place}.answer", _described(step.answer))
        self._note(f"{place}.sampling", [step.model, step.temperature, step.max_tokens])
        if step.for_each is not None:
            self._note(f"{place}.for_each", [step.for_each.name, step.for_each.over.source])
        if step.when is not None:
            self._note(f"{place}.when", step.when.source)
        if step.distinct is not None:
            self._note(f"{place}.distinct", step.distinct.source)
        if step.votes is not None:
            votes = step.votes
            self._note(f"{place}.votes", [votes.times, votes.least, votes.agree_on])

    def _system(self, entry: Entry | None, constants: Mapping[str, str]) -> str:
        if entry is None or not entry.text(empty=True).strip():
            return ""
        try:
            template = compile_text(entry, Scope(dict.fromkeys(constants)))
        except ConfigError as error:
            told = str(error)
            if "undefined name" in told:
                told += (
                    "; 'system' is the same for a whole run, so that providers can cache it: only"
                    " constants stand in it, all else in 'user'"
                )
            raise ConfigError(told) from None
        return template.render(constants).strip()

    def _for_each(self, entry: Entry | None, scope: Scope) -> ForEach | None:
        if entry is None:
            return None
        match = _FOR_EACH.fullmatch(entry.text())
        if match is None:
            raise entry.fault("needs the form 'item in step.list'")
        name = match[1]
        if name in scope.shapes or name == "loop":
            raise entry.fault(f"the name '{name}' is taken")
        over = compile_value(_renamed(entry, match[2]), scope, bare=True)
        shape = over.shape
        if shape is None or shape.kind != "list":
            raise entry.fault("must run over a list of an earlier step, which has a 'max'")
        return ForEach(name, over, shape.of, int(shape.most or _MOST_CALLS))

    def _distinct(
        self, entry: Entry | None, for_each: ForEach | None, scope: Scope
    ) -> ValueTemplate | None:
        if entry is None:
            return None
        if for_each is None:
            raise entry.fault("is for steps with 'for_each': it passes over items of a list")
        found = compile_value(entry, scope, bare=True)
        if for_each.name not in found.names:
            raise entry.fault(f"must use the item, as in 'distinct: {for_each.name}'")
        return found

    def _votes(self, entry: Entry | None, answer: AnswerField) -> Votes | None:
        if entry is None:
            return None
        given = (
            entry.mapping(("times", "least", "agree_on"), required=("times",))
            if entry.is_mapping
            else {"times": entry}
        )
        times = given["times"].integer(2, _MOST_VOTES)
        least = given["least"].integer(2, times) if "least" in given else times // 2 + 1
        if "agree_on" in given:
            name = given["agree_on"].text()
            if name not in answer.fields:
                raise given["agree_on"].fault(
                    f"the answer has no '{name}'; {nearest(name, answer.fields)}"
                )
        elif len(answer.fields) == 1:
            name = next(iter(answer.fields))
        else:
            raise entry.fault("say with 'agree_on' which field the answers must agree on")
        return Votes(times, least, name)

    def _checks(self) -> Mapping[str, Any] | None:
        entry = self._given.get("checks")
        if entry is None:
            return {}
        if not entry.is_mapping:
            if entry.text() not in {"off", "false"}:
                raise entry.fault("needs 'check: policy' lines, or off")
            self._note("checks", "off")
            return None
        found: dict[str, Any] = {}
        for name, value in entry.mapping().items():
            plain = value.value()
            found[name] = "keep" if plain is False or plain == "off" else plain
            try:
                override({name: found[name]})
            except ConfigError as error:
                raise value.fault(
                    str(error).removeprefix(f"checks.{name}: ").removeprefix("checks: ")
                ) from None
        self._note("checks", found)
        return found

    def _rows(self, scope: Scope) -> tuple[RowRule, ...]:
        entry = self._given["rows"]
        entries = entry.items() if entry.is_list else [entry]
        if not entries:
            raise entry.fault("needs at least one kind of row")
        return tuple(self._row(place, number, scope) for number, place in enumerate(entries))

    def _row(self, entry: Entry, number: int, scope: Scope) -> RowRule:
        given = entry.mapping(_ROW_KEYS)
        task: Task = (
            given["task"].one_of(get_args(Task)) if "task" in given else "pair"  # type: ignore[assignment]
        )
        scope = _values_scope(scope)
        each = given.get("for_each")
        loops: list[ForEach] = []
        for place in each.items() if each and each.is_list else [each]:
            loop = self._for_each(place, scope)
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
        """``name: value`` lines, or a list of names of the item's own fields."""
        found: dict[str, ValueTemplate] = {}
        if entry is None:
            return found
        if entry.is_list:
            if not loops:
                raise entry.fault("a list of names needs a 'for_each'; else 'name: value' lines")
            listed = {
                item.text(): _renamed(item, f"{{{{ {loops[-1].name}.{item.text()} }}}}")
                for item in entry.items()
            }
        else:
            listed = entry.mapping()
        for name, value in listed.items():
            _check_spelling(name, value)
            if name in _ORIGINS and self._unit_kind.by == "subject":
                raise value.fault(f"the field '{name}' is written by itself: choose another name")
            found[name] = compile_value(value, scope)
            kind = feature_of(found[name].shape)
            if self._fields.setdefault(name, kind) != kind:
                raise value.fault(f"the field '{name}' is of another type in another kind of row")
        return found


def _check_spelling(name: str, entry: Entry) -> None:
    if not _STEP_NAME.fullmatch(name):
        raise entry.fault(f"'{name}' is no name: small letters, digits and _")


def _check_name(name: str, entry: Entry) -> None:
    _check_spelling(name, entry)
    if name in {*PROMPT_NAMES, *VALUE_NAMES, *FENCED, "loop"}:
        raise entry.fault(f"the name '{name}' is taken")


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


def _values_scope(scope: Scope) -> Scope:
    """The names of conditions and rows: no fenced passage, but the text itself."""
    shapes = {name: shape for name, shape in scope.shapes.items() if name not in FENCED}
    parts = AnswerField("list", of=AnswerField("text"), most=20)
    return Scope({**shapes, "text": None, "parts": parts})


def _result_shape(step: RecipeStep) -> AnswerField:
    """What a later template sees of a step: its answer, or a list of answers with their items."""
    if step.for_each is None:
        return step.answer
    item = step.for_each.item or AnswerField("text")
    one = object_of(**step.answer.fields, **{step.for_each.name: item})
    return AnswerField("list", of=one, most=step.for_each.most)


def _renamed(entry: Entry, text: str) -> Entry:
    """The entry with another text in the same place."""
    import yaml  # noqa: PLC0415 (a node is all that is needed of it)

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


def _described(node: AnswerField) -> Any:
    return {
        "kind": node.kind,
        "about": node.about,
        "optional": node.optional,
        "bounds": [node.least, node.most],
        "choices": node.choices,
        "of": _described(node.of) if node.of else None,
        "fields": [[name, _described(inner)] for name, inner in node.fields.items()],
    }


def _plain(value: object) -> object:
    return list(value) if isinstance(value, tuple | frozenset | set) else str(value)
