"""Answer fields of recipe files: parsed, and turned into a JSON schema and a validator.

One tree of :class:`AnswerField` gives the JSON schema that the server is held to, the pydantic
model that checks what comes back, the form that the prompt shows, and the column types of rows. A
raw JSON schema (``schema:``) is read into the same tree, so it can say no more than that.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Annotated, Any, Literal

import orjson
from pydantic import BeforeValidator, Field, StringConstraints, create_model

from pairmill.recipes.answers import AnswerModel

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from pairmill.recipes.located_yaml import Entry
    from pairmill.store.columns import Feature

__all__ = ["AnswerField", "feature_of", "form_of", "make_model", "object_of", "parse_answer"]

FieldKind = Literal["text", "integer", "number", "boolean", "choice", "list", "object"]

_KINDS = ("text", "integer", "number", "boolean", "choice", "list", "object")
_KEYS = {
    "text": ("max_chars",),
    "integer": ("min", "max"),
    "number": ("min", "max"),
    "boolean": (),
    "choice": ("choices",),
    "list": ("max", "of", "fields"),
    "object": ("fields",),
}
_COMMON = ("type", "about", "optional")
_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")
_MOST_CHARS = 20_000
_MOST_ITEMS = 100
# OpenAI's limits of strict structured output (platform documentation, 2026): levels of nesting,
# properties, values of all enums together. A choice of ours stays far below the last.
_DEEPEST = 10
_MOST_PROPERTIES = 5_000
_MOST_CHOICES = 200
_MOST_LISTED = 20  # integer ranges up to this size become enums, which weak grammars follow better


@dataclass(frozen=True, slots=True)
class AnswerField:
    """One field of an answer, or the answer as a whole (an object).

    Attributes:
        about: Description for the model.
        optional: True if it may be null.
        least: Minimum of a number.
        most: Maximum of a number, of a list's length, or of a text's characters.
        choices: Values of a choice.
        of: Type of a list's items.
        fields: Fields of an object, by name.
    """

    kind: FieldKind
    about: str = ""
    optional: bool = False
    least: float | None = None
    most: float | None = None
    choices: tuple[str, ...] = ()
    of: AnswerField | None = None
    fields: Mapping[str, AnswerField] = field(default_factory=dict)


def object_of(**fields: AnswerField) -> AnswerField:
    """Make the answer field for an object with these fields."""
    return AnswerField("object", fields=fields)


def parse_answer(answer: Entry | None, schema: Entry | None) -> AnswerField:
    """Read ``answer:`` (our own words) or ``schema:`` (a JSON schema) of a step.

    Raises:
        ConfigError: It cannot be read, or strict structured output cannot express it.
    """
    found: AnswerField
    if answer is not None:
        found = AnswerField("object", fields=_parse_fields(answer, 1))
        place = answer
    else:
        assert schema is not None  # noqa: S101 (the caller looked)
        found = _parse_schema(schema, 1)
        place = schema
        if found.kind != "object":
            raise place.fault("the answer as a whole must be an object")
    if _count(found) > _MOST_PROPERTIES:
        raise place.fault(f"more than {_MOST_PROPERTIES:,} fields, which strict output refuses")
    return found


def _count(node: AnswerField) -> int:
    own = sum(1 + _count(inner) for inner in node.fields.values())
    return own + (_count(node.of) if node.of else 0)


def _parse_fields(entry: Entry, depth: int) -> dict[str, AnswerField]:
    found = {}
    for name, value in entry.mapping().items():
        _check_name(name, value)
        found[name] = _parse_field(value, depth + 1)
    if not found:
        raise entry.fault("has no field")
    return found


def _check_name(name: str, entry: Entry) -> None:
    if not _NAME.fullmatch(name):
        raise entry.fault(
            f"'{name}' is not a valid field name: use lower-case letters, digits and _; at most 40"
        )
    if hasattr(AnswerModel, name):
        raise entry.fault(f"the name '{name}' is taken; choose another, such as '{name}_'")


def _parse_field(entry: Entry, depth: int) -> AnswerField:
    if depth > _DEEPEST:
        raise entry.fault(f"nested more than {_DEEPEST} deep, which strict output refuses")
    if entry.is_list:
        return AnswerField("choice", choices=_choices(entry, entry.items()))
    if not entry.is_mapping:
        words = " ".join(entry.text().split())
        # several words describe a text; a single one is a type
        return AnswerField("text", words) if " " in words else AnswerField(_kind(entry))
    given = entry.mapping()
    kind: FieldKind = _kind(given["type"]) if "type" in given else "text"
    if "type" not in given and "choices" in given:
        kind = "choice"
    given = entry.mapping(known=(*_COMMON, *_KEYS[kind]))
    about = " ".join(given["about"].text().split()) if "about" in given else ""
    optional = "optional" in given and given["optional"].boolean()
    if kind == "list":
        return _list(entry, given, about, optional, depth)
    if kind == "object":
        if "fields" not in given:
            raise entry.fault("an object needs 'fields'")
        return AnswerField(kind, about, optional, fields=_parse_fields(given["fields"], depth))
    return _scalar(entry, given, AnswerField(kind, about, optional))


def _scalar(entry: Entry, given: Mapping[str, Entry], bare: AnswerField) -> AnswerField:
    if bare.kind == "choice":
        if "choices" not in given:
            raise entry.fault("a choice needs 'choices', a list")
        return replace(bare, choices=_choices(given["choices"], given["choices"].items()))
    if bare.kind == "text":
        most = given["max_chars"].integer(1, _MOST_CHARS) if "max_chars" in given else None
        return replace(bare, most=most)
    least, highest = _bounds(entry, bare.kind, given.get("min"), given.get("max"))
    return replace(bare, least=least, most=highest)


def _bounds(
    entry: Entry, kind: FieldKind, least: Entry | None, most: Entry | None
) -> tuple[float | None, float | None]:
    """Return the bounds of a number, the lower one first; whole numbers for an integer."""
    low, high = (
        None
        if place is None
        else float(place.integer(-(10**15), 10**15))
        if kind == "integer"
        else place.number(-1e15, 1e15)
        for place in (least, most)
    )
    if low is not None and high is not None and low > high:
        raise entry.fault(f"the minimum, {low:g}, is above the maximum, {high:g}")
    return low, high


def _kind(entry: Entry) -> FieldKind:
    return entry.one_of(_KINDS)  # type: ignore[return-value]


def _list(
    entry: Entry, given: Mapping[str, Entry], about: str, optional: bool, depth: int
) -> AnswerField:
    if "max" not in given:
        raise entry.fault("a list needs 'max': without a bound it could grow without end")
    most = given["max"].integer(1, _MOST_ITEMS)
    if ("of" in given) == ("fields" in given):
        raise entry.fault("a list needs 'of' (a type) or 'fields' (objects)")
    if "fields" in given:
        inner = AnswerField("object", fields=_parse_fields(given["fields"], depth + 1))
    else:
        inner = _parse_field(given["of"], depth + 1)
    return AnswerField("list", about, optional, most=most, of=inner)


def _choices(entry: Entry, items: Sequence[Entry]) -> tuple[str, ...]:
    found = tuple(item.text() for item in items)
    if not 1 <= len(found) <= _MOST_CHOICES:
        raise entry.fault(f"needs 1 to {_MOST_CHOICES} choices")
    folded = [choice.casefold() for choice in found]
    for number, item in enumerate(items):
        if folded[number] in folded[:number]:
            raise item.fault(f"the choice '{found[number]}' is given twice")
    return found


_JSON_TYPES = {
    "string": "text",
    "integer": "integer",
    "number": "number",
    "boolean": "boolean",
    "array": "list",
    "object": "object",
}
_JSON_KEYS = (
    *("type", "description", "title", "enum", "const", "minimum", "maximum", "maxLength"),
    *("properties", "required", "additionalProperties", "items", "maxItems", "anyOf"),
)


def _parse_schema(entry: Entry, depth: int) -> AnswerField:
    if depth > _DEEPEST:
        raise entry.fault(f"nested more than {_DEEPEST} deep, which strict output refuses")
    given = entry.mapping()
    for name, value in given.items():
        if name not in _JSON_KEYS:
            raise value.fault(f"strict structured output cannot express the keyword '{name}'")
    if "anyOf" in given:
        return _nullable(given["anyOf"], depth)
    about = " ".join(given["description"].text().split()) if "description" in given else ""
    if "enum" in given or "const" in given:
        listed = given["enum"].items() if "enum" in given else [given["const"]]
        texts = [item for item in listed if not item.is_null]
        return AnswerField(
            "choice", about, len(texts) < len(listed), choices=_choices(entry, texts)
        )
    kind, optional = _json_type(entry, given)
    if kind == "object":
        return _schema_object(entry, given, about, optional, depth)
    if kind == "list":
        if "items" not in given:
            raise entry.fault("an array needs 'items'")
        if "maxItems" not in given:
            raise entry.fault("an array needs 'maxItems': without a bound it could grow")
        most = given["maxItems"].integer(1, _MOST_ITEMS)
        inner = _parse_schema(given["items"], depth + 1)
        return AnswerField("list", about, optional, most=most, of=inner)
    return _schema_scalar(entry, given, AnswerField(kind, about, optional))


def _schema_scalar(entry: Entry, given: Mapping[str, Entry], bare: AnswerField) -> AnswerField:
    if bare.kind == "text":
        most = given["maxLength"].integer(1, _MOST_CHARS) if "maxLength" in given else None
        return replace(bare, most=most)
    least, highest = _bounds(entry, bare.kind, given.get("minimum"), given.get("maximum"))
    return replace(bare, least=least, most=highest)


def _nullable(entry: Entry, depth: int) -> AnswerField:
    """``anyOf`` of one type and null, which is how pydantic writes what may be missing."""
    real = []
    for item in entry.items():
        kind = item.mapping().get("type")
        if kind is None or kind.is_list or kind.text() != "null":
            real.append(item)
    if len(real) != 1 or len(real) == len(entry.items()):
        raise entry.fault("'anyOf' is supported only for one type and null")
    return replace(_parse_schema(real[0], depth), optional=True)


def _json_type(entry: Entry, given: Mapping[str, Entry]) -> tuple[FieldKind, bool]:
    if "type" not in given:
        raise entry.fault("needs a 'type'")
    place = given["type"]
    names = [item.text() for item in place.items()] if place.is_list else [place.text()]
    real = [name for name in names if name != "null"]
    if len(real) != 1 or real[0] not in _JSON_TYPES:
        raise place.fault(f"strict structured output supports only {', '.join(_JSON_TYPES)}")
    return _JSON_TYPES[real[0]], len(real) < len(names)  # type: ignore[return-value]


def _schema_object(
    entry: Entry, given: Mapping[str, Entry], about: str, optional: bool, depth: int
) -> AnswerField:
    more = given.get("additionalProperties")
    if more is not None and more.value() is not False:
        raise more.fault(
            "strict structured output allows no 'additionalProperties' other than false"
        )
    if "properties" not in given:
        raise entry.fault("an object needs 'properties'")
    fields = {}
    for name, value in given["properties"].mapping().items():
        _check_name(name, value)
        fields[name] = _parse_schema(value, depth + 1)
    if not fields:
        raise entry.fault("has no field")
    required = given.get("required")
    listed = {item.text() for item in required.items()} if required is not None else set(fields)
    for name in fields.keys() - listed:
        raise entry.fault(
            f"strict structured output requires every property: '{name}' is not in 'required';"
            " make its type a list with null instead"
        )
    return AnswerField("object", about, optional, fields=fields)


# Conversion of the tree into JSON schema, pydantic model, prompt text and column types.


def make_model(name: str, answer: AnswerField) -> type[AnswerModel]:
    """Make the pydantic model of an answer, which knows its own strict schema.

    ``AnswerModel.items`` names the only list of objects at the top level, if there is one: its
    valid items are kept when others are invalid.
    """
    lists = [
        key
        for key, inner in answer.fields.items()
        if inner.kind == "list" and inner.of and inner.of.kind == "object" and not inner.optional
    ]
    items = lists[0] if len(lists) == 1 else None
    model = _object_model(name, answer, untrimmed=items)
    model.items = items
    model.strict_schema = _schema(answer)
    return model


def _object_model(name: str, node: AnswerField, untrimmed: str | None = None) -> type[AnswerModel]:
    fields: dict[str, Any] = {
        key: (
            _type(f"{name}_{key}", inner, trims=key != untrimmed),
            None if inner.optional else ...,
        )
        for key, inner in node.fields.items()
    }
    return create_model(name, __base__=AnswerModel, **fields)


def _type(name: str, node: AnswerField, *, trims: bool = True) -> Any:
    """Return a field's annotation; with ``trims``, one that cuts a list that is too long."""
    kind: Any
    if node.kind == "text":
        most = int(node.most or _MOST_CHARS)
        bounds = StringConstraints(strip_whitespace=True, min_length=1, max_length=most)
        kind = Annotated[str, bounds]
    elif node.kind == "integer":
        kind = Annotated[int, Field(ge=node.least, le=node.most), BeforeValidator(_whole)]
    elif node.kind == "number":
        kind = Annotated[float, Field(ge=node.least, le=node.most), BeforeValidator(_real)]
    elif node.kind == "boolean":
        kind = bool
    elif node.kind == "choice":
        kind = Annotated[Literal[node.choices], BeforeValidator(_chooser(node.choices))]
    elif node.kind == "list":
        assert node.of is not None  # noqa: S101 (every list has one)
        kind = list[_type(name, node.of)]  # type: ignore[misc]
        if trims:
            kind = Annotated[kind, BeforeValidator(_trimmer(int(node.most or _MOST_ITEMS)))]
    else:
        kind = _object_model(name, node)
    return Annotated[kind | None, BeforeValidator(_nothing)] if node.optional else kind


def _whole(value: object) -> object:
    """Parse numbers that weak models put into strings, or end with a full stop."""
    if isinstance(value, str) and re.fullmatch(r"\s*-?\d{1,15}\s*", value):
        return int(value)
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value


def _real(value: object) -> object:
    if isinstance(value, str) and re.fullmatch(r"\s*-?\d{1,15}(?:\.\d{1,15})?\s*", value):
        return float(value)
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _nothing(value: object) -> object:
    is_nothing = isinstance(value, str) and value.strip().lower() in {"", "null", "none"}
    return None if is_nothing else value


def _chooser(choices: tuple[str, ...]) -> Callable[[object], object]:
    folded = {choice.casefold(): choice for choice in choices}

    def choose(value: object) -> object:
        if isinstance(value, bool):
            return folded.get("yes" if value else "no", folded.get(str(value).casefold(), value))
        said = str(value).strip().casefold() if isinstance(value, str | int | float) else ""
        return folded.get(said, value)

    return choose


def _trimmer(most: int) -> Callable[[object], object]:
    return lambda value: value[:most] if isinstance(value, list) else value


def _schema(node: AnswerField) -> dict[str, Any]:
    """Return the node as a JSON schema in the subset that strict structured output accepts."""
    found = _bare_schema(node)
    if node.optional:
        found["type"] = [found["type"], "null"]
        if "enum" in found:
            found["enum"] = [*found["enum"], None]
    about = _about(node)
    if about:
        found["description"] = about
    return found


def _about(node: AnswerField) -> str:
    """Describe a field to the model: what it is about, and how long it may be."""
    if node.kind != "text" or node.most is None:
        return node.about
    bound = f"at most {int(node.most)} characters"
    return f"{node.about}; {bound}" if node.about else bound


def _bare_schema(node: AnswerField) -> dict[str, Any]:
    if node.kind == "object":
        return {
            "type": "object",
            "properties": {name: _schema(inner) for name, inner in node.fields.items()},
            "required": list(node.fields),
            "additionalProperties": False,
        }
    if node.kind == "list":
        assert node.of is not None  # noqa: S101 (every list has one)
        return {"type": "array", "items": _schema(node.of), "maxItems": int(node.most or 1)}
    if node.kind == "choice":
        return {"type": "string", "enum": list(node.choices)}
    if node.kind == "integer":
        low, high = node.least, node.most
        if low is not None and high is not None and high - low < _MOST_LISTED:
            return {"type": "integer", "enum": list(range(int(low), int(high) + 1))}
    if node.kind in {"integer", "number"}:
        bounds = {"minimum": node.least, "maximum": node.most}
        whole = node.kind == "integer"
        return {"type": node.kind} | {
            key: int(value) if whole else value
            for key, value in bounds.items()
            if value is not None
        }
    return {"type": "boolean" if node.kind == "boolean" else "string"}


def form_of(answer: AnswerField) -> str:
    """Show an answer's form as one line of JSON, with each field's description as its value.

    Not every server that enforces a schema shows it to the model, so the prompt does.
    """
    return orjson.dumps(_form(answer)).decode()


def _form(node: AnswerField) -> Any:
    if node.kind == "object":
        return {name: _form(inner) for name, inner in node.fields.items()}
    if node.kind == "list":
        assert node.of is not None  # noqa: S101 (every list has one)
        most = int(node.most or 1)
        told = f"at most {most} of these{f': {node.about}' if node.about else ''}"
        inner = _form(node.of)
        return [inner if node.of.kind == "object" else f"{inner} ({told})", *_more(node, told)]
    words = {"integer": "a whole number", "number": "a number", "boolean": "true or false"}
    told = " | ".join(node.choices) if node.kind == "choice" else words.get(node.kind, "")
    if node.kind in {"integer", "number"} and node.least is not None and node.most is not None:
        told += f" from {node.least:g} to {node.most:g}"
    parts = [part for part in (told, _about(node)) if part]
    text = ": ".join(parts) if parts else "..."
    return f"{text} (or null)" if node.optional else text


def _more(node: AnswerField, told: str) -> list[str]:
    assert node.of is not None  # noqa: S101 (every list has one)
    return [f"... {told}"] if node.of.kind == "object" else []


def feature_of(node: AnswerField | None) -> Feature:
    """Return the type of a column that holds such a value; text if the type is unknown."""
    if node is None:
        return "string"
    if node.kind == "list":
        return (feature_of(node.of),)
    if node.kind == "object":
        return {name: feature_of(inner) for name, inner in node.fields.items()}
    return {"integer": "int64", "number": "float64", "boolean": "bool"}.get(node.kind, "string")
