"""Generates a value that conforms to any JSON schema, filled from the passage.

A property's name, or else its description, decides its content: a question, an answer, a verbatim
piece of the passage, a few words, a single statement. Bounds, enums, patterns and formats are
observed (a pattern by text made from the regular expression); lists of turns alternate between
their roles; the answer to a question with options is one of them.
"""

from __future__ import annotations

import functools
import importlib
import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson

from pairmill.simulator.content import Draft, draft_pairs

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from pairmill.simulator.rng import Rng

    Filler = Callable[["Filling", Draft], Any]

__all__ = ["PAIRS_SCHEMA", "Filling", "fill", "find_example", "find_schema", "write_match"]

_MOST_REPEATS = 8
_CLASSES = {"CATEGORY_DIGIT": "0123456789", "CATEGORY_WORD": "abcdefgh", "CATEGORY_SPACE": " "}
_PRINTABLE = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 -.,"


def write_match(pattern: str, rng: Rng) -> str | None:
    """Return a text that matches, or None if the pattern is too complex (look-around, references).

    The pattern is parsed by the standard library's parser of regular expressions.
    """
    try:
        parsed = importlib.import_module("re._parser").parse(pattern)
        text = "".join(_write(str(code), value, rng) for code, value in parsed)
        return text if re.search(pattern, text) else None
    except (re.error, RecursionError, KeyError, ValueError, OverflowError):
        return None


def _write(code: str, value: Any, rng: Rng) -> str:  # noqa: PLR0911 (one for each code)
    if code == "LITERAL":
        return chr(value)
    if code == "AT":
        return ""
    if code == "ANY":
        return "a"
    if code == "NOT_LITERAL":
        return next(char for char in _PRINTABLE if ord(char) != value)
    if code == "IN":
        return rng.pick(_members(value))
    if code == "BRANCH":
        return _write_all(rng.pick(value[1]), rng)
    if code == "SUBPATTERN":
        return _write_all(value[-1], rng)
    if code in {"MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT"}:
        least, most, inner = value
        count = least + rng.below(min(int(most) - least, _MOST_REPEATS) + 1)
        return "".join(_write_all(inner, rng) for _ in range(count))
    raise ValueError(code)


def _write_all(items: Any, rng: Rng) -> str:
    return "".join(_write(str(code), value, rng) for code, value in items)


def _members(items: Any) -> str:
    """Return the characters that a class matches."""
    negated = str(items[0][0]) == "NEGATE"
    found = ""
    for code, value in items[negated:]:
        kind = str(code)
        if kind == "LITERAL":
            found += chr(value)
        elif kind == "RANGE":
            found += "".join(map(chr, range(value[0], min(value[1], value[0] + 255) + 1)))
        else:
            found += _CLASSES[str(value)]
    if negated:
        return "".join(char for char in _PRINTABLE if char not in found)
    return found


PAIRS_SCHEMA: bytes = orjson.dumps(
    {
        "type": "object",
        "properties": {
            "skip": {"type": ["string", "null"]},
            "pairs": {
                "type": "array",
                "items": {
                    "type": "object",
                    "properties": {
                        "type": {"type": "string"},
                        "evidence": {"type": "string"},
                        "instruction": {"type": "string"},
                        "answer": {"type": "string"},
                    },
                },
            },
        },
    }
)
"""Default schema if pairs are asked for without a schema or an example."""

_FEW_WORDS = (
    "title name topic subject entity keyword tag label concept term heading skill persona domain "
    "option choice distractor strategy audience style"
)
_ANSWER = (
    "answer response output completion text assistant solution reply explanation rewrite article "
    "body content paraphrase paragraph positive"
)
_BAD = "not un boilerplate unanswerable leak leaks error duplicate skip refuse spam"
_ROLES: tuple[tuple[str, frozenset[str]], ...] = (
    ("instruction", frozenset({"instruction", "prompt", "task", "user", "request", "exercise"})),
    ("question", frozenset({"question", "query", "problem"})),
    ("evidence", frozenset({"evidence", "quote", "span", "context", "citation", "excerpt"})),
    ("sentence", frozenset({"sentence", "verbatim", "passage", "support", "supporting"})),
    ("kind", frozenset({"type", "kind", "category"})),
    ("language", frozenset({"language", "lang", "locale"})),
    ("few words", frozenset(_FEW_WORDS.split())),
    ("statement", frozenset({"fact", "claim", "statement", "point", "proposition", "summary"})),
    ("answer", frozenset(_ANSWER.split())),
)
_DESCRIBED: tuple[tuple[str, re.Pattern[str]], ...] = (
    ("sentence", re.compile(r"verbatim|word for word|\b(?:copied|quoted?)\b|exact (?:words|sent)")),
    ("question", re.compile(r"\bquestion\b(?! that was| above)")),
    ("instruction", re.compile(r"\b(?:instruction|task)\b")),
    ("few words", re.compile(r"\b(?:few|one or two|single) words?\b|\bname of\b|\btitle\b")),
    ("statement", re.compile(r"\b(?:one sentence|single sentence|fact|claim)\b")),
    ("answer", re.compile(r"\b(?:answer|explanation|paragraph|text)\b")),
)
_POSITION = frozenset({"number", "position"})
_REASON = frozenset({"skip", "reason", "error", "refusal"})
_TURN = frozenset({"role", "speaker", "from"})
_ASKERS = frozenset({"user", "human", "student", "asker", "questioner", "customer"})
_OPTIONS = frozenset({"options", "choices", "alternatives"})
_PLAIN_TEXT = frozenset({"type", "description", "title"})
_CHOSEN = frozenset({"answer", "correct", "correct_answer", "correct_option", "solution", "key"})
_BAD_NEWS = frozenset(_BAD.split())
_FORMATS = {
    "date": "2024-05-17",
    "time": "12:30:00Z",
    "date-time": "2024-05-17T12:30:00Z",
    "email": "reader@example.org",
    "uri": "https://example.org/source",
    "url": "https://example.org/source",
    "uuid": "6f1c2b1e-58a4-4c1b-9a53-0d7f3f9a2b10",
    "hostname": "example.org",
    "ipv4": "192.0.2.1",
}
_TOLD_BOUND = re.compile(r"at most (\d{1,6}) characters")
_DEPTH = 32
_INNER_ITEMS = 3  # in an unbounded list within another list
_MAX_ITEMS = 64
_DECODER = json.JSONDecoder()
_NOTHING = Draft("fact", "", "What is this about?", "There is nothing to say about this.")
_NAME_WORDS = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+|[^\W\d_A-Za-z]+")


@dataclass(frozen=True, slots=True)
class Filling:
    """Material of a value: the drafts in order, the rng, and the passage for more drafts."""

    drafts: Sequence[Draft]
    rng: Rng
    passage: str = ""

    def at_least(self, count: int) -> list[Draft]:
        """Return at least this many drafts, repeating them if the passage yields too few."""
        drafts = list(self.drafts)
        if len(drafts) < count and self.passage:
            more = draft_pairs(self.passage, count, self.rng)
            known = {draft.sentence for draft in drafts}
            drafts += [draft for draft in more if draft.sentence not in known]
        while len(drafts) < count:
            drafts.append(drafts[len(drafts) % max(len(self.drafts), 1)] if drafts else _NOTHING)
        return drafts


def fill(schema: bytes, filling: Filling) -> Any:
    """Make a value that conforms to the schema (JSON): the same for the same drafts and rng."""
    filler = _compiled(schema)
    return filler(filling, filling.drafts[0] if filling.drafts else _NOTHING)


@functools.lru_cache(maxsize=256)
def find_schema(text: str) -> bytes | None:
    """Return the first JSON schema of an object in the text, as JSON; None if there is none."""
    if '"properties"' not in text:
        return None
    for found in _values_in(text):
        if isinstance(found, dict) and isinstance(found.get("properties"), dict):
            return orjson.dumps(found)
    return None


@functools.lru_cache(maxsize=256)
def find_example(text: str) -> bytes | None:
    """Derive a schema from the last JSON object, or list of objects, shown in the text."""
    if '{"' not in text and "{\n" not in text and '{ "' not in text:
        return None
    shown = [
        found
        for found in _values_in(text, opening="{[")
        if (isinstance(found, dict) and found)
        or (isinstance(found, list) and found and isinstance(found[0], dict) and found[0])
    ]
    return orjson.dumps(_schema_of(shown[-1])) if shown else None


def _values_in(text: str, opening: str = "{") -> list[Any]:
    """Return the outermost JSON values in the text that begin with such a bracket, in order."""
    found = []
    at = 0
    while at < len(text):
        if text[at] not in opening:
            at += 1
            continue
        try:
            value, at = _DECODER.raw_decode(text, at)
        except (ValueError, RecursionError):
            at += 1
        else:
            found.append(value)
    return found


def _schema_of(value: Any) -> dict[str, Any]:  # noqa: PLR0911 (one for each kind of JSON value)
    """Derive a schema from an example."""
    if isinstance(value, dict):
        return {"type": "object", "properties": {key: _schema_of(it) for key, it in value.items()}}
    if isinstance(value, list):
        return {"type": "array", "items": _schema_of(value[0]) if value else {"type": "string"}}
    if isinstance(value, bool):
        return {"type": "boolean"}
    if isinstance(value, int | float):
        return {"type": "integer" if isinstance(value, int) else "number"}
    if value is None:
        return {"type": ["string", "null"]}
    choices = [part.strip() for part in str(value).split("|")]
    if len(choices) > 1 and all(0 < len(part) < 40 for part in choices):  # noqa: PLR2004
        return {"enum": choices}
    return {"type": "string", "description": str(value).lower()}


@functools.lru_cache(maxsize=256)
def _compiled(schema: bytes) -> Filler:
    root = orjson.loads(schema)
    return _compile(root, root, "", _DEPTH)


def _compile(
    node: Any, root: Mapping[str, Any], name: str, depth: int, *, inside: bool = False
) -> Filler:
    """Compile a node to a filler; ``inside`` a list, unbounded lists are short."""
    node = _resolve(node, root)
    if depth == 0 or not isinstance(node, dict):
        return _always(None)
    if "const" in node:
        return _always(node["const"])
    kinds = node.get("type") or _kind_of(node)
    kinds = kinds if isinstance(kinds, list) else [kinds]
    if "null" in kinds and name.lower() in _REASON:
        reason = next((value for value in node.get("enum", ()) if value is not None), "no prose")
        return lambda filling, _draft: None if filling.drafts else reason
    if node.get("enum"):
        return _enum(node["enum"])
    kind = next((kind for kind in kinds if kind != "null"), "null")
    if kind == "integer" and name.lower() in _POSITION:
        return _position
    fillers: dict[Any, Callable[[], Filler]] = {
        "object": lambda: _object(node, root, depth, inside=inside),
        "array": lambda: _array(node, root, name, depth, inside=inside),
        "integer": lambda: _number(node, name, whole=True),
        "number": lambda: _number(node, name, whole=False),
        "boolean": lambda: _boolean(name),
        "string": lambda: _string(node, name),
    }
    return fillers.get(kind, lambda: _always(None))()


def _kind_of(node: Mapping[str, Any]) -> str:
    if "properties" in node or isinstance(node.get("additionalProperties"), dict):
        return "object"
    return "array" if "items" in node or "prefixItems" in node else "string"


def _position(filling: Filling, draft: Draft) -> int:
    """Return which of the list's items this is, from 1."""
    return filling.drafts.index(draft) + 1 if draft in filling.drafts else 1


def _always(value: Any) -> Filler:
    return lambda _filling, _draft: value


def _resolve(node: Any, root: Mapping[str, Any]) -> Any:
    for _ in range(_DEPTH):
        if not isinstance(node, dict):
            break
        if isinstance(node.get("$ref"), str):
            target: Any = root
            for part in node["$ref"].removeprefix("#").strip("/").split("/"):
                target = target.get(part) if part and isinstance(target, dict) else target
            node = target
            continue
        if isinstance(node.get("allOf"), list):
            node = _merged(node, root)
            continue
        choices = node.get("anyOf") or node.get("oneOf")
        if not choices:
            break
        types = [choice for choice in choices if choice != {"type": "null"}]
        chosen = types[0] if types else choices[0]
        if len(types) < len(choices) and isinstance(chosen, dict) and "type" in chosen:
            chosen = {**chosen, "type": [chosen["type"], "null"]}
        node = chosen
    return node


def _merged(node: Mapping[str, Any], root: Mapping[str, Any]) -> dict[str, Any]:
    """Merge the parts of a node's ``allOf`` into it."""
    whole: dict[str, Any] = {key: value for key, value in node.items() if key != "allOf"}
    for part in node["allOf"]:
        told = _resolve(part, root)
        if isinstance(told, dict):
            properties = {**whole.get("properties", {}), **told.get("properties", {})}
            whole |= told
            if properties:
                whole["properties"] = properties
    return whole


def _enum(values: Sequence[Any]) -> Filler:
    known = frozenset(value for value in values if isinstance(value, str))

    def filler(filling: Filling, draft: Draft) -> Any:
        return draft.kind if draft.kind in known else filling.rng.pick(values)

    return filler


def _object(
    node: Mapping[str, Any], root: Mapping[str, Any], depth: int, *, inside: bool
) -> Filler:
    properties = node.get("properties") or {}
    fields = [
        (key, _compile(value, root, key, depth - 1, inside=inside))
        for key, value in properties.items()
    ]
    extra = node.get("additionalProperties")
    if not fields and isinstance(extra, dict):
        return _map(_compile(extra, root, "", depth - 1, inside=True))
    options = next((key for key in properties if key.lower() in _OPTIONS), None)
    chosen = next((key for key in properties if key.lower() in _CHOSEN), None)
    if chosen is not None and _resolve(properties[chosen], root).keys() - _PLAIN_TEXT:
        chosen = None

    def filler(filling: Filling, draft: Draft) -> dict[str, Any]:
        value = {key: filler(filling, draft) for key, filler in fields}
        if options is not None and chosen is not None:
            _choose(value, options, chosen, filling.rng)
        return value

    return filler


def _choose(value: dict[str, Any], options: str, chosen: str, rng: Rng) -> None:
    """Make the answer one of the options, if both are texts."""
    texts, answer = value[options], value[chosen]
    if isinstance(texts, list) and texts and all(isinstance(it, str) for it in texts):
        picked = rng.below(len(texts))
        if isinstance(answer, str):
            value[chosen] = texts[picked]


def _map(item: Filler) -> Filler:
    def filler(filling: Filling, _draft: Draft) -> dict[str, Any]:
        drafts = filling.at_least(2)[:_INNER_ITEMS]
        return {
            draft.subject or f"key {at}": item(filling, draft) for at, draft in enumerate(drafts)
        }

    return filler


def _array(
    node: Mapping[str, Any], root: Mapping[str, Any], name: str, depth: int, *, inside: bool
) -> Filler:
    least, most = node.get("minItems", 0), node.get("maxItems", _MAX_ITEMS)
    if isinstance(node.get("prefixItems"), list):
        firsts = [_compile(it, root, name, depth - 1, inside=True) for it in node["prefixItems"]]
        return lambda filling, draft: [first(filling, draft) for first in firsts]
    inner = _resolve(node.get("items", {}), root)
    turns = _turns(inner, root, depth, least, most)
    if turns is not None:
        return turns
    one = name.removesuffix("s")
    item = _compile(inner, root, one, depth - 1, inside=True)
    is_text = isinstance(inner, dict) and (inner.get("type") or "string") == "string"

    def filler(filling: Filling, draft: Draft) -> list[Any]:
        drafts = filling.at_least(least)
        if inside:
            at = drafts.index(draft) if draft in drafts else 0
            drafts = [*drafts[at:], *drafts[:at]]
            most_here = min(most, max(least, _INNER_ITEMS))
        else:
            most_here = most
        values = [item(filling, draft) for draft in drafts[:most_here]]
        if is_text and not {"enum", "const", "pattern", "format"} & inner.keys():
            return _distinct(values, inner.get("maxLength", 2**31))
        return values

    return filler


def _distinct(values: list[Any], most: int) -> list[Any]:
    """Make the texts distinct, as in a list of options or names."""
    seen: set[Any] = set()
    for at, value in enumerate(values):
        number = f" ({at + 1})"
        if value in seen and most > 2 * len(number):
            values[at] = value[: most - len(number)] + number
        seen.add(values[at])
    return values


def _turns(item: Any, root: Mapping[str, Any], depth: int, least: int, most: int) -> Filler | None:
    """Make a filler for a list of turns, each with a role; None if the items are not turns."""
    properties = item.get("properties") if isinstance(item, dict) else None
    role = next((key for key in properties or () if key.lower() in _TURN), None)
    if properties is None or role is None:
        return None
    roles = _resolve(properties[role], root).get("enum") or ["user", "assistant"]
    asker = next((it for it in roles if str(it).lower() in _ASKERS), None)
    other = next((it for it in roles if it != asker and str(it).lower() != "system"), None)
    if asker is None or other is None:
        return None
    others = {
        key: _compile(value, root, key, depth - 1, inside=True)
        for key, value in properties.items()
        if key != role
    }
    texts = [key for key in others if _resolve(properties[key], root).get("type") == "string"]
    said = next((key for key in texts if _role_of(key, "") == "answer"), texts[0] if texts else "")
    words = properties.get(said, {})
    asks, tells = (_compile(words, root, name, depth - 1) for name in ("question", "answer"))

    def filler(filling: Filling, _draft: Draft) -> list[Any]:
        count = min(most, max(least, 2 * len(filling.drafts)))
        count -= count % 2 if count - count % 2 >= least else 0
        turns = []
        for at in range(count):
            draft = filling.at_least(at // 2 + 1)[at // 2]
            turn = {role: other if at % 2 else asker}
            turn |= {key: field(filling, draft) for key, field in others.items()}
            if said:
                turn[said] = (tells if at % 2 else asks)(filling, draft)
            turns.append({key: turn[key] for key in properties})
        return turns

    return filler


def _boolean(name: str) -> Filler:
    is_bad = not _BAD_NEWS.isdisjoint(_words_of(name))
    return lambda filling, _draft: (filling.rng.below(4) == 0) == is_bad


def _number(node: Mapping[str, Any], name: str, *, whole: bool) -> Filler:
    usual = 1 if not whole and _words_of(name) & {"confidence", "probability", "share"} else 5
    least = node.get("minimum", node.get("exclusiveMinimum", (-1 if usual == 1 else 0)) + whole)
    if "minimum" not in node and "exclusiveMinimum" not in node:
        least = 0 if usual == 1 else 1
    most = node.get("maximum", node.get("exclusiveMaximum", max(usual, least) + whole) - whole)
    step = node.get("multipleOf")
    if whole:
        least, most = -int(-least // 1), max(int(most), int(least))
    is_open = not whole and "exclusiveMinimum" in node

    def filler(filling: Filling, _draft: Draft) -> Any:
        high = max(filling.rng.share(), filling.rng.share())  # judges are kind
        value = least + high * (most - least + whole)
        if step:
            first = -(-least // step) * step
            value = min(first + (value - first) // step * step, most // step * step)
            return int(value) if whole else value
        if whole:
            return min(int(value), most)
        return round(value, 3) if not is_open or round(value, 3) > least else (least + most) / 2

    return filler


def _string(node: Mapping[str, Any], name: str) -> Filler:
    least, most = node.get("minLength", 0), node.get("maxLength")
    told = _TOLD_BOUND.search(str(node.get("description", "")))
    if most is None and told:  # strict servers accept no maxLength: the text states it
        most = int(told[1])
    pattern, form = node.get("pattern"), node.get("format")
    role = _role_of(name, str(node.get("description", "")).lower())
    if isinstance(pattern, str):
        return lambda filling, draft: write_match(pattern, filling.rng) or _say(role, draft)
    if form in _FORMATS:
        return _always(_FORMATS[form])

    def filler(filling: Filling, draft: Draft) -> str:
        text = _say(role, draft)
        if len(text) < least:
            text = _lengthen(text, least, filling)
        return text if most is None or len(text) <= most else _shorten(text, least, most, role)

    return filler


def _lengthen(text: str, least: int, filling: Filling) -> str:
    for draft in filling.at_least(1):
        if len(text) >= least:
            break
        text = f"{text} {draft.answer}".strip()
    while len(text) < least:
        text += f" {text or 'word'}"
    return text


def _shorten(text: str, least: int, most: int, role: str) -> str:
    """Cut at a word if that leaves something; a question keeps its question mark."""
    room = most - 1 if role == "question" and most > 1 else most
    cut = text[:room]
    space = cut.rfind(" ")
    if space > max(room // 2, least):
        cut = cut[:space].rstrip(",;:").ljust(least, ".")
    return f"{cut}?" if role == "question" and most > 1 else cut


@functools.lru_cache(maxsize=1024)
def _words_of(name: str) -> frozenset[str]:
    return frozenset(word.lower() for word in _NAME_WORDS.findall(name))


@functools.lru_cache(maxsize=1024)
def _role_of(name: str, description: str) -> str:
    """Guess a text field's purpose by its name, else by its description; "" if neither helps."""
    words = _words_of(name)
    words |= {word.removesuffix("s") for word in words}
    by_description = next((it for it, known in _DESCRIBED if known.search(description)), "")
    if by_description == "sentence":
        return by_description
    return next((it for it, known in _ROLES if not known.isdisjoint(words)), by_description)


def _say(role: str, draft: Draft) -> str:
    texts = {
        "instruction": draft.instruction,
        "question": draft.question,
        "answer": draft.answer,
        "evidence": draft.evidence,
        "sentence": draft.sentence or draft.evidence,
        "kind": draft.kind,
        "language": "en",
        "few words": draft.subject or draft.evidence,
        "statement": draft.answer.partition(". ")[0].rstrip(".") + ".",
    }
    if role in texts:
        return texts[role]
    return f"It speaks of {draft.evidence}." if draft.evidence else "Nothing to remark."
