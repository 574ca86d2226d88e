"""Parsing and validation of answers: from a model's text to a checked value, or its faults.

The ladder, cheapest step first: parse strictly; heal locally (thoughts, code fences, prose around
the JSON, trailing commas, single quotes, a truncated tail); then keep the valid items of a list.
Of several JSON values the last valid one is the answer, and those before it are drafts. Asking
again is up to ``repair.py``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from itertools import islice
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

import fast_json_repair
import orjson
from msgspec import Struct
from pydantic import BaseModel, ConfigDict, ValidationError

from pairmill.records import AnswerSchema, digest

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["AnswerModel", "Fault", "ParseStep", "ParsedAnswer", "json_schema", "read"]

MAX_HEALED_CHARS = 256 * 1024  # a longer text is not an answer, and healing takes time
MAX_FAULTS = 5

_UNSUPPORTED = ("title", "default", "minLength", "maxLength", "description")
_THOUGHT_WORDS = r"think|thinking|thought|thoughts|reasoning|reflection|analysis|scratchpad"
# End-of-thought marks: R1, Qwen and most others; Magistral; Kimi; gpt-oss (harmony).
_THOUGHT_END = re.compile(
    rf"</(?:\w+:)?(?:{_THOUGHT_WORDS})>|\[/(?:THINK|THINKING)\]|\u25c1/think\u25b7"
    r"|<\|channel\|>\s*final\b.*?<\|message\|>|<\|?/?end_of_thought\|?>|<\|/think\|>",
    re.IGNORECASE | re.DOTALL,
)
_THOUGHT_START = re.compile(
    rf"(?:<(?:\w+:)?(?:{_THOUGHT_WORDS})>|\[(?:THINK|THINKING)\]|\u25c1think\u25b7"
    r"|<\|?begin_of_thought\|?>|<\|think\|>"
    r"|(?:<\|start\|>\s*assistant\s*)?<\|channel\|>\s*(?:analysis|commentary)\b)",
    re.IGNORECASE,
)
_MOST_VALUES = 32  # only the last JSON values of a text are considered
_MOST_NESTED = 8  # unmatched opening braces after which the text is given up
_MOST_STRINGS = 3  # levels of JSON-in-a-string encoding that are undone
_STRUCTURE = re.compile(r'["\\{}\[\]]')
_REFUSALS = (
    "i'm sorry",
    "i am sorry",
    "i can't",
    "i cannot",
    "i can not",
    "i won't",
    "as an ai",
    "as a language model",
    "unable to assist",
    "unable to help",
)


class AnswerModel(BaseModel):
    """Base of every answer: strict types, unknown keys ignored.

    ``items`` names the field that holds a list whose good members are worth keeping when others
    are bad, or is None; with ``items_are_pairs`` a member that is lost is a lost pair, and is kept
    in ``rejected/``. ``strict_schema`` is the JSON schema of a model that was made from a
    recipe file; None: it is made from the model. ``schema_name`` is the schema's, and a part of
    every call's name; None: the class's in small letters.
    """

    model_config = ConfigDict(strict=True, extra="ignore", frozen=True)
    items: ClassVar[str | None] = None
    items_are_pairs: ClassVar[bool] = True
    strict_schema: ClassVar[dict[str, Any] | None] = None
    schema_name: ClassVar[str | None] = None


Answer = TypeVar("Answer", bound=AnswerModel)


class ParseStep(StrEnum):
    """Step of the ladder that parsed an answer."""

    STRICT = "strict"
    HEALED = "healed"
    SALVAGED = "salvaged"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault of an answer.

    Attributes:
        reason: A short stable word: ``empty``, ``refusal``, ``no_json``, ``cut_off``, ``invalid``.
        detail: Where and what, in one line, for a repair prompt or a person.
        raw: The invalid part, as JSON or as received.
    """

    reason: str
    detail: str = ""
    raw: str = ""


class ParsedAnswer(Struct, Generic[Answer], frozen=True):
    """Result of parsing: a value (perhaps with fewer items than were written), and the faults."""

    value: Answer | None
    how: ParseStep
    faults: tuple[Fault, ...] = ()


def read(text: str, model: type[Answer], *, cut: bool = False) -> ParsedAnswer[Answer]:
    """Read a model's text as an answer. Never raises.

    Args:
        text: Text of the model; may be anything.
        model: Expected type of answer.
        cut: The server reported that the text hit the length limit, so its last item may be torn.
    """
    try:
        return ParsedAnswer(model.model_validate_json(text), ParseStep.STRICT)
    except ValidationError:
        pass
    fault = _no_answer(text)
    if fault:
        return ParsedAnswer(None, ParseStep.FAILED, (fault,))
    answer = _behind_thoughts(text)
    if answer is None:
        detail = "the text ends in the middle of a thought"
        return ParsedAnswer(None, ParseStep.FAILED, (Fault("cut_off", detail, text[-500:]),))
    found = _last_valid(_unwrap(answer), model, cut=cut)
    if found.value is None and answer is not text and _spans_marks(text):
        return _last_valid(_unwrap(text), model, cut=cut)
    if found.value is None and answer is not text:
        return _last_valid(_before_thoughts(text), model, cut=False)
    return found


def json_schema(model: type[AnswerModel]) -> AnswerSchema:
    """Return the JSON schema of an answer, in the subset that strict structured output accepts.

    Every property is required, no others are allowed, and references are inlined. String lengths
    and titles are left out, since servers refuse or ignore them (``read`` checks lengths).
    """
    plain = model.strict_schema
    if plain is None:
        schema = model.model_json_schema(by_alias=False)
        plain = _plain(schema, schema.get("$defs", {}))
    name = model.schema_name or model.__name__.lower()
    return AnswerSchema(name, plain, digest(name, orjson.dumps(plain).decode()))


def _validate(data: Any, model: type[Answer], faults: tuple[Fault, ...]) -> ParsedAnswer[Answer]:
    how = ParseStep.SALVAGED if faults else ParseStep.HEALED
    try:
        return ParsedAnswer(model.model_validate(data), how, faults)
    except (ValidationError, RecursionError) as error:
        found = _faults_of(error)
    for other in _inside(data, model.items):
        try:
            return ParsedAnswer(model.model_validate(other), how, faults)
        except (ValidationError, RecursionError):
            continue
    if model.items and isinstance(data, dict) and isinstance(data.get(model.items), list):
        return _salvage(data, model, faults, found)
    return ParsedAnswer(None, ParseStep.FAILED, (*faults, *found))


def _inside(data: Any, items: str | None) -> Iterator[dict[str, Any]]:
    """Yield alternative readings of a value: the object that it wraps, and JSON in its strings.

    Models wrap an answer in the schema's name, in ``arguments`` or ``properties``, and write lists
    as strings.
    """
    if not isinstance(data, dict):
        return
    wrapped = data.get(items) if items else None
    if isinstance(wrapped, list) and len(wrapped) == 1:  # a list of one call: see `_read_part`
        yield from _inside(wrapped[0], items)
    listed = _decoded(data.get(items)) if items else None
    if isinstance(listed, list):
        unpacked = [_decoded(item) for item in listed]
        if unpacked != data.get(items):
            yield {**data, str(items): unpacked}
    if items in data:
        return
    for value in data.values():
        inner = _decoded(value)
        if isinstance(inner, dict):
            yield inner
            yield from _inside(inner, items)


def _decoded(value: Any) -> Any:
    """Return the object or list that a text encodes; anything else unchanged."""
    if not isinstance(value, str) or value.lstrip()[:1] not in {"{", "["}:
        return value
    try:
        return orjson.loads(value)
    except orjson.JSONDecodeError:
        return value


def _salvage(
    data: dict[str, Any],
    model: type[Answer],
    faults: tuple[Fault, ...],
    whole: tuple[Fault, ...],
) -> ParsedAnswer[Answer]:
    """Keep each list item that is valid on its own; report the others.

    ``faults`` were found before; ``whole`` describes what is wrong with the value as a whole.
    """
    name = model.items or ""
    good: list[Any] = []
    bad: list[Fault] = []
    for index, item in enumerate(data[name]):
        try:
            model.model_validate({**data, name: [item]})
        except (ValidationError, RecursionError) as error:
            detail = "; ".join(f.detail for f in _faults_of(error))
            bad.append(Fault("invalid", f"{name}[{index}]: {detail}", _dump(item)))
        else:
            good.append(item)
    try:
        value = model.model_validate({**data, name: good}) if good else None
    except ValidationError as error:  # more good items than the list may hold, or another field
        return ParsedAnswer(None, ParseStep.FAILED, (*faults, *_faults_of(error)))
    if value is None:
        return ParsedAnswer(None, ParseStep.FAILED, (*faults, *(bad or whole)))
    return ParsedAnswer(value, ParseStep.SALVAGED, (*faults, *bad))


def _faults_of(error: ValidationError | RecursionError) -> tuple[Fault, ...]:
    if isinstance(error, RecursionError):
        return (Fault("invalid", "nested too deeply"),)
    found = error.errors(include_url=False, include_context=False, include_input=False)
    return tuple(
        Fault("invalid", f"{'.'.join(str(part) for part in item['loc']) or 'top'}: {item['msg']}")
        for item in found[:MAX_FAULTS]
    )


def _cut_off(text: str) -> Fault:
    return Fault("cut_off", "the text ends in the middle", text[-500:])


def _no_answer(text: str) -> Fault | None:
    """Classify a text without JSON as empty, a refusal or prose."""
    head = text.strip()
    if not head:
        return Fault("empty", "the answer is empty")
    if len(text) > MAX_HEALED_CHARS:
        return Fault("too_long", f"{len(text)} characters", text[:1000])
    if "{" not in text and "[" not in text:
        said = head[:300].lower().replace("\u2019", "'")
        if any(phrase in said for phrase in _REFUSALS):
            return Fault("refusal", "the model declined")
        return Fault("no_json", "prose instead of JSON")
    return None


def _behind_thoughts(text: str) -> str | None:
    """Return what follows the last end-of-thought mark; None if a thought never ends.

    A thought that begins after the answer and never ends is removed.
    """
    end = 0
    for mark in _THOUGHT_END.finditer(text):
        end = mark.end()
    answer = text[end:] if end else text
    for start in islice(_THOUGHT_START.finditer(answer), _MOST_VALUES):
        before = answer[: start.start()]
        wholes, tail = _values(before)
        if wholes and not tail:
            return before
        if not end and not before.strip():
            return None
    return answer


def _before_thoughts(text: str) -> str:
    """Return the answer that a text begins with, if all that follows it is a thought; else ""."""
    start = _THOUGHT_START.search(text)
    before = text[: start.start()] if start else ""
    wholes, tail = _values(before)
    return before if len(wholes) == 1 and not tail and _unfenced(before)[:1] in {"{", "["} else ""


def _unfenced(text: str) -> str:
    return text.lstrip().removeprefix("```json").lstrip("` \n")


def _spans_marks(text: str) -> bool:
    """Return whether a text is one JSON value whose strings quote a mark."""
    body = _unfenced(text)
    if body[:1] not in {"{", "["}:
        return False
    whole, was_cut = _complete_part(body)
    return was_cut or _THOUGHT_END.search(whole) is not None


def _unwrap(text: str) -> str:
    """Unwrap JSON that is encoded as a JSON string."""
    for _ in range(_MOST_STRINGS):
        if text.lstrip()[:1] != '"':
            break
        try:
            inner = orjson.loads(text)
        except orjson.JSONDecodeError:
            break
        if not isinstance(inner, str):
            break
        text = inner
    return text


def _last_valid(text: str, model: type[Answer], *, cut: bool) -> ParsedAnswer[Answer]:
    """Read the last JSON value that is a valid answer; a truncated one at the end counts."""
    failed: ParsedAnswer[Answer] | None = None
    for _ in range(_MOST_NESTED):
        wholes, tail = _values(text)
        if tail and (not wholes or (model.items and f'"{model.items}"' in tail)):
            found = _read_part(tail, model, is_torn=True)
            if found.value is not None or wholes:
                return found
            failed = failed or found
        last: ParsedAnswer[Answer] | None = None
        for part in reversed(wholes[-_MOST_VALUES:]):
            found = _read_part(part, model, is_torn=False, is_cut=cut and part is wholes[-1])
            if found.value is not None and not (found.faults and last):
                return found
            last = last or found
        if last is not None:
            return last
        if not tail:
            break
        text = tail[1:]  # an unmatched brace
    if failed is not None:
        return failed
    fault = _cut_off(text) if cut else Fault("no_json", "no JSON value")
    return ParsedAnswer(None, ParseStep.FAILED, (fault,))


def _values(text: str) -> tuple[list[str], str]:
    """Return a text's complete JSON values in order, and the offset of a truncated last one."""
    wholes: list[str] = []
    while (start := _start(text)) >= 0:
        text = text[start:]
        size = _whole_size(text)
        if not size:
            return wholes, text
        wholes.append(text[:size])
        text = text[size:]
    return wholes, ""


def _read_part(
    part: str, model: type[Answer], *, is_torn: bool, is_cut: bool = False
) -> ParsedAnswer[Answer]:
    data, was_cut = _heal(part)
    faults = (_cut_off(part),) if is_cut or was_cut else ()
    if data is None:
        fault = _cut_off(part) if is_torn else Fault("no_json", "no JSON value")
        return ParsedAnswer(None, ParseStep.FAILED, faults or (fault,))
    if isinstance(data, list) and model.items:
        data = {model.items: _flatten(data, model.items)}
    return _validate(data, model, faults)


def _heal(part: str) -> tuple[Any, bool]:
    """Parse near-JSON; return ``(value or None, whether its tail was missing)``."""
    whole, was_cut = _complete_part(part)
    if not whole:
        return None, was_cut
    try:
        data = fast_json_repair.loads(whole)
    except (ValueError, RecursionError):
        return None, was_cut
    return (data if isinstance(data, dict | list) and data else None), was_cut


def _start(text: str) -> int:
    """Find where JSON begins: the first brace, or a bracket right before it; -1 if neither."""
    brace = text.find("{")
    if brace < 0:
        return text.find("[")
    before = text[:brace].rstrip()
    return len(before) - 1 if before.endswith("[") else brace


def _whole_size(body: str) -> int:
    """Return the length of the complete value at the start of ``body``; 0 if it never ends."""
    whole, was_cut = _complete_part(body)
    return len(whole) if whole and not was_cut and body.startswith(whole) else 0


def _complete_part(body: str) -> tuple[str, bool]:
    """Cut after the first complete value, or else after the last complete object within it.

    A truncated object is left out, because a healed half sentence looks like a complete one. If
    only closing brackets are missing, nothing was truncated.
    """
    closers: list[str] = []
    in_string = False
    escaped = -1  # positions of characters escaped by a backslash
    last_whole, end = "", 0
    for match in _STRUCTURE.finditer(body):
        index, char = match.start(), match[0]
        if index == escaped:
            continue
        if in_string:
            if char == "\\":
                escaped = index + 1
            in_string = char != '"'
        elif char == '"':
            in_string = True
        elif char in "{[":
            closers.append("}" if char == "{" else "]")
        elif char in "}]" and closers:
            closers.pop()
            if not closers:
                return body[: index + 1], False
            if char == "}":
                end = index + 1
                last_whole = body[:end] + "".join(reversed(closers))
    return last_whole, bool(body[end:].strip(" \r\n\t,]}`"))


def _flatten(data: list[Any], name: str) -> list[Any]:
    """Join the items of several objects that were written one after the other."""
    items: list[Any] = []
    for entry in data:
        inner = entry.get(name) if isinstance(entry, dict) else None
        items.extend(inner if isinstance(inner, list) else [entry])
    return items


def _dump(value: Any) -> str:
    try:
        return orjson.dumps(value, default=str).decode()[:4000]
    except (TypeError, ValueError, RecursionError):
        return ""


def _plain(node: Any, defs: dict[str, Any]) -> Any:
    if isinstance(node, list):
        return [_plain(item, defs) for item in node]
    if not isinstance(node, dict):
        return node
    if "$ref" in node:
        return _plain(defs[node["$ref"].rsplit("/", 1)[1]], defs)
    kept = {key: value for key, value in node.items() if key not in {*_UNSUPPORTED, "$defs"}}
    if "properties" in kept:
        properties = {name: _plain(value, defs) for name, value in kept["properties"].items()}
        return {
            "type": "object",
            "properties": properties,
            "required": list(properties),
            "additionalProperties": False,
        }
    return {key: _plain(value, defs) for key, value in kept.items()}
