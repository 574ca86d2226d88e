"""Parses a recipe file and checks all of it before anything is asked.

Every mistake is a ``ConfigError`` of one line with file and line number.
"""

from __future__ import annotations

import re
from itertools import islice, product
from typing import TYPE_CHECKING, Any

import orjson

from pairmill.errors import ConfigError, RejectedError
from pairmill.quality.thresholds import override
from pairmill.recipes.answer_fields import AnswerField, object_of, parse_answer
from pairmill.recipes.draws import Draw, parse_draws
from pairmill.recipes.located_yaml import Entry, nearest, parse_yaml
from pairmill.recipes.recipe_file import (
    FENCED,
    ORIGIN_FIELDS,
    PROMPT_NAMES,
    VALUE_NAMES,
    ForEach,
    RecipeFile,
    RecipeStep,
    UnitKind,
    Votes,
)
from pairmill.recipes.row_parser import (
    MOST_CALLS,
    SMALL_NAME,
    RowParser,
    check_spelling,
    parse_for_each,
    values_scope,
)
from pairmill.recipes.template_trials import try_templates
from pairmill.recipes.templating import Scope, ValueTemplate, compile_text, compile_value

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

__all__ = ["parse_recipe"]

_KEYS = (
    *("name", "version", "about", "source", "license", "unit", "constants", "draw", "steps"),
    *("rows", "checks"),
)
_STEP_KEYS = (
    *("name", "system", "user", "answer", "schema", "model", "temperature", "max_tokens"),
    *("for_each", "when", "distinct", "votes"),
)
_NAME = re.compile(r"[a-z][a-z0-9_-]{0,59}")
_VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,39}")
_MOST_STEPS = 20
_MOST_VOTES = 15
_DEFAULT_TOKENS = 1_500
_MOST_TOKENS = 32_000
_MOST_TRIED = 10_000  # combinations of draws
_MOST_UNIT_CHARS = 200_000


def parse_recipe(text: str, file: str, read_file: Callable[[str], bytes]) -> RecipeFile:
    """Read a recipe file.

    Args:
        text: Its contents.
        file: Its name, for errors.
        read_file: Returns the contents of a file that it names, relative to its own folder.

    Raises:
        ConfigError: There is a mistake in it; the text has file and line.
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
        self._constant_texts: Mapping[str, str] = {}
        self._draws: Mapping[str, Draw] = {}

    def parse(self) -> RecipeFile:
        given = self._given
        name = given["name"].text()
        if not _NAME.fullmatch(name):
            raise given["name"].fault("needs small letters, digits, - and _, a letter first")
        version = given["version"].text()
        if not _VERSION.fullmatch(version):
            raise given["version"].fault("needs a short word or number, such as 1 or 2.1")
        about = self._line("about")
        unit = self._unit()
        constants = self._constants()
        draws, files = parse_draws(given.get("draw"), self._read)
        self._files |= files
        for key, draw in draws.items():
            self._note(f"draw.{key}", draw.described())
        self._constant_texts, self._draws = constants, draws
        scope = self._scope(constants, draws)
        steps, scope = self._steps(scope, constants)
        row_parser = RowParser(self._note, ORIGIN_FIELDS if unit.by == "subject" else ())
        rows = row_parser.parse(given["rows"], scope)
        found = RecipeFile(
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
            fields=row_parser.fields,
        )
        try_templates(found)
        return found

    def _note(self, name: str, value: object) -> None:
        """Record what determines the questions; equivalent texts leave the same record."""
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
        if len(claiming) > 1:  # a unit waits only once for those before it
            raise claiming[1].fault("another step already has 'distinct'; only one may")
        self._check_placing(steps, entries)
        calls = sum(step.calls for step in steps)
        if calls > MOST_CALLS:
            raise self._given["steps"].fault(
                f"one unit could take {calls:,} calls, more than {MOST_CALLS}: lower the 'max' of"
                " the lists that 'for_each' runs over, or 'votes'"
            )
        return tuple(steps), scope

    def _check_placing(self, steps: Sequence[RecipeStep], entries: Sequence[Entry]) -> None:
        """Refuse a recipe that could ask about a unit without ever showing its text."""
        placing = [step for step in steps if step.places_passage]
        for step, entry in zip(steps, entries, strict=True):
            if not placing and "passage" in step.user.names:
                raise entry.mapping()["user"].fault(
                    "places the text only under a condition: put {{ passage }} outside 'if' and"
                    " 'for', or into each branch"
                )
        if not placing:
            raise self._given["steps"].fault(
                "no step places the text: put {{ passage }} into its 'user' template"
            )
        conditions = [step.when for step in placing if step.when is not None]
        known = {**self._constant_texts, **self._draws}
        if len(conditions) < len(placing) or any(it.names - known.keys() for it in conditions):
            return  # always asked, or its condition is not known in advance
        used = sorted({name for it in conditions for name in it.names & self._draws.keys()})
        outcomes = product(*(self._draws[name].outcomes() for name in used))
        for values in islice(outcomes, _MOST_TRIED):
            drawn = dict(zip(used, values, strict=True))
            try:
                is_placed = any(it({**self._constant_texts, **drawn}) for it in conditions)
            except RejectedError:
                return  # a mistake in a condition, which its trial reports better
            if not is_placed:
                where = " and ".join(f"{name} is '{value}'" for name, value in drawn.items())[:200]
                raise self._given["steps"].fault(
                    f"no step that places the text is asked{f' where {where}' if where else ''}:"
                    " change its 'when'"
                )

    def _step(self, entry: Entry, scope: Scope, constants: Mapping[str, str]) -> RecipeStep:
        given = entry.mapping(_STEP_KEYS, required=("name", "user"))
        name = given["name"].text()
        if not SMALL_NAME.fullmatch(name):
            raise given["name"].fault(f"'{name}': needs small letters, digits and _")
        if name in scope.shapes or name in VALUE_NAMES or name == "loop":
            raise given["name"].fault(f"the name '{name}' is taken")
        if ("answer" in given) == ("schema" in given):
            raise entry.fault("needs either 'answer' (fields) or 'schema' (a JSON schema)")
        answer = parse_answer(given.get("answer"), given.get("schema"))
        for_each = parse_for_each(given.get("for_each"), values_scope(scope))
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
            when=compile_value(when, values_scope(inner), bare=True) if when else None,
            distinct=self._distinct(given.get("distinct"), for_each, values_scope(inner)),
            votes=self._votes(given.get("votes"), answer),
            line=entry.line,
            places_passage="passage" in user.places,
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
                    "; 'system' is the same for a whole run, so that providers can cache it: use"
                    " only constants in it, and everything else in 'user'"
                )
            raise ConfigError(told) from None
        try:
            return template(constants).strip()
        except RejectedError as error:
            told = error.detail.removeprefix(f"{entry.name}: ")
            raise entry.fault(f"does not fit the types of its values: {told}") from None

    def _distinct(
        self, entry: Entry | None, for_each: ForEach | None, scope: Scope
    ) -> ValueTemplate | None:
        if entry is None:
            return None
        if for_each is None:
            raise entry.fault("needs 'for_each': it skips items of a list")
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
            if entry.is_list or entry.text() not in {"off", "false"}:
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


def _check_name(name: str, entry: Entry) -> None:
    check_spelling(name, entry)
    if name in {*PROMPT_NAMES, *VALUE_NAMES, *FENCED, "loop"}:
        raise entry.fault(f"the name '{name}' is taken")


def _result_shape(step: RecipeStep) -> AnswerField:
    """Return a step's value as later templates see it: its answer, or a list of answers."""
    if step.for_each is None:
        return step.answer
    item = step.for_each.item or AnswerField("text")
    one = object_of(**step.answer.fields, **{step.for_each.name: item})
    return AnswerField("list", of=one, most=step.for_each.most)


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
